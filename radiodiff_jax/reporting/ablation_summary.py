"""What an ablation found: means and spread over seeds, paired differences to the reference, cost, a verdict.

Read from ablation.json as `experiments.ablate` writes it (its keys are in `experiments/ablation/results.py`). All errors are
raw RMSE over all pixels, mean over the maps of a split.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from radiodiff_jax.errors import UserError
from radiodiff_jax.reading import read_json
from radiodiff_jax.reporting.evaluation_verdict import with_decibels
from radiodiff_jax.reporting.markdown import plain
from radiodiff_jax.reporting.schemas import AblationRecord
from radiodiff_jax.units import DB_PER_GAIN

FILE, VERSION = "ablation.json", 1
HEADLINE = "raw/all/rmse"
CONFIDENCE = 0.9
BETTER, WORSE, NOISE, UNKNOWN, REFERENCE = "better", "worse", "within noise", "one seed", "reference"
BESIDE = {
    BETTER: "Better than", WORSE: "Worse than", NOISE: "Not to be told from", UNKNOWN: "One seed, so not certain, beside",
}  # fmt: skip


@dataclass(frozen=True)
class Paired:
    """Mean of the differences to the reference over the seeds that both have, and its interval from two seeds on."""

    mean: float
    interval: tuple[float, float] | None
    seeds: int

    @property
    def word(self) -> str:
        """What it says of an error: better, worse, within noise, or nothing of a single seed."""
        if self.interval is None:
            return UNKNOWN
        return BETTER if self.interval[1] < 0 else WORSE if self.interval[0] > 0 else NOISE


@dataclass(frozen=True)
class Row:
    """A variant over its finished seeds; errors are those of the test split."""

    name: str
    item: dict[str, Any]
    errors: dict[int, float]
    """Seed -> RMSE."""
    mean: float
    deviation: float | None
    """Standard deviation over seeds (n - 1), from two on."""
    paired: Paired | None
    """None for the reference, and where no seed is shared with it."""
    ms_per_map: float
    """Median over seeds."""
    seconds: float
    """Of updates, mean over seeds, without what it builds on."""
    flops: float
    """Of training, mean over seeds, with what it builds on."""
    flops_before: float
    """The part of them that went into what it builds on."""
    floor: float | None

    @property
    def word(self) -> str:
        """What the comparison says."""
        return REFERENCE if self.paired is None else self.paired.word


def read_ablation(path: Path) -> dict[str, Any]:
    """The result of an ablation. Raises UserError if the file is missing, damaged or of another version."""
    cure = "make it again with `python -m experiments.ablate` of this version"
    result = read_json(path, AblationRecord, cure, "`python -m experiments.ablate` writes it")
    if result["reference"] not in [item["name"] for item in result["items"]]:
        raise UserError(f"{path} is damaged (its reference '{result['reference']}' is none of the items); {cure}")
    return result


def paired_difference(values: dict[int, float], reference: dict[int, float]) -> Paired | None:
    """value - reference over the seeds that both have: mean, and from two seeds on mean +- t s / sqrt(n), 90 %."""
    shared = [seed for seed in values if seed in reference]
    if not shared:
        return None
    differences = np.array([values[seed] - reference[seed] for seed in shared])
    count, mean = len(shared), float(differences.mean())
    if count < 2:
        return Paired(mean, None, count)
    half = float(student.ppf((1 + CONFIDENCE) / 2, count - 1) * differences.std(ddof=1) / math.sqrt(count))
    return Paired(mean, (mean - half, mean + half), count)


def finished_runs(item: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of an item that are finished."""
    return [run for run in item["runs"] if run["state"] == "finished"]


def evaluation_of(run: dict[str, Any], split: str, steps: int | None = None) -> dict[str, Any]:
    """The evaluation of a split: the first, or that of a number of sampling steps."""
    return next(one for one in run["evaluations"] if one["split"] == split and steps in (None, one["steps"]))


def figure_by_seed(item: dict[str, Any], name: str, split: str = "test", steps: int | None = None) -> dict[int, float]:
    """Seed -> a figure of the finished runs that have it."""
    found = {run["seed"]: evaluation_of(run, split, steps)["figures"].get(name) for run in finished_runs(item)}
    return {seed: value for seed, value in found.items() if value is not None}


def rows_of(result: dict[str, Any]) -> list[Row]:
    """The variants with a finished run, the best first."""
    items = {item["name"]: item for item in result["items"]}
    reference = figure_by_seed(items[result["reference"]], HEADLINE) if result["reference"] in items else {}
    rows = [row_of(item, items, result["reference"], reference) for item in items.values() if item["variant"]]
    return sorted((row for row in rows if row is not None), key=lambda row: row.mean)


def row_of(item: dict[str, Any], items: dict[str, Any], reference: str, of_reference: dict[int, float]) -> Row | None:
    """A variant; None where no run is finished."""
    errors, runs = figure_by_seed(item, HEADLINE), finished_runs(item)
    if not errors:
        return None
    values = np.array(list(errors.values()))
    before = flops_before(item, items)
    floors = [one["floor"] for one in (evaluation_of(run, "test") for run in runs) if one["floor"] is not None]
    return Row(
        item["name"], item, errors, float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None,
        None if item["name"] == reference else paired_difference(errors, of_reference),
        float(np.median([evaluation_of(run, "test")["ms_per_map"] for run in runs])),
        float(np.mean([run["seconds"] for run in runs])), before + float(np.mean([run["flops"] for run in runs])), before,
        float(np.mean(floors)) if floors else None,
    )  # fmt: skip


