"""Evaluations of predictors that are plain functions: errors by distance and sight, extreme maps, files."""

import json

import numpy as np
import pytest

from radiodiff_jax.data.pipeline import evaluation_batches
from radiodiff_jax.data.sources import FolderSource
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.baselines import BASELINES
from radiodiff_jax.inference.error_profile import ErrorProfile
from radiodiff_jax.inference.evaluation import evaluate, pixels_in_sight
from radiodiff_jax.inference.evaluation_files import (
    evaluate_again,
    named,
    read_evaluation,
    read_extremes,
    write_evaluation,
)
from radiodiff_jax.inference.extremes import choose_extremes, extreme_maps
from radiodiff_jax.radiomapseer import RadioMapFolder
from radiodiff_jax.units import grey_to_gain
from tests.data.example_folder import write_example_folder

LOUDER = 0.05  # gain: 4.958 dB


def louder(batch):
    return grey_to_gain(batch["gain"]) + np.float32(LOUDER)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = RadioMapFolder(write_example_folder(tmp_path_factory.mktemp("maps"), maps=5))
    return FolderSource(folder, folder.maps, cars=False)


@pytest.fixture(scope="module")
def results(source):
    return evaluate({"model": louder, "distance law": BASELINES["distance law"]}, evaluation_batches(source, 4))


def test_a_constant_error_is_found_everywhere(source, results):
    errors = results["model"]["errors"]
    parts = [errors["in_sight"], errors["out_of_sight"]]
    heard = sum(int((source[i]["gain"] > 0).sum()) for i in range(len(source)))
    assert sum(part["pixels"] for part in parts) == heard
    for part in parts:
        assert part["pixels"] > 100 and sum(part["histogram"]) == sum(part["by_distance"]["pixels"]) == part["pixels"]
        for key in ("bias_db", "mae_db", "rmse_db"):
            assert part[key] == pytest.approx(99.16 * LOUDER, abs=1e-3)
            present = [value for value in part["by_distance"][key] if value is not None]
            np.testing.assert_allclose(present, 99.16 * LOUDER, atol=1e-3)
        assert part["share_within_3_db"] == 0
        assert all(value is None or abs(value - 4.958) < 0.26 for value in part["by_distance"]["50"])
    assert results["distance law"]["errors"]["in_sight"]["mae_db"] < 0.2  # the maps are made by that law


def test_columns_and_figures_belong_together(results):
    one = results["model"]
    maps = one["maps"]
    assert maps["map"] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4] and maps["transmitter"] == [0, 1] * 5
    assert not any(name.endswith(("squared_error", "pixels")) for name in maps)
    for name, summary in one["figures"].items():
        present = [value for value in maps[name] if value is not None]
        assert len(maps[name]) == 10 and np.mean(present) == pytest.approx(summary["mean"], rel=1e-5)


def test_a_wall_hides_what_is_behind_it():
    walls = np.zeros((1, 16, 16), bool)
    walls[0, 4:12, 8] = True
    seen = np.asarray(pixels_in_sight(walls, np.array([[8, 2]], np.int32)))[0]
    assert seen[:, :8].all() and not seen[8, 9:].any() and seen[0, 9]


def test_profile_counts_by_distance():
    profile = ErrorProfile((32, 32))
    truth, walls = np.full((32, 32), 0.5), np.zeros((32, 32), bool)
    walls[0, 1], truth[0, 2] = True, 0  # a building, and a pixel without signal
    prediction = truth + np.where(np.arange(32) < 16, 0.01, -0.02)
    seen = np.broadcast_to(np.arange(32)[:, None] < 8, (32, 32))
    profile.add(truth, prediction, walls, (0, 0), seen)
    told = profile.to_json()
    assert told["bin_metres"] == 2
    assert told["in_sight"]["pixels"] == 8 * 32 - 2 and told["out_of_sight"]["pixels"] == 24 * 32
    near, far = (told[name]["by_distance"] for name in ("in_sight", "out_of_sight"))
    assert near["pixels"][0] == 3 and near["bias_db"][0] == pytest.approx(0.992, abs=1e-3)  # (0, 0), (1, 0), (1, 1)
    assert near["rmse_db"][-1] is None and far["bias_db"][21] == pytest.approx(-1.983, abs=1e-3)
    assert told["out_of_sight"]["bias_db"] == pytest.approx(99.16 * -0.005, abs=1e-3)


