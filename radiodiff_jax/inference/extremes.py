"""The best, the median and the worst maps of an evaluation, predicted once more and kept as pictures."""

from collections.abc import Callable, Sequence

import numpy as np

from radiodiff_jax.data.pipeline import Batch, buildings_of, evaluation_batches
from radiodiff_jax.data.records import Record, RecordSource
from radiodiff_jax.inference.evaluation_files import KINDS
from radiodiff_jax.units import gain_to_grey

EACH = 2


def choose_extremes(errors: Sequence[float], layouts: Sequence[int], each: int = EACH) -> dict[str, list[int]]:
    """{"best", "median", "worst": indices of up to `each` maps}, each map at most once.

    `errors[i]` is the error of a map and `layouts[i]` its city; where possible every choice is of another city, because
    the transmitters of one city give similar maps.
    """
    values = np.asarray(errors, float)
    orders = {
        "best": np.argsort(values, kind="stable"),
        "worst": np.argsort(-values, kind="stable"),
        "median": np.argsort(np.abs(values - np.median(values)), kind="stable"),
    }
    chosen: dict[str, list[int]] = {kind: [] for kind in KINDS}
    taken: set[int] = set()
    for _ in range(each):
        for kind, order in orders.items():
            free = [int(i) for i in order if i not in taken]
            cities = {layouts[i] for i in taken}
            pick = next((i for i in free if layouts[i] not in cities), free[0] if free else None)
            if pick is not None:
                chosen[kind].append(pick)
                taken.add(pick)
    return chosen


def extreme_maps(
    source: RecordSource, chosen: dict[str, list[int]], predict: Callable[[Batch], np.ndarray], batch_size: int
) -> dict[str, np.ndarray]:
    """Arrays of the records `chosen` of the source, the kinds one after the other.

    {"kind": number in KINDS, "map", "transmitter", "position": (row, column), "buildings": bool [maps, height, width],
    "truth", "output": uint8 grey [maps, height, width]}
    """
    kinds = [number for number, kind in enumerate(KINDS) for _ in chosen[kind]]
    view = _Chosen(source, [index for kind in KINDS for index in chosen[kind]])
    parts: dict[str, list[np.ndarray]] = {}
    for batch in evaluation_batches(view, batch_size):
        real = batch["mask"] > 0
        found = {
            "map": batch["map"],
            "transmitter": batch["transmitter"],
            "position": batch["position"],
            "buildings": buildings_of(batch),
            "truth": batch["gain"],
            "output": gain_to_grey(predict(batch)),
        }
        for name, array in found.items():
            parts.setdefault(name, []).append(array[real])
    return {"kind": np.array(kinds, np.int8)} | {name: np.concatenate(arrays) for name, arrays in parts.items()}


class _Chosen:
    """Some records of a source."""

    def __init__(self, source: RecordSource, indices: list[int]):
        self._source, self._indices = source, indices
        self.size, self.maps, self.cars = source.size, source.maps, source.cars

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Record:
        return self._source[self._indices[index]]
