"""Formulae of `derivations/metrics.md`."""

from itertools import product

import numpy as np
import pytest

from radiodiff_jax import metrics, units
from tests.derivations.formulas import evaluates

RNG = np.random.default_rng(6)


def pair(size=(18, 20), low=0.0, error=0.05):
    """(truth, prediction) with gains of at least `low`."""
    truth = low + (1 - low) * RNG.random(size)
    return truth, np.clip(truth + error * RNG.normal(size=size), low, 1)


@pytest.fixture(scope="module")
def many():
    """(maps, figures, layouts) of six pairs, the dark ones with larger errors."""
    maps = []
    for brightness in (1.0, 0.8, 0.6, 0.4, 0.2, 0.1):
        truth, _ = pair()
        truth *= brightness
        maps.append((truth, np.clip(truth + 0.05 / brightness * RNG.normal(size=truth.shape), 0, 1)))
    nothing_built = np.zeros(maps[0][0].shape, bool)
    return maps, [metrics.map_figures(*one, nothing_built) for one in maps], [0, 0, 1, 1, 2, 2]


@evaluates(1)
def test_decibels():
    gain = np.array([0.0, 0.2, 0.5, 1.0])
    np.testing.assert_allclose(units.gain_to_db(gain), -147 + 99.16 * gain, atol=1e-12)
    np.testing.assert_allclose(units.db_to_gain(np.array([-147, -127.168, -47.84])), [0, 0.2, 1], atol=1e-12)


@evaluates(2)
def test_thresholded_gain():
    gain = np.array([0.0, 0.1, 0.2, 0.6, 1.0])
    np.testing.assert_allclose(units.thresholded(gain), [max(y - 0.2, 0) / 0.8 for y in gain], atol=1e-12)
    assert 0.8 * 99.16 == pytest.approx(79.33, abs=0.005)


@evaluates(3, 4)
def test_squared_errors_pixel_by_pixel():
    truth, prediction = pair()
    outdoor = RNG.random(truth.shape) < 0.6
    found = metrics.protocol_figures(truth, prediction, outdoor, "raw")
    for region, chosen in (("all", np.ones_like(outdoor)), ("outdoor", outdoor)):
        error = power = count = 0.0
        for place in zip(*np.nonzero(chosen), strict=True):
            error += (prediction[place] - truth[place]) ** 2
            power += truth[place] ** 2
            count += 1
        assert found[region]["nmse"] == pytest.approx(error / power)
        assert found[region]["rmse"] == pytest.approx(np.sqrt(error / count))
        assert found[region]["psnr_db"] == pytest.approx(-20 * np.log10(np.sqrt(error / count)))
    zero = metrics.protocol_figures(truth, 0 * truth, outdoor, "raw")
    assert zero["all"]["nmse"] == 1
    assert metrics.peak_signal_to_noise_db(0.0) == metrics.peak_signal_to_noise_db(1e-11) == 100


@evaluates(5)
def test_between_protocols():
    truth, prediction = pair(low=0.25, error=0.02)
    outdoor = np.ones(truth.shape, bool)
    raw, above = (metrics.protocol_figures(truth, prediction, outdoor, name)["all"] for name in metrics.PROTOCOLS)
    assert above["rmse"] == pytest.approx(1.25 * raw["rmse"])
    assert above["psnr_db"] == pytest.approx(raw["psnr_db"] - 1.94, abs=0.005)


@evaluates(6, 7)
def test_structural_similarity_window_by_window():
    truth, prediction = pair()
    offsets = np.arange(-5, 6)
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    found = metrics.structural_similarity_map(truth, prediction)
    values = []
    for row, column in product(range(5, 13), range(5, 15)):
        y, z = (image[row - 5 : row + 6, column - 5 : column + 6] for image in (truth, prediction))
        mean_y, mean_z = np.sum(window * y), np.sum(window * z)
        variance_y, variance_z = np.sum(window * y**2) - mean_y**2, np.sum(window * z**2) - mean_z**2
        shared = np.sum(window * y * z) - mean_y * mean_z
        c1, c2 = 0.01**2, 0.03**2
        luminance = (2 * mean_y * mean_z + c1) / (mean_y**2 + mean_z**2 + c1)
        contrast = (2 * np.sqrt(variance_y * variance_z) + c2) / (variance_y + variance_z + c2)
        structure = (shared + c2 / 2) / (np.sqrt(variance_y * variance_z) + c2 / 2)
        joined = (2 * shared + c2) / (variance_y + variance_z + c2)
        assert contrast * structure == pytest.approx(joined)
        assert found[row, column] == pytest.approx(luminance * joined, abs=1e-9)
        values.append(luminance * joined)
    figures = metrics.protocol_figures(truth, prediction, np.ones(truth.shape, bool), "raw")
    assert figures["all"]["ssim"] == pytest.approx(np.mean(values), abs=1e-9)


