"""Random access to the records of one split, whether they lie in a RadioMapSeer folder or in a packed one.

Both kinds of folder give the same records in the same order. What may be drawn anew each time that a record is read:

- variant: which of the 6 masks with missing buildings is the input (`data.buildings`, RadioMapSeer's
  png/buildings_missing{1..4}/{1..6}); the gain stays that of all buildings,
- weight w, uniform in [0, 1]: the gain is w * `data.simulation` + (1 - w) * `data.mixture`, rounded to grey levels, as in
  RadioUNet (arXiv 1911.09002), where the two are DPM and IRT2,
- pixels: `data.observed_pixels` outdoor pixels, without repeats, at which the gain is known beforehand; with
  `data.observed_range` their number k is drawn first, log-uniform over k + 1.

Training draws from the seed of the stream. Reading a record by its index draws from its map and transmitter alone, so
that every evaluation sees the same input. Each draw is the same whether or not the others are used.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np

from radiodiff_jax.data.packed.contents import read_description, read_masks_description
from radiodiff_jax.data.records import Record, RecordSource
from radiodiff_jax.data.splits import ALL, CHOICE, SPLITS, check_not_empty, chosen_rule, split_by_choice, split_maps
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import Grey, Mask, Size
from radiodiff_jax.radiomapseer import (
    MAPS_KEPT,
    MISSING_VARIANTS,
    RadioMapFolder,
    content_digest,
    missing_buildings_paths,
    read_missing_buildings,
)
from radiodiff_jax.settings import DataConfig

Masks = Callable[[int, int], Mask]
"""(map, variant 1..6) -> building mask of the input."""


class FolderSource:
    """Records of the given maps of a RadioMapSeer folder."""

    def __init__(self, folder: RadioMapFolder, maps: list[int], cars: bool):
        chosen = set(maps)
        self._folder = folder
        self._pairs = [pair for pair in folder.pairs if pair[0] in chosen]
        self.size = folder.size
        self.maps = maps
        self.cars = cars

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Record:
        return self._folder.record(*self._pairs[index], cars=self.cars)


class VariedSource:
    """The records of `source`, varied. Records hold `observed` (mask) where `observed` says how many pixels at least and
    at most, and `true_buildings` where `masks` gives the input's `buildings`. Safe to read from several threads.

    `mixed` has the same radio maps by a second simulation, `computed` maps of the scenes by name (`data.computed`).
    """

    def __init__(
        self, source: RecordSource, mixed: RecordSource | None = None, masks: Masks | None = None,
        observed: tuple[int, int] | None = None, computed: Mapping[str, RecordSource] | None = None,
    ):  # fmt: skip
        self._source, self._mixed, self._masks, self._observed = source, mixed, masks, observed
        self._computed = dict(computed or {})
        self.size, self.maps, self.cars = source.size, source.maps, source.cars

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        record = self._source[index]
        return self._vary(record, index, np.random.default_rng([record["map"], record["transmitter"]]))

    def draw(self, index: int, generator: np.random.Generator) -> Record:
        """The record, varied by the generator. Raises UserError where the two simulations do not fit together."""
        return self._vary(self._source[index], index, generator)

    def _vary(self, record: Record, index: int, generator: np.random.Generator) -> Record:
        variant, weight = 1 + int(generator.integers(MISSING_VARIANTS)), generator.random()
        record = dict(record)
        if self._mixed is not None:
            record["gain"] = mix(record, self._mixed[index], weight)
        for name, maps in self._computed.items():
            record[name] = maps[index]["gain"]
        if self._observed is not None:
            record["observed"] = choose_outdoors(record["buildings"], draw_count(*self._observed, generator), generator)
        if self._masks is not None:
            record["true_buildings"] = record["buildings"]
            record["buildings"] = self._masks(int(record["map"]), variant)
        return record


def mix(record: Record, other: Record, weight: float) -> Grey:
    """weight * one gain + (1 - weight) * the other, in whole grey levels. Raises UserError for different radio maps."""
    names = [f"{one['map']}_{one['transmitter']}" for one in (record, other)]
    if names[0] != names[1]:
        raise UserError(
            f"the simulations of data.simulation and data.mixture have different radio maps ({names[0]} in one is "
            f"{names[1]} in the other); a mixture needs both gains of every transmitter"
        )
    mixed = weight * record["gain"].astype(np.float64) + (1 - weight) * other["gain"].astype(np.float64)
    return np.rint(mixed).astype(np.uint8)


def draw_count(least: int, most: int, generator: np.random.Generator) -> int:
    """A number from `least` to `most`, log-uniform over number + 1, so that few and many come up alike.

    Nothing is drawn where the two are equal: a model of many numbers sees at a given one what a model of this one sees.
    """
    if least == most:
        return least
    grown = (least + 1) * ((most + 2) / (least + 1)) ** generator.random()
    return min(int(grown) - 1, most)


def choose_outdoors(buildings: Mask, count: int, generator: np.random.Generator) -> Mask:
    """A mask of `count` random outdoor pixels (of all of them, where there are no more)."""
    outdoors = np.flatnonzero(~buildings)
    chosen = generator.choice(outdoors, min(count, len(outdoors)), replace=False, shuffle=False)
    mask = np.zeros(buildings.size, bool)
    mask[chosen] = True
    return mask.reshape(buildings.shape)


def open_source(
    data_path: str | Path, split: str, simulation: str = "DPM", cars: bool = False, rule: str = "auto",
    maps: tuple[int, ...] = (), hold_out: tuple[int, ...] = (),
) -> RecordSource:  # fmt: skip
    """The records of `split` (train, validation or test) of a RadioMapSeer folder or of a packed one.

    `all` are those of every map of a RadioMapSeer folder, for a set that no model was trained on.
    `rule` says how maps are split (see `splits.split_maps`); a packed folder has its rule already. `maps` and `hold_out`
    choose layouts in place of a rule (see `splits.split_by_choice`). Raises UserError if the folder, the simulation, the
    cars or the split's maps are missing, and for a choice among the layouts of a packed folder.
    """
    if split not in SPLITS and (split != ALL or is_packed(data_path)):
        raise UserError(f"there is no split '{split}'; choose one of {', '.join(SPLITS)}, or {ALL} for an unpacked folder")
    if is_packed(data_path):
        if maps or hold_out:
            raise UserError(
                f"{data_path} is packed, with its split; data.maps and data.hold_out need the folder that it was made from"
            )
        from radiodiff_jax.data.packed.source import PackedSource  # loads TFDS: a second that a plain folder saves

        return PackedSource(Path(data_path), split, simulation, cars, rule)
    folder = RadioMapFolder(data_path, simulation)
    if cars and not folder.has_cars:
        raise UserError(f"{folder.root} has no car masks (png/cars); set data.cars to false or add them")
    if split == ALL:
        return FolderSource(folder, folder.maps, cars)
    if maps or hold_out:
        parts, rule = split_by_choice(folder.maps, maps, hold_out, folder.root), CHOICE
    else:
        parts, rule = split_maps(folder.maps, rule), chosen_rule(folder.maps, rule)
    check_not_empty(parts, split, rule, folder.root)
    return FolderSource(folder, parts[split], cars)


def validates(data_path: str | Path, settings: DataConfig) -> bool:
    """Whether a training keeps maps to validate on: not by RadioDiff's rule, nor where `data.maps` names every layout."""
    if not (settings.maps or settings.hold_out):
        return settings.split != "radiodiff"
    folder = RadioMapFolder(data_path, settings.simulation)
    return bool(split_by_choice(folder.maps, settings.maps, settings.hold_out, folder.root)["validation"])


