"""The first thing on a run's page: what its newest evaluation found, in dB and in a sentence.

Errors are RMSE in dB over outdoor pixels with signal (`raw/rmse_db`), mean over maps. A difference of two predictors is
taken map by map, and its 90 % interval is the bootstrap over city maps of `metrics.bootstrap_interval`: where it holds 0
there is no measurable difference. Only a run that is better than every formula without training, by more than chance,
gets the box `success`.
"""

from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.evaluation_files import evaluate_again, read_evaluation
from radiodiff_jax.reporting.evaluation_verdict import (
    AUTOENCODER,
    FLOOR_DOMINATES,
    HEADLINE,
    MODEL,
    Comparison,
    baselines,
    compare,
    has_steps,
    mean,
    own_name,
    sight_sentence,
)
from radiodiff_jax.reporting.markdown import capital, code, counted, note, plain
from radiodiff_jax.reporting.runs.run import RUN_FOLDER, Run
from radiodiff_jax.units import DB_PER_GAIN

IN_DB = "raw/rmse_db"
UNKNOWN = "not evaluated"
CITIES = {"train": "trained", "validation": "validation"}
"""What the cities of a split are to the model; those of other splits it has not seen."""


class Verdict(NamedTuple):
    """`kind` of box (`success`, `warning`, `danger`, `note`), the finding as its `title`, the same `short` for a table."""

    kind: str
    title: str
    sentences: list[str]
    short: str


class Against(NamedTuple):
    """The run's prediction against a formula, in dB: the error without training less the own one, so that + is better."""

    name: str
    gain_db: float
    interval: tuple[float, float] | None
    """90 % interval of `gain_db`; None for a single city, or where the file has no values of single maps."""
    own_db: float
    other_db: float

    @property
    def word(self) -> str:
        """`better`, `worse`, or `same` where the interval holds 0."""
        if self.interval is not None and self.interval[0] <= 0 <= self.interval[1]:
            return "same"
        return "better" if self.gain_db > 0 else "worse"

    @property
    def text(self) -> str:
        """`3.9 dB better than the line-of-sight estimate`."""
        if self.word == "same":
            return f"no measurable difference from the {self.name}"
        return f"{decibels(abs(self.gain_db))} {self.word} than the {self.name}"

    @property
    def between(self) -> str:
        """`(90 % interval 3.6 to 4.2 dB)`, in the direction of the text."""
        if self.interval is None:
            return ""
        low, high = self.interval if self.word != "worse" else (-self.interval[1], -self.interval[0])
        digits = 2 if max(abs(low), abs(high)) < 1 else 1
        return f" (90 % interval {low:.{digits}f} to {high:.{digits}f} dB)"


def run_verdict(run: Run) -> Verdict | None:
    """What the newest evaluation that can be read found; None for what is no run folder, which has no evaluations."""
    if run.origin != RUN_FOLDER:
        return None
    command = code(f"python -m experiments.evaluate --run {run.path} --data DIR")
    result, problems = newest_result(run)
    if result is None:
        how = f"{command} judges it on cities that it has not seen, beside formulas that need no training."
        title = "Not evaluated yet: nobody knows how good this run is"
        return Verdict("note", title, [*map(plain, problems), how], UNKNOWN)
    try:
        found = result_verdict(result)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        how = f"It is damaged ({type(error).__name__}); {command} makes it again."
        return Verdict("warning", "The newest evaluation cannot be judged", [how], UNKNOWN)
    return found._replace(sentences=[*found.sentences, *map(plain, problems)])


def newest_result(run: Run) -> tuple[dict[str, Any] | None, list[str]]:
    """(the newest evaluation that can be read, what is wrong with the others).

    Of the results of one command, one a number of steps, that of the run's own setting counts, else the fewest steps.
    """
    own = ((run.settings or {}).get("objective") or {}).get("sampling_steps")
    found, problems = [], []
    for path in run.evaluations:
        try:
            result = read_evaluation(path)
            found.append((moment_of(result, path), result["steps"] == own, -result["steps"], path.name, result))
        except (UserError, OSError) as error:
            problems.append(str(error))
    return (max(found, key=lambda one: one[:4])[4] if found else None), problems


