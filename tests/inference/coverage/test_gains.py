"""Maps of many sites: those of `predict` where one window holds the area; beyond windows larger cells, then the path estimate."""

import numpy as np
import pytest
from scipy.ndimage import maximum_filter, zoom

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.baselines import BASELINES
from radiodiff_jax.inference.coverage import ExactGains, ModelGains, cells, gains
from radiodiff_jax.simulation import path_gain_grey, prepare
from radiodiff_jax.units import DB_PER_GAIN, grey_to_gain
from tests.inference.test_model_file import buildings, generator  # noqa: F401 (fixtures)

PLACES = [(16, 3), (1, 1), (30, 30), (15, 15), (2, 30)]


def town(height: int = 96, width: int = 80) -> np.ndarray:
    walls = np.kron(np.random.default_rng(3).random((height // 8, width // 8)) < 0.2, np.ones((8, 8), bool))
    walls[40:48, 32:40] = walls[:8, :8] = False
    return walls


def test_one_window_is_what_predict_says(generator, buildings):  # noqa: F811
    for place, found in zip(PLACES, ModelGains(generator)(buildings, PLACES), strict=True):
        np.testing.assert_allclose(found.gain, generator.predict(buildings, place).gain, atol=2e-6)
        assert found.known == (slice(0, 32), slice(0, 32)) and (found.gain[buildings] == 0).all()


@pytest.mark.parametrize(("sides", "reach"), [(1, 32), (2, 64), (2, 63)])
def test_beyond_the_windows_is_the_path_estimate(generator, sides, reach, monkeypatch):  # noqa: F811
    monkeypatch.setattr(gains, "LARGEST_CELL", 1)
    if reach == 63:  # a network of one size: 2 x 2 windows that have the site in a corner
        monkeypatch.setattr(type(generator), "fits", lambda self, size: size == (32, 32))
    walls, places = town(), [(44, 36), (4, 4)]
    assert ModelGains(generator, sides).beyond(walls.shape) == gains.FORMULA
    for place, found in zip(places, ModelGains(generator, sides)(walls, places), strict=True):
        beyond = np.ones(walls.shape, bool)
        beyond[found.known] = False
        estimate = BASELINES["path estimate"]({"buildings": walls[None], "position": np.array([place], np.int32)})[0]
        np.testing.assert_allclose(found.gain[beyond], estimate[beyond], atol=1e-6)
        assert (np.abs(found.gain - estimate)[found.known] > 1e-3).any() and (found.gain[walls] == 0).all()
        rows, columns = found.known
        assert rows.start == max(0, place[0] - reach // 2) and place[0] in range(rows.start, rows.stop)
        assert rows.stop <= rows.start + reach and place[1] in range(columns.start, columns.stop)


def test_a_window_of_twice_the_side_is_one_pass_of_the_network(generator):  # noqa: F811
    walls, place = town(64, 64), (44, 36)
    (found,) = ModelGains(generator)(walls, [place])
    whole = generator.for_size((64, 64)).predict(walls, place)
    np.testing.assert_array_equal(found.gain, np.where(walls, 0, whole.gain))
    assert found.known == (slice(0, 64), slice(0, 64))


def test_farther_away_the_network_is_asked_about_larger_cells(generator):  # noqa: F811
    coarse = town(64, 64)[:32, :32]
    walls, place = np.kron(coarse, np.ones((2, 2), bool)), (44, 61)
    source = ModelGains(generator, sides=1)
    assert source.beyond(walls.shape) == "the model on cells of 2 m"
    assert source.beyond((100, 999)) == "the model on cells of 2 m and 4 m and 8 m, then the path estimate, a formula"
    (found,) = source(walls, [place])
    answer = generator.predict(coarse, (22, 30)).gain - 25 * np.log10(2) / DB_PER_GAIN  # the law of distance, 2 m a pixel
    wanted = zoom(answer.clip(0), 2, order=1, mode="nearest", grid_mode=True)
    far = ~maximum_filter(walls, 5)  # at walls a cell takes what is outdoors
    far[found.known] = False
    assert far.sum() > 500 and found.known == (slice(28, 60), slice(32, 64))
    np.testing.assert_allclose(found.gain[far], wanted[far], atol=1e-5)
    assert (found.gain[walls] == 0).all()


def test_an_area_that_is_no_multiple_of_cells(generator):  # noqa: F811
    walls = town()[:25, 20:51]
    (found,) = ModelGains(generator)(walls, [(3, 21)])
    np.testing.assert_allclose(found.gain, generator.predict(walls, (3, 21)).gain, atol=2e-6)
    assert found.gain.shape == (25, 31)


def test_places_that_the_model_refuses(generator):  # noqa: F811
    with pytest.raises(UserError, match="inside a building"):
        ModelGains(generator).check(np.ones((32, 32), bool), [(3, 3)])


def test_the_simulator_is_asked_whole_or_in_windows(monkeypatch):
    walls, place = town(), (44, 36)
    (whole,) = ExactGains()(walls, [place])
    exact = grey_to_gain(path_gain_grey(prepare(walls), *place))
    np.testing.assert_allclose(whole.gain, exact, atol=0.5 / 255 + 1e-6)
    monkeypatch.setattr(gains, "EXACT_WHOLE", 64)
    monkeypatch.setattr(gains, "EXACT_WINDOW", 64)
    (parts,) = ExactGains()(walls, [place])
    assert parts.known == (slice(12, 76), slice(4, 68)) and parts.gain[place] > 0.9


def test_the_estimate_on_cells_is_near_that_of_pixels(monkeypatch):
    walls, place = np.kron(town(64, 64), np.ones((2, 2), bool)), (90, 70)
    fine = cells.path_estimate(walls, place)
    monkeypatch.setattr(cells, "FINE_UP_TO", 64)
    monkeypatch.setattr(cells, "ESTIMATE_GRID", 64)
    coarse = cells.path_estimate(walls, place)
    far = ~walls
    far[60:120, 40:100] = False  # where the model's windows lie
    error = np.abs(coarse - fine)[far] * 99.16
    assert fine.shape == coarse.shape == walls.shape and np.median(error) < 1.5 and error.mean() < 3
