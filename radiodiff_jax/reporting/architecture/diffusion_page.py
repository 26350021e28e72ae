"""The diffusion loop of a configuration: what a training step and what sampling do."""

from radiodiff_jax.objectives.decoupled_diffusion import needed_outputs
from radiodiff_jax.reporting.architecture.diagram import Diagram
from radiodiff_jax.reporting.architecture.networks import LDM
from radiodiff_jax.reporting.architecture.words import size, work
from radiodiff_jax.reporting.markdown import counted, mermaid, page, table


def diffusion_page(ldm: LDM, name: str) -> str:
    """Training step and sampling of a preset."""
    steps = ldm.config.objective.sampling_steps
    grid = [
        [str(place), f"{time:.6g}", f"{move:.6g}", given(time), work(operations)]
        for place, ((time, move), operations) in enumerate(zip(ldm.evaluations, ldm.denoising, strict=True), 1)
    ]
    return page(
        "Diffusion: training and sampling",
        f"Part of the [diffusion model `{name}`](index.md). Time t runs from 0, the latent of a radio map, to 1, pure noise; "
        "C is minus the latent. The formulae are in [decoupled diffusion](../../derivations/decoupled-diffusion.md).",
        "## One training step",
        mermaid(training_diagram(ldm).source()),
        "## From noise to a radio map",
        mermaid(sampling_diagram(ldm).source()),
        f"`objective.sampling_steps` is {steps}; the last step is cut in two, so that the network is evaluated "
        f"{counted(len(grid), 'time')}. At t = 1 the noise is the input itself, and close to t = 0 the network's C is "
        "multiplied by less than float32 resolves: the decoder that does not count is not run.",
        table(("evaluation", "t", "step", "the U-Net gives", "work"), grid, 1),
        description=f"Training step and sampling loop of the preset {name}.",
    )


def given(time: float) -> str:
    """What the network is asked for at this time."""
    return " and ".join(name for name, needed in zip(("C", "noise"), needed_outputs(time), strict=True) if needed)


def training_diagram(ldm: LDM) -> Diagram:
    """One update."""
    objective, config = ldm.config.objective, ldm.config
    scale = "measured on a batch at the start" if objective.scale_factor == "auto" else f"{objective.scale_factor:g}"
    drawn = Diagram()
    drawn.add("map", "Radio map", size(ldm.vae.image), style="terminal", shape="round")
    drawn.add("encoder", "VAE encoder, frozen", work(ldm.vae.encoding))
    drawn.add("x0", "x₀ = scale × latent", size(ldm.latent), f"scale {scale}", style="step")
    drawn.add("time", "Time t and noise n", f"t from {objective.smallest_time:g} to 1", style="terminal", shape="round")
    drawn.add("xt", "xₜ = x₀ + t C + √t n", "C = −x₀", style="step")
    condition = size((*config.image_size, config.unet.condition_channels))
    drawn.add("scene", "Condition image", condition, style="terminal", shape="round")
    drawn.add("unet", "U-Net with condition encoder", work(ldm.unet.top.operations), link="unet.html")
    error = {"l2": "squared", "l1": "absolute"}[objective.loss] + (" + absolute" if objective.add_l1 else "")
    weights = "2 exp(1 − t) and exp(√t)" if objective.time_weighting else "1"
    drawn.add("loss", "Error of C and of the noise", error, f"weights {weights}", style="step")
    parts = config.optimizer.accumulate
    drawn.add("update", "AdamW update", f"batch of {config.training.batch_size}" + (f" in {parts} parts" if parts > 1 else ""),
              style="step")  # fmt: skip
    drawn.add("ema", "Moving average of the weights", f"decay {config.ema.decay:g}", style="step")
    drawn.chain("map", "encoder", "x0", "xt", "unet", "loss", "update", "ema")
    drawn.chain("time", "xt")
    drawn.chain("scene", "unet")
    drawn.chain("x0", "loss")
    if ldm.has_prior:
        drawn.add("guess", "First guess, encoded", "distance and line of sight", style="step")
        drawn.chain("scene", "guess", "unet")
    return drawn


def sampling_diagram(ldm: LDM) -> Diagram:
    """One radio map."""
    drawn = Diagram()
    drawn.add("noise", "x₁: noise", size(ldm.latent), style="terminal", shape="round")
    drawn.add("features", "Features of the scene", work(ldm.conditioning), style="attention", link="condition-encoder.html")
    drawn.add("unet", "U-Net: C and noise of xₜ", work(max(ldm.denoising)) + " at most", link="unet.html")
    drawn.add("start", "Estimate of x₀", "xₜ − t C − √t n", style="step")
    drawn.add("step", "xₜ₋ₛ, drawn around its mean", "with C = −x₀ of the estimate", style="step")
    drawn.add("latent", "x₀ / scale", size(ldm.latent), style="terminal", shape="round")
    drawn.add("decoder", "VAE decoder, frozen", work(ldm.vae.decoding))
    drawn.add("map", "Radio map", size(ldm.vae.image), style="terminal", shape="round")
    drawn.chain("noise", "unet", "start", "step")
    drawn.chain("features", "unet")
    again = f"again, {counted(len(ldm.evaluations), 'evaluation')} in all"
    drawn.arrows += [("step", "unet", again), ("step", "latent", "at t = 0")]
    drawn.chain("latent", "decoder", "map")
    if ldm.has_prior:
        drawn.add("guess", "First guess, encoded", work(ldm.vae.encoding), style="step")
        drawn.chain("guess", "unet")
    return drawn
