"""The network of a generator, block by block: pages for each backbone, and one of all blocks for any other."""

from collections.abc import Callable

from radiodiff_jax.reporting.architecture.networks import Generator
from radiodiff_jax.reporting.architecture.parts import part, summary
from radiodiff_jax.reporting.markdown import page

SWIN, UNET, RELATION, NETWORK = "condition-encoder", "unet", "relation", "network"
Pages = dict[str, tuple[str, str]]
"""File name without its ending -> (title, Markdown)."""


def network_pages(model: Generator, name: str) -> Pages:
    """The pages of a generator's network."""
    up = f"Part of the [generator `{name}`](index.md)."
    if model.config.backbone.name == "radiodiff":
        return radiodiff_pages(model, name, up)
    about = ABOUT.get(model.config.backbone.name, lambda model: ("", []))
    words, sections = about(model)
    blocks = part(model.network, (), links={block.path[0]: f"#{anchor}" for block in model.network.top.children
                                            if (anchor := ANCHORS.get(block.path[0]))})  # fmt: skip
    title = f"Network {model.config.backbone.name}"
    described = f"Blocks of the network {model.config.backbone.name} of the preset {name}."
    return {NETWORK: (title, page(title, f"{up} {words}".strip(), blocks, *sections, description=described))}


def first_page(model: Generator) -> str:
    """The page that a generator's network begins on."""
    return UNET if model.config.backbone.name == "radiodiff" else NETWORK


# ---- one page each ----

ANCHORS = {"first": "the-first-u-net", "second": "the-second-u-net", "stage_1_0": "inside-a-bottleneck"}


def about_unet(model: Generator) -> tuple[str, list[str]]:
    """The lean U-Net."""
    told = " Every residual block is told the time." if model.config.objective.noisy else ""
    words = (
        "Our own lean U-Net: patches of the features, as many as the space has cells, join what the network is shown; each "
        f"level of the decoder also sees the level of the encoder of its size.{told}"
    )
    last = model.network.top.find(f"attention_{len(attentions(model)) - 1}") if attentions(model) else None
    sections = [
        "## Inside a residual block\n\nThe first of the encoder. Its last convolution starts at zero.\n\n"
        + part(model.network, ("down_block_0_0",))
    ]
    if last:
        sections.append(
            "## Inside an attention block\n\nThe coarsest. The formula is in [attention](../../derivations/attention.md).\n\n"
            + part(model.network, last.path)
        )
    return words, sections


def attentions(model: Generator) -> list[str]:
    """Names of the attention blocks."""
    return [block.path[0] for block in model.network.top.children if block.kind == "Attention"]


def about_radiounet(model: Generator) -> tuple[str, list[str]]:
    """RadioUNet's two U-Nets."""
    words = (
        "RadioUNet's W-net: a U-Net, and a second one that also sees the first one's map. Both maps are compared with the truth; "
        "no gradient flows from the second into the first."
    )
    return words, [
        f"## The {word} U-Net\n\n{summary(model.network.top.find(word))}.\n\n{part(model.network, (word,))}"
        for word in ("first", "second")
    ]


def about_pmnet(model: Generator) -> tuple[str, list[str]]:
    """PMNet."""
    words = (
        "PMNet: bottlenecks in four stages, a pyramid of convolutions that see every 6th, 12th and 18th pixel, and a decoder "
        "joined with the maps of each stage."
    )
    return words, ["## Inside a bottleneck\n\nThe first one.\n\n" + part(model.network, ("stage_1_0",))]


ABOUT: dict[str, Callable[[Generator], tuple[str, list[str]]]] = {
    "unet": about_unet, "radiounet": about_radiounet, "pmnet": about_pmnet,
}  # fmt: skip


# ---- RadioDiff's network ----


