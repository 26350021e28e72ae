"""Layout statistics of masks whose numbers are known by hand."""

import numpy as np
import pytest

from radiodiff_jax.data.checks.city_statistics import (
    LAYOUT_STATISTICS,
    kolmogorov_smirnov,
    layout_statistics,
    layout_table,
    pooled,
)


@pytest.fixture(scope="module")
def blocks():
    """Four blocks of 40 x 40 m, 20 m apart, the first around a courtyard of 10 x 20 m."""
    mask = np.zeros((120, 120), bool)
    for row in (10, 70):
        for column in (10, 70):
            mask[row : row + 40, column : column + 40] = True
    mask[20:30, 20:40] = False
    return mask


def test_known_blocks(blocks):
    found = layout_statistics(blocks)
    assert tuple(found) == LAYOUT_STATISTICS
    assert found["built share (%)"] == pytest.approx(100 * (4 * 1600 - 200) / 120**2)
    assert found["buildings a hectare"] == pytest.approx(4 / 1.44)
    assert sorted(found["area of a building (m²)"]) == [1400, 1600, 1600, 1600]
    assert found["edges along main directions (%)"] > 90
    assert np.median(found["street width (m)"]) == pytest.approx(20, abs=1)
    assert found["courtyards a hectare"] == pytest.approx(1 / 1.44)
    assert found["courtyards of outdoors (%)"] == pytest.approx(100 * 200 / (120**2 - 6200))
    distances = found["outdoors to the nearest building (m)"]
    assert distances.min() == 1 and distances.max() == pytest.approx(np.hypot(10, 10), abs=0.5)


def test_turned_streets_are_as_aligned_as_straight_ones_and_round_places_are_not():
    rows, columns = np.indices((128, 128)) - 63.5
    along, across = (columns + rows / 2) / np.hypot(1, 0.5), (rows - columns / 2) / np.hypot(1, 0.5)
    turned = layout_statistics((along % 50 < 30) & (across % 50 < 30))
    round_place = layout_statistics(np.abs(np.hypot(rows, columns) - 40) < 8)
    name = "edges along main directions (%)"
    assert turned[name][0] > 80
    assert round_place[name][0] == pytest.approx(100 * 20 / 90, abs=6)


def test_buildings_at_the_border_have_no_area():
    mask = np.zeros((64, 64), bool)
    mask[:20, 10:30] = True
    found = layout_statistics(mask)
    assert len(found["area of a building (m²)"]) == 0 and found["buildings a hectare"][0] > 0


@pytest.mark.parametrize("built", [False, True])
def test_empty_and_full_masks_have_numbers_too(built):
    found = layout_statistics(np.full((32, 32), built))
    assert found["built share (%)"][0] == 100 * built
    assert len(found["street width (m)"]) == 0 == len(found["edges along main directions (%)"])
    assert layout_table([found])[4]["sets"][0]["50"] is None


def test_distance_between_sets(blocks):
    assert kolmogorov_smirnov(np.arange(10), np.arange(10)) == 0
    assert kolmogorov_smirnov(np.arange(10), np.arange(20, 30)) == 1
    assert kolmogorov_smirnov(np.arange(10), np.arange(5, 15)) == pytest.approx(0.5)
    assert kolmogorov_smirnov(np.zeros(0), np.arange(3)) is None
    one, two = pooled([blocks]), pooled([blocks, blocks])
    assert all(row["distance"] == 0 for row in layout_table([one, two]))
