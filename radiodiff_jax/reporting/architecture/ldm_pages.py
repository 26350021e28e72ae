"""Pages about a conditional diffusion model."""

from radiodiff_jax.reporting.architecture import vae_pages
from radiodiff_jax.reporting.architecture.diagram import Diagram
from radiodiff_jax.reporting.architecture.diffusion_page import diffusion_page
from radiodiff_jax.reporting.architecture.networks import LDM
from radiodiff_jax.reporting.architecture.parts import facts, part, summary
from radiodiff_jax.reporting.architecture.training_pages import ldm_training
from radiodiff_jax.reporting.architecture.words import count, size, work
from radiodiff_jax.reporting.markdown import counted, mermaid, page

SWIN, UNET, RELATION, DIFFUSION, TRAINING = "condition-encoder", "unet", "relation", "diffusion", "training"


def ldm_pages(ldm: LDM, name: str) -> dict[str, str]:
    """File name -> Markdown of the pages of a preset."""
    up = f"Part of the [diffusion model `{name}`](index.md)."
    unet = ldm.unet
    return {
        "index.md": overview(ldm, name),
        f"{SWIN}.md": page(
            "Swin condition encoder",
            f"{up} The condition image becomes one map of features for each level of the U-Net. It depends on the scene alone, "
            "so it runs once a radio map, however many diffusion steps follow. Every second Swin block shifts its windows.",
            part(unet, ("condition_encoder",)),
            "## Inside a Swin block\n\nThe first one. The formula is in [window attention](../../derivations/attention.md).",
            part(unet, ("condition_encoder", "stage_0_block_0")),
            description=f"Blocks of the Swin condition encoder of the preset {name}.",
        ),
        f"{UNET}.md": unet_page(ldm, name, up),
        f"{RELATION}.md": relation_page(ldm, name, up),
        f"{DIFFUSION}.md": diffusion_page(ldm, name),
        f"{TRAINING}.md": ldm_training(ldm, name),
    }


def unet_page(ldm: LDM, name: str, up: str) -> str:
    """Encoder, middle and decoders of the U-Net."""
    unet = ldm.unet
    last = len(ldm.config.unet.channel_multipliers) - 1
    links = {"condition_encoder": f"{SWIN}.html", "attenuation_decoder": "#one-decoder", "noise_decoder": "#one-decoder",
             **{f"down_{level}": "#one-level-of-the-encoder" for level in range(last + 1)}}  # fmt: skip
    inner = {f"noise_decoder/up_{level}": "#one-level-of-a-decoder" for level in range(last + 1)}
    inner["noise_decoder/fourier"] = f"{RELATION}.html#adaptive-fourier-layer"
    relation = {"down_0/relation": f"{RELATION}.html"}
    return page(
        "U-Net",
        f"{up} One encoder and two decoders of equal form. Arrows that only jump over blocks are left out here: every "
        "level of the encoder also feeds both decoders, and so do the scene features. The next diagrams draw them. The sums at "
        "the end add what is known of C and of the noise beforehand: "
        "[preconditioning](../../derivations/decoupled-diffusion.md#preconditioning).",
        part(unet, (), links=links, reduced=True),
        f"## One decoder\n\nThe decoder of the noise; the decoder of C has the same blocks with weights of its own "
        f"({summary(unet.top.find('attenuation_decoder'))}). Dashed boxes are outside of it.",
        part(unet, ("noise_decoder",), links=inner),
        "## One level of the encoder\n\nThe first. Both residual blocks hear the time; the relation layer lets features meet the "
        "scene; what the level hands on to the decoders leaves at two places.",
        part(unet, ("down_0",), links=relation),
        "## One level of a decoder\n\nThe last one of the decoder of the noise, at the full size of the latent.",
        part(unet, ("noise_decoder", "up_0"), links={"noise_decoder/up_0/relation": f"{RELATION}.html"}),
        "## Inside a residual block with time\n\nThe first of the encoder. The time vector scales and shifts the first half.",
        part(unet, ("down_0", "block1")),
        description=f"Blocks of the conditional U-Net of the preset {name}.",
    )


def relation_page(ldm: LDM, name: str, up: str) -> str:
    """One relation layer and one Fourier layer."""
    windows = ", ".join(map(str, ldm.config.unet.relation_windows))
    return page(
        "Relation layer and Fourier layer",
        f"{up} How the scene meets the features, in the first level of the encoder: both are averaged over windows "
        f"({windows} pixels a side on the levels), the scene asks, the features answer.",
        part(ldm.unet, ("down_0", "relation"), ("CrossAttention",)),
        "## Adaptive Fourier layer\n\nAt the entry of each decoder: learned complex weights on the spectrum of the features. "
        "The formula is in [the adaptive Fourier layer](../../derivations/fourier.md).",
        part(ldm.unet, ("noise_decoder", "fourier")),
        description=f"Cross-attention and adaptive Fourier layer of the preset {name}.",
    )


