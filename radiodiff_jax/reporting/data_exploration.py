"""One or two RadioMapSeer folders looked at: an explore folder with numbers.json and figures, all that a page needs."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.data.checks.check import check_folder
from radiodiff_jax.data.checks.city_statistics import layout_table, pooled
from radiodiff_jax.data.checks.compare import compare_shared
from radiodiff_jax.data.checks.survey import MOST, Survey, survey_curves, survey_folder, survey_numbers, survey_splits
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.radiomapseer import RadioMapFolder, simulations_in
from radiodiff_jax.reporting.data_figures import save_curves, save_differences, save_samples
from radiodiff_jax.reporting.layout_figures import save_layouts

NUMBERS = "numbers.json"
VERSION = 3
MOST_LAYOUTS = 200  # city maps whose layouts are measured: a few seconds
IMAGES_OPENED = 4000  # by the check: some seconds
FINDINGS_KEPT = 100


def explore(
    root: Path, simulation: str, out: Path, simulated: Path | None = None, most: int = MOST, progress: bool = True
) -> dict[str, Any]:
    """Survey `root`, and `simulated` beside it; write figures and then numbers.json into `out`; returns the numbers.

    At most `most` radio maps of each folder are read. Raises UserError where a folder cannot be used.
    """
    folder = RadioMapFolder(root, simulation)
    other = None if simulated is None else open_simulated(simulated, simulation)
    surveys = [survey_folder(folder, most)] + ([survey_folder(other, most)] if other else [])
    labels = ("real", "simulated") if other else (root.resolve().name,)
    sets = [as_set(survey, label) for survey, label in zip(surveys, labels, strict=True)]
    save_samples(folder, surveys[0].pairs, out / "samples")
    comparison = None
    if other:
        save_samples(other, surveys[1].pairs, out / "samples-simulated")
        comparison = compare_shared(folder, other)
    if comparison:
        save_differences(folder, other, told_apart(comparison["maps"]), out / "differences", labels)
    save_curves(sets, out)
    layouts = [layouts_of(survey) for survey in surveys]
    save_layouts(layouts, labels, out / "layouts")
    numbers = {
        "version": VERSION,
        "name": out.resolve().name,
        "explored": datetime.now(UTC).isoformat(timespec="seconds"),
        "most": most,
        "sets": sets,
        "layouts": layout_table(layouts),
        "splits": survey_splits(surveys[0]),
        "check": checked(folder),
        "comparison": comparison,
    }
    write_json(out / NUMBERS, numbers)
    return numbers


def open_simulated(root: Path, simulation: str) -> RadioMapFolder:
    """The folder's maps of the same simulation, or else of the first that it has."""
    there = simulations_in(root)
    if not there:
        raise UserError(f"{root} has no radio maps below gain/; `python -m experiments.dataset simulate` makes some")
    return RadioMapFolder(root, simulation if simulation in there else there[0])


def layouts_of(survey: Survey) -> dict[str, np.ndarray]:
    """Statistics of the layouts of the city maps that were read, at most `MOST_LAYOUTS` of them, evenly spread."""
    maps = sorted({number for number, _ in survey.pairs})
    places = np.linspace(0, len(maps) - 1, min(MOST_LAYOUTS, len(maps))).round().astype(int)
    return pooled(survey.folder.buildings(maps[place]) for place in places)


def as_set(survey: Survey, label: str) -> dict[str, Any]:
    """What is kept of one folder."""
    return {
        "label": label,
        "root": str(survey.folder.root),
        "simulation": survey.folder.simulation,
        "facts": survey_numbers(survey),
        "faults": survey.faults[:FINDINGS_KEPT],
        "curves": survey_curves(survey),
    }


def checked(folder: RadioMapFolder) -> dict[str, Any]:
    """What the check of the folder found; names of all files, images of some maps."""
    simulations = simulations_in(folder.root)
    images = 2 + (1 + len(simulations)) * -(-len(folder.pairs) // len(folder.maps))
    opened = min(len(folder.maps), max(1, IMAGES_OPENED // images))
    findings = check_folder(folder.root, most_maps=opened)
    return {
        "simulations": simulations,
        "maps_opened": opened,
        "errors": sum(finding.severity == "error" for finding in findings),
        "warnings": sum(finding.severity == "warning" for finding in findings),
        "findings": [finding.to_json() for finding in findings[:FINDINGS_KEPT]],
    }


def told_apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The nearest, the middle and the farthest of rows in rising order of their error, each once, with a title."""
    places = {0: "nearest", len(rows) // 2: "median", len(rows) - 1: "farthest"}
    return [rows[place] | {"title": title} for place, title in sorted(places.items())]
