"""Measured pixels in any number: drawn in training, given in evaluation and prediction, reproduced by every output."""

import json

import numpy as np
import pytest

from experiments import evaluate, predict, train
from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config
from radiodiff_jax.data.sources import draw_count, open_varied_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.radiomapseer import RadioMapFolder
from radiodiff_jax.settings import DataConfig
from radiodiff_jax.simulation import write_simulated_folder
from radiodiff_jax.units import gain_to_db, gain_to_grey, grey_to_gain
from tests.micro import SHORT, TRAINING

WORDS = ["image_size=[32,32]", "backbone.widths=[8,16]", "features=[buildings,free_space,offset,observed]", "estimate=none",
         *TRAINING, *SHORT, "training.batch_size=2", "data.observed_range=[0,40]"]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sparse") / "data"
    write_simulated_folder(folder, maps=5, transmitters=2, size=(32, 32), seed=0, workers=1, progress=False)
    return folder


@pytest.fixture(scope="module")
def run(data):
    run = data.parent / "run"
    assert train.main(["--config", "sparse-tiny", "--data", str(data), "--run", str(run), *WORDS]) == 0
    return run


def test_numbers_are_drawn_log_uniform_in_the_range():
    generator = np.random.default_rng(0)
    drawn = np.array([draw_count(0, 300, generator) for _ in range(20_000)])
    assert (drawn.min(), drawn.max()) == (0, 300)
    for low, high in ((0, 0), (1, 3), (4, 10), (11, 100), (101, 300)):
        expected = np.log((high + 2) / (low + 1)) / np.log(302)
        assert np.mean((drawn >= low) & (drawn <= high)) == pytest.approx(expected, abs=0.01)
    assert {draw_count(7, 9, generator) for _ in range(200)} == {7, 8, 9}
    state = generator.bit_generator.state
    assert draw_count(5, 5, generator) == 5 and generator.bit_generator.state == state


def test_a_given_number_shows_the_same_pixels_as_a_model_of_that_number(data):
    fixed, ranged = (
        open_varied_source(data, "test", settings)
        for settings in (DataConfig(observed_pixels=12), DataConfig(observed_range=(12, 12)))
    )
    none = open_varied_source(data, "test", DataConfig(observed_range=(0, 0)))
    for index in range(len(fixed)):
        np.testing.assert_array_equal(fixed[index]["observed"], ranged[index]["observed"])
        assert none[index]["observed"].sum() == 0


def test_one_model_is_evaluated_at_each_number(run, data, tmp_path, capsys):
    words = ["--run", str(run), "--data", str(data), "--batch-size", "2", "--observed", "0", "10", "--maps", str(tmp_path)]
    assert evaluate.main(words) == 0
    out = capsys.readouterr().out
    assert ", 0 measured pixels a map" in out and ", 10 measured pixels a map" in out
    told = {k: json.loads((run / "evaluation" / f"test_observed{k}_steps1.json").read_text()) for k in (0, 10)}
    assert [told[k]["observed_pixels"] for k in told] == [0, 10]
    assert told[0]["results"]["path estimate"]["maps"] == told[10]["results"]["path estimate"]["maps"]
    assert told[0]["results"]["model"]["maps"] != told[10]["results"]["model"]["maps"]
    source = open_varied_source(data, "test", DataConfig(observed_range=(10, 10)))
    for index in range(len(source)):
        record = source[index]
        output = read_grey(tmp_path / "observed10" / f"{record['map']}_{record['transmitter']}.png")
        assert record["observed"].sum() == 10
        np.testing.assert_array_equal(output[record["observed"]], record["gain"][record["observed"]])
        assert (output[~record["observed"]] != record["gain"][~record["observed"]]).mean() > 0.1


def test_prediction_takes_any_number_of_measurements(run, data, tmp_path):
    scenes = RadioMapFolder(data)
    buildings, place, gain = scenes.buildings(0), scenes.transmitter(0, 0), scenes.gain(0, 0)
    model = load_generator(run)
    outdoors = np.argwhere(~buildings)[::50]
    plain = model.predict(buildings, place)
    for count in (1, len(outdoors)):
        given = np.full(buildings.shape, np.nan, np.float32)
        given[tuple(outdoors[:count].T)] = grey_to_gain(gain[tuple(outdoors[:count].T)])
        found = model.predict(buildings, place, observed=given)
        known = ~np.isnan(given)
        np.testing.assert_array_equal(gain_to_grey(found.gain[known]), gain[known])
        assert (found.gain[~known] != plain.gain[~known]).any()
    nothing = model.predict(buildings, place, observed=np.full(buildings.shape, np.nan, np.float32))
    np.testing.assert_array_equal(plain.gain, nothing.gain)

    row, column = outdoors[0]
    measured = tmp_path / "measured.csv"
    measured.write_text(f"{row},{column},{float(gain_to_db(grey_to_gain(gain[row, column]))):.3f}\n")
    words = ["--run", str(run), "--buildings", str(data / "png" / "buildings_complete" / "0.png"),
             "--tx", f"{place[0]},{place[1]}", "--out", str(tmp_path / "map.png")]  # fmt: skip
    assert predict.main(words) == 0
    np.testing.assert_array_equal(read_grey(tmp_path / "map.png"), gain_to_grey(plain.gain))
    assert predict.main([*words, "--measurements", str(measured)]) == 0
    assert read_grey(tmp_path / "map.png")[row, column] == gain[row, column]


def test_what_does_not_fit_is_told(run, data, tmp_path):
    new = ["--data", str(data), "--run", str(tmp_path / "new")]
    plain = [*new, "--config", "pixel-tiny"]
    for says, words in (
        ("data.observed_range is .5, 2.: give the least number", [*new, "--config", "sparse-tiny", "data.observed_range=[5,2]"]),
        ("data.observed_pixels and data.observed_range are both set", [*new, "--config", "sparse-tiny", "data.observed_pixels=3"]),
        ("data.observed_range is .0, 9., but features lack 'observed'", [*plain, "data.observed_range=[0,9]"]),
    ):
        with pytest.raises(UserError, match=says):
            train.main(words)
    unobserved = load_config("generator", "pixel-tiny", [], CONFIGS)
    with pytest.raises(UserError, match="was trained without measured pixels, so --observed changes nothing; leave it out"):
        evaluate.with_observed(unobserved, 5)
