"""Figures of merit against scikit-image and against sums made by hand."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from radiodiff_jax import metrics
from radiodiff_jax.errors import UserError
from radiodiff_jax.propagation import distance_law
from radiodiff_jax.radiomapseer import RadioMapFolder

SAMPLE = Path(os.environ.get("RADIODIFF_SAMPLE_DIR", Path(__file__).parents[2] / "shared" / "radiomapseer_sample"))


@pytest.fixture
def maps():
    generator = np.random.default_rng(0)
    truth = generator.random((48, 64))
    buildings = generator.random((48, 64)) < 0.3
    truth[buildings] = 0
    prediction = np.clip(truth + 0.05 * generator.standard_normal(truth.shape), 0, 1)
    return truth, prediction, buildings


def test_raw_figures_of_all_pixels_are_those_of_scikit_image(maps):
    truth, prediction, buildings = maps
    figures = metrics.map_figures(truth, prediction, buildings)
    error = np.mean((truth - prediction) ** 2)
    assert figures["raw/all/rmse"] == pytest.approx(np.sqrt(error))
    assert figures["raw/all/nmse"] == pytest.approx(error / np.mean(truth**2))
    assert figures["raw/all/psnr_db"] == pytest.approx(peak_signal_noise_ratio(truth, prediction, data_range=1))
    expected = structural_similarity(
        truth, prediction, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1
    )
    assert figures["raw/all/ssim"] == pytest.approx(expected, abs=1e-12)


def test_thresholded_figures_are_raw_figures_of_thresholded_maps(maps):
    truth, prediction, buildings = maps
    figures = metrics.map_figures(truth, prediction, buildings)
    again = metrics.map_figures(*(np.maximum(gain - 0.2, 0) / 0.8 for gain in (truth, prediction)), buildings)
    for name in ("all/rmse", "all/nmse", "all/ssim", "outdoor/psnr_db", "outdoor/ssim"):
        assert figures[f"thresholded/{name}"] == pytest.approx(again[f"raw/{name}"])


def test_outdoor_figures_do_not_see_buildings(maps):
    truth, prediction, buildings = maps
    figures = metrics.map_figures(truth, prediction, buildings)
    error = (truth - prediction)[~buildings]
    assert figures["raw/outdoor/rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert figures["raw/outdoor/nmse"] == pytest.approx(np.sum(error**2) / np.sum(truth[~buildings] ** 2))
    assert figures["raw/outdoor/pixels"] == (~buildings).sum()
    nothing_built = metrics.map_figures(truth, prediction, np.zeros_like(buildings))
    for name in ("rmse", "nmse", "ssim", "psnr_db"):
        assert nothing_built[f"raw/outdoor/{name}"] == pytest.approx(nothing_built[f"raw/all/{name}"])


def test_decibels_by_hand():
    truth = np.full((32, 32), 0.5)
    prediction = np.full((32, 32), 0.5)
    buildings = np.zeros((32, 32), bool)
    truth[:, :8] = 0.0  # no signal: under either floor
    truth[:, 8:16] = 0.1  # above the floor of raw only
    prediction[:, 8:16] = 0.2  # 9.916 dB too much
    prediction[:, 16:24] = 0.48  # 1.9832 dB too little
    buildings[:, 24:] = True
    figures = metrics.map_figures(truth, prediction, buildings)
    assert figures["raw/mae_db"] == pytest.approx((9.916 + 1.9832) / 2)
    assert figures["raw/rmse_db"] == pytest.approx(np.sqrt((9.916**2 + 1.9832**2) / 2))
    assert figures["raw/share_within_3_db"] == pytest.approx(0.5)
    assert figures["thresholded/mae_db"] == pytest.approx(1.9832)
    assert figures["thresholded/share_within_3_db"] == 1


def test_prediction_below_the_noise_floor_counts_as_at_it():
    truth, prediction = np.full((32, 32), 0.3), np.zeros((32, 32))
    figures = metrics.map_figures(truth, prediction, np.zeros((32, 32), bool))
    assert figures["thresholded/mae_db"] == pytest.approx(9.916)
    assert figures["raw/mae_db"] == pytest.approx(29.748)


def test_grey_level_51_is_the_noise_floor_in_single_and_double_precision():
    for kind in (np.float32, np.float64):
        truth = np.full((32, 32), 51, kind) / kind(255)
        figures = metrics.map_figures(truth, truth, np.zeros((32, 32), bool))
        assert figures["thresholded/mae_db"] is None and figures["raw/mae_db"] == 0


def test_peak_distance_and_sharpness():
    truth, prediction = np.zeros((2, 32, 32))
    truth[10, 10], prediction[13, 14] = 1, 0.5
    figures = metrics.map_figures(truth, prediction, np.zeros((32, 32), bool), (10, 10))
    assert figures["peak_distance_m"] == pytest.approx(5)
    assert figures["sharpness_ratio"] == pytest.approx(0.25)


def test_identical_and_empty_maps_have_finite_figures_and_valid_json(maps):
    truth, _, buildings = maps
    figures = metrics.map_figures(truth, truth, buildings, (3, 3))
    assert figures["raw/all/psnr_db"] == 100 and figures["raw/all/ssim"] == pytest.approx(1)
    nothing = metrics.map_figures(np.zeros_like(truth), truth, np.ones_like(buildings), (3, 3))
    assert nothing["raw/all/nmse"] is None and nothing["raw/outdoor/rmse"] is None and nothing["raw/mae_db"] is None
    summary = metrics.summarise([figures, nothing], [0, 1])
    json.dumps([figures, nothing, summary], allow_nan=False)
    assert summary["raw/all/nmse"]["maps"] == 1


def test_psnr_cap_is_above_the_smallest_error_of_a_grey_map():
    smallest = (1 / 255) ** 2 / 256**2
    assert metrics.peak_signal_to_noise_db(smallest) == pytest.approx(-10 * np.log10(smallest))
    assert metrics.peak_signal_to_noise_db(smallest) < metrics.PSNR_CAP_DB


def test_predictions_that_are_not_finite_are_refused(maps):
    truth, prediction, buildings = maps
    prediction[0, 0] = np.nan
    with pytest.raises(UserError, match="not finite"):
        metrics.map_figures(truth, prediction, buildings)


def test_summary_pools_sums_and_takes_mean_and_median():
    generator = np.random.default_rng(1)
    truths, scales = generator.random((5, 32, 32)), (0.01, 0.02, 0.1, 0.03, 0.2)
    predictions = [truth + scale for truth, scale in zip(truths, scales, strict=True)]
    nothing_built = np.zeros((32, 32), bool)
    figures = [metrics.map_figures(*pair, nothing_built) for pair in zip(truths, predictions, strict=True)]
    summary = metrics.summarise(figures, [0, 0, 1, 1, 2])
    assert summary["raw/all/rmse"]["mean"] == pytest.approx(np.mean(scales))
    assert summary["raw/all/rmse"]["median"] == pytest.approx(0.03)
    assert summary["raw/all/rmse"]["pooled"] == pytest.approx(np.sqrt(np.mean(np.square(scales))))
    assert summary["raw/all/nmse"]["pooled"] == pytest.approx(np.sum(np.square(scales)) * 1024 / np.sum(truths**2))
    low, high = summary["raw/all/rmse"]["interval"]
    assert low < summary["raw/all/rmse"]["mean"] < high
    assert summary == metrics.summarise(figures, [0, 0, 1, 1, 2])
    assert metrics.summarise(figures, [7] * 5)["raw/all/rmse"]["interval"] is None


def test_bootstrap_over_layouts_is_wider_than_over_maps_when_transmitters_are_alike():
    generator = np.random.default_rng(2)
    layouts = np.repeat(np.arange(30), 20)
    values = generator.standard_normal(30)[layouts, None] + 0.1 * generator.standard_normal((600, 1))

    def width(groups):
        low, high = metrics.bootstrap_interval(values, groups)
        return float((high - low)[0])

    assert width(layouts) > 3 * width(np.arange(600))
    # The textbook interval of the mean of 30 independent values, 1.645 standard errors each way.
    assert width(layouts) == pytest.approx(2 * 1.645 * values.std() / np.sqrt(30), rel=0.15)


def test_bootstrap_weighs_layouts_by_their_maps_and_leaves_missing_figures_out():
    values = np.array([[1.0, np.nan], [1.0, np.nan], [1.0, 5.0], [4.0, 5.0]])
    low, high = metrics.bootstrap_interval(values, np.array([0, 0, 0, 1]))
    assert low[0] == pytest.approx(1) and high[0] == pytest.approx(4)
    assert low[1] == high[1] == 5


def test_distance_law_by_hand():
    buildings = np.zeros((32, 64), bool)
    buildings[20, 20] = True
    gain = distance_law(buildings, 10, 12)
    assert gain.dtype == np.float32 and gain.shape == (32, 64)
    assert gain[10, 12] == 1 and gain[20, 20] == 0
    for (row, column), squared in {(13, 16): 25, (10, 16): 17, (14, 12): 17, (13, 15): 20}.items():
        expected = (-47.86 - 12.5 * np.log10(squared) + 147) / 99.16
        assert gain[row, column] == pytest.approx(expected, abs=1e-6)


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of RadioMapSeer is not here")
def test_distance_law_on_real_maps():
    folder = RadioMapFolder(SAMPLE)
    errors = []
    for pair in folder.pairs:
        record = folder.record(*pair, cars=False)
        law = distance_law(record["buildings"], *record["position"].tolist())
        errors.append(np.sqrt(np.mean((law - record["gain"] / 255) ** 2)))
    assert np.mean(errors) == pytest.approx(0.155, abs=0.002)
