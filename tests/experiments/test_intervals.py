"""A model that says how sure it is, from its training to the picture of its intervals; and one that draws samples."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest

from experiments import evaluate, predict, train
from experiments.training import CONFIGS
from radiodiff_jax.composition import compose
from radiodiff_jax.config_files import load_config
from radiodiff_jax.data.pipeline import evaluation_batches
from radiodiff_jax.data.sources import FolderSource
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.evaluation import evaluate_steps, fit_calibration
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.radiomapseer import RadioMapFolder
from tests.data.example_folder import write_example_folder
from tests.micro import SHORT, TRAINING

LEAN = ["image_size=[32,32]", "backbone.widths=[8]", "backbone.blocks_per_level=1", "backbone.attention_levels=0",
        "features=[buildings,transmitter,free_space]"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten maps of 32 x 32 m and a micro run that predicts its error, not calibrated yet."""
    folder = tmp_path_factory.mktemp("intervals")
    write_example_folder(folder / "data", maps=10)
    words = ["--config", "pixel-tiny-interval", "--data", str(folder / "data"), "--run", str(folder / "run")]
    assert train.main([*words, *LEAN, *TRAINING, *SHORT, "data.split=by_map", "estimate=line_of_sight"]) == 0
    return folder


def scene_words(folder, out):
    data = RadioMapFolder(folder / "data")
    row, column = data.transmitter(0, 0)
    png = folder / "data" / "png" / "buildings_complete" / "0.png"
    return ["--run", str(folder / "run"), "--buildings", str(png), "--tx", f"{row},{column}", "--out", str(out)]


def test_from_training_to_calibrated_intervals(folder, tmp_path, capsys):
    run = folder / "run"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert all(np.isfinite(row["loss_scale"]) and row["loss_scale"] > 0 for row in rows if "loss" in row)
    assert predict.main([*scene_words(folder, tmp_path / "m.png"), "--interval"]) == 0
    told = capsys.readouterr().out
    assert "m_interval.png (90 % interval: +-" in told and "dB in the mean outdoors, not calibrated" in told
    assert (tmp_path / "m_interval.png").stat().st_size > 5000

    before = load_generator(run)
    assert before.calibration is None and before.predicts_error
    assert evaluate.main(["--run", str(run), "--data", str(folder / "data"), "--calibrate"]) == 0
    told = capsys.readouterr().out
    assert "intervals calibrated on 2 validation maps of 1 layouts" in told and "the 90 % interval (± " in told
    after = load_generator(run)
    factor = after.calibration.intervals.factor(0.9)
    assert factor > 0 and factor != 1
    data = RadioMapFolder(folder / "data")
    first, second = (model.predict(data.buildings(0), data.transmitter(0, 0)) for model in (before, after))
    np.testing.assert_array_equal(first.deviation, second.deviation)
    np.testing.assert_allclose(second.half_width_db(0.9), factor * first.half_width_db(0.9), rtol=1e-5)
    assert (first.deviation[~first.buildings] > 0).all() and not first.deviation[first.buildings].any()
    np.testing.assert_allclose(first.gain, before.predict_batch(next(iter(batches(folder))))[0], atol=1e-5)

    result = json.loads((run / "evaluation" / "test_steps1.json").read_text())
    spread = result["results"]["model"]["spread"]
    assert spread["calibrated"] and result["calibration"]["layouts"] == 1 and result["samples"] == 1
    assert predict.main([*scene_words(folder, tmp_path / "m.png"), "--interval"]) == 0
    assert "dB in the mean outdoors, calibrated)" in capsys.readouterr().out


def batches(folder):
    maps = RadioMapFolder(folder / "data")
    return evaluation_batches(FolderSource(maps, maps.maps, cars=False), 1)


def test_the_factors_make_the_fitted_maps_hold(folder):
    model = load_generator(folder / "run")
    maps = RadioMapFolder(folder / "data")
    source = FolderSource(maps, maps.maps, cars=False)
    fitted = fit_calibration(model, evaluation_batches(source, 4), 1, 1, {})
    ((result, _),) = evaluate_steps(replace(model, calibration=fitted), source, [1], 4)
    told = result["results"]["model"]["spread"]
    over = np.array(told["coverage"]) - told["levels"]  # pixels of equal error and deviation come in all together
    assert (over >= 0).all() and over.max() < 0.01
    assert fitted.fitted_on["radio_maps"] == 20 and fitted.fitted_on["pixels"] == told["pixels"]


def test_factors_of_other_weights_are_left_aside(folder):
    path = folder / "run" / "calibration.json"
    assert load_generator(folder / "run", "latest").calibration is not None
    kept = path.read_text()
    path.write_text(kept.replace(json.loads(kept)["digest"], "0" * 64))
    assert load_generator(folder / "run").calibration is None
    path.write_text(kept)


def generator(*words):
    config = load_config("generator", "pixel-tiny", [*LEAN, "estimate=none", *words], CONFIGS)
    composition = compose(config)
    return Generator(composition, composition.first_variables(jax.random.key(0)), {})


def test_samples_have_a_spread_and_a_calibration_of_their_own(folder):
    model = generator("objective.name=flow_matching")
    maps = RadioMapFolder(folder / "data")
    source = FolderSource(maps, maps.maps[:3], cars=False)
    batch = next(iter(evaluation_batches(source, 6)))
    gain, deviation = model.predict_spread(batch, 1, samples=3)
    draws = np.stack([model.predict_batch(batch, 1, seed) for seed in range(3)])
    np.testing.assert_allclose(gain, draws.mean(0), atol=1e-6)
    np.testing.assert_allclose(deviation, draws.std(0), atol=1e-6)
    assert model.predict_spread(batch, 1)[1] is None and deviation.max() > 0
    fitted = fit_calibration(model, evaluation_batches(source, 6), 1, 3, {})
    known = replace(model, calibration=fitted)
    assert known.intervals(1, 3).factors and known.intervals(1, 4).factors is None is known.intervals(2, 3).factors
    ((result, _),) = evaluate_steps(known, source, [1], 6, samples=3)
    told = result["results"]["model"]["spread"]
    assert result["samples"] == result["network_evaluations"] == 3 and told["family"] == "normal"
    np.testing.assert_allclose(told["coverage"], told["levels"], atol=0.01)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "does not say how sure it is: .* objective.error_scale=true; train one with --config pixel-tiny-interval"),
        (["objective.name=flow_matching"], "a single sample does not say how sure the model is; draw several with --samples"),
    ],
)
def test_a_model_without_a_spread_is_refused_in_one_sentence(words, message):
    with pytest.raises(UserError, match=message) as caught:
        generator(*words).check_spread(1)
    assert "\n" not in str(caught.value)
