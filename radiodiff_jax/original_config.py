"""The original's YAML configurations as ours, with a word on every key: kept, corrected, or ignored and why.

An original file has the sections model, data and trainer; one of the first stage has model.ddconfig, one of the second
model.unet and model.first_stage.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from radiodiff_jax.config_files import flatten
from radiodiff_jax.errors import UserError, shown

Tree = dict[str, Any]
FACTOR = 4  # image pixels a latent pixel, of the autoencoder with three levels
FOURIER_MARGIN = 16  # see `_latent_side`


class Row(NamedTuple):
    """What became of a key."""

    key: str
    value: Any
    became: str
    """Our setting, or empty."""
    word: str
    """kept, corrected or ignored, and why."""


class Kept(NamedTuple):
    """A key that has one of ours."""

    ours: str
    convert: Callable[[Any], Any] = lambda value: value
    word: str = "kept"


def _windows(value: Any) -> list[int]:
    sides = [tuple(pair) for pair in value]
    if any(one != other for one, other in sides):
        raise ValueError("windows that are not square")
    return [one for one, _ in sides]


def _latent_side(value: Any) -> list[int]:
    return [(int(side) - FOURIER_MARGIN) * FACTOR for side in value]


TRAINER: dict[str, Kept] = {
    "trainer.lr": Kept("optimizer.learning_rate", float),
    "trainer.gradient_accumulate_every": Kept("optimizer.accumulate", int),
    "trainer.train_num_steps": Kept("training.steps", int),
    "trainer.save_and_sample_every": Kept("training.checkpoint_every", int),
    "trainer.log_freq": Kept("training.log_every", int),
    "trainer.ema_update_after_step": Kept("ema.update_after", int),
    "trainer.ema_update_every": Kept("ema.update_every", int),
    "data.batch_size": Kept("training.batch_size", int),
}
AUTOENCODER = {
    "ch": Kept("autoencoder.base_channels", int),
    "ch_mult": Kept("autoencoder.channel_multipliers", list),
    "num_res_blocks": Kept("autoencoder.blocks_per_level", int),
    "dropout": Kept("autoencoder.dropout", float),
    "z_channels": Kept("autoencoder.latent_channels", int),
}
LOSS = {
    "disc_start": Kept("objective.discriminator_start", int),
    "kl_weight": Kept("objective.kl_weight", float),
    "disc_weight": Kept("objective.discriminator_weight", float),
    "disc_factor": Kept("objective.discriminator_factor", float),
    "disc_num_layers": Kept("discriminator.layers", int),
    "disc_loss": Kept("objective.discriminator_loss", str),
    "perceptual_weight": Kept("objective.perceptual_weight", float),
    "logvar_init": Kept("objective.log_variance", float),
}
FIRST = {f"model.ddconfig.{name}": kept for name, kept in AUTOENCODER.items()}
FIRST |= {f"model.lossconfig.{name}": kept for name, kept in LOSS.items()}
SECOND = {
    "model.loss_type": Kept("objective.loss_form", str),
    "model.use_l1": Kept("objective.add_l1", bool),
    "model.weighting_loss": Kept("objective.time_weighting", bool),
    "model.eps": Kept("objective.smallest_time", float),
    "model.sampling_timesteps": Kept("objective.sampling_steps", int),
    "model.scale_factor": Kept("space.scale_factor", float),
    "model.unet.dim": Kept("backbone.base_channels", int),
    "model.unet.dim_mults": Kept("backbone.channel_multipliers", list),
    "model.unet.window_sizes1": Kept("backbone.relation_windows", _windows),
    "model.unet.cond_dim": Kept("backbone.swin.embedding_channels", int),
    "model.unet.fourier_scale": Kept("backbone.fourier_scale", float),
    "model.unet.input_size": Kept("image_size", _latent_side, "corrected: the Fourier layer fits latents of input_size - 16 only"),
}
IGNORED = {
    "model.model_type": "const_sde is what objective decoupled is",
    "model.model_name": "cond_unet is backbone radiodiff",
    "model.image_size": "read by nothing but a printout; the size follows from unet.input_size",
    "model.input_keys": "the data pipeline has names of its own",
    "model.objective": "any value trains the same: C and noise",
    "model.start_dist": "starts are normal",
    "model.timesteps": "time is continuous; the tables of a discrete schedule are built and never read",
    "model.train_sample": "read by nothing that runs",
    "model.use_disloss": "read by nothing",
    "model.scale_by_std": "without effect beside default_scale",
    "model.default_scale": "the number of scale_factor is taken; for a measured one set space.scale_factor=auto",
    "model.scale_by_softsign": "not offered",
    "model.perceptual_weight": "not offered for the second stage; 0 in the original's files",
    "model.ignore_keys": "for loading; see `weights import`",
    "model.only_model": "for loading; see `weights import`",
    "model.ckpt_path": "for loading; see `weights import`",
    "model.unet.window_sizes2": "the same as window_sizes1 in every file; one setting for both",
    "model.unet.cond_net": "swin is the condition encoder of backbone radiodiff",
    "model.unet.fix_bb": "the condition encoder is trained; optimizer.train_only chooses others",
    "model.unet.channels": "follows from the autoencoder",
    "model.unet.out_mul": "1 in every file",
    "model.unet.cond_in_dim": "follows from features",
    "model.unet.cond_dim_mults": "read by other condition encoders only",
    "model.unet.cond_pe": "not offered; off in every file",
    "model.unet.num_pos_feats": "for cond_pe only",
    "model.unet.cond_feature_size": "for cond_pe only",
    "data.name": "data are named by --data and data.simulation",
    "trainer.results_folder": "runs are named by --run",
    "trainer.enable_resume": "a run goes on from its checkpoint whenever the command is given again",
    "trainer.resume_milestone": "a run goes on from its checkpoint whenever the command is given again",
    "trainer.amp": "see precision.compute",
    "trainer.fp16": "see precision.compute",
    "trainer.test_before": "a sample before training would change the statistics of batch norms",
    "model.embed_dim": "the same as z_channels in every file",
    "ddconfig.double_z": "the posterior has a mean and a variance",
    "ddconfig.resolution": "read by a printout and by attention, of which there is none",
    "ddconfig.in_channels": "maps have one channel",
    "ddconfig.out_ch": "maps have one channel",
    "ddconfig.attn_resolutions": "empty in every file: attention in the middle only",
    "lossconfig.disc_in_channels": "maps have one channel",
}
SCHEDULE = {"vae": 0.95, "generator": 0.96}  # exponent of the polynomial, fixed in the original's trainers
DECAY = {"vae": 0.01, "generator": 1e-4}
"""Weight decay, fixed in the original's trainers."""


