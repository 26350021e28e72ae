"""What an evaluation says: the run's own prediction against baselines and against its autoencoder's floor.

A *predictor* is an entry of `results` in an evaluation file: the run's `model`, its `autoencoder`, or a baseline.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from radiodiff_jax.metrics import bootstrap_interval
from radiodiff_jax.reporting.markdown import counted, plain
from radiodiff_jax.units import DB_PER_GAIN

MODEL, AUTOENCODER = OWN = ("model", "autoencoder")  # the first that is there is the run's own prediction
BASELINES = ("distance law", "line-of-sight estimate", "path estimate", "dominant path model", "ray estimate")
FORMER_NAMES = {"line-of-sight guess": "line-of-sight estimate"}  # in files of older versions
DESCRIPTIONS = {
    MODEL: "the run's prediction from the scene",
    AUTOENCODER: "the *true* map through the autoencoder and back: the floor of a latent model",
    "distance law": "path gain by distance alone, buildings blanked; no training",
    "line-of-sight estimate": "distance law, and 16 dB less out of sight; no training",
    "path estimate": "distance law in sight, elsewhere the stronger of the way over the roofs and the way around the "
    "buildings; no training",
    "dominant path model": "the simulator's own map, which the model is told of; no training",
    "ray estimate": "reflections on walls and one bend, which the model is told of; no training",
}
"""What each known predictor is, in the order in which pages list them."""
HEADLINE, SSIM = "raw/all/rmse", "raw/all/ssim"
LABELS = {"rmse": "RMSE", "nmse": "NMSE", "ssim": "SSIM", "psnr_db": "PSNR", "mae_db": "mean absolute error in dB",
          "rmse_db": "RMSE in dB", "share_within_3_db": "share within 3 dB"}  # fmt: skip
COMPARED = (
    "raw/all/rmse", "raw/all/nmse", "raw/all/ssim", "raw/mae_db", "raw/share_within_3_db", "thresholded/all/rmse",
    "thresholded/all/nmse", "thresholded/all/ssim",
)  # fmt: skip
FLOOR_DOMINATES = 0.5
"""From this share of the model's squared error on, the autoencoder is what holds the model back."""


@dataclass(frozen=True)
class Comparison:
    """The run's own prediction against another predictor, map by map, by one figure of which less is better."""

    other: str
    own_error: float
    other_error: float
    better_in: list[str]
    """Figures in whose mean the other is better."""
    difference: float
    interval: tuple[float, float] | None
    """Own error - other's, mean over maps, and its 90 % bootstrap interval over city maps; None for a single city."""
    won: int | None
    """Maps on which the own error is smaller; None where the file has no values of single maps."""


def canonical(name: str) -> str:
    """The present name of a predictor that a file of an older version calls otherwise."""
    return FORMER_NAMES.get(name, name)


def description(name: str) -> str | None:
    """What a predictor is; None for one that is not known."""
    return DESCRIPTIONS.get(canonical(name))


def own_name(result: dict[str, Any]) -> str:
    """The run's own prediction: `model`, for an autoencoder's run `autoencoder`."""
    return next((name for name in OWN if name in result["results"]), next(iter(result["results"])))


def ordered(result: dict[str, Any]) -> list[str]:
    """The predictors: the run's own, then the known ones in the order of `DESCRIPTIONS`, then others."""
    own, order = own_name(result), [*DESCRIPTIONS]
    known = sorted(
        (name for name in result["results"] if description(name)), key=lambda name: order.index(canonical(name))
    )
    return list(dict.fromkeys([own, *known, *result["results"]]))


def baselines(result: dict[str, Any]) -> list[str]:
    """The predictors without training that were evaluated."""
    return [name for name in ordered(result) if canonical(name) in BASELINES]


def mean(result: dict[str, Any], name: str, figure: str) -> float | None:
    """Mean of a figure over maps; None where there is none."""
    return result["results"][name]["figures"].get(figure, {}).get("mean")


def is_better(figure: str, first: float, second: float) -> bool:
    """Whether the first value of a figure is better than the second."""
    higher = figure.endswith(("ssim", "psnr_db", "share_within_3_db"))
    return first > second if higher else first < second


