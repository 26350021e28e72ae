"""Pages about an autoencoder and its discriminator, and what the training of every network has in common."""

import math
from bisect import bisect_left

from radiodiff_jax.config import Config
from radiodiff_jax.data.symmetries import symmetries_of
from radiodiff_jax.reporting.architecture.diagram import Diagram
from radiodiff_jax.reporting.architecture.networks import ENCODING, VAE
from radiodiff_jax.reporting.architecture.parts import facts, part
from radiodiff_jax.reporting.architecture.words import TIMES, count, size, work
from radiodiff_jax.reporting.markdown import counted, mermaid, page
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.training.vae_update import make_vae_update

ENCODER, DECODER, DISCRIMINATOR, TRAINING = "encoder", "decoder", "discriminator", "training"
PHASES = {"vae": ("VAE alone", "L1 + L2 error, KL divergence"), "vae_gan": ("VAE-GAN", "also against the discriminator")}


def vae_pages(vae: VAE, name: str) -> dict[str, str]:
    """File name -> Markdown of the pages of a preset."""
    up = f"Part of the [autoencoder `{name}`](index.md)."
    return {
        "index.md": overview(vae, name),
        f"{ENCODER}.md": page(
            "VAE encoder",
            f"{up} A radio map becomes mean and log variance of a Gaussian at every pixel of the latent. Each level works at "
            "one size; a convolution of stride 2 leads to the next.",
            part(vae.autoencoder, ("encoder",), ("Middle",), rows=True),
            residual_section(vae, ("encoder", "down_0_block_0")),
            description=f"Blocks of the VAE encoder of the preset {name}.",
        ),
        f"{DECODER}.md": page(
            "VAE decoder",
            f"{up} The mirror of the encoder: a latent becomes a radio map. The last convolution is apart, because the "
            "weight of the adversarial loss is set by the gradients that reach it.",
            part(vae.autoencoder, ("decoder",), ("Middle",), rows=True),
            description=f"Blocks of the VAE decoder of the preset {name}.",
        ),
        f"{DISCRIMINATOR}.md": page(
            "Discriminator",
            f"{up} It looks at overlapping patches of a map and gives each one number, high for real. "
            f"{joins(vae.config)} It is not used after training.",
            part(vae.discriminator, (), rows=True),
            description=f"Blocks of the patch discriminator of the preset {name}.",
        ),
        f"{TRAINING}.md": vae_training(vae.config, name),
    }


def joins(config: VAEConfig) -> str:
    """A sentence on when the discriminator joins."""
    start = config.objective.discriminator_start
    if start >= config.training.steps:
        return "With these settings it never joins the training."
    return f"It joins the training at update {start:,} (`objective.discriminator_start`)."


def residual_section(vae: VAE, path: tuple[str, ...]) -> str:
    """The inside of one residual block."""
    return (
        "## Inside a residual block\n\nThe first of the encoder; the others differ in size, and where channels change a "
        f"1 {TIMES} 1 convolution brings the shortcut to the new width.\n\n{part(vae.autoencoder, path)}"
    )


def overview(vae: VAE, name: str) -> str:
    """The first page."""
    top, discriminator, config = vae.autoencoder.top, vae.discriminator.top, vae.config
    latent = vae.latent
    rows = [
        ("radio map", size(vae.image)),
        ("building pixels", "take the nearest outdoor pixel's gain before, are 0 after" if config.fill else "as in the map"),
        ("latent", f"{size(latent)}, one number for {math.prod(vae.image) / math.prod(latent):.3g} of the map"),
        ("parameters of the autoencoder", f"{top.parameters:,}"),
        ("parameters of the discriminator", f"{discriminator.parameters:,}"),
        ("work to encode a map", work(vae.encoding)),
        ("work to decode a latent", work(vae.decoding)),
        ("work to judge a map", work(discriminator.operations)),
        ("computes in, keeps parameters in", f"{config.precision.compute}, {config.precision.parameters}"),
    ]
    return page(
        f"Autoencoder {name}",
        "A radio map to a small latent and back, for generators that predict latents. A click on a box leads to its blocks.",
        mermaid(vae_overview(vae).source()),
        facts(rows),
        "## Pages\n\n"
        f"- [Encoder]({ENCODER}.md)\n- [Decoder]({DECODER}.md)\n- [Discriminator]({DISCRIMINATOR}.md)\n"
        f"- [Training phases and data flow]({TRAINING}.md)",
        "## All parts",
        part(vae.autoencoder, (), links=links("")),
        "Why the loss has this form: [the loss](../../derivations/elbo.md), [the adversarial part](../../derivations/gan.md).",
        description=f"The autoencoder of the preset {name} with sizes, parameters and work of every block.",
    )


def links(folder: str) -> dict[str, str]:
    """Pages of the parts of an autoencoder, by path; `folder` leads to them."""
    return {"encoder": f"{folder}{ENCODER}.html", "decoder": f"{folder}{DECODER}.html"}