def moment_of(result: dict[str, Any], path: Path) -> float:
    """When the evaluation was made, in seconds since 1970; of files that do not say it, when they were written."""
    try:
        return datetime.fromisoformat(result["evaluated"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return path.stat().st_mtime


def result_verdict(result: dict[str, Any]) -> Verdict:
    """What one evaluation found."""
    own, again = own_name(result), code(evaluate_again(result))
    found = [one for name in baselines(result) if (one := against(result, name)) is not None]
    where = f"on {counted(result['layouts'], *cities(result['split']))}"
    error = own_decibels(result, own)
    if error is None:
        return Verdict("warning", "The newest evaluation has no error in dB", [f"Evaluate again: {again}."], UNKNOWN)
    sentences = [f"{capital_own(result, own)}: RMSE {decibels(error)} {where} (outdoor pixels with signal, mean over "
                 f"{counted(result['radio_maps'], 'radio map')})."]  # fmt: skip
    if not found:
        sentences.append(f"No formula was evaluated beside it, so there is nothing to judge by; {again} does.")
        return Verdict("warning", f"RMSE {decibels(error)} {where}, compared with nothing", sentences, "not compared")
    best = min(found, key=lambda one: one.other_db)
    rest = [one for one in found if one is not best]
    sentences += [f"The {best.name}, the best formula without training, has {decibels(best.other_db)}."]
    sentences += [f"The {one.name} has {decibels(one.other_db)}: {one.text}{one.between}." for one in rest]
    sight = sight_sentence(result)
    sentences += [one for one in (sight, floor_sentence(result), sureness_sentence(result, own)) if one]
    kind = kind_of(result, found)
    kind = "warning" if sight and kind == "success" else kind
    sentences += what_to_do(result, own, best, kind)
    title = f"{capital(best.text)} {where}{best.between}"
    if own == AUTOENCODER:
        title = f"The autoencoder gives true maps back with an RMSE of {decibels(error)} {where}: {best.text}{best.between}"
    return Verdict(kind, title, sentences, f"{best.text.replace(' the ', ' ')}{'' if kind != 'note' else ' (trained cities)'}")


def against(result: dict[str, Any], name: str) -> Against | None:
    """The run's prediction against a formula; by the raw RMSE over all pixels where the file has none in dB."""
    found, unit = compare(result, name, IN_DB), 1.0
    if found is None:
        found, unit = compare(result, name, HEADLINE), DB_PER_GAIN
    return None if found is None else in_decibels(found, unit)


def in_decibels(found: Comparison, unit: float) -> Against:
    """A comparison in dB, `unit` of which is one of the figure."""
    interval = None if found.interval is None else (-unit * found.interval[1], -unit * found.interval[0])
    return Against(found.other, -unit * found.difference, interval, unit * found.own_error, unit * found.other_error)


def own_decibels(result: dict[str, Any], name: str) -> float | None:
    """RMSE of a predictor in dB."""
    error, other = mean(result, name, IN_DB), mean(result, name, HEADLINE)
    return error if error is not None or other is None else DB_PER_GAIN * other


def kind_of(result: dict[str, Any], found: list[Against]) -> str:
    """`danger` where a formula is better, `success` only where the run is better than all of them by more than chance."""
    words = {one.word for one in found}
    if "worse" in words:
        return "danger"
    if "same" in words or any(one.interval is None for one in found):
        return "warning"
    return "note" if result["split"] == "train" else "success"


def what_to_do(result: dict[str, Any], own: str, best: Against, kind: str) -> list[str]:
    """What follows, unless all is well."""
    told = []
    if kind == "danger" and own == MODEL:
        told.append(f"Do not use this run as it is: the {best.name} costs nothing and is at least as good. Train it longer or "
                    "on more cities, and let it start from the formula with `estimate=path` where it does not.")  # fmt: skip
    elif kind == "danger":
        told.append("A generator on its latents can hardly be better than that; train the autoencoder longer first.")
    elif best.word == "same":
        told.append(f"Which of the two is better is not known after {counted(result['layouts'], 'city', 'cities')}: evaluate "
                    "on more, or train longer.")  # fmt: skip
    if best.interval is None:
        told.append("Nothing is known of the spread between cities: evaluate on several." if result["layouts"] == 1 else
                    "The file has no values of single maps, so nothing is known of the spread between cities.")  # fmt: skip
    if result["split"] == "train":
        told.append("These cities were trained on; how good the run is elsewhere is told by `--split test`.")
    return told


def floor_sentence(result: dict[str, Any]) -> str:
    """The autoencoder's floor, where it is what limits a latent model."""
    if own_name(result) != MODEL or AUTOENCODER not in result["results"]:
        return ""
    model, floor = (own_decibels(result, name) for name in (MODEL, AUTOENCODER))
    if model is None or floor is None or model <= 0:
        return ""
    share = min((floor / model) ** 2, 1.0)
    if share < FLOOR_DOMINATES:
        return ""
    return (
        f"The limit is the autoencoder: true maps come back from its latents with {decibels(floor)}, which is "
        f"{100 * share:.0f} % of the model's squared error. A better autoencoder helps more than a longer training."
    )


def sureness_sentence(result: dict[str, Any], own: str) -> str:
    """Whether the model is as sure as it may be, where it says how sure it is."""
    told = result["results"][own].get("spread")
    if not told:
        return ""
    # Imported here: it draws, and most runs say nothing of it.
    from radiodiff_jax.reporting.evaluation_spread import spread_sentence

    return f"How sure it is. {spread_sentence(told)}"


def cities(split: str) -> tuple[str, str]:
    """`unseen city`, `unseen cities`."""
    word = CITIES.get(split, "unseen")
    return f"{word} city", f"{word} cities"


def capital_own(result: dict[str, Any], own: str) -> str:
    """What is judged, as the beginning of a sentence."""
    if own == AUTOENCODER:
        return "The true map through the autoencoder and back"
    samples = result.get("samples", 1)
    steps = f", {counted(result['steps'], 'sampling step')}" if has_steps(result) else ""
    return f"The model{steps}{f', mean of {samples} samples' if samples > 1 else ''}"


def decibels(error: float) -> str:
    """`3.9 dB`, `0.68 dB`."""
    return f"{error:.{2 if abs(error) < 1 else 1}f} dB"


def verdict_box(found: Verdict | None) -> str:
    """The box that a page opens with; "" for what has no verdict."""
    return "" if found is None else note(found.kind, found.title, "\n".join(f"- {one}" for one in found.sentences))