def figure_name(figure: str) -> str:
    """`raw/all/rmse` -> `RMSE raw`; `raw/outdoor/rmse` -> `RMSE raw outdoors`."""
    protocol, *region, name = figure.split("/")
    return f"{LABELS.get(name, name)} {protocol}{' outdoors' if region == ['outdoor'] else ''}"


def compare(result: dict[str, Any], other: str, by: str = HEADLINE) -> Comparison | None:
    """The comparison with another predictor by a figure, raw RMSE over all pixels; None where either does not have it."""
    own = own_name(result)
    errors = [mean(result, name, by) for name in (own, other)]
    if errors[0] is None or errors[1] is None:
        return None
    better = []
    for figure in COMPARED:
        values = [mean(result, name, figure) for name in (own, other)]
        if None not in values and is_better(figure, values[1], values[0]):
            better.append(figure_name(figure))
    maps = [result["results"][name]["maps"] for name in (own, other)]
    won = interval = None
    if all(by in one for one in maps) and maps[0]["map"] == maps[1]["map"]:
        difference = np.array(maps[0][by], float) - np.array(maps[1][by], float)
        won = int((difference < 0).sum())
        low, high = bootstrap_interval(difference[:, None], np.array(maps[0]["map"]))
        interval = (float(low[0]), float(high[0])) if np.isfinite(low[0]) else None
    return Comparison(other, *errors, better, errors[0] - errors[1], interval, won)


def comparisons(result: dict[str, Any]) -> list[Comparison]:
    """With every baseline that was evaluated."""
    found = (compare(result, name) for name in baselines(result))
    return [one for one in found if one is not None]


def verdict(result: dict[str, Any]) -> tuple[str, str, list[str]]:
    """(kind of box, its title, sentences)."""
    own, found = own_name(result), comparisons(result)
    error = mean(result, own, HEADLINE)
    if error is None:
        return "warning", f"The {own} has no RMSE", ["No map had a figure; evaluate again."]
    said = plain(own)
    sentences = [f"RMSE of the {said}: {with_decibels(error)} (raw protocol, all pixels, mean over "
                 f"{result['radio_maps']:,} radio maps)."]  # fmt: skip
    sentences += [sentence(said, one, result["radio_maps"]) for one in found]
    sentences += [one for one in (sight_sentence(result),) if one] + floor_sentences(result)
    worse = [one.other for one in found if one.difference >= 0]
    if worse:
        need = "need" if worse[1:] else "needs"
        return "danger", f"The {own} is worse than the {listed(worse)}, which {need} no training", sentences
    if not found:
        return "warning", "No baseline was evaluated beside it", sentences
    if any(one.better_in for one in found):
        return "warning", f"The {own} is better than the baselines in RMSE, but not in every figure", sentences
    if sight_sentence(result):
        return "warning", f"The {own} is better than the baselines, but not in line of sight", sentences
    if any(one.interval is None or one.interval[1] >= 0 for one in found):
        return "warning", f"The {own} is better than the baselines, but it is not certain", sentences
    return "success", f"The {own} is better than the baselines", sentences


def sentence(own: str, one: Comparison, maps: int) -> str:
    """One comparison as a sentence."""
    ratio = max(one.own_error, one.other_error) / max(min(one.own_error, one.other_error), 1e-9)
    order = "**worse**" if one.difference >= 0 else "better"
    text = f"The {one.other} has {with_decibels(one.other_error)}: the {own} is {ratio:.1f} times {order}"
    if one.won is not None:
        text += f", and nearer to the truth on {one.won:,} of {maps:,} maps"
    if one.interval is not None:
        low, high = one.interval
        text += (
            f". Difference of the means {DB_PER_GAIN * one.difference:+.2f} dB, 90 % interval {DB_PER_GAIN * low:+.2f} to "
            f"{DB_PER_GAIN * high:+.2f} dB over city maps"
        )
        if low < 0 < high:
            text += ", which holds 0: with other cities the order may turn"
    elif one.won is not None:
        text += ". There is a single city map, so nothing is known of the spread between cities"
    text += "."
    if one.difference < 0 and one.better_in:
        text += f" The {one.other} is better in {', '.join(one.better_in)}."
    return text


