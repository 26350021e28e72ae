"""Sampling of a generator, evaluation by evaluation, and one training update, as diagrams and pages."""

from radiodiff_jax.features import channels_of
from radiodiff_jax.models.backbone import SCALE
from radiodiff_jax.objectives.regression import SCALE_WEIGHT
from radiodiff_jax.reporting.architecture import vae_pages
from radiodiff_jax.reporting.architecture.diagram import Diagram
from radiodiff_jax.reporting.architecture.network_pages import first_page
from radiodiff_jax.reporting.architecture.networks import HEADS, Evaluation, Generator
from radiodiff_jax.reporting.architecture.words import size, work
from radiodiff_jax.reporting.markdown import counted, mermaid, page, table

ESTIMATES = {"line_of_sight": "distance and line of sight", "path": "over the roofs or around"}


def feature_words(model: Generator) -> str:
    """The names of the features, with their channels where a name has several."""
    channels = {name: channels_of(name) for name in model.config.features}
    return ", ".join(name.replace("_", " ") + (f" ({many})" if many > 1 else "") for name, many in channels.items())


def answers(heads: tuple[str, ...]) -> str:
    """Heads in words."""
    return " and ".join(HEADS.get(head, head) for head in heads)


# ---- sampling ----

SOURCES = {"decoupled": "x₁: noise", "flow_matching": "x₁: noise", "residual_flow": "x₁ = b + σ n"}
STEPS = {
    "decoupled": [("Estimate of x₀", "xₜ − t C − √t n"), ("xₜ₋ₛ, drawn around its mean", "with C = −x₀ of the estimate")],
    "flow_matching": [("xₜ₋ₛ = xₜ − s v", "v the velocity")],
    "residual_flow": [("xₜ₋ₛ = xₜ − s v", "v the velocity")],
}
NOTES = {
    "decoupled": "The last step is cut in two, so that the network is evaluated {many}. At t = 1 the noise is the input itself, "
    "and close to t = 0 the network's C is multiplied by less than float32 resolves: the decoder that does not count is not run.",
}
FORMULAE = {
    "decoupled": "[decoupled diffusion](../../derivations/decoupled-diffusion.md)",
    "flow_matching": "[straight paths](../../derivations/straight-paths.md)",
    "residual_flow": "[straight paths](../../derivations/straight-paths.md)",
}


def sampling_page(model: Generator, name: str) -> str:
    """From noise to a map: the loop, and every evaluation of it."""
    objective, many = model.config.objective, len(model.evaluations)
    note = NOTES.get(objective.name, "The network is evaluated {many}.").format(many=counted(many, "time"))
    known = FORMULAE.get(objective.name)
    rows = [
        [str(place), *times(one), answers(one.heads), work(operations)]
        for place, (one, operations) in enumerate(zip(model.evaluations, model.denoising, strict=True), 1)
    ]
    return page(
        "Sampling",
        f"Part of the [generator `{name}`](index.md). Time t runs from 0, a radio map in its space, to 1, where sampling starts."
        + (f" The formulae are in {known}." if known else ""),
        "## From noise to a radio map",
        mermaid(sampling_diagram(model).source()),
        f"`objective.sampling_steps` is {objective.sampling_steps}. {note} The loop is compiled once: compile time does not grow "
        "with the number of steps.",
        table(("evaluation", "t", "step", "the network gives", "work"), rows, 1),
        description=f"The sampling loop of the preset {name}, evaluation by evaluation.",
    )


def times(one: Evaluation) -> list[str]:
    """Time and step of an evaluation as cells."""
    return ["" if value is None else f"{value:.6g}" for value in (one.time, one.step)]


