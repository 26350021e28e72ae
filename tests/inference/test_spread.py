"""Coverage, width, CRPS and calibration of intervals, against numbers that are worked out by hand."""

import json
from math import log, sqrt

import numpy as np
import pytest

from radiodiff_jax.data.pipeline import evaluation_batches
from radiodiff_jax.data.sources import FolderSource
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.calibration import LEVELS, Calibration, Intervals, read_calibration, write_calibration
from radiodiff_jax.inference.evaluation import WithSpread, evaluate
from radiodiff_jax.inference.radio_map import RadioMap
from radiodiff_jax.inference.spread_profile import RatioCounts, SpreadProfile, continuous_ranked_probability_score
from radiodiff_jax.radiomapseer import RadioMapFolder
from radiodiff_jax.units import grey_to_gain
from tests.data.example_folder import write_example_folder

SIZE = (8, 10)


def level(told, share, name="coverage"):
    return told[name][told["levels"].index(share)]


def one_map(errors, deviation, silent=0, walls=0):
    """Truth 0.5 everywhere but for `silent` pixels without signal and `walls` pixels of buildings, where nothing counts."""
    truth = np.full(SIZE, 0.5)
    buildings = np.zeros(SIZE, bool)
    buildings.flat[:walls] = True
    truth.flat[walls : walls + silent] = 0
    prediction = truth + 7.0
    prediction.flat[walls + silent :] = truth.flat[walls + silent :] + errors
    return truth, prediction, np.broadcast_to(deviation, SIZE), buildings


def test_half_widths_of_both_families():
    laplace, normal = Intervals("laplace"), Intervals("normal")
    assert laplace.half_width(0.9) == pytest.approx(log(10) / sqrt(2)) and laplace.half_width(0.5) == pytest.approx(0.490129)
    assert normal.half_width(0.9) == pytest.approx(1.644854) and normal.half_width(0.5) == pytest.approx(0.674490)
    twice = Intervals("normal", tuple(2.0 if share >= 0.9 else 1.0 for share in LEVELS))
    assert twice.half_width(0.9) == pytest.approx(3.289707) and twice.half_width(0.5) == pytest.approx(0.674490)
    assert twice.factor(0.85) == pytest.approx(1.5) and twice.factor(0.99) == 2.0 and twice.factor(0.01) == 1.0
    for share in (0, 1, 1.5):
        with pytest.raises(UserError, match="an interval of level"):
            laplace.half_width(share)


def test_coverage_and_width_by_hand():
    """Of 70 pixels with signal, deviation 0.02: 35 are off by 0.005, 28 by 0.03 and 7 by 0.5."""
    errors = np.repeat([0.005, -0.03, 0.5], [35, 28, 7])
    profile = SpreadProfile(Intervals("normal"))
    profile.add(*one_map(errors, 0.02, silent=6, walls=4), layout=3)
    told = profile.to_json()
    # 0.005 is 0.25 deviations, inside from the level 0.197 on; 0.03 is 1.5, from 0.866 on; 0.5 is never inside.
    assert told["pixels"] == 70 and told["coverage_interval"] is None and told["calibrated"] is False
    assert [round(share, 6) for share in told["coverage"]] == [0, *[0.5] * 7, 0.9, 0.9]
    assert level(told, 0.9, "width_db") == pytest.approx(2 * 1.644854 * 0.02 * 99.16, rel=1e-5)
    assert told["mae_db"] == pytest.approx(99.16 * (35 * 0.005 + 28 * 0.03 + 7 * 0.5) / 70)
    assert told["rmse_db"] == pytest.approx(99.16 * sqrt((35 * 0.005**2 + 28 * 0.03**2 + 7 * 0.25) / 70))
    assert told["deviation_db"] == pytest.approx(1.9832)
    skill = told["spread_skill"]
    (place,) = np.flatnonzero(skill["pixels"])
    assert skill["from_db"][place] <= 1.9832 < skill["to_db"][place] and skill["pixels"][place] == 70
    assert skill["rmse_db"][place] == pytest.approx(told["rmse_db"], rel=1e-3)
    assert skill["deviation_db"][place] == pytest.approx(1.983, rel=1e-3) and skill["rmse_db"].count(None) == 17