def open_varied_source(data_path: str | Path, split: str, settings: DataConfig, size: Size | None = None) -> RecordSource:
    """The records of a split as `settings` ask for them; those of `open_source` where nothing is to be varied.

    Raises UserError as `open_source` does, for missing gains or masks of what is varied, and for images that are not of
    `size` (height, width), if one is given.
    """
    rule = settings.split, settings.maps, settings.hold_out
    source = open_source(data_path, split, settings.simulation, settings.cars, *rule)
    if size is not None and tuple(source.size) != tuple(size):
        raise UserError(
            f"the maps of {data_path} are {source.size[0]} x {source.size[1]} pixels, but image_size is "
            f"{list(size)}; add image_size=[{source.size[0]},{source.size[1]}] to the command"
        )
    mixed = masks = None
    if settings.mixture is not None:
        mixed = open_source(data_path, split, settings.mixture, False, *rule)
        if len(mixed) != len(source) or mixed.maps != source.maps:
            raise UserError(
                f"{data_path} has {len(source)} radio maps by {settings.simulation} and {len(mixed)} by "
                f"{settings.mixture} for {split}; a mixture needs both gains of every transmitter"
            )
    if settings.buildings != "complete":
        masks = open_masks(Path(data_path), split, settings, source.size)
    computed = {name: open_computed(data_path, split, name, rule, source) for name in settings.computed}
    return vary(source, mixed, masks, settings.observed, computed)


