"""Drawings of the site's hand-written pages, made from the code that the pages tell of: `draw_all`."""

from collections.abc import Callable, Iterator
from pathlib import Path

from matplotlib.figure import Figure

from radiodiff_jax.reporting.drawings import curves, plans
from radiodiff_jax.reporting.style import WEBP, save_pixel_pair, save_svg_pair

LINES: dict[str, Callable[[], Figure]] = {
    "grey-scale": curves.grey_scale, "learning-rates": curves.learning_rates, "moving-average": curves.moving_average,
    "hinge-losses": curves.hinge_losses, "evidence": curves.evidence, "intervals": curves.intervals,
    "scale-loss": curves.scale_loss, "paths": curves.paths, "low-pass": curves.low_pass, "windows": curves.attention_windows,
    "mesh": curves.mesh, "protocols": curves.protocols,
}  # fmt: skip
"""Name -> drawing of lines, kept as a pair of SVG."""
MAPS: dict[str, Callable[[], Figure]] = {
    "scene": plans.scene, "symmetries": plans.symmetries, "estimates": plans.estimates, "dominant-paths": plans.dominant_paths,
    "prediction-windows": plans.prediction_windows, "noising": plans.noising,
}  # fmt: skip
"""Name -> drawing with maps in it, kept as a pair of WebP."""


def draw_all(folder: Path, names: list[str] | None = None) -> Iterator[Path]:
    """Draw those of these names (all of them) into a folder, and yield the files as they are written."""
    for name, draw in LINES.items():
        if names is None or name in names:
            yield from save_svg_pair(folder / name, draw)
    for name, draw in MAPS.items():
        if names is None or name in names:
            yield from save_pixel_pair(folder / name, draw, WEBP)
    if names is None or "city" in names:
        yield from plans.save_cities(folder)
