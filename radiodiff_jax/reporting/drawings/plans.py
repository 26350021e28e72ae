"""Drawings with maps and plans in them: a scene, its symmetries, formulas without training, paths, windows, noise, cities."""

from functools import cache
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from radiodiff_jax.features import Scene, line_of_sight_gain, path_gain
from radiodiff_jax.files import write_whole
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.inference.scene import simulated_scene
from radiodiff_jax.inference.windows import windows
from radiodiff_jax.metrics import map_figures
from radiodiff_jax.reporting.map_figures import BUILDINGS, GAIN_MAP, draw_map, mark_transmitter
from radiodiff_jax.reporting.style import BLUE, DASHES, GREEN, VERMILION, plt
from radiodiff_jax.simulation import city, place_transmitters, prepare
from radiodiff_jax.simulation.dominant_path.field_numba import last_bends
from radiodiff_jax.units import DB_PER_GAIN, STRONGEST_DB, WEAKEST_DB, gain_to_db, grey_to_gain

PANEL = 2.1  # inches
MODEL = "dpm-regression"
CITY_SEEDS = {"slabs": 7_000_001, "houses": 7_000_004, "a grid": 7_000_007, "halls": 7_000_013, "a mixed quarter": 7_000_018,
              "open slabs": 7_000_020}  # fmt: skip
"""What the six cities of the home page are -> their seeds, which no training has seen."""


@cache
def example() -> tuple[np.ndarray, tuple[int, int], np.ndarray]:
    """(buildings, transmitter, gain in [0, 1]) of the example scene, simulated."""
    buildings, place, grey = simulated_scene()
    return buildings, place, np.asarray(grey_to_gain(grey))


def row_of(count: int, height: float = PANEL) -> tuple[Figure, list[Axes]]:
    """A figure of so many square panels side by side."""
    figure, axes = plt.subplots(1, count, figsize=(count * PANEL + 0.2, height + 0.35), layout="constrained")
    return figure, list(np.atleast_1d(axes))


def bare(axes: Axes) -> None:
    """A map without numbers at its edges."""
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("")
    axes.set_ylabel("")


def draw_plan(axes: Axes, buildings: np.ndarray) -> None:
    """Buildings in grey on the ground of the page, light or dark."""
    height, width = buildings.shape
    shown = np.ma.masked_where(~buildings, buildings)
    axes.imshow(shown, cmap=ListedColormap([BUILDINGS]), interpolation="nearest", extent=(0, width, height, 0))


def draw_gain(axes: Axes, gain: np.ndarray, buildings: np.ndarray | None, title: str, place: tuple[int, int] | None = None):
    """A radio map in dB on bare axes."""
    shown = draw_map(axes, gain_to_db(gain), buildings, title, GAIN_MAP, WEAKEST_DB, STRONGEST_DB)
    bare(axes)
    if place is not None:
        mark_transmitter(axes, place)
    return shown


def scene() -> Figure:
    """What a sample is: mask of buildings, transmitter, radio map."""
    buildings, place, gain = example()
    figure, (walls, sender, map_) = row_of(3)
    for axes, title in ((walls, "buildings (mask)"), (sender, "transmitter (row, column)")):
        draw_plan(axes, buildings)
        axes.set_title(title, fontsize=10)
        bare(axes)
    mark_transmitter(sender, place)
    shown = draw_gain(map_, gain, buildings, "radio map")
    figure.colorbar(shown, ax=map_, label="path gain (dB)")
    return figure


def symmetries() -> Figure:
    """The eight symmetries of the square, of one map."""
    buildings, _, gain = example()
    figure, grid = plt.subplots(2, 4, figsize=(4 * 1.6, 2 * 1.75), layout="constrained")
    for row, mirrored in zip(grid, (False, True), strict=True):
        for turns, axes in enumerate(row):
            walls, values = (np.rot90(one[:, ::-1] if mirrored else one, turns) for one in (buildings, gain))
            draw_gain(axes, values, walls, f"{'mirrored, ' if mirrored else ''}{90 * turns}°")
    return figure


