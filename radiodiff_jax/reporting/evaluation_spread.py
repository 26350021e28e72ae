"""The part of an evaluation's page on how sure the model is: reliability, predicted deviation against error, a verdict."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from radiodiff_jax.inference.evaluation_files import evaluate_again
from radiodiff_jax.reporting.evaluation_figures import ENOUGH_PIXELS
from radiodiff_jax.reporting.evaluation_verdict import own_name
from radiodiff_jax.reporting.markdown import code, counted, figure, table
from radiodiff_jax.reporting.style import BLUE, DASHES, INK, MUTED, VERMILION, FigureCache, plt, save_svg_pair

HEADLINE_LEVELS = (0.5, 0.9)
TOLERANCE = 0.03
"""An interval that holds at most so much more or less than it says is calibrated: 3 points of a hundred. One that is further
off counts as calibrated as far as is known where the 90 % interval of its coverage over cities holds the level."""
TELLERS = {
    "laplace": "The network answers the scale of its error at every pixel (`objective.error_scale`).",
    "normal": "The spread is the standard deviation of samples, and intervals are those of a normal distribution.",
}


def spread_section(result: dict[str, Any], data: str, figures: FigureCache, stem: str) -> list[str]:
    """Markdown of the section; nothing for a model that does not say how sure it is."""
    told = result["results"][own_name(result)].get("spread")
    if not told:
        return []
    figures.write(f"{stem}-reliability", data, partial(save_reliability, told))
    figures.write(f"{stem}-spread-skill", data, partial(save_spread_skill, told))
    own = told["crps_db"] / max(told["mae_db"], 1e-9) - 1
    return [
        "## How sure the model is",
        spread_sentence(told),
        f"{TELLERS[told['family']]} {factors_sentence(result, told)} Counted over {told['pixels']:,} outdoor pixels with signal "
        "of all maps. An interval is prediction ± half its width; *coverage* is how often the truth lies inside.",
        table(["interval", "holds the truth", "90 % interval over city maps", "without factors", "factor", "mean width (dB)"],
              [interval_row(told, level) for level in told["levels"]]),
        f"CRPS {told['crps_db']:.2f} dB, against a mean absolute error of {told['mae_db']:.2f} dB: the score of the whole "
        f"distribution without factors is {100 * abs(own):.0f} % {'below' if own < 0 else 'above'} that of the prediction alone, "
        "and lower is better.",
        figure(f"figures/{stem}-reliability", "Reliability: how often intervals hold the truth, against what they say",
               "On the diagonal intervals hold as often as they say; below it the model is over-confident, above it "
               "under-confident. The band is the 90 % interval over city maps."),
        figure(f"figures/{stem}-spread-skill", "RMSE of pixels by the deviation that was predicted for them",
               "Pixels in bins of predicted deviation: on the diagonal it is the error that they have. A curve that rises tells "
               "that the model knows where it is wrong, a flat one that it does not."),
    ]  # fmt: skip


def factors_sentence(result: dict[str, Any], told: dict[str, Any]) -> str:
    """Where the widths come from."""
    if not told["calibrated"]:
        command = code(f"{evaluate_again(result)} --calibrate")
        return (f"The widths are as the model tells them: {command} fits a factor a level on the "
                "validation split.")  # fmt: skip
    on = result.get("calibration") or {}
    maps = f" ({on['radio_maps']:,} maps of {counted(on['layouts'], 'city', 'cities')})" if "layouts" in on else ""
    text = f"Widths are multiplied by one factor a level, fitted on the validation split{maps}."
    same = result["split"] == "validation"
    return text + (" **These are the maps that they were fitted on**, so the coverage proves nothing here." if same else "")


def interval_row(told: dict[str, Any], level: float) -> list[str]:
    """The cells of a level."""
    place = told["levels"].index(level)
    between = told["coverage_interval"]
    ends = "-" if between is None else " to ".join(f"{100 * end:.1f}" for end in between[place]) + " %"
    return [f"{100 * level:.0f} %", f"{100 * told['coverage'][place]:.1f} %", ends,
            f"{100 * told['coverage_uncalibrated'][place]:.1f} %", f"{told['factors'][place]:.3f}",
            f"{told['width_db'][place]:.2f}"]  # fmt: skip


def spread_word(told: dict[str, Any]) -> str:
    """`calibrated`, `over-confident`, `under-confident`, or in what a model is either."""
    words = []
    for level in HEADLINE_LEVELS:
        place = told["levels"].index(level)
        off, between = told["coverage"][place] - level, told.get("coverage_interval")
        if abs(off) <= TOLERANCE:
            words.append("calibrated")
        elif between and between[place][0] <= level <= between[place][1]:
            words.append("calibrated as far as these cities tell")
        else:
            words.append("over-confident" if off < 0 else "under-confident")
    distinct = list(dict.fromkeys(words))
    if len(distinct) == 1:
        return distinct[0]
    return ", ".join(f"{word} at {100 * level:.0f} %" for word, level in zip(words, HEADLINE_LEVELS, strict=True))


def spread_sentence(told: dict[str, Any]) -> str:
    """The verdict on the intervals in one sentence."""
    parts = []
    for level in reversed(HEADLINE_LEVELS):
        place = told["levels"].index(level)
        parts.append(f"the {100 * level:.0f} % interval (± {told['width_db'][place] / 2:.2f} dB in the mean) holds the truth at "
                     f"{100 * told['coverage'][place]:.1f} % of the outdoor pixels")  # fmt: skip
    word = spread_word(told)
    fitted = "" if told["calibrated"] else ", without calibration"
    return f"{word[:1].upper()}{word[1:]}{fitted}: {parts[0]}, {parts[1]}."


def save_reliability(told: dict[str, Any], stem: Path) -> list[Path]:
    """SVG pair: observed coverage against nominal, with and without factors."""

    def make() -> Figure:
        drawing, axes = plt.subplots(figsize=(4.8, 4.2), layout="constrained")
        levels = 100 * np.array(told["levels"])
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1.0, label="as often as said")
        if told["coverage_interval"] is not None:
            low, high = 100 * np.array(told["coverage_interval"]).T
            axes.fill_between(levels, low, high, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(levels, 100 * np.array(told["coverage"]), "-o", color=BLUE, markersize=4,
                  label="calibrated" if told["calibrated"] else "as the model tells")  # fmt: skip
        if told["calibrated"]:
            axes.plot(levels, 100 * np.array(told["coverage_uncalibrated"]), "s", color=VERMILION, markersize=3.5,
                      linestyle=DASHES[1], label="without factors")  # fmt: skip
        square(axes, (0, 100))
        axes.set_xlabel("level of the interval (%)")
        axes.set_ylabel("outdoor pixels inside (%)")
        axes.legend(loc="upper left")
        return drawing

    return save_svg_pair(stem, make)


def save_spread_skill(told: dict[str, Any], stem: Path) -> list[Path]:
    """SVG pair: error against predicted deviation, a point a bin, and how many pixels each bin has."""
    bins = told["spread_skill"]
    pixels = np.array(bins["pixels"])
    present = np.flatnonzero(pixels >= ENOUGH_PIXELS)
    spread, error = (np.array([bins[name][i] for i in present], float) for name in ("deviation_db", "rmse_db"))

    def make() -> Figure:
        drawing, (axes, below) = plt.subplots(2, 1, figsize=(4.8, 5.2), sharex=True, height_ratios=(3, 1), layout="constrained")
        values = np.concatenate([spread, error, [1.0]])
        ends = (max(float(values.min()), 0.01) / 1.3, float(values.max()) * 1.3)
        axes.plot(ends, ends, color=MUTED, linewidth=1.0, label="deviation = error")
        axes.plot(spread, error, "-o", color=BLUE, markersize=4, label="pixels by predicted deviation")
        axes.set_xscale("log")
        axes.set_yscale("log")
        square(axes, ends)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
            axis.set_minor_formatter(lambda value, _: "")
        axes.set_ylabel("RMSE (dB)")
        axes.legend(loc="upper left")
        edges = np.array([*bins["from_db"], bins["to_db"][-1]])
        below.stairs(100 * pixels / max(pixels.sum(), 1), edges, fill=True, color=BLUE, alpha=0.4)
        below.set_ylabel("pixels (%)", color=INK)
        below.set_xlabel("predicted standard deviation (dB)")
        return drawing

    return save_svg_pair(stem, make)


def square(axes: Axes, ends: tuple[float, float]) -> None:
    """The same range on both axes."""
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal" if axes.get_xscale() == "linear" else "auto")