def convert(tree: Any, where: str) -> tuple[Tree, list[Row]]:
    """(our tree of settings, what became of each key). Raises UserError for a file of another program, and for values that
    have another type or meaning."""
    if not isinstance(tree, Mapping) or not isinstance(tree.get("model"), Mapping):
        raise UserError(f"{where} is no configuration of RadioDiff: it has no section model")
    model = tree["model"]
    if isinstance(model.get("unet"), Mapping):
        kind, table = "generator", SECOND
        ours: Tree = {"kind": kind, "space": {"name": "latent", "blank_buildings": False}, "backbone": {"name": "radiodiff"},
                      "objective": {"name": "decoupled"}, "features": ["buildings", "transmitter", "cars"],
                      "estimate": "none", "ema": {"use": False}}  # fmt: skip
    elif isinstance(model.get("ddconfig"), Mapping):
        kind, table, ours = "vae", FIRST, {"kind": "vae", "fill": False}
    else:
        raise UserError(f"{where} is no configuration of RadioDiff: model has neither unet nor ddconfig")
    rows = []
    for key, value in flatten(tree).items():
        kept = (table | TRAINER).get(key)
        if kept is not None:
            rows.append(_keep(ours, key, value, kept, where))
        elif key == "trainer.min_lr":
            rows.append(_least_rate(ours, value, where))
        else:
            rows.append(Row(key, value, "", f"ignored: {_reason(key)}"))
    schedule = {"schedule": "polynomial", "power": SCHEDULE[kind], "weight_decay": DECAY[kind]}
    ours["optimizer"] = schedule | {"clip_norm": 1.0 if kind == "generator" else None} | ours.get("optimizer", {})
    rows.append(Row("(its code)", SCHEDULE[kind], "optimizer.power", "kept: max((1 - i/N)^power, minimum), fixed in the trainer"))
    rows.append(Row("(its code)", DECAY[kind], "optimizer.weight_decay", "kept: fixed in the trainer"))
    if kind == "vae":
        rows.append(Row("(its code)", None, "optimizer.clip_norm", "corrected: it clips after the update, which has no effect"))
    return ours, rows


def _keep(ours: Tree, key: str, value: Any, kept: Kept, where: str) -> Row:
    try:
        converted = kept.convert(value)
    except (TypeError, ValueError, KeyError, OverflowError) as error:
        raise UserError(f"{where}: {key} is {shown(value)}, which cannot be taken over ({error}); mend it there") from None
    _put(ours, kept.ours, converted)
    return Row(key, value, kept.ours, kept.word)


def _least_rate(ours: Tree, value: Any, where: str) -> Row:
    """min_lr is written like a rate and used as a factor on the rate."""
    row = _keep(ours, "trainer.min_lr", value, Kept("optimizer.minimum", float), where)
    return row._replace(word="kept: its code multiplies the rate by it, so that the rate falls to almost nothing; "
                        "for what was meant set optimizer.minimum to min_lr / lr")  # fmt: skip


def _put(ours: Tree, path: str, value: Any) -> None:
    *sections, name = path.split(".")
    for section in sections:
        ours = ours.setdefault(section, {})
    ours[name] = value


def _reason(key: str) -> str:
    if key.startswith("model.first_stage."):
        return "the autoencoder is named by --vae; convert its own file"
    return IGNORED.get(key) or IGNORED.get(key.removeprefix("model.")) or "unknown here"
