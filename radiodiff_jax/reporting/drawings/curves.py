"""Drawings of lines: scales, schedules, losses, densities, paths, windows, meshes. Formulas are those of the code."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from radiodiff_jax.inference.calibration import FAMILIES
from radiodiff_jax.reporting.style import BLUE, DASHES, GREEN, MUTED, OCHRE, PURPLE, SERIES, VERMILION, plt
from radiodiff_jax.settings import EMAConfig, OptimizerConfig
from radiodiff_jax.training.ema import decay_at
from radiodiff_jax.training.optimizer import learning_rate
from radiodiff_jax.units import DB_PER_GAIN, NOISE_FLOOR, STRONGEST_DB, WEAKEST_DB, gain_to_db, thresholded

WIDTH, HEIGHT = 6.4, 2.7


def one_panel(across: str, up: str, height: float = HEIGHT) -> tuple[Figure, plt.Axes]:
    """A figure of one panel with these labels."""
    figure, axes = plt.subplots(figsize=(WIDTH, height), layout="constrained")
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    return figure, axes


def grey_scale() -> Figure:
    """The two protocols over path gain: what a grey level is in dB."""
    figure, axes = one_panel("path gain (dB)", "value")
    decibels = np.linspace(WEAKEST_DB - 6, STRONGEST_DB + 3, 400)
    raw = np.clip((decibels - WEAKEST_DB) / DB_PER_GAIN, 0, 1)
    axes.plot(decibels, raw, color=BLUE, label="raw: grey / 255")
    axes.plot(decibels, np.asarray(thresholded(raw)), color=VERMILION, linestyle=DASHES[1], label="thresholded at grey 51")
    axes.axvline(float(gain_to_db(NOISE_FLOOR)), color=MUTED, linewidth=1.0, linestyle=DASHES[2])
    axes.annotate("noise floor, -127.17 dB", (float(gain_to_db(NOISE_FLOOR)), 0.9), xytext=(5, 0), textcoords="offset points",
                  color=MUTED, fontsize=9)  # fmt: skip
    axes.legend(loc="lower right")
    return figure


def protocols() -> Figure:
    """The same error of 0.02 raw in both protocols, by the strength of the signal."""
    figure, axes = one_panel("true path gain (dB)", "error in the protocol's units")
    truth = np.linspace(0, 0.98, 400)
    axes.axhline(0.02, color=BLUE, label="raw")
    off = np.asarray(thresholded(truth + 0.02)) - np.asarray(thresholded(truth))
    axes.plot(gain_to_db(truth), off, color=VERMILION, linestyle=DASHES[1], label="thresholded")
    axes.set_ylim(0, 0.03)
    axes.set_title(f"a prediction that says {0.02 * DB_PER_GAIN:.2f} dB too much everywhere", fontsize=10)
    axes.legend(loc="lower right")
    return figure


def learning_rates() -> Figure:
    """The schedules of the learning rate over 1000 updates with 50 of warm-up."""
    figure, axes = one_panel("update", "learning rate / its peak")
    steps = np.arange(1001)
    for colour, dash, name in zip(SERIES, DASHES, ("cosine", "polynomial", "constant"), strict=False):
        schedule = learning_rate(OptimizerConfig(learning_rate=1.0, schedule=name, warmup_steps=50, power=0.96), 1000)
        axes.plot(steps, np.asarray([float(schedule(step)) for step in steps]), color=colour, linestyle=dash, label=name)
    axes.legend(loc="upper right")
    return figure


def moving_average() -> Figure:
    """A parameter that jitters about its way, and its moving average by the code's own decay."""
    figure, axes = one_panel("update", "a parameter")
    config, random = EMAConfig(decay=0.98, update_after=20), np.random.default_rng(1)
    steps = np.arange(600)
    online = 1 - np.exp(-steps / 120) + 0.12 * random.standard_normal(600)
    average, kept = online[0], []
    for step, value in enumerate(online):
        decay = float(decay_at(config, jnp.asarray(step))) if step > config.update_after else 0.0
        average += (1 - decay) * (value - average)
        kept.append(average)
    axes.plot(steps, online, color=MUTED, linewidth=0.7, label="after each update")
    axes.plot(steps, kept, color=BLUE, linewidth=2.2, label="moving average")
    axes.legend(loc="lower right")
    return figure


def hinge_losses() -> Figure:
    """The hinge losses of the discriminator and what the autoencoder gains by its answer."""
    figure, axes = one_panel("answer of the discriminator", "loss")
    answer = np.linspace(-3, 3, 301)
    axes.plot(answer, np.maximum(1 - answer, 0), color=BLUE, label="discriminator, of a true map")
    axes.plot(answer, np.maximum(1 + answer, 0), color=VERMILION, linestyle=DASHES[1], label="discriminator, of a reconstruction")
    axes.plot(answer, -answer, color=GREEN, linestyle=DASHES[2], label="autoencoder, of its reconstruction")
    axes.legend(loc="lower center", fontsize=8.5)
    return figure


def evidence() -> Figure:
    """Posteriors of one latent number beside the prior, and what each costs in nats."""
    figure, axes = one_panel("a latent number z", "density")
    z = np.linspace(-4, 4, 401)
    for colour, dash, mean, deviation in zip((MUTED, BLUE, VERMILION), DASHES, (0.0, 1.2, 1.2), (1.0, 0.8, 0.2), strict=False):
        nats = 0.5 * (mean**2 + deviation**2 - 1 - 2 * np.log(deviation))
        name = "prior N(0, 1)" if colour == MUTED else f"posterior N({mean:g}, {deviation:g}²): {nats:.2f} nats"
        axes.plot(z, np.exp(-0.5 * ((z - mean) / deviation) ** 2) / (deviation * np.sqrt(2 * np.pi)), color=colour, linestyle=dash,
                  label=name)  # fmt: skip
    axes.legend(loc="upper left", fontsize=8.5)
    return figure