def flops_before(item: dict[str, Any], items: dict[str, Any]) -> float:
    """Training FLOPs of what an item builds on, mean over seeds."""
    total = 0.0
    for name in (item["vae"], item["start"]):
        if name is not None:
            runs = finished_runs(items[name])
            total += flops_before(items[name], items) + (
                float(np.mean([run["flops"] for run in runs])) if runs else 0.0
            )
    return total


def floor_of(rows: Sequence[Row]) -> float | None:
    """The lowest error that the latent variants can reach, if there are any."""
    return min((row.floor for row in rows if row.floor is not None), default=None)


def baselines_of(result: dict[str, Any]) -> dict[str, float]:
    """Estimate without training -> its RMSE on the test split, the best first."""
    found = {
        name: figures[HEADLINE] for name, figures in result["baselines"].get("test", {}).items() if HEADLINE in figures
    }
    return dict(sorted(found.items(), key=lambda pair: pair[1]))


# ---- in words ----


def verdict(result: dict[str, Any]) -> tuple[str, str, list[str]]:
    """(kind of box, its title, sentences): what won, what lost, what is within noise."""
    rows = rows_of(result)
    if not rows:
        return "warning", "No run is finished yet", ["Give the command again."]
    best, reference = rows[0], next((row for row in rows if row.name == result["reference"]), None)
    sentences = [f"Lowest error: **{plain(best.name)}**, RMSE {with_decibels(best.mean)}, mean over {seeds(best)}."]
    if reference is None:
        return (
            "warning",
            f"{best.name} is best so far, but the reference {result['reference']} is not finished",
            sentences,
        )
    groups = {word: [row for row in rows if row.word == word] for word in (BETTER, WORSE, NOISE, UNKNOWN)}
    for word, found in groups.items():
        if found:
            told = "; ".join(f"{plain(row.name)} ({relative(row, reference)})" for row in found)
            sentences.append(f"{BESIDE[word]} **{plain(reference.name)}**: {told}.")
    sentences += baseline_sentences(result, rows)
    unfinished = [run for item in result["items"] for run in item["runs"] if run["state"] != "finished"]
    if unfinished:
        sentences.append(f"{len(unfinished)} runs are failed or still to be made, so this may change.")
    if groups[BETTER]:
        winner = groups[BETTER][0]
        share = 100 * (1 - winner.mean / reference.mean)
        return "success", f"{winner.name} has {share:.1f} % less error than {reference.name}", sentences
    if groups[UNKNOWN]:
        return "warning", f"{best.name} is first, with one seed: another seed may turn the order", sentences
    if best is reference:
        return "note", f"No variant is better than {reference.name}", sentences
    return "note", f"No variant is measurably better than {reference.name}", sentences


def relative(row: Row, reference: Row) -> str:
    """`-8.1 %, 90 % interval -10.0 to -6.2 %` of the reference's error."""
    if row.paired is None:
        return "no seed in common"
    text = f"{100 * row.paired.mean / reference.mean:+.1f} %"
    if row.paired.interval is None:
        return text
    low, high = (100 * end / reference.mean for end in row.paired.interval)
    return f"{text}, {100 * CONFIDENCE:.0f} % interval {low:+.1f} to {high:+.1f} %"


def baseline_sentences(result: dict[str, Any], rows: Sequence[Row]) -> list[str]:
    """Which variants are no better than the best estimate without training, and the floor of the latent ones."""
    sentences, estimates = [], baselines_of(result)
    if estimates:
        name, error = next(iter(estimates.items()))
        worse = [plain(row.name) for row in rows if row.mean >= error]
        told = f"no better than that: {', '.join(worse)}" if worse else "every variant is better"
        sentences.append(f"The {plain(name)}, which needs no training, has {with_decibels(error)}; {told}.")
    floor = floor_of(rows)
    if floor is not None:
        latent = {item["name"] for item in result["items"] if item.get("vae")}
        below = [plain(row.name) for row in rows if row.name in latent and row.mean < floor]
        sentences.append(f"The autoencoder's reconstruction of the *true* maps has {with_decibels(floor)}: "
                         + (f"{', '.join(below)} are below it, as they change an estimate and rebuild no map." if below
                            else "latent variants can hardly be better."))  # fmt: skip
    return sentences


def seeds(row: Row) -> str:
    """`3 seeds`."""
    return f"{len(row.errors)} seed{'s' if len(row.errors) > 1 else ''}"


def in_decibels(paired: Paired | None) -> tuple[str, str]:
    """(a difference in dB, its interval); "-" for what is not known."""
    if paired is None:
        return "-", "-"
    ends = [f"{DB_PER_GAIN * end:+.3f}" for end in paired.interval or ()]
    return f"{DB_PER_GAIN * paired.mean:+.3f}", " to ".join(ends) or "-"


def rank_lines(result: dict[str, Any]) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of a table for the terminal, the best variant first."""
    head = [
        "test split",
        "RMSE (dB)",
        "RMSE raw",
        "+- over seeds (dB)",
        "difference (dB)",
        "90 % interval (dB)",
        "is",
        "ms a map",
        "train (s)",
        "TFLOP",
    ]
    rows = []
    for row in rows_of(result):
        spread = "-" if row.deviation is None else f"{DB_PER_GAIN * row.deviation:.3f}"
        rows.append([
            row.name, f"{DB_PER_GAIN * row.mean:.2f}", row.mean, spread, *in_decibels(row.paired), row.word,
            f"{row.ms_per_map:.1f}", f"{row.seconds:.0f}", f"{row.flops / 1e12:.3g}",
        ])  # fmt: skip
    rows += [[name, f"{DB_PER_GAIN * error:.2f}", error, None, "-", "-", "no training", "-", "-", "-"]
             for name, error in baselines_of(result).items()]  # fmt: skip
    return head, rows
