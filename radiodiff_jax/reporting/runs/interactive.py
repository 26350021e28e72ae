"""Curves that a reader can ask: the numbers of a figure as JSON in an attribute, drawn by `curves.js` (uPlot).

The picture by matplotlib stays inside the same element, for readers without scripts and for print.
"""

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from radiodiff_jax.reporting.runs.curves import Thin, thin
from radiodiff_jax.reporting.runs.run import Series

POINTS = 300  # of a curve; a few kilobytes
LOG_RATIO = 30.0  # between the largest and the smallest size from which on the axis begins logarithmic


def block(
    title: str, unit: str, series: Mapping[str, Series], picture: str, marks: Mapping[str, list[int]] | None = None,
    apart: bool = False,
) -> str:  # fmt: skip
    """Markdown of curves with their picture inside.

    `series` maps a label to its values; `marks` maps `phase`, `resumed`, `skipped`, `failed` to steps; `picture` is Markdown.
    Curves of different units are shown `apart`, one at a time, on an axis that is its own.
    """
    curves = [curve(label, thin(one, POINTS)) for label, one in series.items()]
    return element(title, unit, curves, picture, marks, apart)


def element(
    title: str, unit: str, curves: Sequence[dict[str, Any]], picture: str, marks: Mapping[str, list[int]] | None = None,
    apart: bool = False,
) -> str:  # fmt: skip
    """The element of curves that are JSON-ready: {"label", "steps", "minutes", "share", "values"}."""
    sizes = np.abs([value for one in curves for value in one["values"] if value])
    log = bool(not apart and len(sizes) and sizes.max() > LOG_RATIO * np.quantile(sizes, 0.05))
    held = {"title": title, "unit": unit, "log": log, "series": list(curves), "marks": dict(marks or {}), "apart": apart}
    text = html.escape(json.dumps(held, separators=(",", ":")))
    return (
        f'<div class="curves" data-curves="{text}" markdown>\n\n'
        f'<div class="curves__picture" markdown>\n\n{picture}\n\n</div>\n\n</div>'
    )


def curve(label: str, one: Thin) -> dict[str, Any]:
    """A thinned series, JSON-ready: steps, training time in minutes, share of its own length in per cent, values."""
    last = float(one.steps[-1]) if len(one.steps) else 0.0
    return {
        "label": html.unescape(label),
        "steps": [round(float(step), 1) for step in one.steps],
        "minutes": [None if not np.isfinite(seconds) else float(f"{seconds / 60:.5g}") for seconds in one.seconds],
        "share": [round(100 * float(step) / last, 2) if last else None for step in one.steps],
        "values": [float(f"{value:.5g}") if np.isfinite(value) else None for value in one.middle],
    }
