"""Words and table cells of evaluation pages."""

import re
from pathlib import Path
from typing import Any

from radiodiff_jax.inference.evaluation_files import evaluate_again
from radiodiff_jax.reporting.evaluation_verdict import own_name
from radiodiff_jax.reporting.markdown import plain

WHO = {
    "model": "the run's prediction from the scene",
    "autoencoder": "the *true* map through the autoencoder and back: the floor of a latent model",
    "distance law": "path gain by distance alone, buildings blanked; no training",
    "line-of-sight guess": "distance law, and 16 dB less out of sight; no training",
}


def safe_stem(path: Path) -> str:
    """The stem of a file as part of the name of a page."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.") or "result"


def ordered(result: dict[str, Any]) -> list[str]:
    """The predictors, the run's own first."""
    own = own_name(result)
    return [own, *(name for name in WHO if name in result["results"] and name != own),
            *(name for name in result["results"] if name not in WHO and name != own)]  # fmt: skip


def shown_name(result: dict[str, Any], name: str) -> str:
    """A predictor in a table; the run's own in bold."""
    return f"**{plain(name)}**" if name == own_name(result) else plain(name)


def interval(result: dict[str, Any], name: str, key: str) -> str:
    """The 90 % interval of a mean."""
    ends = result["results"][name]["figures"].get(key, {}).get("interval")
    return f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else "-"


def cell(value: float | None, key: str) -> str:
    """A figure in a table, in the digits that its unit asks for."""
    if value is None:
        return "-"
    if "share" in key:
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if key.endswith(("_db", "_m")) or key == "" else f"{value:.4f}"


def absent(what: str, result: dict[str, Any]) -> str:
    """A sentence about a part that the file lacks."""
    return f"{what} are not in this file; `{evaluate_again(result)}` writes them."


def code(text: str) -> str:
    """Text as code."""
    return f"`{' '.join(str(text).replace('`', ' ').split())}`"
