"""Pages about a generator; this file draws the way from scene to map."""

from collections.abc import Callable

from radiodiff_jax.reporting.architecture import vae_pages
from radiodiff_jax.reporting.architecture.diagram import Diagram
from radiodiff_jax.reporting.architecture.network_pages import first_page, network_pages
from radiodiff_jax.reporting.architecture.networks import Generator
from radiodiff_jax.reporting.architecture.parts import facts
from radiodiff_jax.reporting.architecture.update_pages import (
    ESTIMATES,
    answers,
    feature_words,
    sampling_page,
    training_page,
)
from radiodiff_jax.reporting.architecture.words import count, size, work
from radiodiff_jax.reporting.markdown import counted, mermaid, page

SAMPLING, TRAINING = "sampling", "training"


def generator_pages(model: Generator, name: str, vae: str | None = None, base: str | None = None) -> dict[str, str]:
    """File name -> Markdown of the pages of a preset.

    `vae` and `base` are the folders, beside this one, with pages of what it builds on; None where there are none.
    """
    network = network_pages(model, name)
    pages = {"index.md": overview(model, name, vae, base, {stem: title for stem, (title, _) in network.items()})}
    pages |= {f"{stem}.md": text for stem, (_, text) in network.items()}
    if model.config.objective.noisy:
        pages[f"{SAMPLING}.md"] = sampling_page(model, name)
    return pages | {f"{TRAINING}.md": training_page(model, name, vae, base)}


def choices(model: Generator) -> str:
    """`latent × radiodiff × decoupled`."""
    config = model.config
    return " × ".join((config.space.name, config.backbone.name, config.objective.name))


def overview(model: Generator, name: str, vae: str | None, base: str | None, network: dict[str, str]) -> str:
    """The first page."""
    config, top, objective = model.config, model.network.top, model.config.objective
    steps = objective.sampling_steps
    scene = [block for block in top.children if block.path[0] == "condition_encoder"]
    rows = [
        ("space × backbone × objective", choices(model)),
        ("features", f"{size(model.features)}: {', '.join(f'`{one}`' for one in config.features)}"),
        ("starts from", starts_from(model)),
        (coordinates_name(model), size(model.coordinates)),
        ("the network answers", answers(objective.heads)),
        ("trained parameters", f"{top.parameters:,}"),
        *[("of them in the condition encoder", f"{block.parameters:,}") for block in scene],
        *([("frozen parameters of the autoencoder", f"{model.vae.autoencoder.top.parameters:,}")] if model.vae else []),
        *([("frozen parameters of the regression", f"{model.base.network.top.parameters:,}")] if model.base else []),
        *([("work on the scene, once a map", work(model.conditioning))] if model.conditioning else []),
        ("work of the network with all answers", work(top.operations - model.conditioning)),
        (f"evaluations for {counted(steps, 'step')}", str(len(model.evaluations))),
        ("work from scene to radio map", work(model.sampling)),
        ("computes in, keeps parameters in", f"{config.precision.compute}, {config.precision.parameters}"),
    ]
    links = [f"- [{title}]({stem}.md)" for stem, title in network.items()]
    if objective.noisy:
        links.append(f"- [Sampling]({SAMPLING}.md)")
    links.append(f"- [Training]({TRAINING}.md)")
    links += [f"- [The autoencoder under it]({vae}index.md)"] if vae else []
    links += [f"- [The regression that it starts from]({base}index.md)"] if base else []
    return page(
        f"Generator {name}",
        f"{choices(model)}: from a scene to a radio map, as it runs after training. A click on a box leads to its blocks.",
        mermaid(generator_overview(model, "", vae, base).source()),
        facts(rows),
        "## Pages\n\n" + "\n".join(links),
        description=f"The generator of the preset {name} from scene to radio map, with sizes, parameters and work.",
    )


def coordinates_name(model: Generator) -> str:
    """What is predicted."""
    if model.config.space.name != "pixel":
        return model.config.space.name
    patch = model.composition.space.factor
    return "pixels" if patch == 1 else f"patches of {patch} × {patch} pixels"