def floor_sentences(result: dict[str, Any]) -> list[str]:
    """What the autoencoder's reconstruction of the true maps says about the model's error."""
    results = result["results"]
    if own_name(result) != "model" or "autoencoder" not in results:
        return []
    model, floor = (mean(result, name, HEADLINE) for name in ("model", "autoencoder"))
    if model is None or floor is None:
        return []
    if floor >= model:
        return [f"Floor: the autoencoder's reconstruction of the *true* maps has {with_decibels(floor)}, no less than the "
                "model. The autoencoder holds the model back."]  # fmt: skip
    share = (floor / max(model, 1e-9)) ** 2
    text = (f"Floor: the autoencoder's reconstruction of the *true* maps has {with_decibels(floor)}. A latent model can "
            f"hardly be better than that; {100 * share:.0f} % of the model's squared error would remain if it "
            "predicted every latent exactly")  # fmt: skip
    text += ", so a better autoencoder would help most." if share >= FLOOR_DOMINATES else "."
    errors = {name: mean(result, name, HEADLINE) for name in baselines(result)}
    lower = [name for name, error in errors.items() if error is not None and error <= floor]
    if lower:
        text += f" The floor itself is not below the {listed(lower)}: the autoencoder needs more training first."
    return [text]


WORSE_IN_SIGHT_DB = 0.1  # a quarter of a grey level; less is rounding
DISTANCE_LAW = "distance law"


def sight_sentence(result: dict[str, Any]) -> str:
    """That the distance law is better in line of sight, where it is nearly exact, with both numbers; "" where it is not."""
    errors = [result["results"].get(name, {}).get("errors") for name in (MODEL, DISTANCE_LAW)]
    if not all(errors) or not all(one["in_sight"]["pixels"] for one in errors):
        return ""
    error, law = (one["in_sight"]["rmse_db"] for one in errors)
    if error - law < WORSE_IN_SIGHT_DB:
        return ""
    return (
        f"In line of sight it is worse than the distance law: {error:.2f} dB against {law:.2f} dB, "
        f"{error - law:.2f} dB more, where the distance alone says nearly all. Let it start from the formula "
        "(`estimate=path`), or give it the feature `line_of_sight`."
    )


def has_steps(result: dict[str, Any]) -> bool:
    """Whether the model samples in steps, rather than predicting by a single evaluation of its network."""
    return result["steps"] > 0 and (result["steps"], result.get("network_evaluations")) != (1, 1)


def point(result: dict[str, Any]) -> dict[str, float]:
    """What the figure shows of a result."""
    return {"steps": result["steps"], "ms_per_map": result["results"][MODEL]["ms_per_map"],
            "rmse": mean(result, MODEL, HEADLINE), "ssim": mean(result, MODEL, SSIM)}  # fmt: skip


def best_and_quickest(points: list[dict[str, float]]) -> str:
    """What is gained by the time that the best number of steps takes."""
    best = min(points, key=lambda one: one["rmse"])
    quickest = min(points, key=lambda one: one["ms_per_map"])
    steps = counted(best["steps"], "step")
    if best is quickest:
        return f"The smallest RMSE and the shortest time are those of {steps}."
    return (f"The smallest RMSE is that of {steps}, {with_decibels(best['rmse'])}, at "
            f"{best['ms_per_map'] / quickest['ms_per_map']:.1f} times the time of {counted(quickest['steps'], 'step')}, "
            f"which has {with_decibels(quickest['rmse'])}.")  # fmt: skip


def listed(names: list[str]) -> str:
    """`distance law, the line-of-sight estimate and the path estimate`."""
    return " and the ".join([", the ".join(names[:-1]), names[-1]] if names[1:] else names)


def with_decibels(error: float) -> str:
    """An error in dB, and in gain."""
    return f"{error * DB_PER_GAIN:.2f} dB ({error:.4f})"