def open_computed(data_path: str | Path, split: str, name: str, rule: tuple, source: RecordSource) -> RecordSource:
    """The maps of a split's scenes that were computed beforehand. Raises UserError where they are not there, or not all."""
    remedy = f"compute them with `python -m experiments.dataset compute --root {data_path}`"
    if is_packed(data_path):
        remedy = f"compute them in the folder that it was made from, and pack it again with --simulation ... {name}"
    try:
        found = open_source(data_path, split, name, False, *rule)
    except UserError as error:
        raise UserError(f"{data_path} has no maps {name} of its scenes, which data.computed asks for ({error}); {remedy}") from None
    if len(found) != len(source) or found.maps != source.maps:
        raise UserError(f"{data_path} has {len(source)} radio maps for {split}, but {len(found)} maps {name} of them; {remedy}")
    return found


def computed_there(data_path: str | Path, names: Sequence[str]) -> tuple[str, ...]:
    """Those of the maps that a data set has; a generator computes the others of each scene itself."""

    def there(name: str) -> bool:
        try:
            return bool(len(open_source(data_path, "test" if is_packed(data_path) else ALL, name)))
        except UserError:
            return False

    return tuple(filter(there, names))


def vary(
    source: RecordSource, mixed: RecordSource | None = None, masks: Masks | None = None,
    observed: tuple[int, int] | None = None, computed: Mapping[str, RecordSource] | None = None,
) -> RecordSource:  # fmt: skip
    """A `VariedSource`, or the source itself where there is nothing to vary."""
    if mixed is None and masks is None and observed is None and not computed:
        return source
    return VariedSource(source, mixed, masks, observed, computed)


def open_masks(data_path: Path, split: str, settings: DataConfig, size: Size) -> Masks:
    """Reader of the input's building masks, kept in memory. Raises UserError if the set has none."""
    if is_packed(data_path):
        from radiodiff_jax.data.packed.source import PackedMasks

        return PackedMasks(data_path, split, settings.buildings, settings.split)
    if not (data_path / "png" / f"buildings_{settings.buildings}").is_dir():
        raise UserError(
            f"{data_path} has no png/buildings_{settings.buildings}; set data.buildings to complete or add the masks"
        )
    return lru_cache(2 * MAPS_KEPT)(
        lambda number, variant: read_missing_buildings(data_path, settings.buildings, variant, number, size)
    )


def fingerprint(data_path: str | Path, simulation: str = "DPM") -> str:
    """SHA-256 of the content of a data set; a packed folder has that of the folder it was packed from."""
    if is_packed(data_path):
        return read_description(Path(data_path), simulation, cars=False)["fingerprint"]
    return RadioMapFolder(data_path, simulation).fingerprint()


def varied_fingerprint(data_path: str | Path, settings: DataConfig) -> str:
    """SHA-256 of the content of all that `settings` make training read; `fingerprint` where nothing is varied."""
    parts = [fingerprint(data_path, settings.simulation)]
    if settings.mixture is not None:
        parts.append(fingerprint(data_path, settings.mixture))
    parts += [fingerprint(data_path, name) for name in settings.computed]
    if settings.buildings != "complete":
        parts.append(masks_fingerprint(Path(data_path), settings.buildings))
    return parts[0] if len(parts) == 1 else sha256("\n".join(parts).encode()).hexdigest()


def masks_fingerprint(data_path: Path, kind: str) -> str:
    """SHA-256 over the masks with missing buildings; a packed folder has that of the folder it was packed from."""
    if is_packed(data_path):
        return read_masks_description(data_path, kind)["fingerprint"]
    return content_digest(data_path, missing_buildings_paths(data_path, kind))


def is_packed(data_path: str | Path) -> bool:
    """Whether a path looks like what `dataset build` writes, rather than a RadioMapSeer folder."""
    return (Path(data_path) / "radio_maps").is_dir()
