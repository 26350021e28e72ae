"""A model for others: its weights by name, ours or the original's, a compiled predictor without this package, and ONNX."""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jax import export

from radiodiff_jax.composition import scene_of
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.generator import Generator, Reconstructor
from radiodiff_jax.limits import check_batch
from radiodiff_jax.models.radiodiff import RadioDiffBackbone
from radiodiff_jax.models.torch_weights import export_weights
from radiodiff_jax.objectives.decoupled import Decoupled
from radiodiff_jax.training.digest import leaves_by_path
from radiodiff_jax.units import DB_PER_GAIN, WEAKEST_DB

Tensors = dict[str, np.ndarray]


def our_tensors(model: Generator | Reconstructor) -> Tensors:
    """Every array of a model by its path in our trees, such as `variables/params/down_0/block1/norm/scale`."""
    if isinstance(model, Reconstructor):
        tree = {"params": {"autoencoder": model.params}}
    else:
        tree = {"variables": model.variables, "frozen": model.frozen}
    return {name: np.array(leaf, order="C") for name, leaf in leaves_by_path(tree).items()}


def original_tensors(model: Generator | Reconstructor) -> Tensors:
    """A state dict with the original's names and layouts, float32, as its own checkpoints have below "model".

    Raises UserError for a model that the original does not have: another backbone or objective, no latent space.
    """
    if isinstance(model, Reconstructor):
        return _contiguous(export_weights("vae", {"params": model.params}))
    config = model.config
    fits = isinstance(config.backbone, RadioDiffBackbone) and isinstance(config.objective, Decoupled)
    if not fits or not config.space.needs_autoencoder:
        raise UserError(
            f"{model.name} is {config.space.name} x {config.backbone.name} x {config.objective.name}, which the original does not "
            "have (latent x radiodiff x decoupled); export it with --names ours"
        )
    unet = export_weights("unet", model.variables)
    first_stage = export_weights("vae", {"params": model.frozen["autoencoder"]})
    named = {f"model.{name}": value for name, value in unet.items()}
    named |= {f"first_stage_model.{name}": value for name, value in first_stage.items()}
    return _contiguous(named | {"scale_factor": np.asarray(model.frozen["scale"])})


def predictor_program(
    model: Generator, size: tuple[int, int], batch: int = 1, steps: int | None = None, platforms: Sequence[str] = ("cpu",)
) -> export.Exported:
    """A compiled function of buildings uint8 [batch, height, width], not 0 at buildings, and of the transmitters' positions int32
    [batch, 2], row and column; it answers the path gain in [0, 1], float32 [batch, height, width].

    Its `mlir_module_serialized` is all of it as StableHLO, weights included; `loader` calls that. A diffusion model draws from one
    seed, fixed. Raises UserError for a size that the model cannot predict in one pass, and for models that are told of more than
    buildings and a transmitter.
    """
    _check_told(model, "a compiled predictor")
    check_batch(batch, size)
    fitted, steps = model.for_size(size), steps or model.config.objective.sampling_steps

    def predict(buildings: jax.Array, position: jax.Array) -> jax.Array:
        scene = scene_of({"buildings": buildings != 0, "position": position})
        return fitted.composition.predict_gain(fitted.variables, fitted.frozen, scene, jax.random.key(0), steps)

    shapes = jax.ShapeDtypeStruct((batch, *size), jnp.uint8), jax.ShapeDtypeStruct((batch, 2), jnp.int32)
    return export.export(jax.jit(predict), platforms=tuple(platforms))(*shapes)


LOADER = '''"""Path gain maps by a compiled predictor: python THIS.py buildings.npy ROW,COLUMN gain.npy

Needs jax and what comes with it; jax {version} made this. The file beside it is StableHLO.
"""

import dataclasses
import sys
from pathlib import Path

import jax
import numpy as np

SHAPE, FILE, CONVENTION = {shape}, Path(__file__).with_name({name!a}), {convention}
GIVEN = jax.ShapeDtypeStruct(SHAPE, np.uint8), jax.ShapeDtypeStruct((SHAPE[0], 2), np.int32)
try:
    from jax import export

    if not export.minimum_supported_calling_convention_version <= CONVENTION <= export.maximum_supported_calling_convention_version:
        raise ValueError(f"its calling convention is {{CONVENTION}}")
    # A function of the same arguments and answer, as this jax describes it, with the program of the file in place of its own.
    # jax.export.deserialize would do as well, but needs another package.
    alike = export.export(jax.jit(lambda *given: np.zeros(SHAPE, np.float32)), platforms={platforms})(*GIVEN)
    whole = dataclasses.replace(alike, mlir_module_serialized=FILE.read_bytes(), calling_convention_version=CONVENTION,
                                module_kept_var_idx={kept}, uses_global_constants={constants})
    PROGRAM = jax.jit(whole.call).lower(*GIVEN).compile()
except Exception as error:
    sys.exit(f"error: jax {{jax.__version__}} cannot run {{FILE}}, which jax {version} made: {{error}}"[:400])


def predict(buildings, position):
    """Gain in [0, 1] = (path gain in dB + 147) / 99.16 of masks of this SHAPE, not 0 at buildings, and (row, column) of each."""
    masks, places = np.asarray(buildings) != 0, np.asarray(position, np.int32)
    if masks.shape != SHAPE or places.shape != (SHAPE[0], 2) or not ((places >= 0) & (places < SHAPE[1:])).all():
        raise ValueError(f"masks {{masks.shape}} at {{places.tolist()}}: give {{SHAPE}} and as many places in them")
    return np.asarray(PROGRAM(masks.astype(np.uint8), places))


if __name__ == "__main__":
    try:
        scene, place, out = sys.argv[1:]
        mask, place = np.load(scene), [int(word) for word in place.split(",")]
        np.save(out, predict([mask] * SHAPE[0], [place] * SHAPE[0])[0])
    except (OSError, ValueError) as error:
        sys.exit(f"error: {{error}}. {{__doc__.splitlines()[0]}}")
'''