def estimates() -> Figure:
    """Formulas without training beside the simulated map, with their errors."""
    buildings, place, gain = example()
    held = Scene(jnp.asarray(buildings)[None], jnp.asarray(place)[None])
    figure, axes = row_of(3)
    formulas = {"line-of-sight estimate": line_of_sight_gain, "path estimate": path_gain}
    for one, (name, formula) in zip(axes, formulas.items(), strict=False):
        found = np.where(buildings, 0.0, np.asarray(formula(held))[0])
        error = map_figures(gain, found, buildings)["raw/all/rmse"]
        draw_gain(one, found, buildings, f"{name}\nRMSE {DB_PER_GAIN * error:.1f} dB")
    shown = draw_gain(axes[2], gain, buildings, "simulated\n(the truth here)", place)
    figure.colorbar(shown, ax=axes[2], label="path gain (dB)")
    return figure


def dominant_paths() -> Figure:
    """The dominant paths to a few receivers on the plan of a city, as the simulator finds them."""
    layout = city(CITY_SEEDS["a mixed quarter"], 256, 256)
    row, column = (int(one) for one in place_transmitters(layout.buildings, 1, CITY_SEEDS["a mixed quarter"])[0])
    prepared = prepare(layout.buildings, layout.polygons)
    bends = last_bends(prepared, row, column)
    figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    draw_plan(axes, layout.buildings)
    bare(axes)
    seen: set[str] = set()
    for receiver in receivers_of(layout.buildings, bends, (row, column)):
        for begin, end, over in legs(bends, receiver, (row, column)):
            label = "over the roofs" if over else "on the ground"
            axes.plot([begin[1] + 0.5, end[1] + 0.5], [begin[0] + 0.5, end[0] + 0.5], color=VERMILION if over else BLUE,
                      linestyle=DASHES[1] if over else "-", linewidth=1.8, label="" if label in seen else label)  # fmt: skip
            seen.add(label)
        label = "" if "receiver" in seen else "receiver"
        axes.plot(receiver[1] + 0.5, receiver[0] + 0.5, "o", color=GREEN, markersize=6, label=label)
        seen.add("receiver")
    mark_transmitter(axes, (row, column))
    handles, labels = axes.get_legend_handles_labels()
    told = [pair for pair in zip(handles, labels, strict=True) if pair[1] != "transmitter"]  # white on white
    figure.legend(*zip(*told, strict=True), loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def receivers_of(buildings: np.ndarray, bends, place: tuple[int, int]) -> list[tuple[int, int]]:
    """Eight receivers around the plan: of every ninth part but the transmitter's own, one out of sight where there is one."""
    size, found = buildings.shape[0] // 3, []
    away = np.abs(bends.place - np.array(place)).sum(-1) > 1.0
    for part in range(9):
        top, left = (part // 3) * size, (part % 3) * size
        outdoors = np.argwhere(~buildings[top : top + size, left : left + size]) + (top, left)
        if top <= place[0] < top + size and left <= place[1] < left + size or not len(outdoors):
            continue
        hidden = outdoors[away[outdoors[:, 0], outdoors[:, 1]]]
        chosen = hidden if len(hidden) else outdoors
        middle = np.abs(chosen - (top + size // 2, left + size // 2)).sum(-1)
        found.append(tuple(int(x) for x in chosen[np.argmin(middle)]))
    return found


def legs(bends, receiver: tuple[int, int], place: tuple[int, int], most: int = 8):
    """[(begin, end, over the roofs)] from a receiver back to the transmitter."""
    here = np.array(receiver, float)
    for _ in range(most):
        pixel = tuple(np.clip(np.round(here).astype(int), 0, np.array(bends.over_roof.shape) - 1))
        turn = bends.place[pixel]
        if not np.isfinite(turn).all():
            return
        yield here, turn, bool(bends.over_roof[pixel])
        if bends.over_roof[pixel]:
            yield turn, np.array(place, float), True
            return
        if np.abs(turn - place).max() < 1.0:
            return
        here = beside(bends, turn, here)


def beside(bends, corner: np.ndarray, came_from: np.ndarray) -> np.ndarray:
    """The outdoor pixel at a corner whose own path is known, other than the corner's own shadow."""
    offsets = np.array([(i, j) for i in range(-3, 4) for j in range(-3, 4)], float)
    near = np.clip(np.round(corner + offsets).astype(int), 0, np.array(bends.over_roof.shape) - 1)
    turns = bends.place[near[:, 0], near[:, 1]]
    usable = np.isfinite(turns).all(-1) & (np.abs(turns - corner).max(-1) > 1.0)
    if not usable.any():
        return np.round(corner)
    distance = np.abs(near - corner).sum(-1) + 0.01 * np.abs(near - came_from).sum(-1)
    return near[np.argmin(np.where(usable, distance, np.inf))].astype(float)


def prediction_windows() -> Figure:
    """The windows of 256 m that a scene of 512 m is predicted in."""
    layout = city(CITY_SEEDS["a grid"], 512, 512)
    place = tuple(int(one) for one in place_transmitters(layout.buildings, 1, 1)[0])
    figure, axes = plt.subplots(figsize=(4.4, 4.1), layout="constrained")
    draw_plan(axes, layout.buildings)
    axes.grid(False)
    for number, (rows, columns) in enumerate(windows((512, 512), (256, 256), place, 3)):
        colour, corner = (BLUE, VERMILION, GREEN)[number % 3], (columns.start + 1, rows.start + 1)
        axes.add_patch(Rectangle(corner, 253, 253, fill=False, edgecolor=colour, linewidth=1.6, linestyle=DASHES[number // 3]))
    mark_transmitter(axes, place)
    axes.set_xlabel("column (m)")
    axes.set_ylabel("row (m)")
    return figure


def noising() -> Figure:
    """The decoupled process: the map goes as 1 - t, noise comes as the root of t."""
    gain = example()[2]
    gain = gain[::4, ::4]
    noise = np.random.default_rng(0).standard_normal(gain.shape)
    figure, axes = row_of(5, 1.9)
    for one, t in zip(axes, (0.0, 0.25, 0.5, 0.75, 1.0), strict=True):
        noised = (1 - t) * (2 * gain - 1) + np.sqrt(t) * noise
        one.imshow(noised, cmap=GAIN_MAP, vmin=-2, vmax=2, interpolation="nearest")
        one.set_title(f"t = {t:g}", fontsize=10)
        bare(one)
    return figure


def save_cities(folder: Path, side: int = 220) -> list[Path]:
    """city-N.webp: the shipped model's maps of six cities, without frame or words, and what they are on a line of cities.txt."""
    model, lines, written = load_generator(MODEL), [], []
    colours = (np.array(colormaps[GAIN_MAP](np.arange(256)))[:, :3] * 255).astype(np.uint8)
    wall = np.array([int(BUILDINGS[i : i + 2], 16) for i in (1, 3, 5)], np.uint8)
    for number, (name, seed) in enumerate(CITY_SEEDS.items(), start=1):
        buildings, place, grey = simulated_scene(seed)
        found = np.asarray(model.predict(buildings, place).gain)
        error = DB_PER_GAIN * map_figures(np.asarray(grey_to_gain(grey)), found, buildings)["raw/all/rmse"]
        picture = colours[np.clip(np.round(255 * found), 0, 255).astype(int)]
        picture[buildings] = wall
        picture[max(place[0] - 3, 0) : place[0] + 4, max(place[1] - 3, 0) : place[1] + 4] = 255
        image = Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS)
        path = folder / f"city-{number}.webp"
        write_whole(path, lambda temporary, image=image: image.save(temporary, format="WEBP", quality=74, method=6))
        written.append(path)
        told = f"RMSE {error:.2f} dB ({error / DB_PER_GAIN:.4f})"
        lines.append(f"{number}  {name}: seed {seed}, transmitter {place[0]},{place[1]}, {told}")
    text = "\n".join(lines) + "\n"
    write_whole(folder / "cities.txt", lambda temporary: temporary.write_text(text))
    return [*written, folder / "cities.txt"]
