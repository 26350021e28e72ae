"""What a record is: one radio map and its scene, as NumPy arrays as they are on disk.

    map, transmitter  int32 scalars
    position          int32 [2]              row and column of the transmitter
    buildings         bool [height, width]   what a model is told of; True = building
    cars              bool [height, width]   if asked for
    gain              uint8 [height, width]  path gain in grey levels
    dominant_path, reflections, diffraction   uint8 [height, width]   with `data.computed`: see `simulation.scene_maps`
    observed          bool [height, width]   of a `VariedSource`: where the gain is known beforehand
    true_buildings    bool [height, width]   of a `VariedSource`: all buildings, where `buildings` shows not all
"""

from typing import Protocol

import numpy as np

from radiodiff_jax.images import Grey, Mask, Size

Record = dict[str, np.ndarray]


class RecordSource(Protocol):
    """Records of one split by index, safe to read from several threads; sorted by (map, transmitter)."""

    size: Size
    """(height, width) of every image."""
    maps: list[int]
    """Map numbers of the split, in rising order."""
    cars: bool
    """Whether records hold car masks."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Record: ...


def scene_batch(
    buildings: Mask, transmitter: tuple[int, int], cars: Mask | None = None, observed: Mask | None = None,
    gain: Grey | None = None, computed: dict[str, Grey] | None = None,
) -> Record:  # fmt: skip
    """A batch of one scene that lies in no data set: masks [height, width], the transmitter's (row, column), and where
    the gain is `observed`, `gain` in grey levels there (elsewhere it has no part).
    `computed` are maps of `simulation.scene_maps` in grey levels.
    """
    given = {"buildings": buildings, "cars": cars, "observed": observed, "gain": gain} | (computed or {})
    images = {name: np.asarray(image)[None] for name, image in given.items() if image is not None}
    return images | {"position": np.array([transmitter], np.int32)}