def radiodiff_pages(model: Generator, name: str, up: str) -> Pages:
    """The U-Net, the Swin transformer and the relation layer."""
    unet = model.network
    swin = page(
        "Swin condition encoder",
        f"{up} The features become one map for each level of the U-Net. They depend on the scene alone, "
        "so it runs once a radio map, however many steps follow. Every second Swin block shifts its windows.",
        part(unet, ("condition_encoder",)),
        "## Inside a Swin block\n\nThe first one. The formula is in [window attention](../../derivations/attention.md).",
        part(unet, ("condition_encoder", "stage_0_block_0")),
        description=f"Blocks of the Swin condition encoder of the preset {name}.",
    )
    return {
        SWIN: ("Swin condition encoder", swin),
        UNET: ("U-Net", unet_page(model, name, up)),
        RELATION: ("Relation layer and Fourier layer", relation_page(model, name, up)),
    }


def unet_page(model: Generator, name: str, up: str) -> str:
    """Encoder, middle and decoders of the U-Net."""
    unet = model.network
    decoders = [block for block in unet.top.children if block.kind == "Decoder"]
    *others, drawn = decoders
    name_of_drawn, last = drawn.path[0], len(model.config.backbone.channel_multipliers) - 1
    links = {"condition_encoder": f"{SWIN}.html", **{block.path[0]: "#one-decoder" for block in decoders},
             **{f"down_{level}": "#one-level-of-the-encoder" for level in range(last + 1)}}  # fmt: skip
    inner = {f"{name_of_drawn}/up_{level}": "#one-level-of-a-decoder" for level in range(last + 1)}
    inner[f"{name_of_drawn}/fourier"] = f"{RELATION}.html#adaptive-fourier-layer"
    equal = "".join(f"; `{block.path[0]}` has the same blocks with weights of its own ({summary(block)})" for block in others)
    return page(
        "U-Net",
        f"{up} One encoder, and a decoder for each answer. Arrows that only jump over blocks are left out here: every "
        "level of the encoder also feeds the decoders, and so do the scene features. The next diagrams draw them. What is known "
        "beforehand is added to the answers by the objective: "
        "[preconditioning](../../derivations/decoupled-diffusion.md#preconditioning).",
        part(unet, (), links=links, reduced=True),
        f"## One decoder\n\n`{name_of_drawn}`{equal}. Dashed boxes are outside of it.",
        part(unet, (name_of_drawn,), links=inner),
        "## One level of the encoder\n\nThe first. Both residual blocks hear the time; the relation layer lets features meet the "
        "scene; what the level hands on to the decoders leaves at two places.",
        part(unet, ("down_0",), links={"down_0/relation": f"{RELATION}.html"}),
        "## One level of a decoder\n\nThe last one, at the full size of the map in its space.",
        part(unet, (name_of_drawn, "up_0"), links={f"{name_of_drawn}/up_0/relation": f"{RELATION}.html"}),
        "## Inside a residual block with time\n\nThe first of the encoder. The time vector scales and shifts the first half.",
        part(unet, ("down_0", "block1")),
        description=f"Blocks of the conditional U-Net of the preset {name}.",
    )


def relation_page(model: Generator, name: str, up: str) -> str:
    """One relation layer and one Fourier layer."""
    windows = ", ".join(map(str, model.config.backbone.relation_windows))
    decoder = [block.path[0] for block in model.network.top.children if block.kind == "Decoder"][-1]
    return page(
        "Relation layer and Fourier layer",
        f"{up} How the scene meets the features, in the first level of the encoder: both are averaged over windows "
        f"({windows} pixels a side on the levels), the scene asks, the features answer.",
        part(model.network, ("down_0", "relation"), ("CrossAttention",)),
        "## Adaptive Fourier layer\n\nAt the entry of each decoder: learned complex weights on the spectrum of the features. "
        "The formula is in [the adaptive Fourier layer](../../derivations/fourier.md).",
        part(model.network, (decoder, "fourier")),
        description=f"Cross-attention and adaptive Fourier layer of the preset {name}.",
    )
