"""Evaluations of one run with different numbers of diffusion steps: quality against time."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.evaluation_files import evaluate_again, read_evaluation
from radiodiff_jax.reporting.drawn import DrawnFigures
from radiodiff_jax.reporting.evaluation_cells import cell, safe_stem
from radiodiff_jax.reporting.evaluation_figures import save_steps
from radiodiff_jax.reporting.evaluation_verdict import HEADLINE, mean, with_decibels
from radiodiff_jax.reporting.markdown import counted, figure, table

SSIM = "raw/all/ssim"
COMPARED = (1, 2, 5)
"""Numbers of steps that a page with a single one proposes."""
HEAD = ("steps", "network evaluations", "time a map (ms)", "RMSE raw", "SSIM raw", "MAE (dB)", "sharpness ratio")


def steps_section(json_path: Path, result: dict[str, Any], figures: DrawnFigures) -> list[str]:
    """Evaluations of the same maps with other numbers of diffusion steps; nothing for an autoencoder."""
    if not result["steps"]:
        return []
    head = "## Steps, quality and time"
    found = same_but_steps(json_path, result)
    if len(found) < 2:
        more = " ".join(str(number) for number in COMPARED if number != result["steps"])
        return [head, f"Only {counted(result['steps'], 'diffusion step')} evaluated so far: `{evaluate_again(result)} {more}` "
                "evaluates others for comparison."]  # fmt: skip
    points = [point(one) for one in found.values()]
    floor = mean(result, "autoencoder", HEADLINE) if "autoencoder" in result["results"] else None
    name = f"evaluation-{safe_stem(Path(result['split']))}-steps"
    figures.draw(name, json.dumps([points, floor]), partial(save_steps, points, floor))
    rows = []
    for (path, one), place in zip(found.items(), points, strict=True):
        here = (
            f"**{one['steps']}** (this page)"
            if path == json_path
            else f"[{one['steps']}](evaluation-{safe_stem(path)}.md)"
        )
        means = (cell(mean(one, "model", key), key) for key in (HEADLINE, SSIM, "raw/mae_db", "sharpness_ratio"))
        rows.append([here, str(one["network_evaluations"]), f"{place['ms_per_map']:.3g}", *means])
    return [
        head,
        f"The same {counted(result['radio_maps'], 'radio map')} with other numbers of diffusion steps. {best_and_quickest(points)}",
        table(HEAD, rows),
        figure(f"figures/{name}", "RMSE and SSIM against the time that a map takes, a point for each number of steps"),
        "Numbers beside the points are diffusion steps. More steps need not be nearer to the truth: with one step a model "
        "tends to the mean of what it holds possible, which RMSE rewards.",
    ]


def point(result: dict[str, Any]) -> dict[str, float]:
    """What the figure shows of a result."""
    return {"steps": result["steps"], "ms_per_map": result["results"]["model"]["ms_per_map"],
            "rmse": mean(result, "model", HEADLINE), "ssim": mean(result, "model", SSIM)}  # fmt: skip


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


def same_but_steps(json_path: Path, result: dict[str, Any]) -> dict[Path, dict[str, Any]]:
    """The newest evaluation of each number of steps of the same run, split and maps in the folder, by rising steps."""
    alike = ("run", "data", "split", "radio_maps", "layouts")
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    others = [path for path in json_path.parent.glob("*.json") if path != json_path]
    for path in sorted(others, key=lambda path: path.stat().st_mtime):
        try:
            other = read_evaluation(path)
        except UserError:  # told on its own page
            continue
        if all(other[key] == result[key] for key in alike):
            found[other["steps"]] = (path, other)
    found[result["steps"]] = (json_path, result)
    return {
        path: one
        for _, (path, one) in sorted(found.items())
        if "model" in one["results"] and None not in (mean(one, "model", HEADLINE), mean(one, "model", SSIM))
    }