def starts_from(model: Generator) -> str:
    """The estimate in words."""
    if model.base is not None:
        return f"the map of a regression, {work(model.estimating)}"
    kind = model.config.estimate
    return "nothing" if kind == "none" else f"the {kind.replace('_', '-')} estimate ({ESTIMATES.get(kind, kind)})"


def generator_overview(model: Generator, folder: str | None, vae: str | None, base: str | None) -> Diagram:
    """The way from scene to radio map; `folder`, `vae` and `base` lead to the pages of parts, None makes no links."""
    def to(stem: str, place: str | None = folder) -> str:
        return "" if place is None else f"{place}{stem}.html"

    config, top, objective = model.config, model.network.top, model.config.objective
    drawn = Diagram()
    drawn.add("scene", "Scene", "buildings, transmitter" + (", cars" if config.data.cars else ""), style="terminal", shape="round",
              link=to(TRAINING))  # fmt: skip
    drawn.add("features", "Features", feature_words(model), size(model.features), style="step")
    own, last = top.parameters, "features"
    for block in (block for block in top.children if block.path[0] == "condition_encoder"):
        own -= block.parameters
        last = drawn.add("swin", "Swin condition encoder", f"{counted(len(block.outputs), 'map')} of features",
                         f"{count(block.parameters)} · {work(block.operations)}", style="attention",
                         link=to("condition-encoder"))  # fmt: skip
        drawn.chain("features", "swin")
    many, page_of_network = len(model.evaluations), first_page(model)
    where = {"latent": "in latent space", "pixel": "in pixels"}.get(config.space.name, f"in space {config.space.name}")
    drawn.add("network", f"Network {config.backbone.name} {where}", f"{count(own)} · {counted(many, 'evaluation')}",
              f"{work(sum(model.denoising))} in all", link=to(page_of_network))  # fmt: skip
    drawn.chain("scene", "features")
    drawn.chain(last, "network")
    last = "network"
    if objective.noisy:
        source = "Noise" if model.base is None else "Regression's map and a little noise"
        drawn.add("noise", source, size(model.coordinates), style="terminal", shape="round")
        words = "Diffusion step" if objective.name == "decoupled" else "Step"
        last = drawn.add("step", words, answers(objective.heads), "towards t = 0", style="step", link=to(SAMPLING))
        drawn.chain("noise", "network", "step")
        drawn.arrows += [("step", "network", "next t")] if many > 1 else []
    if estimate := add_estimate(drawn, model, to, vae, base):
        if objective.noisy:
            drawn.chain(estimate, "network")
        else:
            last = drawn.add("sum", "+", style="join", shape="circle")
            drawn.chain("network", "sum")
            drawn.chain(estimate, "sum")
    drawn.add("x0", coordinates_name(model).capitalize(), size(model.coordinates), style="terminal", shape="round")
    ends = [last, "x0"]
    if model.vae:
        ends.append(drawn.add("decoder", "VAE decoder, frozen", work(model.vae.decoding), link=to(vae_pages.DECODER, vae)))
    if getattr(model.composition.space, "blank", True):
        ends.append(drawn.add("blank", "Gain inside buildings set to 0", style="step"))
    drawn.add("map", "Radio map", size(model.image), style="terminal", shape="round")
    drawn.chain(*ends, "map")
    return drawn


def add_estimate(
    drawn: Diagram, model: Generator, to: Callable[..., str], vae: str | None, base: str | None
) -> str:
    """Add boxes for where a prediction starts; returns the last of them, or nothing."""
    kind = model.config.estimate
    if model.base is not None:
        drawn.add("base", "Regression, frozen", f"{count(model.base.network.top.parameters)} · {work(model.estimating)}",
                  link=to("index", base))  # fmt: skip
        drawn.chain("scene", "base", "noise")
        return "base"
    if kind == "none":
        return ""
    drawn.add("estimate", f"{kind.replace('_', '-').capitalize()} estimate", ESTIMATES.get(kind, ""), style="step")
    drawn.chain("scene", "estimate")
    if model.vae is None:
        return "estimate"
    drawn.add("encoder", "VAE encoder, frozen", work(model.vae.encoding), link=to(vae_pages.ENCODER, vae))
    drawn.chain("estimate", "encoder")
    return "encoder"
