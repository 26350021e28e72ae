"""Maps that the processor computes of a scene before a network sees it: what a model may be told of by `data.computed`.

    dominant_path   the dominant path model
    reflections     line of sight and reflections on walls
    diffraction     one bend around a corner, out of sight of the transmitter

All are in grey levels. `write_scene_maps` puts them beside the radio maps of a folder, as ROOT/gain/NAME/{map}_{tx}.png.
"""

import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from tqdm import tqdm

from radiodiff_jax.files import is_written, output_folder
from radiodiff_jax.images import write_grey
from radiodiff_jax.radiomapseer import gain_path
from radiodiff_jax.simulation.dominant_path.field_numba import PreparedMap, path_gain_grey, prepare
from radiodiff_jax.simulation.edge_diffraction import diffracted_gain
from radiodiff_jax.simulation.scenes import read_scene, transmitters_by_map
from radiodiff_jax.simulation.wall_reflections import reflected_gain
from radiodiff_jax.units import grey_levels
from radiodiff_jax.worker_processes import run_in_processes

Grey = UInt8[np.ndarray, "height width"]
DEATH = "a process that computes maps died, most likely for want of memory; run again with fewer --workers, finished maps are kept"


SCENE_MAPS: dict[str, Callable[[PreparedMap, int, int], Grey]] = {
    "dominant_path": path_gain_grey,
    "reflections": lambda prepared, row, column: grey_levels(reflected_gain(prepared, row, column)),
    "diffraction": lambda prepared, row, column: grey_levels(diffracted_gain(prepared, row, column)),
}


def scene_maps(
    names: Sequence[str], buildings: Bool[np.ndarray, "height width"], transmitter: tuple[int, int]
) -> dict[str, Grey]:
    """The named maps of a scene; what transmitters of one city share is kept for the last cities."""
    prepared = _prepared(buildings.tobytes(), buildings.shape)
    return {name: SCENE_MAPS[name](prepared, *transmitter) for name in names}


@lru_cache(4)
def _prepared(buildings: bytes, size: tuple[int, int]) -> PreparedMap:
    return prepare(np.frombuffer(buildings, bool).reshape(size))


def write_scene_maps(root: str | Path, names: Sequence[str], workers: int = 1, progress: bool = True) -> int:
    """Write the named maps of every antenna picture of a folder that are not there yet; returns how many antennas it has.

    Buildings are the polygons traced from the masks. Raises UserError for pictures that are missing, unreadable or odd.
    """
    root = Path(root)
    for name in names:
        output_folder(gain_path(root, name, 0, 0).parent)
    transmitters = transmitters_by_map(root, False)
    jobs = [partial(_write_of_map, root, map_id, tuple(ids), tuple(names)) for map_id, ids in sorted(transmitters.items())]
    total = sum(len(ids) for ids in transmitters.values())
    with tqdm(total=total, unit=" scene", disable=not progress, smoothing=0.1) as bar:
        for written in run_in_processes(operator.call, jobs, workers, DEATH):
            bar.update(written)
    return total


def _write_of_map(root: Path, map_id: int, transmitters: tuple[int, ...], names: tuple[str, ...]) -> int:
    paths = {(tx, name): gain_path(root, name, map_id, tx) for tx in transmitters for name in names}
    missing = [place for place, path in paths.items() if not is_written(path)]
    if missing:
        buildings, places, _ = read_scene(root, map_id, sorted({tx for tx, _ in missing}), False)
        prepared = prepare(buildings)
        for tx, name in missing:
            write_grey(paths[tx, name], SCENE_MAPS[name](prepared, *places[tx]))
    return len(transmitters)