def intervals() -> Figure:
    """The density of the error that a head of scales tells, with its 50 % and 90 % intervals."""
    figure, axes = one_panel("error (deviations)", "density")
    error = np.linspace(-3.5, 3.5, 701)
    density = np.exp(-np.sqrt(2) * np.abs(error)) / np.sqrt(2)
    for level, alpha in ((0.9, 0.18), (0.5, 0.35)):
        inside = np.abs(error) <= FAMILIES["laplace"](level)
        axes.fill_between(error[inside], density[inside], color=BLUE, alpha=alpha, linewidth=0,
                          label=f"{100 * level:.0f} % interval")  # fmt: skip
    axes.plot(error, density, color=BLUE)
    axes.set_ylim(0, None)
    axes.legend(loc="upper right")
    return figure


def scale_loss() -> Figure:
    """The likelihood loss over the scale that is told, for three sizes of the error: least where scale and size agree."""
    figure, axes = one_panel("scale b that the head tells (dB)", "log b + |r| / b (nats)")
    scale = np.geomspace(0.2, 20, 300)
    for colour, dash, error in zip((BLUE, VERMILION, GREEN), DASHES, (0.5, 2.0, 6.0), strict=False):
        loss = np.log(scale) + error / scale
        axes.plot(scale, loss, color=colour, linestyle=dash, label=f"error of {error:g} dB")
        axes.plot([error], [np.log(error) + 1], "o", color=colour, markersize=6)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(-1, 6)
    axes.legend(loc="upper right")
    return figure


def paths() -> Figure:
    """Straight paths from noise to maps, and the curved ones of a diffusion that keeps the variance."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, HEIGHT), layout="constrained", sharey=True)
    random, t = np.random.default_rng(3), np.linspace(0, 1, 100)
    for noise in random.standard_normal(9):
        data = 1.5 if noise > 0 else -1.5
        left.plot(t, (1 - t) * noise + t * data, color=BLUE, linewidth=1.1)
        right.plot(t, np.cos(np.pi * t / 2) * noise + np.sin(np.pi * t / 2) * data, color=VERMILION, linewidth=1.1)
    for axes, title in ((left, "straight: flow matching"), (right, "curved: variance kept")):
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("from noise (0) to map (1)")
    left.set_ylabel("one pixel")
    return figure


def low_pass() -> Figure:
    """A row of a map with the edge of a shadow, and what is left of it with few frequencies."""
    figure, axes = one_panel("column (m)", "path gain (dB)")
    column = np.arange(128)
    row = -60 - 25 * np.log10(1 + column / 8) - 20 * ((column > 48) & (column < 76))
    spectrum = np.fft.rfft(row)
    axes.plot(column, row, color=MUTED, linewidth=1.0, label="row of a map")
    for colour, dash, kept in ((BLUE, "-", 24), (VERMILION, DASHES[1], 8)):
        cut = np.where(np.arange(len(spectrum)) < kept, spectrum, 0)
        axes.plot(column, np.fft.irfft(cut, 128), color=colour, linestyle=dash, label=f"{kept} lowest of 65 frequencies")
    axes.legend(loc="upper right", fontsize=8.5)
    return figure


def attention_windows(side: int = 8, window: int = 4) -> Figure:
    """Tokens by the window in which they attend to each other: as they lie, and shifted by half a window."""
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 3.0), layout="constrained")
    tones = (BLUE, VERMILION, GREEN, OCHRE, PURPLE, MUTED, SERIES[5], BLUE, VERMILION)
    for axes, shift, title in zip(panels, (0, window // 2), ("windows", "windows shifted by half"), strict=True):
        for row in range(side):
            for column in range(side):
                place = ((row + shift) // window, (column + shift) // window)
                colour = tones[3 * place[0] + place[1]]
                axes.add_patch(Rectangle((column + 0.06, row + 0.06), 0.88, 0.88, facecolor=colour, alpha=0.55, linewidth=0))
        axes.set_xlim(0, side)
        axes.set_ylim(side, 0)
        axes.set_aspect("equal")
        axes.set_axis_off()
        axes.set_title(title, fontsize=10)
    return figure


def mesh(devices: int = 4) -> Figure:
    """A batch shared over devices, each with all parameters, their gradients averaged."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.3), layout="constrained")
    axes.set_axis_off()
    axes.set_xlim(0, 10)
    axes.set_ylim(0, 3.2)
    box = {"boxstyle": "round,pad=0.35", "facecolor": "none"}
    axes.text(1.0, 1.6, "batch\n8 maps", ha="center", va="center", bbox=box | {"edgecolor": BLUE}, fontsize=9)
    axes.text(9.0, 1.6, "mean of the\ngradients,\none update", ha="center", va="center", fontsize=9,
              bbox=box | {"edgecolor": GREEN})  # fmt: skip
    for number in range(devices):
        height = 2.85 - 0.85 * number
        axes.text(5.0, height, f"device {number}: 2 maps, all parameters", ha="center", va="center", fontsize=9,
                  bbox=box | {"edgecolor": VERMILION})  # fmt: skip
        axes.annotate("", (3.1, height), (1.75, 1.6), arrowprops={"arrowstyle": "->", "color": MUTED})
        axes.annotate("", (8.0, 1.6), (6.95, height), arrowprops={"arrowstyle": "->", "color": MUTED})
    return figure
