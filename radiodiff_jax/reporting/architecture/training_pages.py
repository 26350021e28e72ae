"""Training phases and the way of the data, for both kinds of configuration."""

from bisect import bisect_left

from radiodiff_jax.config import Config, VAEConfig
from radiodiff_jax.data.symmetries import symmetries_of
from radiodiff_jax.reporting.architecture.diagram import Diagram
from radiodiff_jax.reporting.architecture.networks import LDM
from radiodiff_jax.reporting.architecture.words import size
from radiodiff_jax.reporting.markdown import counted, mermaid, page
from radiodiff_jax.training.vae_task import make_vae_task


def phases(config: VAEConfig) -> list[tuple[str, int, int]]:
    """(name, first step, step after the last) of every phase that the training of an autoencoder has."""
    task, steps = make_vae_task(config), config.training.steps
    change = bisect_left(range(steps), True, key=lambda step: task.phase(step) != task.phase(0))
    found = [(task.phase(0), 0, change), (task.phase(max(change, steps - 1)), change, steps)]
    return [each for each in found if each[2] > each[1]]


PHASES = {"vae": ("VAE alone", "L1 + L2 error, KL divergence"), "vae_gan": ("VAE-GAN", "also against the discriminator")}


def add_vae_phases(drawn: Diagram, config: VAEConfig, link: str = "") -> list[str]:
    """Boxes for the phases of an autoencoder's training; returns their names."""
    names = []
    for phase, first, last in phases(config):
        words, losses = PHASES[phase]
        lines = (words, losses, f"updates {first:,} to {last - 1:,}", f"phase {phase} in the metrics")
        names.append(drawn.add(phase, *lines, style="step", link=link))
    drawn.chain(*names)
    return names


def vae_training(config: VAEConfig, name: str) -> str:
    """Page of an autoencoder."""
    drawn = Diagram()
    names = add_vae_phases(drawn, config)
    drawn.add("ldm", "Diffusion model", "over the frozen autoencoder", style="layer")
    drawn.chain(names[-1], "ldm", words="weights copied")
    words = "The discriminator joins after the autoencoder has learned to reconstruct. Updates are counted from 0."
    if len(names) == 1:
        words = "With these settings the discriminator never joins. Updates are counted from 0."
    return training_page(config, f"Part of the [autoencoder `{name}`](index.md). {words}", drawn, name)


def ldm_training(ldm: LDM, name: str) -> str:
    """Page of a diffusion model."""
    config = ldm.config
    drawn = Diagram()
    names = add_vae_phases(drawn, ldm.vae.config, f"../vae-{name}/training.html")
    updates = f"updates 0 to {config.training.steps - 1:,}"
    drawn.add("ldm", "Diffusion model", "errors of C and of the noise", updates, "phase ldm in the metrics", style="layer",
              link="diffusion.html")  # fmt: skip
    drawn.chain(names[-1], "ldm", words="weights copied, then frozen")
    words = f"Part of the [diffusion model `{name}`](index.md). The autoencoder is trained first, by itself."
    return training_page(config, words, drawn, name)


def training_page(config: Config, words: str, phases_drawn: Diagram, name: str) -> str:
    """Phases, then data."""
    return page(
        "Training phases and data flow",
        words,
        "## Phases",
        mermaid(phases_drawn.source()),
        "## Way of the data",
        "The order of the maps depends on the seed and the step alone, so that a resumed run reads on where it stopped. "
        "Building a TFDS folder is optional.",
        mermaid(data_diagram(config).source()),
        description=f"Training phases and data flow of the {config.kind} preset {name}.",
    )


def data_diagram(config: Config) -> Diagram:
    """From files to batches."""
    data, training = config.data, config.training
    scene = "buildings, antennas" + (", cars" if data.cars else "")
    batch = training.batch_size
    drawn = Diagram()
    drawn.add("folder", "RadioMapSeer folder", f"PNG: {scene}", f"gain/{data.simulation}", style="terminal", shape="round")
    drawn.add("tfds", "TFDS folder", "ArrayRecord shards by dataset build", style="step")
    drawn.add("split", f"Split by map: {data.split}", "training part", style="step")
    order = f"shuffled from seed {training.seed}, repeated"
    drawn.add("grain", "Grain", order, counted(data.threads, "reading thread"), style="step")
    drawn.add("condition", "Condition image", f"{size((*config.image_size, 3))}, −1 or +1", style="step")
    drawn.add("gain", "Gain", f"{size((*config.image_size, 1))}, 0 to 1", style="step")
    drawn.add("batch", f"Batch of {batch}", f"{data.prefetch} ready ahead", style="step")
    drawn.add("devices", "Mesh of devices", "each takes its share of the batch", style="layer")
    drawn.arrows += [("folder", "split", "read as it is"), ("folder", "tfds", "or built once"), ("tfds", "split", "")]
    before = "grain"
    if data.augment:
        many = symmetries_of(config.image_size)
        before = drawn.add("symmetry", "Symmetry of the square", f"one of {many}, drawn at random", style="step")
    drawn.chain(*dict.fromkeys(("split", "grain", before)))
    for image in ("condition", "gain"):
        drawn.chain(before, image, "batch")
    drawn.chain("batch", "devices")
    return drawn
