"""A generator in one file: safetensors whose metadata say the settings, where the weights come from, and their digest.

    tensors   variables/params/...     the network's variables, float32 ones as bfloat16 unless asked otherwise
              frozen/...               what it reads and never trained: an autoencoder, a base regression
    metadata  format, version          what tells such a file from others
              settings                 JSON {"generator", "autoencoder", "base"}: trees of settings, null where there is none;
                                       and "calibration" of its intervals, if it has been fitted
              record                   JSON of how it was trained: free, for people
              licence                  under which the weights may be used
              digest                   SHA-256 of the settings and of every tensor's name, type, shape and bytes

The models that come with the package are such files, in radiodiff_jax/pretrained/.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple, NotRequired

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
from flax import traverse_util
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from typing_extensions import TypedDict

from radiodiff_jax.composition import Composition, compose
from radiodiff_jax.config_files import build_config, to_tree
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole
from radiodiff_jax.inference.calibration import Calibration, from_json, to_json
from radiodiff_jax.reading import OPEN, AnyObject, check_file, is_there, parse_json
from radiodiff_jax.spaces.latent import Latent
from radiodiff_jax.training.digest import digest, leaves_by_path

FORMAT, VERSION = "radiodiff_jax generator", "1"
SUFFIX = ".safetensors"
SHIPPED = Path(__file__).parents[1] / "pretrained"
Tree = Any


class SettingsRecord(TypedDict):
    """The schema of the settings in the metadata: trees of settings, which `build_config` checks."""

    __pydantic_config__ = OPEN
    generator: AnyObject
    autoencoder: NotRequired[AnyObject | None]
    base: NotRequired[AnyObject | None]
    calibration: NotRequired[AnyObject | None]


class ModelFile(NamedTuple):
    """What a file holds."""

    composition: Composition
    variables: Tree
    """Of the network; float32."""
    frozen: Tree
    record: dict[str, Any]
    """How the model was trained, its licence and its digest."""
    calibration: Calibration | None


def shipped_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob(f"*{SUFFIX}"))


def shipped_path(name: str) -> Path:
    """The file of a model that comes with the package."""
    return SHIPPED / f"{name}{SUFFIX}"


def write_model_file(
    path: Path, composition: Composition, variables: Tree, frozen: Tree, record: dict[str, Any], licence: str,
    *, precision: str = "bfloat16", calibration: Calibration | None = None,
) -> str:  # fmt: skip
    """Write a generator, whole or not at all; arrays of float32 are rounded to `precision`. Returns the digest."""
    space = composition.space
    settings = {
        "generator": to_tree(composition.config),
        "autoencoder": to_tree(space.config) if isinstance(space, Latent) else None,
        "base": None if composition.base is None else to_tree(composition.base.config),
    } | ({} if calibration is None else {"calibration": to_json(calibration)})

    def stored(leaf: Any) -> np.ndarray:
        values = np.asarray(leaf)
        rounded = values.ndim and values.dtype == np.float32 and precision == "bfloat16"
        return np.array(values, ml_dtypes.bfloat16 if rounded else values.dtype, order="C")

    tensors = {name: stored(leaf) for name, leaf in leaves_by_path({"variables": variables, "frozen": frozen}).items()}
    text = json.dumps(settings)
    metadata = {"format": FORMAT, "version": VERSION, "settings": text, "record": json.dumps(record), "licence": licence,
                "digest": _digest(text, tensors)}  # fmt: skip
    write_whole(path, lambda temporary: save_file(tensors, temporary, metadata))
    return metadata["digest"]


def read_model_file(path: Path) -> ModelFile:
    """Read and check what `write_model_file` wrote.

    Raises UserError for a file that is missing, damaged, no safetensors file, of another program or another version of
    the format, and for weights that are not those of its network.
    """
    if not is_there(path):
        raise UserError(f"there is no model file {path}; give the path of a file that ends in {SUFFIX}")
    check_file(path, f"give the path of a file that ends in {SUFFIX}")
    try:
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
            _check_kind(path, metadata)
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        sound = _digest(metadata["settings"], tensors) == metadata["digest"]
        texts = metadata["settings"], metadata["record"]
    except (SafetensorError, OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged or no safetensors file ({_line(error)}); copy or download it again") from error
    if not sound:
        raise UserError(f"{path} is damaged (its contents do not match its digest); copy or download it again")
    where, cure = f"the settings in {path}", "copy or download it again"
    settings = parse_json(texts[0], SettingsRecord, where, cure)
    record = parse_json(texts[1], AnyObject, f"the record in {path}", cure)
    told = settings.get("calibration")
    calibration = None if told is None else from_json(told, f"the calibration in {path}", cure)
    trees = {
        name: settings.get(name) and build_config("vae" if name == "autoencoder" else "generator", settings[name], where)
        for name in ("generator", "autoencoder", "base")
    }
    composition = compose(trees["generator"], trees["autoencoder"], trees["base"])
    parts = traverse_util.unflatten_dict({name: _single(values) for name, values in tensors.items()}, sep="/")
    variables, frozen = parts.get("variables", {}), parts.get("frozen", {})
    check_weights(path, _expected(composition), {"variables": variables, "frozen": frozen})
    about = {"licence": metadata.get("licence", ""), "digest": metadata["digest"]}
    variables, frozen = (jax.tree.map(jnp.asarray, tree) for tree in (variables, frozen))
    return ModelFile(composition, variables, frozen, record | about, calibration)


def check_weights(path: Path, expected: Tree, found: Tree) -> None:
    """Raise UserError unless both trees have the same leaves of the same shapes."""
    wanted, given = (
        {name: tuple(leaf.shape) for name, leaf in leaves_by_path(tree).items()} for tree in (expected, found)
    )
    wrong = [f"{name} is missing" for name in wanted if name not in given]
    wrong += [f"{name} is unknown" for name in given if name not in wanted]
    wrong += [
        f"{name} is {list(given[name])} and should be {list(shape)}"
        for name, shape in wanted.items()
        if name in given and given[name] != shape
    ]
    if wrong:
        raise UserError(
            f"the weights in {path} do not fit its settings in {len(wrong)} places ({wrong[0]}); it was made by another "
            "version of this package"
        )


def _expected(composition: Composition) -> Tree:
    def of(part: Composition) -> Tree:
        return jax.eval_shape(part.first_variables, jax.random.key(0))

    frozen: Tree = {}
    if isinstance(composition.space, Latent):
        from radiodiff_jax.training.frozen import autoencoder_shapes  # loads Orbax and Grain

        frozen |= {"autoencoder": autoencoder_shapes(composition.space.config), "scale": jax.ShapeDtypeStruct((), jnp.float32)}
    if composition.base is not None:
        frozen["base"] = of(composition.base)
    return {"variables": of(composition), "frozen": frozen}


def _check_kind(path: Path, metadata: dict[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise UserError(
            f"{path} holds weights, but is no model of this package; only files that `python -m experiments.models pack` "
            "wrote can be used"
        )
    if metadata.get("version") != VERSION:
        raise UserError(
            f"{path} has version {metadata.get('version')} of the format, but this version of the package reads version "
            f"{VERSION}; install the version that wrote it"
        )


def _digest(settings: str, tensors: dict[str, np.ndarray]) -> str:
    return hashlib.sha256(f"{settings}\n{digest(tensors)}".encode()).hexdigest()


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32) if values.dtype == ml_dtypes.bfloat16 else values


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:120]