@evaluates(8)
@pytest.mark.parametrize(("protocol", "floor"), [("raw", 0.0), ("thresholded", 0.2)])
def test_errors_in_decibels(protocol, floor):
    truth, prediction = pair(error=0.1)
    truth[:3] = 0
    outdoor = RNG.random(truth.shape) < 0.6
    errors = [
        99.16 * abs(max(prediction[place], floor) - truth[place])
        for place in zip(*np.nonzero(outdoor), strict=True)
        if truth[place] > floor
    ]
    found = metrics.decibel_figures(truth, prediction, outdoor, protocol)
    assert found["mae_db"] == pytest.approx(np.mean(errors))
    assert found["rmse_db"] == pytest.approx(np.sqrt(np.mean(np.square(errors))))
    assert found["share_within_3_db"] == pytest.approx(np.mean(np.array(errors) <= 3))


@evaluates(9, 10)
def test_pooled_against_mean(many):
    maps, figures, layouts = many
    summary = metrics.summarise(figures, layouts, resamples=10)
    errors = np.array([np.sum((prediction - truth) ** 2) for truth, prediction in maps])
    powers = np.array([np.sum(truth**2) for truth, _ in maps])
    nmse, rmse = errors / powers, np.sqrt(errors / maps[0][0].size)
    found = summary["raw/all/nmse"]
    covariance = np.mean(nmse * powers) - nmse.mean() * powers.mean()
    assert covariance < 0
    assert found["mean"] == pytest.approx(nmse.mean())
    assert found["pooled"] == pytest.approx(errors.sum() / powers.sum())
    assert found["pooled"] == pytest.approx(found["mean"] + covariance / powers.mean())
    found = summary["raw/all/rmse"]
    assert found["pooled"] ** 2 == pytest.approx(found["mean"] ** 2 + rmse.var())


@evaluates(11)
def test_bootstrap_against_all_draws():
    """Four layouts of unequal size: all 256 draws, each equally likely, give the distribution of the mean exactly."""
    values = [np.array([1.0, 3.0]), np.array([2.0]), np.array([7.0, 8.0, 9.0]), np.array([4.0, 6.0])]
    means = []
    for draw in product(range(4), repeat=4):
        counts = [draw.count(layout) for layout in range(4)]
        total = sum(count * one.sum() for count, one in zip(counts, values, strict=True))
        means.append(total / sum(count * len(one) for count, one in zip(counts, values, strict=True)))
    groups = np.repeat(np.arange(4), [len(one) for one in values])
    low, high = metrics.bootstrap_interval(np.concatenate(values)[:, None], groups, resamples=40_000)
    # The exact distribution is discrete: the quantiles lie within one step of it.
    ordered = np.sort(means)
    for found, level in ((low[0], 0.05), (high[0], 0.95)):
        assert np.quantile(ordered, level - 0.015) <= found <= np.quantile(ordered, level + 0.015)


@evaluates(12)
def test_variance_of_the_mean_of_maps_that_share_layouts():
    layouts, each, between, within = 40, 10, 0.8, 0.6
    draws = between * RNG.normal(size=(4000, layouts, 1)) + within * RNG.normal(size=(4000, layouts, each))
    share = between**2 / (between**2 + within**2)
    expected = (between**2 + within**2) / (each * layouts) * (1 + (each - 1) * share)
    assert expected == pytest.approx(between**2 / layouts + within**2 / (each * layouts))
    assert draws.mean((1, 2)).var() == pytest.approx(expected, rel=0.1)
    groups = np.repeat(np.arange(layouts), each)
    widths = []
    for draw in draws[:60]:
        low, high = metrics.bootstrap_interval(draw.reshape(-1, 1), groups, resamples=500)
        widths.append(high[0] - low[0])
    assert np.mean(widths) == pytest.approx(2 * 1.645 * np.sqrt(expected), rel=0.1)
    assert np.sqrt(1 + 79 * 0.5) == pytest.approx(6.4, abs=0.05)


@evaluates(13)
def test_peak_and_sharpness():
    truth, prediction = pair()
    prediction[3, 4] = prediction[6, 4] = 2.0
    found = metrics.map_figures(truth, prediction, np.zeros(truth.shape, bool), (3, 0))
    assert found["peak_distance_m"] == pytest.approx((4 + 5) / 2)

    def laplacian(image):
        around = np.pad(image, 1, mode="symmetric")
        return around[:-2, 1:-1] + around[2:, 1:-1] + around[1:-1, :-2] + around[1:-1, 2:] - 4 * image

    assert found["sharpness_ratio"] == pytest.approx(laplacian(prediction).var() / laplacian(truth).var())
