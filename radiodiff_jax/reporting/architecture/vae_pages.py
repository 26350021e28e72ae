"""Pages about an autoencoder and its discriminator."""

import math

from radiodiff_jax.config import VAEConfig
from radiodiff_jax.reporting.architecture.diagram import Diagram
from radiodiff_jax.reporting.architecture.networks import ENCODING, VAE
from radiodiff_jax.reporting.architecture.parts import facts, part
from radiodiff_jax.reporting.architecture.training_pages import vae_training
from radiodiff_jax.reporting.architecture.words import TIMES, count, size, work
from radiodiff_jax.reporting.markdown import mermaid, page

ENCODER, DECODER, DISCRIMINATOR, TRAINING = "encoder", "decoder", "discriminator", "training"


def vae_pages(vae: VAE, name: str) -> dict[str, str]:
    """File name -> Markdown of the pages of a preset."""
    up = f"Part of the [autoencoder `{name}`](index.md)."
    pages = {
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
    return pages


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
    top, judge, config = vae.autoencoder.top, vae.discriminator.top, vae.config
    latent = vae.latent
    rows = [
        ("radio map", size(vae.image)),
        ("latent", f"{size(latent)}, one number for {math.prod(vae.image) / math.prod(latent):.3g} of the map"),
        ("parameters of the autoencoder", f"{top.parameters:,}"),
        ("parameters of the discriminator", f"{judge.parameters:,}"),
        ("work to encode a map", work(vae.encoding)),
        ("work to decode a latent", work(vae.decoding)),
        ("work to judge a map", work(judge.operations)),
        ("computes in, keeps parameters in", f"{config.precision.compute}, {config.precision.parameters}"),
    ]
    return page(
        f"Autoencoder {name}",
        "The first stage: a radio map to a small latent and back. A click on a box leads to its blocks.",
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

    top, judge = vae.autoencoder.top, vae.discriminator.top
    encoding = sum(block.parameters for block in top.children if block.path[0] in ENCODING)
    drawn = Diagram()
    drawn.add("map", "Radio map", size(vae.image), style="terminal", shape="round", link=to(TRAINING))
    drawn.add("encoder", "VAE encoder", f"{count(encoding)} · {work(vae.encoding)}", link=to(ENCODER))
    drawn.add("posterior", "Mean and log variance", f"2 {TIMES} {size(vae.latent)}", style="step")
    drawn.add("latent", "Latent, drawn from the Gaussian", size(vae.latent), style="terminal", shape="round")
    drawn.add("decoder", "VAE decoder", f"{count(top.parameters - encoding)} · {work(vae.decoding)}", link=to(DECODER))
    drawn.add("output", "Reconstruction", size(vae.image), style="terminal", shape="round")
    drawn.add("judge", "Discriminator", f"{count(judge.parameters)} · {work(judge.operations)}", link=to(DISCRIMINATOR))
    drawn.add("kl", "KL divergence", f"weight {vae.config.objective.kl_weight:g}", style="step")
    drawn.add("error", "L1 + L2 error", style="step")
    start = vae.config.objective.discriminator_start
    drawn.add("game", "Adversarial loss", f"from update {start:,} on" if start < vae.config.training.steps else "never",
              style="step", link=to(TRAINING))  # fmt: skip
    drawn.chain("map", "encoder", "posterior", "latent", "decoder", "output", "judge", "game")
    drawn.chain("posterior", "kl")
    drawn.chain("output", "error")
    return drawn
