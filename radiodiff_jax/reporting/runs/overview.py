"""The page over all runs, runs/index.md, from the summaries that are kept beside run pages."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.reporting.markdown import count, counted, moment, number, page, plain, table, write_page
from radiodiff_jax.reporting.runs.analysis import axis_label, phase_name
from radiodiff_jax.reporting.runs.outputs import THUMBNAIL
from radiodiff_jax.reporting.runs.page import Summary
from radiodiff_jax.reporting.runs.run import KINDS
from radiodiff_jax.units import DB_PER_GAIN

INDEX_HEAD = ["run", "map", "verdict", "curve", "trains", "state", "phase", "steps", "best RMSE (dB)", "best SSIM", "time (min)",
              "last update"]  # fmt: skip


def write_index(runs: list[Summary], folder: Path) -> bool:
    """Write the table of all runs, the newest first; true if it changed."""
    if not runs:
        return False
    newest = sorted(runs, key=lambda run: -run["written"])
    states = ", ".join(f"{number} {word}" for word, number in Counter(run["state"] for run in runs).items())
    parts = [
        f"{counted(len(runs), 'run')}: {states}. Every page is made from the files of its run; "
        "`python -m experiments.report` updates those whose files have changed.",
        "[All runs side by side](compare.md): curves, settings, quality against cost." if len(runs) > 1 else "",
        sortable(table(INDEX_HEAD, [index_row(run, folder) for run in newest], 7)),
        "Map: what the run predicted last for its first validation map, bright where the signal is strong, buildings grey. "
        "Verdict: what the newest evaluation found, against the best formula that needs no training. RMSE and SSIM are the "
        "best of the validations in the run, *curve* is its course (logarithmic): raw protocol, all pixels, mean over a fixed "
        "set of validation maps. Click a head to sort.",
    ]
    if any(run["gone"] for run in runs):
        parts.append("*Folder gone*: the run's folder is no longer where it was; its page stays until you delete it.")
    return write_page(folder / "index.md", wide(page("Runs", *parts, description="All runs that have been reported")))


def wide(text: str) -> str:
    """A page without a table of contents beside it, to leave room for wide tables."""
    return text.replace("---\n", "---\nhide: [toc]\n", 1)


def sortable(text: str) -> str:
    """A table that the reader can sort by a click on its head."""
    return f'<div class="sortable" markdown>\n\n{text}\n</div>'


def run_link(run: Summary) -> str:
    """The run's name, linking to its page."""
    return f"[{plain(run['name'])}]({run['slug']}/index.md)"


def state_text(run: Summary) -> str:
    """The state, and whether the folder is gone."""
    return run["state"] + (" (folder gone)" if run["gone"] else "")


def steps_text(run: Summary) -> str:
    """`350 of 350`."""
    return count(run["step"]) + (f" of {count(run['planned'])}" if run["planned"] else "")


def best_value(run: Summary, name: str) -> float | None:
    """The best validation figure of a run."""
    found: Any = run["best"][name]
    return found[0] if found else None


def minutes(run: Summary) -> str:
    """Training time."""
    found = None if run["seconds"] is None else run["seconds"] / 60
    return "-" if found is None else f"{found:,.0f}" if found >= 100 else f"{found:.3g}"


def in_dB(gain: float | None) -> str:  # noqa: N802
    """An error in gain as a number of dB; "-" for none."""
    return "-" if gain is None else f"{DB_PER_GAIN * gain:.2f}"


SPARK = (72, 20, 40)  # width and height in pixels, most points


def sparkline(run: Summary) -> str:
    """The validation RMSE, else the loss, over the run as a small drawing; "-" without a curve."""
    name = next((name for name in ("validation/rmse", "loss") if name in run["curves"]), None)
    if name is None:
        return "-"
    width, height, most = SPARK
    kept = run["curves"][name]
    places = [round(i) for i in np.linspace(0, len(kept["values"]) - 1, min(most, len(kept["values"])))]
    steps, values = (np.array([kept[key][i] for i in places], float) for key in ("steps", "values"))
    values = np.log(values) if (values > 0).all() else values
    x, y = (one - one.min() for one in (steps, values))
    points = " ".join(
        f"{1 + (width - 2) * a:.1f},{height - 1 - (height - 2) * b:.1f}"
        for a, b in zip(x / max(x.max(), 1e-12), y / max(y.max(), 1e-12), strict=True)
    )
    return (f'<svg class="spark" width="{width}" height="{height}" role="img" aria-label="{axis_label(name)} over the run">'
            f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg>')  # fmt: skip


def thumbnail(run: Summary, folder: Path) -> str:
    """The newest sample's first map; "-" for a run without any."""
    place = f"{run['slug']}/{THUMBNAIL}"
    if not (folder / place).is_file():
        return "-"
    return f'![Map that {plain(run["name"])} predicted last]({place}){{ loading="lazy" .thumbnail }}'


def index_row(run: Summary, folder: Path) -> list[str]:
    """The cells of a run whose page is in a folder below `folder`."""
    return [
        run_link(run), thumbnail(run, folder), plain(run.get("verdict") or "-"), sparkline(run),
        KINDS.get(run["kind"], plain(run["kind"])), state_text(run), plain(phase_name(run["phase"], short=True)), steps_text(run),
        in_dB(best_value(run, "rmse")), number(best_value(run, "ssim")), minutes(run),
        moment(run["written"]).removesuffix(" UTC") if run["written"] else "-",
    ]  # fmt: skip