def test_factors_widen_what_is_counted_inside():
    errors = np.repeat([0.005, -0.03, 0.5], [40, 32, 8])
    profile = SpreadProfile(Intervals("normal", (0.1,) * 4 + (3.0,) * 6))
    profile.add(*one_map(errors, 0.02), layout=0)
    told = profile.to_json()
    # Half a level: 3 x 0.674 deviations are 2.02, which holds 1.5; at 0.4 a tenth of 0.524 deviations holds nothing.
    assert level(told, 0.5) == 0.9 and level(told, 0.4) == 0 and told["calibrated"]
    assert level(told, 0.5, "coverage_uncalibrated") == 0.5 == level(told, 0.4, "coverage_uncalibrated")
    assert level(told, 0.5, "width_db") == pytest.approx(3 * 2 * 0.674490 * 0.02 * 99.16, rel=1e-5)


def test_the_interval_of_a_coverage_is_over_cities():
    """Four cities, two held wholly and two not at all: the transmitters of a city add nothing."""
    profile = SpreadProfile(Intervals("normal"))
    for layout in (0, 1, 2, 3):
        for _ in range(5):
            profile.add(*one_map(0.0 if layout < 2 else 0.4, 0.02), layout=layout)
    low, high = profile.to_json()["coverage_interval"][LEVELS.index(0.9)]
    assert profile.to_json()["coverage"][LEVELS.index(0.9)] == 0.5
    assert (low, high) == (0.0, 1.0)  # four draws of two kinds: all of one kind in a sixteenth of the cases, above 5 %


@pytest.mark.parametrize("family", ["laplace", "normal"])
def test_crps_is_the_integral_that_defines_it(family):
    """CRPS = integral of (F(x) - [x >= y])^2 dx, here by the midpoint rule."""
    from statistics import NormalDist

    x = (np.arange(-40_000, 40_000) + 0.5) * 1e-3
    b = 1.7 / sqrt(2)
    below = np.array([NormalDist(0, 1.7).cdf(value) for value in x[::8]])
    distribution = {"normal": below, "laplace": np.where(x < 0, np.exp(-np.abs(x) / b) / 2, 1 - np.exp(-np.abs(x) / b) / 2)[::8]}
    for error in (0.0, 0.9, 6.0):
        integral = np.square(distribution[family] - (x[::8] >= error)).sum() * 8e-3
        found = continuous_ranked_probability_score(family, np.array([error]), np.array([1.7]))
        assert found[0] == pytest.approx(integral, rel=5e-3)


