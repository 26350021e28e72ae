"""The evaluations of a run: their pages are another room's work, here they get a line each."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.markdown import counted, plain
from radiodiff_jax.reporting.runs.read_folder import written
from radiodiff_jax.reporting.runs.run import Run
from radiodiff_jax.reporting.runs.words import count, decibels, number

PREDICTORS = ("model", "autoencoder")  # the first that is in an evaluation is the run's own


class Evaluation(NamedTuple):
    """An evaluation JSON: the name of its page, or the sentence why there is none, and its figures that fit on a line."""

    stem: str
    page: str
    problem: str
    figures: dict[str, Any] | None


def write_evaluations(run: Run, folder: Path, card: dict[str, Any] | None = None) -> list[Evaluation]:
    """Write the page of every evaluation of the run into its page's folder.

    `card` is the run's card as the same code made it last: pages that it names and that are newer than all files of all
    evaluations stay (a page also shows the other evaluations).
    """
    known = {one["stem"]: one["page"] for one in (card or {}).get("evaluations", [])}
    newest = max((written(file) for file in (run.path / "evaluation").glob("*.*")), default=0.0)
    return [write_evaluation(path, folder, known.get(path.stem), newest) for path in run.evaluations]


def write_evaluation(path: Path, folder: Path, known: str | None, newest: float) -> Evaluation:
    """One of them; `known` is the name of the page that it has, `newest` when the evaluations' files changed last."""
    if known and written(folder / known) > newest:
        return Evaluation(path.stem, known, "", evaluation_figures(path))
    # Imported here: it draws maps, and most runs have no evaluations.
    from radiodiff_jax.reporting.evaluation_pages import write_evaluation_page

    try:
        page = write_evaluation_page(path, folder).name
    except UserError as error:
        return Evaluation(path.stem, "", str(error), None)
    return Evaluation(path.stem, page, "", evaluation_figures(path))


def evaluation_figures(path: Path) -> dict[str, Any] | None:
    """Split, steps, maps, mean RMSE and SSIM (raw, all pixels) and ms a map; None if the file holds something else."""
    try:
        held = json.loads(path.read_bytes())
        results = held["results"]
        name = next(name for name in PREDICTORS if name in results)
        figures = results[name]["figures"]
        return {
            "predictor": name,
            "split": str(held["split"]),
            "steps": int(held["steps"]),
            "radio_maps": int(held["radio_maps"]),
            "rmse": float(figures["raw/all/rmse"]["mean"]),
            "ssim": float(figures["raw/all/ssim"]["mean"]),
            "ms_per_map": float(results[name]["ms_per_map"]),
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, StopIteration, RecursionError):
        return None


def evaluations_section(run: Run, evaluations: list[Evaluation]) -> str:
    """A line for each evaluation, linking to its page."""
    if run.origin != "run folder":
        return ""
    if not evaluations:
        return "None yet: `python -m experiments.evaluate --run RUN --data DIR` makes one."
    return "\n".join(f"- {evaluation_line(one)}" for one in evaluations)


def evaluation_line(one: Evaluation) -> str:
    """The result in a few words."""
    if one.problem:
        return f"{plain(one.stem)}: {plain(one.problem)}."
    link, found = f"[{plain(one.stem)}]({one.page})", one.figures
    if found is None:
        return link
    steps = f"{counted(found['steps'], 'diffusion step')}, " if found["steps"] else ""
    return (
        f"{link}: {plain(found['predictor'])}, {steps}{count(found['radio_maps'])} maps of the {plain(found['split'])} "
        f"split: RMSE {number(found['rmse'])} ({decibels(found['rmse'])}), SSIM {number(found['ssim'])}, "
        f"{number(found['ms_per_map'], 3)} ms a map"
    )