def vae_overview(vae: VAE, folder: str | None = "") -> Diagram:
    """The whole path of a map in training; `folder` leads to the pages of the parts, None makes no links."""
    def to(stem: str) -> str:
        return "" if folder is None else f"{folder}{stem}.html"

    top, discriminator = vae.autoencoder.top, vae.discriminator.top
    encoding = sum(block.parameters for block in top.children if block.path[0] in ENCODING)
    drawn = Diagram()
    filled = "buildings filled" if vae.config.fill else ""
    drawn.add("map", "Radio map", size(vae.image), filled, style="terminal", shape="round", link=to(TRAINING))
    drawn.add("encoder", "VAE encoder", f"{count(encoding)} · {work(vae.encoding)}", link=to(ENCODER))
    drawn.add("posterior", "Mean and log variance", f"2 {TIMES} {size(vae.latent)}", style="step")
    drawn.add("latent", "Latent, drawn from the Gaussian", size(vae.latent), style="terminal", shape="round")
    drawn.add("decoder", "VAE decoder", f"{count(top.parameters - encoding)} · {work(vae.decoding)}", link=to(DECODER))
    drawn.add("output", "Reconstruction", size(vae.image), style="terminal", shape="round")
    drawn.add("discriminator", "Discriminator", f"{count(discriminator.parameters)} · {work(discriminator.operations)}",
              link=to(DISCRIMINATOR))  # fmt: skip
    drawn.add("kl", "KL divergence", f"weight {vae.config.objective.kl_weight:g}", style="step")
    drawn.add("error", "L1 + L2 error", style="step")
    start = vae.config.objective.discriminator_start
    drawn.add("game", "Adversarial loss", f"from update {start:,} on" if start < vae.config.training.steps else "never",
              style="step", link=to(TRAINING))  # fmt: skip
    drawn.chain("map", "encoder", "posterior", "latent", "decoder", "output", "discriminator", "game")
    drawn.chain("posterior", "kl")
    drawn.chain("output", "error")
    return drawn


# ---- training ----


def phases(config: VAEConfig) -> list[tuple[str, int, int]]:
    """(name, first step, step after the last) of every phase that the training of an autoencoder has."""
    task, steps = make_vae_update(config), config.training.steps
    change = bisect_left(range(steps), True, key=lambda step: task.phase(step) != task.phase(0))
    found = [(task.phase(0), 0, change), (task.phase(max(change, steps - 1)), change, steps)]
    return [each for each in found if each[2] > each[1]]


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
    """Training page of an autoencoder."""
    drawn = Diagram()
    names = add_vae_phases(drawn, config)
    drawn.add("generator", "Generator", "over the frozen autoencoder", style="layer")
    drawn.chain(names[-1], "generator", words="weights copied")
    words = "The discriminator joins after the autoencoder has learned to reconstruct. Updates are counted from 0."
    if len(names) == 1:
        words = "With these settings the discriminator never joins. Updates are counted from 0."
    return page(
        "Training phases and data flow",
        f"Part of the [autoencoder `{name}`](index.md). {words}",
        "## Phases",
        mermaid(drawn.source()),
        data_section(config),
        description=f"Training phases and data flow of the vae preset {name}.",
    )


def data_section(config: Config) -> str:
    """The way of the data."""
    return (
        "## Way of the data\n\nThe order of the maps depends on the seed and the step alone, so that a resumed run reads on "
        "where it stopped. Building a TFDS folder is optional. A batch travels as it is on disk; everything else is made from "
        f"it on the devices, inside the compiled update.\n\n{mermaid(data_diagram(config).source())}"
    )


def data_diagram(config: Config) -> Diagram:
    """From files to batches."""
    data, training = config.data, config.training
    image = size(config.image_size)
    masks = ["buildings", *(["cars"] if data.cars else []), *(["observed"] if data.observed else [])]
    drawn = Diagram()
    if data.source == "folder":
        scene = "buildings, antennas" + (", cars" if data.cars else "")
        drawn.add("folder", "RadioMapSeer folder", f"PNG: {scene}", f"gain/{data.simulation}", style="terminal", shape="round")
        drawn.add("tfds", "TFDS folder", "ArrayRecord shards by dataset build", style="step")
        drawn.add("split", f"Split by map: {data.split}", "training part", style="step")
        drawn.arrows += [("folder", "split", "read as it is"), ("folder", "tfds", "or built once"), ("tfds", "split", "")]
        order = f"shuffled from seed {training.seed}, repeated"
    else:
        drawn.add("split", "Simulator", "new cities without end", style="terminal", shape="round")
        order = f"from seed {data.simulation_seed}, each map once"
    drawn.add("grain", "Grain", order, counted(data.threads, "reading thread"), style="step")
    drawn.add("gain", "Gain", f"{image}, 8 bits", style="step")
    drawn.add("masks", counted(len(masks), "mask"), f"{image}, 1 bit: {', '.join(masks)}", style="step")
    drawn.add("position", "Position", "row and column of the transmitter", style="step")
    drawn.add("batch", f"Batch of {training.batch_size}", f"{data.prefetch} ready ahead", style="step")
    drawn.add("devices", "Mesh of devices", "each takes its share of the batch", style="layer")
    before = "grain"
    if data.augment:
        many = symmetries_of(config.image_size)
        before = drawn.add("symmetry", "Symmetry of the square", f"one of {many}, drawn at random", style="step")
    drawn.chain(*dict.fromkeys(("split", "grain", before)))
    for image in ("gain", "masks", "position"):
        drawn.chain(before, image, "batch")
    drawn.chain("batch", "devices")
    return drawn