def loader(program: export.Exported, name: str) -> str:
    """A Python program that calls `program`, whose StableHLO lies beside it as the file `name`; it needs jax alone."""
    return LOADER.format(
        name=name, version=jax.__version__, shape=program.in_avals[0].shape, platforms=program.platforms,
        convention=program.calling_convention_version, kept=program.module_kept_var_idx,
        constants=program.uses_global_constants,
    )  # fmt: skip


def onnx_model(model: Generator, size: tuple[int, int], weights: str = "float32", steps: int | None = None) -> bytes:
    """An ONNX model of `buildings` uint8 [1, height, width], not 0 at buildings, and `position` int32 [1, 2], row and column of
    the transmitter; it answers `gain`, the path gain in [0, 1], float32 [1, height, width]. Features are part of the graph.

    A model that draws noise is given it: `noise` float32 [draws, h, w, channels], N(0, 1), see `draws_of_noise`. `weights` is
    how kernels are stored: float32, float16 or int8 (a scale for each channel); sums are float32. Raises UserError for models
    that are told of more than buildings and a transmitter, for a size that the model cannot predict in one pass, and where
    the package onnx is missing.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UserError("ONNX models need the package onnx; install the extra with pip install -e '.[export]'")
    from radiodiff_jax.inference.onnx_graph import as_onnx_layers, onnx_bytes
    from radiodiff_jax.inference.onnx_graph.rays import GraphScene

    _check_told(model, "an ONNX model")
    steps, noisy = steps or model.config.objective.sampling_steps, model.config.objective.noisy
    composition = model.for_size(size).composition
    if not noisy and getattr(composition.space, "fill", False):  # what an estimate is inside buildings is no part of the answer
        composition = replace(composition, space=replace(composition.space, fill=False))

    def predict(buildings: jax.Array, position: jax.Array, noise: jax.Array | None = None) -> jax.Array:
        def noise_at(number: jax.Array | int) -> jax.Array:
            return noise.at[number].get(mode="promise_in_bounds", wrap_negative_indices=False)[None]

        scene = GraphScene(buildings != 0, position)
        with as_onnx_layers():
            return composition.gain_of_noise(model.variables, model.frozen, scene, noise_at, steps)

    shapes = {"buildings": jax.ShapeDtypeStruct((1, *size), jnp.uint8), "position": jax.ShapeDtypeStruct((1, 2), jnp.int32)}
    if noisy:
        shapes["noise"] = jax.ShapeDtypeStruct((draws_of_noise(model, steps), *composition.shape), jnp.float32)
    about = {"model": model.name, "size": f"{size[0]} x {size[1]} m", "weights": weights, "steps": str(steps),
             "unit": f"path gain in dB = {WEAKEST_DB} + {DB_PER_GAIN} * gain"}  # fmt: skip
    return onnx_bytes(predict, shapes, "gain", weights, about)


def draws_of_noise(model: Generator, steps: int) -> int:
    """How many arrays of noise an ONNX model is given: one to begin with, and for the decoupled diffusion one an evaluation."""
    objective = model.config.objective
    return 1 + (objective.evaluations(steps) if isinstance(objective, Decoupled) else 0)


def _check_told(model: Generator, what: str) -> None:
    data = model.config.data
    if data.cars or data.observed is not None or data.computed:
        told = "cars" if data.cars else "measured pixels" if data.observed is not None else "maps computed beforehand"
        raise UserError(f"{model.name} is told of {told}; {what} takes buildings and a transmitter only")


def _contiguous(tensors: Tensors) -> Tensors:
    return {name: np.array(value, np.float32, order="C") for name, value in tensors.items()}