def test_the_factor_recovers_a_known_miscalibration():
    """Laplace errors of deviation 0.03 under a model that says 0.02: every level needs 1.5 times the width."""
    rng = np.random.default_rng(0)
    counts = RatioCounts()
    draw = lambda: rng.laplace(scale=0.03 / sqrt(2), size=SIZE)  # noqa: E731
    for number in range(400):
        counts.add(*one_map(draw().ravel(), 0.02), layout=number // 2)
    fitted = counts.intervals("laplace")
    assert counts.pixels == 32_000 and counts.maps == 400 and len(counts.layouts) == 200
    np.testing.assert_allclose(fitted.factors, 1.5, rtol=0.05)
    profile = SpreadProfile(fitted)
    for number in range(400):
        profile.add(*one_map(draw().ravel(), 0.02), layout=number)
    told = profile.to_json()
    np.testing.assert_allclose(told["coverage"], LEVELS, atol=0.01)
    assert level(told, 0.9, "coverage_uncalibrated") == pytest.approx(1 - 10 ** (-1 / 1.5), abs=0.01)


def test_a_heavy_tail_needs_another_factor_at_each_level():
    """One pixel in ten is 30 times as far off: without it the middle would be too wide and the ends too narrow."""
    rng, counts = np.random.default_rng(1), RatioCounts()
    for _ in range(300):
        far = rng.random(SIZE) < 0.1
        errors = rng.laplace(scale=np.where(far, 0.3, 0.01) / sqrt(2))
        counts.add(*one_map(errors.ravel(), 0.05), layout=0)
    factor = counts.intervals("laplace").factor
    assert factor(0.5) < 0.3 and factor(0.95) > 1.2


def test_samples_that_all_agree_are_no_fault():
    profile, counts = SpreadProfile(Intervals("normal")), RatioCounts()
    for held in (profile, counts):
        held.add(*one_map(np.repeat([0.0, 0.1], 40), 0.0), layout=0)
    assert profile.to_json()["coverage"] == [0.5] * len(LEVELS) and np.isfinite(counts.quantile(0.9))
    assert all(np.isfinite(profile.to_json()["width_db"]))


def test_a_calibration_is_read_as_it_was_written(tmp_path):
    assert read_calibration(tmp_path) is None
    factors = tuple(1 + 0.01 * i for i in range(len(LEVELS)))
    found = Calibration(Intervals("laplace", factors), "d" * 64, 1, 1, {"data": "d", "split": "validation", "layouts": 4})
    path = write_calibration(tmp_path, found)
    assert read_calibration(tmp_path) == found and path.name == "calibration.json"
    for change in (lambda t: t[:50], lambda t: t.replace("0.95", "0.96"), lambda t: t.replace("laplace", "cauchy"),
                   lambda t: t.replace("1.05", "-1.05"), lambda t: "[]", lambda t: t.replace('"digest"', '"d"')):  # fmt: skip
        text = path.read_text()
        assert change(text) != text
        path.write_text(change(text))
        with pytest.raises(UserError, match=r"calibration.json is damaged .* delete it, or fit it again") as caught:
            read_calibration(tmp_path)
        assert "\n" not in str(caught.value)
        path.write_text(text)


def test_a_radio_map_has_half_widths_where_it_has_a_deviation():
    gain, walls = np.full(SIZE, 0.5, np.float32), np.zeros(SIZE, bool)
    deviation = np.full(SIZE, 0.01, np.float32)
    found = RadioMap(gain, walls, (1, 1), deviation, Intervals("laplace", (2.0,) * len(LEVELS)))
    np.testing.assert_allclose(found.half_width_db(), 2 * log(10) / sqrt(2) * 0.9916, rtol=1e-5)
    np.testing.assert_allclose(found.half_width_db(0.5), 2 * 0.490129 * 0.9916, rtol=1e-5)
    with pytest.raises(UserError, match="the map has no spread"):
        RadioMap(gain, walls, (1, 1)).half_width_db()


def test_an_evaluation_holds_the_spread_of_predictors_that_have_one(tmp_path):
    maps = RadioMapFolder(write_example_folder(tmp_path, maps=3))
    source = FolderSource(maps, maps.maps, cars=False)
    off = np.float32(0.02)
    surely = WithSpread(lambda batch: (grey_to_gain(batch["gain"]) + off, np.full(batch["gain"].shape, 0.02)),
                        Intervals("normal"))  # fmt: skip
    found = evaluate({"model": surely, "formula": lambda batch: grey_to_gain(batch["gain"])}, evaluation_batches(source, 4))
    told = json.loads(json.dumps(found["model"]["spread"]))
    heard = sum(int((source[i]["gain"] > 0).sum()) for i in range(len(source)))
    assert told["pixels"] == heard and "spread" not in found["formula"]
    assert level(told, 0.6) == 0 and level(told, 0.7) == 1  # one deviation off: inside from the level 0.683 on
    assert told["rmse_db"] == pytest.approx(99.16 * 0.02, rel=1e-4) == pytest.approx(told["deviation_db"], rel=1e-4)
    assert found["model"]["figures"]["raw/mae_db"]["mean"] == pytest.approx(told["mae_db"], rel=1e-3)
