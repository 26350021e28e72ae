"""What a page of a run that goes on asks for every second: where it is, and its curves as `curves.js` draws them."""

from pathlib import Path
from typing import Any

from radiodiff_jax.reporting.runs.analysis import axis_label, counting, state
from radiodiff_jax.reporting.runs.curve_sections import drawable, loss_names
from radiodiff_jax.reporting.runs.curves import thin
from radiodiff_jax.reporting.runs.interactive import POINTS, curve
from radiodiff_jax.reporting.runs.page import eta_sentence
from radiodiff_jax.reporting.runs.run import GROWING, Run, read_folder


def stamp(folder: Path) -> str:
    """Changes with every line that the run writes. Raises OSError where the folder is gone."""
    folder.stat()
    found = [(path.stat().st_size, path.stat().st_mtime_ns) for name in GROWING if (path := folder / name).is_file()]
    return "-".join(f"{size:x}.{changed:x}" for size, changed in found) or "none"


def live_state(folder: Path) -> dict[str, Any]:
    """JSON-ready: a run folder's state, step, and curves by the titles that its page has."""
    when, run = stamp(folder), read_folder(folder)
    now = state(run)
    return {
        "stamp": when,
        "going_on": now.may_go_on,
        "sentence": " ".join(filter(None, (now.sentence, eta_sentence(run) if now.word == "running" else ""))),
        "step": run.last_step,
        "planned": run.planned,
        "curves": {title: curves(run, names) for title, names in groups(run).items()},
    }


def groups(run: Run) -> dict[str, list[str]]:
    """Titles of the page's curves -> their metrics."""
    validation = [name for name in run.series if name.startswith("validation/")]
    return {f"Losses of {run.name}": loss_names(run), f"Validation of {run.name}": validation}


def curves(run: Run, names: list[str]) -> list[dict[str, Any]]:
    """Metrics that have a curve, thinned."""
    return [curve(axis_label(name), thin(counting(run, name), POINTS)) for name in drawable(run, names)]