def sampling_diagram(model: Generator) -> Diagram:
    """One radio map."""
    objective, page_of_network = model.config.objective, f"{first_page(model)}.html"
    drawn = Diagram()
    drawn.add("noise", SOURCES.get(objective.name, "x₁"), size(model.coordinates), style="terminal", shape="round")
    drawn.add("features", "Features of the scene", feature_words(model), work(model.conditioning), style="attention",
              link="condition-encoder.html" if page_of_network == "unet.html" else "")  # fmt: skip
    drawn.add("network", f"Network: {answers(objective.heads)} of xₜ", f"{work(max(model.denoising))} at most",
              link=page_of_network)  # fmt: skip
    drawn.chain("noise", "network")
    drawn.chain("features", "network")
    last = "network"
    for place, lines in enumerate(STEPS.get(objective.name, [("One step", "towards t = 0")])):
        drawn.add(f"step{place}", *lines, style="step")
        drawn.chain(last, f"step{place}")
        last = f"step{place}"
    x0 = "x₀ / scale" if model.vae else "x₀"
    drawn.add("x0", x0, size(model.coordinates), style="terminal", shape="round")
    again = f"again, {counted(len(model.evaluations), 'evaluation')} in all"
    drawn.arrows += [(last, "network", again), (last, "x0", "at t = 0")]
    decoder = ("VAE decoder, frozen", work(model.vae.decoding)) if model.vae else ("Patches to pixels, buildings 0",)
    drawn.add("decoder", *decoder, style="layer" if model.vae else "step")
    drawn.add("map", "Radio map", size(model.image), style="terminal", shape="round")
    drawn.chain("x0", "decoder", "map")
    if model.composition.starts_at_estimate:
        words = "b: the regression's map" if model.base else "Estimate, encoded"
        drawn.add("estimate", words, work(model.estimating), style="step")
        drawn.chain("estimate", "network")
        if model.base:
            drawn.chain("estimate", "noise")
    return drawn


# ---- training ----

CORRUPT = {
    "decoupled": ("xₜ = x₀ + t C + √t n", "C = −x₀"),
    "flow_matching": ("xₜ = (1 − t) x₀ + t n", "velocity n − x₀"),
    "residual_flow": ("xₜ = (1 − t) x₀ + t (b + σ n)", "b the regression's map"),
}


def training_page(model: Generator, name: str, vae: str | None, base: str | None) -> str:
    """What comes before, one update in the order of `make_update`, and the way of the data."""
    first = ""
    if model.vae or model.base:
        first = f"## Phases\n\n{mermaid(phases_diagram(model, vae, base).source())}"
    return page(
        "Training",
        f"Part of the [generator `{name}`](index.md)."
        + (" What it builds on is trained first, by itself, and then frozen." if first else ""),
        *([first] if first else []),
        "## One update\n\nIn the order in which `training/update.py` composes it. Ochre steps are no networks.",
        mermaid(update_diagram(model).source()),
        vae_pages.data_section(model.config),
        description=f"Training phases, one update and data flow of the generator preset {name}.",
    )


def phases_diagram(model: Generator, vae: str | None, base: str | None) -> Diagram:
    """What is trained before."""
    config, drawn, before = model.config, Diagram(), []
    if model.vae:
        names = vae_pages.add_vae_phases(drawn, model.vae.config, f"{vae}training.html" if vae else "")
        before.append((names[-1], "weights copied, then frozen"))
    if model.base:
        drawn.add("base", "Regression", f"updates 0 to {model.base.config.training.steps - 1:,}", style="step",
                  link=f"{base}training.html" if base else "")  # fmt: skip
        before.append(("base", "weights copied, then frozen"))
    updates = f"updates 0 to {config.training.steps - 1:,}"
    drawn.add("generator", "Generator", f"errors of {answers(config.objective.heads)}", updates,
              f"phase {config.objective.name} in the metrics", style="layer")  # fmt: skip
    drawn.arrows += [(name, "generator", words) for name, words in before]
    return drawn


