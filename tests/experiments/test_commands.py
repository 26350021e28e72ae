"""The commands from end to end on a micro data set, their errors, and a real kill in mid-training."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments import evaluate, ldm, predict, vae
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey, write_grey
from tests.micro import LDM, SHORT, START, VAE, write_data

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def data(folder):
    return write_data(folder / "data")


@pytest.fixture(scope="module")
def vae_run(folder, data):
    run = folder / "vae"
    words = [*VAE, *SHORT, *START]
    assert vae.main(["--data", str(data), "--run", str(run), *words]) == 0
    return run


@pytest.fixture(scope="module")
def ldm_run(folder, data, vae_run):
    run = folder / "ldm"
    words = [*LDM, *SHORT, "objective.validation_steps=[2]"]
    assert ldm.main(["--data", str(data), "--vae", str(vae_run), "--run", str(run), *words]) == 0
    return run


def events(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def test_a_run_is_a_whole_folder(vae_run, ldm_run):
    for run, kind, phases in ((vae_run, "vae", ["vae", "vae_gan"]), (ldm_run, "generator", ["decoupled"])):
        told = json.loads((run / "run.json").read_text())
        assert told["kind"] == kind
        assert [event["phase"] for event in events(run) if event["event"] == "phase"] == phases
        finished = events(run)[-1]
        assert finished["event"] == "finished" and len(finished["digest"]) == 64 and finished["step"] == 4
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4]
        assert [row["step"] for row in rows if "validation/rmse" in row] == [2, 4]
        assert all(("validation/rmse_2_steps" in row) == (kind == "generator") for row in rows if "validation/rmse" in row)
        assert Image.open(run / "samples" / "4.png").size[0] > 500
        assert (run / "config.yaml").is_file() and (run / "checkpoints" / "4").is_dir()
    assert json.loads((vae_run / "run.json").read_text())["perceptual"] == "off"
    assert json.loads((ldm_run / "run.json").read_text())["autoencoder"]["scale"] > 0


def test_a_finished_run_is_left_alone(vae_run, data, capsys):
    before = (vae_run / "events.jsonl").read_bytes()
    assert vae.main(["--data", str(data), "--run", str(vae_run), *VAE, *SHORT, *START]) == 0
    assert "finished already" in capsys.readouterr().out
    assert (vae_run / "events.jsonl").read_bytes() == before


def test_evaluate(ldm_run, data, tmp_path, capsys):
    words = ["--run", str(ldm_run), "--data", str(data), "--split", "validation", "--batch-size", "2"]
    assert evaluate.main([*words, "--steps", "2", "1", "2", "--maps", str(tmp_path)]) == 0
    assert "3 radio maps of 1 layouts, validation split" in capsys.readouterr().out
    files = [ldm_run / f"evaluation/validation_steps{steps}.json" for steps in (1, 2)]
    result, two = (json.loads(path.read_text()) for path in files)
    assert (result["steps"], result["network_evaluations"], two["network_evaluations"]) == (1, 2, 3)
    assert result["radio_maps"] == 3 and result["results"]["autoencoder"] == two["results"]["autoencoder"]
    assert set(result["results"]) == set(two["results"]) == {
        "model", "distance law", "line-of-sight estimate", "path estimate", "autoencoder"
    }  # fmt: skip
    assert result["results"]["model"]["figures"] != two["results"]["model"]["figures"]
    for one in result["results"].values():
        assert {"raw/all/rmse", "thresholded/outdoor/nmse", "raw/all/ssim"} <= one["figures"].keys()
        assert len(one["maps"]["map"]) == 3 and one["errors"]["in_sight"]["pixels"] > 0
    maps = tmp_path / "steps1"
    assert len(list(maps.glob("*.png"))) == 3
    rows = result["results"]["model"]["maps"]
    for number, transmitter, rmse in zip(rows["map"], rows["transmitter"], rows["raw/all/rmse"], strict=True):
        name = f"{number}_{transmitter}.png"  # the saved map gives the figures again, but for 8-bit rounding
        truth, saved = (read_grey(root / name) / 255 for root in (data / "gain" / "DPM", maps))
        assert abs(np.sqrt(np.mean((truth - saved) ** 2)) - rmse) < 2e-3
    with np.load(files[0].with_suffix(".npz")) as arrays:  # the extreme maps are predicted once more, and are the same
        for i, name in enumerate(zip(arrays["map"], arrays["transmitter"], strict=True)):
            np.testing.assert_array_equal(arrays["output"][i], read_grey(maps / "{}_{}.png".format(*name)))


@pytest.mark.parametrize("words", [["--steps", "1", "2", "--out", "x.json"], ["--out", "x.txt"], ["--steps", "0"]])
def test_evaluate_refuses_wrong_usage(words):
    with pytest.raises(SystemExit) as caught:
        evaluate.main(["--run", "run", "--data", "data", *words])
    assert caught.value.code == 2


def test_predict_from_the_command_equals_evaluation(ldm_run, data, tmp_path):
    from radiodiff_jax.radiomapseer import RadioMapFolder

    scenes = RadioMapFolder(data)
    row, column = scenes.transmitter(0, 0)
    buildings = data / "png" / "buildings_complete" / "0.png"
    out, db = tmp_path / "map.png", tmp_path / "map.npy"
    words = ["--run", str(ldm_run), "--buildings", str(buildings), "--tx", f"{row},{column}", "--out", str(out)]
    assert predict.main([*words, "--db", str(db), "--samples", "2"]) == 0
    grey, path_gain = read_grey(out), np.load(db)
    assert path_gain.dtype == np.float32 and path_gain.shape == grey.shape == (32, 32)
    np.testing.assert_allclose(path_gain, -147 + grey / 255 * 99.16, atol=0.2)
    assert (tmp_path / "map_labelled.png").is_file() and (tmp_path / "map_spread.png").is_file()


@pytest.fixture
def scene(tmp_path):
    walls = np.zeros((32, 32), np.uint8)
    walls[4:10, 4:10] = 255
    write_grey(tmp_path / "b.png", walls)
    return tmp_path / "b.png"


@pytest.mark.parametrize("tx,says", [("5,5", "inside a building"), ("40,3", "outside the map"), ("-1,3", "outside the map")])
def test_predict_refuses_a_bad_transmitter(ldm_run, scene, tmp_path, tx, says):
    with pytest.raises(UserError, match=says):
        predict.main(["--run", str(ldm_run), "--buildings", str(scene), f"--tx={tx}", "--out", str(tmp_path / "x.png")])
    assert not (tmp_path / "x.png").exists()


def test_predict_refuses_other_bad_input(ldm_run, vae_run, scene, tmp_path):
    def call(run, buildings, *more):
        words = ["--run", str(run), "--buildings", str(buildings), "--tx", "0,0", "--out", str(tmp_path / "x.png")]
        return predict.main([*words, *more])

    (tmp_path / "torn.png").write_bytes(scene.read_bytes()[:60])
    for run, picture, more, says in (
        (ldm_run, tmp_path / "none.png", (), "missing"),
        (ldm_run, tmp_path / "torn.png", (), "damaged"),
        (ldm_run, scene, ("--cars", str(scene)), "trained without cars"),
        (vae_run, scene, (), "run of an autoencoder"),
        (tmp_path, scene, (), "no run folder"),
        (tmp_path / "gone", scene, (), "neither a run folder nor a model"),
        (ldm_run, scene, ("--symmetries", "9"), "symmetries is 9"),
    ):
        with pytest.raises(UserError, match=says):
            call(run, picture, *more)
    for word in (["--tx", "five"], ["--steps", "0"]):
        with pytest.raises(SystemExit) as caught:
            call(ldm_run, scene, *word)
        assert caught.value.code == 2
    assert not (tmp_path / "x.png").exists()


def test_damage_of_what_a_run_builds_on_is_told(ldm_run, scene, tmp_path):
    run = shutil.copytree(ldm_run, tmp_path / "run")
    words = ["--run", str(run), "--buildings", str(scene), "--tx", "0,0", "--out", str(tmp_path / "x.png")]
    largest = max((run / "autoencoder").rglob("*"), key=lambda path: path.stat().st_size if path.is_file() else 0)
    for path in (largest, run / "autoencoder" / "latent.json", run / "autoencoder" / "config.yaml"):
        good = path.read_bytes()
        for place in (len(good) // 3, len(good) // 2, len(good) - 3):
            flipped = bytearray(good)
            flipped[place] ^= 1
            path.write_bytes(flipped)
            with pytest.raises(UserError, match=f"{path.name} is damaged .*; copy the run again"):
                predict.main(words)
        path.write_bytes(good)
    digests = run / "autoencoder" / "digests.json"
    for content in ("{}", "[]", '{"files": {"config.yaml": "0"}}', '{"files": {"none": "0"}}'):
        digests.write_text(content)
        with pytest.raises(UserError, match="is damaged|is missing"):
            predict.main(words)
    assert not (tmp_path / "x.png").exists()
    digests.unlink()  # as in a run of an older version, of which it can only be told whether the numbers are finite
    assert predict.main(words) == 0
    (run / "autoencoder" / "latent.json").write_text('{"scale": NaN}')
    with pytest.raises(UserError, match="latent.json is damaged .scale: "):
        predict.main(words)


@pytest.mark.parametrize("beside", ["map.npy", "map_labelled.png", "map.png"])
def test_all_files_of_a_prediction_are_written_or_none(ldm_run, scene, tmp_path, beside):
    (tmp_path / beside).mkdir()
    words = ["--run", str(ldm_run), "--buildings", str(scene), "--tx", "0,0", "--out", str(tmp_path / "map.png")]
    with pytest.raises(UserError, match=f"{beside} cannot be written: it is a folder"):
        predict.main([*words, "--db", str(tmp_path / "map.npy")])
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["b.png", beside])


def test_an_answer_that_is_not_finite_is_no_map(ldm_run, scene, tmp_path):
    from dataclasses import replace

    import jax

    from radiodiff_jax.inference.loading import load_run

    model = load_run(ldm_run)
    broken = replace(model, variables=jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), model.variables))
    with pytest.raises(UserError, match="ldm answers numbers that are not finite"):
        broken.predict(read_grey(scene) != 0, (0, 0))


@pytest.mark.parametrize(
    "words",
    [
        ["--samples", "1000000000"], ["--steps", "99999999999999999999"], ["--out", "n" * 300 + ".png"], ["--run", "n" * 300],
        ["--buildings", "a\0b.png"],
    ],
)  # fmt: skip
def test_words_that_are_too_large_are_refused_before_anything_is_read(words, capsys):
    with pytest.raises(SystemExit) as caught:
        predict.main(["--buildings", "b.png", "--tx", "0,0", "--out", "x.png", *words])
    said = capsys.readouterr().err.splitlines()[-1]
    assert caught.value.code == 2 and ("too large" in said or "is no name of a file or folder" in said)


def test_training_refuses_what_does_not_fit(vae_run, ldm_run, data, tmp_path):
    def fit(command, *words):
        return command.main([*words])

    new = str(tmp_path / "new")
    for says, command, words in (
        ("image_size is", vae, ["--data", str(data), "--run", new, *VAE, "image_size=[64,64]"]),
        ("there is no folder", vae, ["--data", str(tmp_path / "none"), "--run", new, *VAE]),
        ("name the autoencoder's run", ldm, ["--data", str(data), "--run", new, *LDM]),
        ("no run folder", ldm, ["--data", str(data), "--vae", str(tmp_path / "none"), "--run", new, *LDM]),
        ("'generator', but an autoencoder's", ldm, ["--data", str(data), "--vae", str(ldm_run), "--run", new, *LDM]),
        ("optimizer.learning_rate", vae, ["--data", str(data), "--run", str(vae_run), *VAE, *SHORT,
                                          "optimizer.learning_rate=1"]),
        ("cars", vae, ["--data", str(data), "--run", new, *VAE, "data.cars=true"]),
        ("training.batch_size is 100000000", vae, ["--data", str(data), "--run", new, *VAE, "training.batch_size=100000000"]),
        ("not a directory|is a file", vae, ["--data", str(data), "--run", f"{__file__}/run", *VAE]),
        ("VGG16", vae, ["--data", str(data), "--run", new, *VAE, "objective.perceptual_weight=1"]),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says) as caught:
            fit(command, *words)
        assert "\n" not in str(caught.value)
    assert not Path(new).exists()


def test_an_autoencoder_without_checkpoint_is_refused(vae_run, data, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    shutil.copy(vae_run / "config.yaml", empty)
    with pytest.raises(UserError, match="has no checkpoint"):
        ldm.main(["--data", str(data), "--vae", str(empty), "--run", str(tmp_path / "new"), *LDM])


def command(data: Path, run: Path) -> subprocess.Popen:
    settings = [*VAE, "training.steps=12", "training.checkpoint_every=3", "training.validate_every=100",
                "training.sample_every=100", "objective.discriminator_start=5"]  # fmt: skip
    words = [sys.executable, "-m", "experiments.vae", "--data", str(data), "--run", str(run), *settings]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def losses(run: Path) -> list[tuple[int, float]]:
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


def test_killed_and_resumed_ends_with_the_same_bits(data, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert command(data, whole).wait(300) == 0
    process = command(data, broken)
    deadline = time.monotonic() + 300
    while not (broken / "checkpoints" / "3").is_dir() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    assert events(broken)[-1]["event"] != "finished"
    assert command(data, broken).wait(300) == 0
    assert "resumed" in {event["event"] for event in events(broken)}
    assert events(broken)[-1]["digest"] == events(whole)[-1]["digest"]
    assert losses(whole) == losses(broken)


def test_errors_reach_the_user_as_one_line(tmp_path):
    words = [sys.executable, "-m", "experiments.predict", "--run", str(tmp_path), "--buildings", "b.png", "--tx", "1,1",
             "--out", "m.png"]  # fmt: skip
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_several_transmitters_and_a_folder_of_masks_are_one_compilation(ldm_run, scene, tmp_path, capsys, monkeypatch):
    from radiodiff_jax.inference.generator import Generator

    traced, original = [], Generator.traced
    monkeypatch.setattr(Generator, "traced", lambda self, *given: traced.append(1) or original(self, *given))
    (tmp_path / "masks").mkdir()
    for name in ("a", "b"):
        (tmp_path / "masks" / f"{name}.png").write_bytes(scene.read_bytes())
    words = ["--run", str(ldm_run), "--buildings", str(tmp_path / "masks"), "--tx", "0,0", "20,20"]
    assert predict.main([*words, "--out", str(tmp_path / "maps"), "--db", str(tmp_path / "maps")]) == 0
    names = [f"{mask}_{place}" for mask in "ab" for place in ("0_0", "20_20")]
    assert sorted(path.name for path in (tmp_path / "maps").glob("*.npy")) == [f"{name}.npy" for name in names]
    assert all((tmp_path / "maps" / f"{name}_labelled.png").is_file() for name in names)
    assert len(traced) == 1 and "4 of 4: " in capsys.readouterr().out
    alone = tmp_path / "alone.png"
    assert predict.main(["--run", str(ldm_run), "--buildings", str(scene), "--tx", "20,20", "--out", str(alone)]) == 0
    assert np.array_equal(read_grey(alone), read_grey(tmp_path / "maps" / "b_20_20.png"))


@pytest.mark.parametrize(
    "more,says",
    [
        (["--tx", "0,0", "1,1", "--out", "m.png"], "name a folder"),
        (["--tx", "0,0", "1,1", "--out", "m", "--db", "d.npy"], "name a folder"),
    ],
)
def test_several_maps_are_not_written_into_one_file(scene, more, says, capsys):
    with pytest.raises(SystemExit) as caught:
        predict.main(["--buildings", str(scene), *more])
    assert caught.value.code == 2 and says in capsys.readouterr().err
