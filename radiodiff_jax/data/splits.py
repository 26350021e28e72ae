"""Which maps are for training, validation and test. Always by map: transmitters of one map are not independent."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from radiodiff_jax.errors import UserError

SPLITS = ("train", "validation", "test")
ALL = "all"
"""In place of a split: every map."""
CHOICE = "data.maps and data.hold_out"
"""In place of a rule."""
RULES = ("auto", "radiounet", "radiodiff", "by_map")
REAL_MAPS = 701
Split = dict[str, list[int]]
SHOWN = 8  # maps named in an error


def split_maps(maps: Sequence[int], rule: str = "auto") -> Split:
    """The map numbers of `train`, `validation` and `test`, disjoint, in rising order; a split may be empty.

    - `radiounet` is the field's standard for the 701 maps of RadioMapSeer (RadioUNet, arXiv 1911.09002):
      501 / 100 / 99, map 0 unused.
    - `radiodiff` is RadioDiff's (arXiv 2408.08593) without its overlaps: 600 / 0 / 100, map 0 unused. The original
      trains on 601 maps, one of which is also a test map, and validates inside the test set; this one has no
      validation maps.
    - `by_map` is 80 / 10 / 10 of whatever maps there are, in an order fixed by their numbers; each part gets at least
      one map from 3 maps on, and fewer are all for training.
    - `auto` is `radiounet` if the set is RadioMapSeer (at least 600 maps, all numbered 0..700), else `by_map`.

    Maps that are not in `maps` are left out. Raises UserError for an unknown rule.
    """
    if rule not in RULES:
        raise UserError(f"there is no split rule '{rule}'; choose one of {', '.join(RULES)}")
    maps = sorted(set(maps))
    rule = chosen_rule(maps, rule)
    if rule == "by_map":
        parts = _by_map(maps)
    else:
        order = _published_order()
        parts = (order[:501], order[501:601], order[601:]) if rule == "radiounet" else (order[:600], [], order[600:])
    present = set(maps)
    return {name: sorted(present.intersection(part)) for name, part in zip(SPLITS, parts, strict=True)}


def split_by_choice(maps: Sequence[int], chosen: Sequence[int], held_out: Sequence[int], where: Path) -> Split:
    """The split of `data.maps` (trained on) and `data.hold_out` (validated and tested on), either of which may be empty.

    Where one is empty, it is all that the other leaves. Raises UserError for maps that are not there.
    """
    for name, numbers in (("maps", chosen), ("hold_out", held_out)):
        absent = sorted(set(numbers).difference(maps))
        if absent:
            raise UserError(
                f"data.{name} names layout {absent[0]}, which {where} does not have (it has "
                f"{', '.join(map(str, maps[:SHOWN]))}{', ...' if len(maps) > SHOWN else ''}); name layouts of that folder, "
                "or evaluate another folder with --split all"
            )
    train = sorted(chosen) or [number for number in maps if number not in held_out]
    rest = sorted(held_out) or [number for number in maps if number not in train]
    return {"train": train, "validation": rest, "test": rest}


def folds(maps: Sequence[int], count: int, seed: int = 0) -> list[list[int]]:
    """The maps dealt into `count` parts of nearly the same size, in an order that depends on the seed; each part sorted.

    Raises UserError for fewer than two parts or fewer maps than parts.
    """
    if not 2 <= count <= len(maps):
        raise UserError(f"{len(maps)} layouts cannot be dealt into {count} folds; choose 2 to {len(maps)} folds")
    order = np.random.RandomState(seed).permutation(sorted(maps)).tolist()
    return [sorted(order[start::count]) for start in range(count)]


def chosen_rule(maps: Sequence[int], rule: str) -> str:
    """What `auto` means for these maps; other rules as they are."""
    if rule != "auto":
        return rule
    return "radiounet" if looks_real(maps) else "by_map"


def looks_real(maps: Sequence[int]) -> bool:
    """Whether these seem to be the maps of RadioMapSeer: at least 600, all numbered 0..700."""
    return len(maps) >= 600 and min(maps) >= 0 and max(maps) < REAL_MAPS


def _published_order() -> list[int]:
    """Maps 1..700 in the order that RadioUNet and RadioDiff shuffle them into."""
    order = np.arange(0, 700)
    np.random.RandomState(42).shuffle(order)
    return (order + 1).tolist()


def _by_map(maps: list[int]) -> tuple[list[int], list[int], list[int]]:
    if len(maps) < 3:
        return maps, [], []
    order = np.random.RandomState(0).permutation(maps).tolist()
    held_out = max(1, round(0.1 * len(maps)))
    return order[2 * held_out :], order[:held_out], order[held_out : 2 * held_out]


def check_not_empty(parts: Split, split: str, rule: str, where: Path) -> None:
    """Raise UserError if the split has no maps."""
    if parts[split]:
        return
    if rule == CHOICE:
        remedy = "data.maps and data.hold_out leave none, so name fewer of them"
    elif rule == "radiodiff" and split == "validation":
        remedy = "that rule keeps no maps for validation, so set data.split to radiounet or by_map"
    elif rule == "by_map":
        remedy = "splitting needs at least 3 maps, so add or simulate more, or name those to train on as data.maps"
    else:
        remedy = "set data.split to by_map for a set that is not the whole of RadioMapSeer"
    present = sum(map(len, parts.values()))
    raise UserError(f"the {split} split of {where} is empty (rule {rule}, {present} maps): {remedy}")
