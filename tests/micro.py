"""The smallest trainings that have every part: a set of 32 x 32 maps and settings that compile in seconds."""

from collections.abc import Callable
from pathlib import Path

import jax

from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config
from radiodiff_jax.simulation import write_simulated_folder
from radiodiff_jax.training.flat import by_name, flatten
from radiodiff_jax.training.task import Task

TRAINING = ["training.batch_size=4", "training.validation_maps=4", "training.log_every=1", "training.sample_maps=2"]
VAE = [
    "image_size=[32,32]", "autoencoder.base_channels=8", "autoencoder.channel_multipliers=[1,1,2]",
    "autoencoder.normalisation_groups=4", "autoencoder.latent_channels=3",
    "discriminator.base_channels=4", "discriminator.layers=1", *TRAINING,
]  # fmt: skip
LDM = ["image_size=[32,32]", "backbone.widths=[8,16]", *TRAINING]  # the lean U-Net: it compiles in seconds
RADIODIFF = [
    "image_size=[32,32]", "backbone.name=radiodiff", "backbone.base_channels=8", "backbone.channel_multipliers=[1,1]",
    "backbone.relation_windows=[2,1]", "backbone.relation_heads=2", "backbone.relation_dropout=0.0",
    "backbone.swin.embedding_channels=8", "backbone.swin.depths=[1,1]", "backbone.swin.heads=[1,2]",
    "backbone.swin.stochastic_depth=0.0", *TRAINING,
]  # fmt: skip
ONE_LEVEL = [  # of RADIODIFF, which then compiles in half the time
    "backbone.channel_multipliers=[1]", "backbone.relation_windows=[2]", "backbone.swin.depths=[1]", "backbone.swin.heads=[2]",
]  # fmt: skip
# Tests that train with these words share what is compiled.
SHORT = ["training.steps=4", "training.checkpoint_every=2", "training.validate_every=2", "training.sample_every=4"]
START = ["objective.discriminator_start=2"]


def micro(kind: str, *settings: str):
    """Settings of a micro training: "vae", "ldm" (lean U-Net on latents) or "radiodiff" (RadioDiff's network on latents)."""
    tree, words = {"vae": ("vae", VAE), "ldm": ("generator", LDM), "radiodiff": ("generator", RADIODIFF)}[kind]
    return load_config(tree, "tiny", [*words, *settings], CONFIGS)


def write_data(folder: Path) -> Path:
    """Simulate six cities with three transmitters each."""
    write_simulated_folder(folder, maps=6, transmitters=3, size=(32, 32), seed=0, workers=1, progress=False)
    return folder


def compiled_step(task: Task) -> Callable:
    """The step of a task as trainings compile it, on flat vectors, from and to trees by name: half the compilation."""

    def step(state, *rest):
        after, metrics = task.step(flatten(state, task.pieces(state)), *rest)
        return by_name(after), metrics

    return jax.jit(step)
