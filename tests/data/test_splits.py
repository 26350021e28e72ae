"""Splits: by map, disjoint, exactly the published ones."""

import numpy as np
import pytest

from radiodiff_jax.data.splits import SPLITS, chosen_rule, folds, split_maps
from radiodiff_jax.errors import UserError


def sizes(split):
    return [len(split[name]) for name in SPLITS]


def test_radiounet_is_the_published_split():
    split = split_maps(range(701), "radiounet")
    assert sizes(split) == [501, 100, 99]
    np.random.seed(42)  # as the published code has it
    order = np.arange(0, 700, 1, dtype=np.int16)
    np.random.shuffle(order)
    assert split["train"] == sorted((order[:501] + 1).tolist())
    assert split["validation"] == sorted((order[501:601] + 1).tolist())
    assert split["test"] == sorted((order[601:700] + 1).tolist())


def test_radiodiff_has_no_overlap_and_no_validation():
    split = split_maps(range(701), "radiodiff")
    assert sizes(split) == [600, 0, 100]
    assert set(split["test"]) > set(split_maps(range(701), "radiounet")["test"])


@pytest.mark.parametrize("rule", ["auto", "radiounet", "radiodiff", "by_map"])
def test_parts_are_disjoint_and_published_ones_leave_map_0_out(rule):
    split = split_maps(range(701), rule)
    together = sum((split[name] for name in SPLITS), [])
    assert len(together) == len(set(together)) == (701 if rule == "by_map" else 700)
    assert (0 in together) == (rule == "by_map")


@pytest.mark.parametrize(
    "count, expected",
    [(1, [1, 0, 0]), (2, [2, 0, 0]), (3, [1, 1, 1]), (4, [2, 1, 1]), (12, [10, 1, 1]), (40, [32, 4, 4])],
)
def test_by_map_is_80_10_10_with_a_map_for_everyone_from_3_on(count, expected):
    assert sizes(split_maps(range(count), "by_map")) == expected


def test_by_map_depends_on_the_set_of_numbers_alone():
    numbers = [3, 14, 15, 92, 65, 35]
    assert split_maps(numbers, "by_map") == split_maps(numbers[::-1] * 2, "by_map")


def test_auto_tells_the_real_set_from_others():
    assert chosen_rule(range(701), "auto") == chosen_rule(range(50, 660), "auto") == "radiounet"
    assert chosen_rule(range(599), "auto") == chosen_rule(range(1000), "auto") == "by_map"
    assert split_maps(range(701)) == split_maps(range(701), "radiounet")


def test_missing_maps_are_left_out():
    split = split_maps(range(1, 650), "radiounet")
    assert sum(sizes(split)) == 649


def test_unknown_rule():
    with pytest.raises(UserError, match="no split rule 'half'; choose one of auto, radiounet"):
        split_maps(range(5), "half")


def test_folds_deal_every_map_once():
    parts = folds([3, 1, 4, 10, 5, 9, 2], 3)
    assert sorted(map(len, parts)) == [2, 2, 3] and sorted(sum(parts, [])) == [1, 2, 3, 4, 5, 9, 10]
    assert parts == folds([10, 9, 5, 4, 3, 2, 1], 3), "whatever the order they come in"
    assert parts != folds([3, 1, 4, 10, 5, 9, 2], 3, seed=1)
    for count in (1, 8):
        with pytest.raises(UserError, match=f"7 layouts cannot be dealt into {count} folds; choose 2 to 7 folds"):
            folds([3, 1, 4, 10, 5, 9, 2], count)
