"""PyTorch's checkpoints as run folders: which model a file holds, its architecture, its weights.

The files are those of RadioDiff's trainers: {"step", "model": state dict, "ema": {"ema_model.NAME": tensor}, optimizers}. An
autoencoder's state dict begins with `encoder.` and `decoder.`; that of the diffusion model has the U-Net below `model.` and its
autoencoder below `first_stage_model.`, with the scale of latents as `scale_factor`. torchvision's Swin transformer (`features.`),
trained on ImageNet, is what the original's condition encoder starts from.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from flax import traverse_util
from tabulate import tabulate

from radiodiff_jax.composition import compose
from radiodiff_jax.config import Config, GeneratorConfig
from radiodiff_jax.config_files import build_config, to_tree, write_config
from radiodiff_jax.errors import TableError, UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.models.radiodiff import RadioDiffBackbone
from radiodiff_jax.models.swin import SwinEncoder
from radiodiff_jax.models.torch_weights import import_weights, torch_name
from radiodiff_jax.settings import AutoencoderConfig, SwinConfig, VAEConfig
from radiodiff_jax.training.digest import quick_digests
from radiodiff_jax.training.encoder import write_encoder
from radiodiff_jax.training.frozen import autoencoder_shapes
from radiodiff_jax.training.run_folder import now
from radiodiff_jax.training.stored import store, whole_folder

Tensors = Mapping[str, np.ndarray]
Tree = Any
EMA = "ema_model."
UNET, FIRST_STAGE = "model.", "first_stage_model."
NOT_WEIGHTS = (
    "loss.", "perceptual_loss.", "logvar", "scale_factor", "betas", "alphas_cumprod", "sqrt_", "log_one_minus", "posterior_",
    "p2_loss_weight", "lvlb_weights", "init_conv_mask.norm.", "init_conv_mask.head.", "init_conv_carK.",
)  # fmt: skip
"""What a checkpoint also has and no prediction needs: losses with the discriminator, tables of the noise schedule, and layers
of the U-Net that are never run (the Swin transformer's last norm and classifier, a convolution for cars)."""
TABLES = ("num_batches_tracked", "relative_position_index")
"""Ends of the names of numbers that are counted or computed, not trained."""
SHOWN = 40


class Checkpoint(NamedTuple):
    """What a file holds ("vae", "generator", "encoder"), its tensors by their names there, its step, which weights these are."""

    kind: str
    tensors: dict[str, np.ndarray]
    step: int
    weights: str


def find_checkpoint(found: Any, where: str, weights: str = "auto") -> Checkpoint:
    """The weights in what `read_torch_file` or safetensors read. `weights`: "ema", "model", or the averaged ones if there are any.

    Raises UserError for anything but the two models, and for averaged weights that are not there.
    """
    if not isinstance(found, Mapping):
        raise UserError(f"{where} holds a {type(found).__name__}, not the dictionary that a checkpoint is")
    averaged = _state(found.get("ema"), EMA) if isinstance(found.get("ema"), Mapping) else {}
    plain = _state(found.get("model", found), "")
    if weights == "ema" and not averaged:
        raise UserError(f"{where} has no averaged weights (ema); take --weights model")
    chosen = "ema" if averaged and weights != "model" else "model"
    tensors = averaged if chosen == "ema" else plain
    step = found.get("step", 0)
    step = int(step) if isinstance(step, int | np.integer) and step >= 0 else 0
    if any(name.startswith(FIRST_STAGE) for name in tensors) and f"{UNET}init_conv.0.weight" in tensors:
        return Checkpoint("generator", tensors, step, chosen)
    if "encoder.conv_in.weight" in tensors:
        return Checkpoint("vae", tensors, step, chosen)
    if "features.0.0.weight" in tensors and "features.1.0.attn.qkv.weight" in tensors:
        return Checkpoint("encoder", {name: value for name, value in tensors.items() if name.startswith("features.")}, step, chosen)
    raise UserError(
        f"{where} is neither RadioDiff's autoencoder (encoder.conv_in.weight) nor its diffusion model (model.init_conv.0.weight "
        f"and first_stage_model.*), nor torchvision's Swin transformer (features.0.0.weight, features.1.0.attn.qkv.weight); it "
        f"begins with {', '.join(list(tensors)[:3]) or 'nothing'}"
    )


def autoencoder_config(tensors: Tensors, base: AutoencoderConfig, where: str) -> AutoencoderConfig:
    """The architecture that the shapes say, the rest as in `base`. Raises UserError where they say none."""
    try:
        width = tensors["encoder.conv_in.weight"].shape[0]
        levels = _count(tensors, "encoder.down.{}.block.0.conv1.weight")
        multipliers = tuple(tensors[f"encoder.down.{level}.block.0.conv1.weight"].shape[0] // width for level in range(levels))
        blocks = _count(tensors, "encoder.down.0.block.{}.conv1.weight")
        return replace(base, base_channels=width, channel_multipliers=multipliers, blocks_per_level=blocks,
                       latent_channels=tensors["post_quant_conv.weight"].shape[1])  # fmt: skip
    except (KeyError, IndexError, ZeroDivisionError) as error:
        raise UserError(f"{where} does not have the layers of RadioDiff's autoencoder ({error} is missing)") from None


def unet_config(tensors: Tensors, base: RadioDiffBackbone, where: str) -> tuple[RadioDiffBackbone, tuple[int, int]]:
    """(architecture, size of the latent) that the shapes say; attention windows and heads as in `base`."""
    try:
        width, swin = tensors["init_conv.0.weight"].shape[0], "init_conv_mask."
        levels = _count(tensors, "downs.{}.0.block1.proj.weight")
        multipliers = tuple(tensors[f"downs.{level}.3.weight"].shape[0] // width for level in range(levels))
        stages = [f"{swin}features.{2 * level}." for level in range(levels)]
        encoder = swin_config(tensors, base.swin, f"{swin}first_coonv.0.weight", stages)
        _, rows, columns, _ = tensors["decouple1.2.complex_weight"].shape
        factor = 2 ** (levels - 1)
        found = replace(base, base_channels=width, channel_multipliers=multipliers, swin=encoder)
        return found, (factor * rows, factor * 2 * (columns - 1))
    except (KeyError, IndexError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{where} does not have the layers of RadioDiff's U-Net ({error} is missing)") from None


def swin_config(tensors: Tensors, base: SwinConfig, embedding: str, stages: Sequence[str]) -> SwinConfig:
    """The architecture that the shapes say; `embedding` is the kernel over patches, `stages` how names of blocks begin.

    Raises KeyError, IndexError or ValueError where they say none.
    """
    depths = tuple(_count(tensors, stage + "{}.attn.qkv.weight") for stage in stages)
    tables = [tensors[f"{stage}0.attn.relative_position_bias_table"].shape for stage in stages]
    window = (math.isqrt(tables[0][0]) + 1) // 2  # a table has (2 window - 1)^2 rows
    return replace(base, embedding_channels=tensors[embedding].shape[0], depths=depths, window=window,
                   heads=tuple(heads for _, heads in tables))  # fmt: skip


def configure(
    checkpoint: Checkpoint, vae: VAEConfig, generator: GeneratorConfig, where: str
) -> tuple[VAEConfig, GeneratorConfig | None]:
    """Settings of the file's models: what the shapes say over the given ones. Raises UserError where they say nothing, or
    what no setting may be."""
    if checkpoint.kind == "vae":
        found = replace(vae, autoencoder=autoencoder_config(checkpoint.tensors, vae.autoencoder, where), ema=_without(vae.ema))
        return _checked(found, where), None
    first_stage, unet = (_state(checkpoint.tensors, prefix) for prefix in (FIRST_STAGE, UNET))
    base = generator.backbone if isinstance(generator.backbone, RadioDiffBackbone) else RadioDiffBackbone(swin=SwinConfig())
    backbone, latent = unet_config(unet, base, where)
    autoencoder = autoencoder_config(first_stage, vae.autoencoder, where)
    size = latent[0] * autoencoder.downsampling, latent[1] * autoencoder.downsampling
    scale = scale_of(checkpoint, where)
    space = replace(generator.space, scale_factor=scale)
    config = replace(generator, image_size=size, backbone=backbone, space=space, ema=_without(generator.ema))
    vae = replace(vae, image_size=size, autoencoder=autoencoder, ema=_without(vae.ema))
    return _checked(vae, where), _checked(config, where)


def _checked(config: Any, where: str) -> Any:
    """The settings, held against their bounds."""
    return build_config(config.kind, to_tree(config), f"what the shapes in {where} say")


def scale_of(checkpoint: Checkpoint, where: str) -> float:
    """The factor on latents. Raises UserError where the file has none, or no positive one."""
    value = checkpoint.tensors.get("scale_factor")
    if value is None or np.size(value) != 1 or not np.isfinite(value).all() or float(np.reshape(value, -1)[0]) <= 0:
        raise UserError(f"{where} has no scale_factor that is a positive number; the latents of the model cannot be scaled")
    return float(np.reshape(value, -1)[0])


def fill(kind: str, shapes: Tree, tensors: Tensors, where: str) -> Tree:
    """Our tree of these shapes. Raises UserError with a table of what is missing, unexpected or of another shape."""
    wanted = {torch_name(kind, path.split("/", 1)[1]): path for path in traverse_util.flatten_dict(dict(shapes), sep="/")}
    missing = [(name, "missing", wanted[name]) for name in wanted if name not in tensors]
    unexpected = [(name, "unexpected", _shape(tensors[name])) for name in tensors
                  if name not in wanted and not no_weight(name)]  # fmt: skip
    if missing or unexpected:
        rows = [*missing, *unexpected]
        more = f"\n... and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        told = tabulate([("tensor", "is", "for, or shape"), *rows[:SHOWN]], tablefmt="plain", disable_numparse=True)
        raise TableError(
            f"the {kind} of {where} lacks {len(missing)} tensors and has {len(unexpected)} others; name the settings that it was "
            f"trained with as --config or section.key=value\n{told}{more}"
        )
    return import_weights(kind, shapes, tensors, where)


def write_imported(
    run: Path, checkpoint: Checkpoint, vae: VAEConfig, generator: GeneratorConfig | None, where: str
) -> Config:
    """Write a run folder, whole or not at all; returns its settings.

    Raises UserError where the weights do not fit, or where `run` is there already.
    """
    if run.exists():
        raise UserError(f"{run} is there already; name a new folder as --run")
    told = {"source": where, "step": checkpoint.step}
    if generator is None:
        params = fill("vae", {"params": autoencoder_shapes(vae)}, checkpoint.tensors, where)["params"]
        state, config = {"params": {"autoencoder": params}}, vae
    else:
        first_stage, unet = (_state(checkpoint.tensors, prefix) for prefix in (FIRST_STAGE, UNET))
        first = fill("vae", {"params": autoencoder_shapes(vae)}, first_stage, where)["params"]
        shapes = jax.eval_shape(compose(generator, vae).first_variables, jax.random.key(0))
        state, config = fill("unet", {name: part for name, part in shapes.items() if part}, unet, where), generator
    with whole_folder(run) as folder:
        write_config(folder / "config.yaml", config)
        details = {"imported": told | {"weights": checkpoint.weights}, "started": now()}
        write_json(folder / "run.json", details)
        if generator is not None:
            store(folder / "autoencoder", vae, first, "latent.json", {"scale": scale_of(checkpoint, where), **told})
        _save_checkpoint(folder / "checkpoints", checkpoint.step, {"step": np.int32(checkpoint.step), **state})
    return config


def write_imported_encoder(run: Path, checkpoint: Checkpoint, where: str) -> SwinConfig:
    """Write a folder in which a training starts from this encoder (see `encoder.py`), whole or not at all; returns its settings.

    Raises UserError where the tensors are not those of a Swin transformer, or where `run` is there already.
    """
    tensors = checkpoint.tensors
    stages = [f"features.{2 * stage + 1}." for stage in range(_count(tensors, "features.{}.norm.weight", 2, 2) + 1)]
    try:
        found = swin_config(tensors, SwinConfig(), "features.0.0.weight", stages)
        channels = tensors["features.0.0.weight"].shape[1]
    except (KeyError, IndexError, ValueError) as error:
        raise UserError(f"{where} does not have the layers of torchvision's Swin transformer ({error} is missing)") from None
    levels = [1] * len(stages)
    backbone = {"name": "radiodiff", "channel_multipliers": levels, "relation_windows": levels, "swin": asdict(found)}
    config = build_config("generator", {"backbone": backbone}, f"what the shapes in {where} say").backbone.swin
    image = jax.ShapeDtypeStruct((1, *(4 * config.window,) * 2, channels), np.float32)
    shapes = jax.eval_shape(SwinEncoder(config).init, jax.random.key(0), image)
    params = fill("encoder", shapes, tensors, where)["params"]
    write_encoder(run, params, where)
    return config


def _save_checkpoint(folder: Path, step: int, state: Tree) -> None:
    """A checkpoint as `checkpoints` reads it for inference; without an optimizer no training goes on from it."""
    meta = {"step": step, "data": {}, "rmse": None, "digests": quick_digests(state)}
    with ocp.CheckpointManager(folder.resolve()) as manager:
        manager.save(step, args=ocp.args.Composite(state=ocp.args.StandardSave(state), meta=ocp.args.JsonSave(meta)))


def _state(found: Any, prefix: str) -> dict[str, np.ndarray]:
    """The tensors whose names begin with `prefix`, without it."""
    if not isinstance(found, Mapping):
        return {}
    return {
        name.removeprefix(prefix): value
        for name, value in found.items()
        if isinstance(name, str) and name.startswith(prefix) and isinstance(value, np.ndarray | np.generic)
    }


def _count(tensors: Tensors, pattern: str, first: int = 0, step: int = 1) -> int:
    number = 0
    while pattern.format(first + step * number) in tensors:
        number += 1
    return number


def no_weight(name: str) -> bool:
    """Whether a tensor of a checkpoint is nothing that a prediction needs."""
    return name.startswith(NOT_WEIGHTS) or name.endswith(TABLES)


def _without(ema: Any) -> Any:
    """The weights of the file are the weights, averaged or not."""
    return replace(ema, use=False)


def _shape(tensor: np.ndarray) -> str:
    return " x ".join(map(str, np.shape(tensor))) or "scalar"