def overview(ldm: LDM, name: str) -> str:
    """The first page."""
    config, top = ldm.config, ldm.unet.top
    steps = config.objective.sampling_steps
    rows = [
        ("condition image", size((*config.image_size, config.unet.condition_channels))),
        ("latent", size(ldm.latent)),
        ("trained parameters", f"{top.parameters:,}"),
        ("of them in the condition encoder", f"{top.find('condition_encoder').parameters:,}"),
        ("frozen parameters of the autoencoder", f"{ldm.vae.autoencoder.top.parameters:,}"),
        ("work on the scene, once a map", work(ldm.conditioning)),
        ("work of the U-Net with both decoders", work(top.operations - ldm.conditioning)),
        (f"evaluations for {counted(steps, 'step')}", str(len(ldm.evaluations))),
        ("work from scene to radio map", work(ldm.sampling)),
        ("computes in, keeps parameters in", f"{config.precision.compute}, {config.precision.parameters}"),
    ]
    vae = f"../vae-{name}/"
    return page(
        f"Diffusion model {name}",
        "The second stage: from a scene to a radio map, as it runs after training. A click on a box leads to its blocks.",
        mermaid(ldm_overview(ldm, "", vae).source()),
        facts(rows),
        "## Pages\n\n"
        f"- [Swin condition encoder]({SWIN}.md)\n- [U-Net]({UNET}.md)\n- [Relation layer and Fourier layer]({RELATION}.md)\n"
        f"- [Diffusion: training and sampling]({DIFFUSION}.md)\n- [Training phases and data flow]({TRAINING}.md)\n"
        f"- [The autoencoder under it]({vae}index.md)",
        description=f"The diffusion model of the preset {name} from scene to radio map, with sizes, parameters and work.",
    )


def ldm_overview(ldm: LDM, folder: str | None, vae: str | None) -> Diagram:
    """The whole path from scene to radio map; `folder` and `vae` lead to the pages of parts, None makes no links."""
    def to(stem: str, place: str | None = folder) -> str:
        return "" if place is None else f"{place}{stem}.html"

    config, top = ldm.config, ldm.unet.top
    scene = top.find("condition_encoder")
    rest = top.parameters - scene.parameters
    drawn = Diagram()
    drawn.add("scene", "Scene", "buildings, transmitter" + (", cars" if config.data.cars else ""), style="terminal", shape="round",
              link=to(TRAINING))  # fmt: skip
    drawn.add("condition", "Condition image", size((*config.image_size, config.unet.condition_channels)), style="step")
    drawn.add("swin", "Swin condition encoder", f"{counted(len(scene.outputs), 'map')} of features",
              f"{count(scene.parameters)} · {work(scene.operations)}", style="attention", link=to(SWIN))  # fmt: skip
    drawn.add("noise", "Noise", size(ldm.latent), style="terminal", shape="round")
    many = len(ldm.evaluations)
    drawn.add("unet", "U-Net in latent space", f"{count(rest)} · {counted(many, 'evaluation')}",
              f"{work(sum(ldm.denoising))} in all", link=to(UNET))  # fmt: skip
    drawn.add("step", "Diffusion step", "towards t = 0", style="step", link=to(DIFFUSION))
    drawn.add("latent", "Latent", size(ldm.latent), style="terminal", shape="round")
    drawn.add("decoder", "VAE decoder, frozen", work(ldm.vae.decoding), link=to(vae_pages.DECODER, vae))
    drawn.add("map", "Radio map", size(ldm.vae.image), style="terminal", shape="round")
    drawn.chain("scene", "condition", "swin", "unet", "step", "latent", "decoder", "map")
    drawn.chain("noise", "unet")
    if ldm.has_prior:
        drawn.add("guess", "First guess", "distance and line of sight", style="step")
        drawn.add("encoder", "VAE encoder, frozen", work(ldm.vae.encoding), link=to(vae_pages.ENCODER, vae))
        drawn.chain("condition", "guess", "encoder", "unet")
    if many > 1:
        drawn.arrows.append(("step", "unet", "next t"))
    if config.objective.blank_buildings:
        drawn.add("blank", "Gain inside buildings set to 0", style="step")
        drawn.arrows.remove(("decoder", "map", ""))
        drawn.chain("decoder", "blank", "map")
    return drawn