def test_extremes_are_of_different_cities_where_possible():
    errors = [0.1, 0.11, 0.9, 0.91, 0.5, 0.51, 0.2, 0.7, 0.52]
    layouts = [0, 0, 1, 1, 2, 2, 3, 4, 5]
    chosen = choose_extremes(errors, layouts)
    assert chosen == {"best": [0, 6], "worst": [3, 7], "median": [5, 8]}
    assert choose_extremes([0.3, 0.1, 0.2], [7, 7, 7]) == {"best": [1], "worst": [0], "median": [2]}
    assert choose_extremes([0.3], [7]) == {"best": [0], "worst": [], "median": []}


def test_extreme_maps_are_those_of_the_source(source):
    arrays = extreme_maps(source, {"best": [3], "median": [], "worst": [8, 0]}, louder, batch_size=2)
    assert arrays["kind"].tolist() == [0, 2, 2]
    assert named(arrays) == {"best": [[1, 1]], "median": [], "worst": [[4, 0], [0, 0]]}
    for row, index in enumerate((3, 8, 0)):
        record = source[index]
        np.testing.assert_array_equal(arrays["truth"][row], record["gain"])
        np.testing.assert_array_equal(arrays["buildings"][row], record["buildings"])
        assert arrays["position"][row].tolist() == record["position"].tolist()
        difference = arrays["output"][row].astype(int) - record["gain"]
        assert difference[record["gain"] < 200].min() == difference.max() == 13


@pytest.fixture
def written(source, results, tmp_path):
    arrays = extreme_maps(source, {"best": [0], "median": [], "worst": [4]}, louder, batch_size=2)
    result = {
        "run": "my runs/ldm", "data": "data", "split": "test", "steps": 2, "network_evaluations": 3, "radio_maps": 10,
        "layouts": 5, "extremes": named(arrays), "results": results,
    }  # fmt: skip
    return write_evaluation(tmp_path / "test_steps2.json", result, arrays)


def test_what_is_written_is_read_again(written, results):
    result = read_evaluation(written)
    assert result["results"] == json.loads(json.dumps(results))
    assert read_extremes(written, result)["map"].tolist() == [0, 2]
    assert evaluate_again(result) == (
        "python -m experiments.evaluate --run 'my runs/ldm' --data data --split test --steps 2"
    )
    assert max(map(len, written.read_text().splitlines())) > 100  # lists of numbers are on one line
    assert len(written.read_text().splitlines()) < 1000


def test_maps_of_another_evaluation_are_left_aside(written):
    result = read_evaluation(written)
    assert read_extremes(written, result | {"extremes": {"best": [[9, 9]], "median": [], "worst": []}}) is None
    written.with_suffix(".npz").write_bytes(written.with_suffix(".npz").read_bytes()[:500])
    with pytest.raises(UserError, match=r"npz is damaged; evaluate again with"):
        read_extremes(written, result)
    written.with_suffix(".npz").unlink()
    assert read_extremes(written, result) is None


def test_rows_of_an_older_version_become_columns(written):
    result = json.loads(written.read_text())
    for one in result["results"].values():
        one["maps"] = [
            dict(zip(one["maps"], values, strict=True)) for values in zip(*one["maps"].values(), strict=True)
        ]
        del one["errors"]
    old = written.with_name("old.json")
    old.write_text(json.dumps(result))
    read = read_evaluation(old)["results"]
    assert read["model"]["maps"] == read_evaluation(written)["results"]["model"]["maps"]
    assert read["model"]["errors"] is None


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: text.replace('"steps": 2', '"steps": "two"'),
        lambda text: text.replace('"ms_per_map"', '"ms"'),
        lambda text: text.replace('"figures"', '"numbers"'),
        lambda text: text.replace('"transmitter": [0, ', '"transmitter": ['),
        lambda text: text.replace('"results"', '"outcome"'),
    ],
)
def test_a_damaged_result_is_one_sentence(written, change):
    text = change(written.read_text())
    assert text != written.read_text()
    written.write_text(text)
    with pytest.raises(UserError, match="is damaged") as caught:
        read_evaluation(written)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="is missing"):
        read_evaluation(written.with_name("none.json"))
