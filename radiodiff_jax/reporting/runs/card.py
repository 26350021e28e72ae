"""What the table of all runs and the comparison need of a run: a small dictionary that is kept beside its page."""

from typing import Any

import numpy as np

from radiodiff_jax.reporting.runs.analysis import best, counting, phases, state
from radiodiff_jax.reporting.runs.evaluations import Evaluation
from radiodiff_jax.reporting.runs.run import Run, is_number
from radiodiff_jax.reporting.runs.settings import flat_settings
from radiodiff_jax.reporting.runs.thinning import thin

CURVES = ("loss", "validation/rmse")
POINTS = 200  # of a curve in the comparison

Card = dict[str, Any]


def make_card(run: Run, slug: str, evaluations: list[Evaluation] = (), now: float | None = None) -> Card:
    """JSON-ready facts of a run."""
    entered = phases(run)
    return {
        "slug": slug,
        "name": run.name,
        "path": str(run.path),
        "origin": run.origin,
        "kind": run.kind,
        "state": state(run, now).word,
        "written": run.written,
        "phase": entered[-1].name if entered else "",
        "step": run.last_step,
        "planned": run.planned,
        "seconds": run.seconds,
        "best": {name: best(run, f"validation/{name}") for name in ("rmse", "nmse", "ssim")},
        "last_loss": _last(run, "loss"),
        "examples_per_s": _median(run, "examples_per_s"),
        "parameters": total_parameters(run),
        "digest": next((event.get("digest") for event in reversed(run.events) if event["event"] == "finished"), None),
        "settings": flat_settings(run.settings),
        "evaluations": [{"stem": one.stem, "page": one.page, **one.figures} for one in evaluations if one.figures],
        "curves": {name: _curve(run, name) for name in CURVES if len(run.metric(name)) > 1},
    }


def total_parameters(run: Run) -> int | None:
    """Of all networks that are trained."""
    parameters = run.details.get("parameters")
    total = parameters.get("total") if isinstance(parameters, dict) else None
    return int(total) if is_number(total) else None


def _last(run: Run, name: str) -> float | None:
    series = counting(run, name)
    return float(series.values[-1]) if len(series) else None


def _median(run: Run, name: str) -> float | None:
    series = run.metric(name)
    return float(np.median(series.values)) if len(series) else None


def _curve(run: Run, name: str) -> dict[str, list[float | None]]:
    curve = thin(run.metric(name), POINTS)
    return {
        "steps": [round(float(step), 1) for step in curve.steps],
        "seconds": [round(float(s), 1) if np.isfinite(s) else None for s in curve.seconds],
        "values": [float(f"{value:.5g}") for value in curve.middle],
    }
