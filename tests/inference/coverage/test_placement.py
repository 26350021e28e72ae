"""The choice of sites: greedy, exchanges, and the bound, against trying every choice."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radiodiff_jax.inference.coverage import Area, choose_sites, sinr_db
from radiodiff_jax.inference.coverage.candidates import CLEARANCE, grid_candidates
from radiodiff_jax.inference.coverage.placement import GREEDY_SHARE


def draw(seed: int, candidates: int = 7, pixels: int = 40) -> np.ndarray:
    rng = np.random.default_rng(seed)
    powers = rng.uniform(-115, -75, (candidates, pixels)).astype(np.float32)
    powers[rng.random(powers.shape) < 0.2] = -np.inf
    return powers


def share(powers: np.ndarray, chosen) -> float:
    return float((powers[list(chosen)] >= -90).any(axis=0).mean())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_share_is_near_the_best_and_below_the_bound(seed, count):
    powers = draw(seed)
    choice = choose_sites(powers, count, "share")
    best = max(share(powers, chosen) for chosen in combinations(range(7), count))
    assert len(set(choice.chosen)) == count and choice.value == pytest.approx(share(powers, choice.chosen))
    assert GREEDY_SHARE * best <= choice.value <= best + 1e-12 <= choice.bound + 2e-12
    values = [step["value"] for step in choice.steps]
    assert values == sorted(values) and values[-1] == choice.value


def test_an_exchange_mends_a_greedy_mistake():
    covers = np.array([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 1, 0], [0, 0, 1, 1, 0, 1]], bool)  # the first blocks the best pair
    choice = choose_sites(np.where(covers, -60.0, -np.inf).astype(np.float32), 2, "share")
    assert [step["chosen"] for step in choice.steps if "chosen" in step][0] == 0
    assert sorted(choice.chosen) == [1, 2] and choice.value == choice.bound == 1.0
    assert choice.steps[-1]["swapped"] == [0, 2]


@pytest.mark.parametrize("seed", range(4))
def test_the_quantile_of_sinr_is_what_is_said(seed):
    powers = draw(seed)
    choice = choose_sites(powers, 3, "sinr", noise_dbm=-95.0)
    ratio = np.sort(sinr_db(powers[choice.chosen][:, None], -95.0)[0])
    assert choice.bound is None and choice.value == pytest.approx(ratio[int(0.1 * (len(ratio) - 1))], abs=1e-2)
    for place in range(3):  # no exchange of one site is better
        for other in set(range(7)) - set(choice.chosen):
            swapped = [*choice.chosen[:place], other, *choice.chosen[place + 1 :]]
            worse = np.sort(sinr_db(powers[swapped][:, None], -95.0)[0])[int(0.1 * 39)]
            assert worse <= choice.value + 1e-2


def test_where_most_hear_nobody_the_wider_reach_is_better():
    powers = np.full((3, 40), -np.inf, np.float32)
    powers[0, :2], powers[1, :9], powers[2, 8:20] = -60, -60, -60
    choice = choose_sites(powers, 2, "sinr", noise_dbm=-95.0)
    assert choice.chosen == [2, 1] and [step["value"] for step in choice.steps] == [-300 + 12 / 40, -300 + 20 / 40]


def test_sites_that_are_there_count():
    powers = draw(1)
    there = powers[:1]
    choice = choose_sites(powers[1:], 1, "share", fixed=there)
    best = max(share(powers, (0, other)) for other in range(1, 7))
    assert choice.value == pytest.approx(best)


def test_a_grid_stands_outdoors():
    buildings = np.zeros((120, 200), bool)
    buildings[20:70, 30:110] = True
    found = grid_candidates(Area(buildings), 60)
    assert 30 <= len(found) <= 60 and len({site.name for site in found}) == len({(s.row, s.column) for s in found}) == len(found)
    for site in found:
        rows, columns = (slice(max(0, at - int(CLEARANCE) + 1), at + int(CLEARANCE)) for at in (site.row, site.column))
        assert not buildings[rows, columns].any()
    assert grid_candidates(Area(np.ones((9, 9), bool)), 4) == []