def update_diagram(model: Generator) -> Diagram:
    """One update."""
    config, objective, optimizer = model.config, model.config.objective, model.config.optimizer
    drawn = Diagram()
    drawn.add("batch", f"Batch of {config.training.batch_size}", "gain, masks, position", style="terminal", shape="round")
    drawn.add("features", "Features", feature_words(model), size(model.features), style="step")
    if model.vae:
        scale = config.space.scale_factor
        scaled = "measured on a batch at the start" if scale == "auto" else f"{scale:g}"
        drawn.add("encode", "VAE encoder, frozen", work(model.vae.encoding))
        drawn.add("x0", "x₀ = scale × latent", size(model.coordinates), f"scale {scaled}", style="step")
        drawn.chain("batch", "encode", "x0")
    else:
        filled = "buildings filled before" if getattr(model.composition.space, "fill", False) else ""
        drawn.add("x0", "x₀: the map's pixels", size(model.coordinates), filled, style="step")
        drawn.chain("batch", "x0")
    drawn.add("network", f"Network {config.backbone.name}", work(model.network.top.operations), link=f"{first_page(model)}.html")
    drawn.chain("batch", "features", "network")
    if objective.noisy:
        drawn.add("time", "Time t and noise n", f"t from {getattr(objective, 'smallest_time', 0):g} to 1", style="terminal",
                  shape="round")  # fmt: skip
        drawn.add("corrupt", *CORRUPT.get(objective.name, ("xₜ",)), style="step")
        drawn.chain("x0", "corrupt", "network")
        drawn.chain("time", "corrupt")
    known = "from the raw answers and what is known"
    drawn.add("precondition", f"Preconditioning: {answers(objective.heads)}", known, style="step")
    drawn.chain("network", "precondition")
    if model.composition.starts_at_estimate:
        words = ["Regression, frozen", work(model.estimating)]
        if model.base is None:
            words = ["Estimate, encoded", ESTIMATES.get(config.estimate, "")]
        drawn.add("estimate", *words, style="step")
        drawn.chain("batch", "estimate", "precondition")
        if objective.noisy:
            drawn.chain("estimate", "network")
        if model.base:
            drawn.chain("estimate", "corrupt")
    drawn.add("loss", *loss_words(model), style="step")
    drawn.chain("precondition", "loss")
    drawn.chain("x0", "loss")
    parts = f", mean of {optimizer.accumulate} parts" if optimizer.accumulate > 1 else ""
    clipped = "not clipped" if optimizer.clip_norm is None else f"clipped to length {optimizer.clip_norm:g}"
    drawn.add("gradient", f"Gradient{parts}", clipped, style="step")
    drawn.add("update", "AdamW", f"rate {optimizer.learning_rate:g}, {optimizer.schedule}", style="step")
    drawn.add("ema", "Moving average of the weights", f"decay {config.ema.decay:g}", style="step")
    spike = "" if config.training.spike_factor is None else f", or above {config.training.spike_factor:g} times its mean"
    drawn.add("guard", "Guard", f"nothing moves where the loss is not finite{spike}", style="step")
    drawn.chain("loss", "gradient", "update", "ema", "guard")
    return drawn


def loss_words(model: Generator) -> list[str]:
    """The loss in words."""
    objective = model.config.objective
    if objective.name == "decoupled":
        error = {"l2": "squared", "l1": "absolute"}[objective.loss_form] + (" + absolute" if objective.add_l1 else "")
        return ["Error of C and of the noise", error, f"weights {'2 exp(1 − t) and exp(√t)' if objective.time_weighting else '1'}"]
    weights = [f"{getattr(objective, f'l{power}_weight', 0):g} × {words}" for power, words in ((1, "absolute"), (2, "squared"))]
    where = "" if model.vae else "on outdoor pixels"
    maps = tuple(head for head in objective.heads if head != SCALE)
    scale = [f"{SCALE_WEIGHT:g} × likelihood of the error's scale, no gradient beyond its head"] if SCALE in objective.heads else []
    return [f"Error of the {answers(maps)}", " + ".join(word for word in weights if not word.startswith("0 ")), where, *scale]
