"""Every kind of generator from end to end: trained, stopped and gone on with, evaluated, predicted, reported."""

import json

import numpy as np
import pytest

from experiments import evaluate, ldm, models, predict, report, train, vae
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey
from radiodiff_jax.inference.evaluation_files import evaluate_again
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.radiomapseer import RadioMapFolder
from radiodiff_jax.simulation import write_simulated_folder
from tests.micro import SHORT, START, TRAINING, VAE

LEAN = ["image_size=[32,32]", "backbone.widths=[8,16]"]
SMALL_TRAINING = [*TRAINING, *SHORT, "training.batch_size=2", "optimizer.accumulate=1", "data.split=by_map"]
# (command, preset, settings); latent, radiodiff, decoupled takes a minute to compile: other tests have its update.
GENERATORS = {
    "latent, unet, flow_matching": (ldm, "flow-tiny", [*LEAN, "objective.validation_steps=[3]"]),
    "pixel, unet, regression": (train, "pixel-tiny", LEAN),
    "pixel, unet, residual_flow": (train, "residual-tiny", LEAN),
    "pixel, radiounet, regression": (train, "radiounet", ["image_size=[64,64]", "backbone.width=0.1"]),
    "pixel, pmnet, regression": (
        train, "pmnet", ["image_size=[32,32]", "backbone.width=0.125", "backbone.blocks=[1,1,1,1]", "backbone.rates=[1]"]
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five cities of 32 x 32 m, three of 64 x 64 m, and a micro autoencoder."""
    folder = tmp_path_factory.mktemp("generators")
    for size, maps in ((32, 5), (64, 3)):
        write_simulated_folder(
            folder / f"data{size}", maps=maps, transmitters=2, size=(size, size), seed=0, workers=1, progress=False
        )
    assert vae.main(["--data", str(folder / "data32"), "--run", str(folder / "vae"), *VAE, *SHORT, *START]) == 0
    return folder


def data_of(folder, run):
    return folder / ("data64" if "radiounet" in run.name else "data32")


def run_of(folder, name):
    return folder / "runs" / name.replace(", ", "-")


@pytest.fixture(scope="module", params=GENERATORS)
def run(request, folder):
    """A finished run of each kind."""
    command, preset, words = GENERATORS[request.param]
    path = run_of(folder, request.param)
    data = str(data_of(folder, path))
    arguments = ["--config", preset, "--data", data, "--run", str(path), *words, *SMALL_TRAINING]
    if command is ldm:
        arguments += ["--vae", str(folder / "vae")]
    if preset == "residual-tiny":
        with pytest.raises(UserError, match="name the regression's run with --base RUN"):
            train.main(arguments)
        arguments += ["--base", str(run_of(folder, "pixel, unet, regression"))]
    assert command.main(arguments) == 0
    return path


def test_a_run_of_every_kind_is_whole(run, folder):
    told = json.loads((run / "run.json").read_text())
    assert told["kind"] == "generator" and told["parameters"]["total"] > 1000
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    assert events[-1]["event"] == "finished" and events[-1]["step"] == 4
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
    assert all(np.isfinite(row["validation/rmse"]) for row in rows if "validation/rmse" in row)
    assert ("base" in told) == (run / "base").is_dir() == run.name.endswith("residual_flow")
    assert ("autoencoder" in told) == (run / "autoencoder").is_dir() == run.name.startswith("latent")


def test_every_kind_is_evaluated_beside_the_baselines(run, folder):
    (result,) = evaluate.evaluate_run(run, data_of(folder, run), "test", batch_size=2, checkpoint="best").values()
    assert {"model", "distance law", "line-of-sight estimate", "path estimate"} <= set(result["results"])
    assert ("autoencoder" in result["results"]) == run.name.startswith("latent")
    expected = {"flow_matching": 1, "regression": 1, "residual_flow": 2}
    assert result["network_evaluations"] == expected[run.name.rsplit("-", 1)[1]]
    assert result["objective"] == run.name.rsplit("-", 1)[1]


def test_every_kind_predicts_a_scene_by_command_and_from_python(run, folder, tmp_path):
    root = data_of(folder, run)
    data = RadioMapFolder(root)
    place, buildings = data.transmitter(0, 0), data.buildings(0)
    found = load_generator(run).predict(buildings, place)
    assert found.gain.shape == data.size and (found.gain[buildings] == 0).all()
    assert found.db.min() == -147 and found.deviation is None
    png = root / "png" / "buildings_complete" / "0.png"
    words = ["--run", str(run), "--buildings", str(png), "--tx", f"{place[0]},{place[1]}", "--out", str(tmp_path / "m.png")]
    assert predict.main([*words, "--checkpoint", "4"]) == 0
    assert np.abs(read_grey(tmp_path / "m.png") - 255 * found.gain).max() <= 0.5 + 1e-3
    with pytest.raises(UserError, match="keeps no checkpoint of step 3; choose one of 2, 4"):
        predict.main([*words, "--checkpoint", "3"])


def test_every_kind_is_packed_into_one_file(run, folder, tmp_path, capsys):
    data, file = RadioMapFolder(data_of(folder, run)), tmp_path / "packed.safetensors"
    words = ["pack", "--run", str(run), "--out", str(file), "--precision", "float32", "--licence", "CC0"]
    assert models.main(words) == 0 and "digest" in capsys.readouterr().out
    buildings, place = data.buildings(0), data.transmitter(0, 0)
    packed = load_generator(file)
    np.testing.assert_array_equal(packed.predict(buildings, place).gain, load_generator(run).predict(buildings, place).gain)
    assert packed.record["updates"] == 4 and packed.record["licence"] == "CC0" and packed.record["parameters"]["total"] > 1000
    assert models.main(["show", str(file)]) == 0 and "licence: CC0" in capsys.readouterr().out
    if run.name != "pixel-unet-regression":  # one kind is enough for the evaluation of a file
        return
    out = tmp_path / "result.json"
    assert evaluate.main(["--model", str(file), "--data", str(data.root), "--count", "1", "--out", str(out)]) == 0
    told = json.loads(out.read_text())
    assert told["model"] == str(file) and told["radio_maps"] == 1
    assert evaluate_again(told).startswith(f"python -m experiments.evaluate --model {file} --data")


def test_all_kinds_have_pages(folder, run):
    site = folder / "site"
    if run.name.endswith("pmnet-regression"):  # the last: all runs are there
        assert report.main(["--runs", str(folder / "runs"), "--site", str(site), "--workers", "1"]) == 0
        pages = {path.parent.name for path in (site / "runs").glob("*/index.md")}
        assert pages == {run_of(folder, name).name.replace("_", "-") for name in GENERATORS}
