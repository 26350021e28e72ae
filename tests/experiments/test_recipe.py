"""The recipes of the shipped models in micro: trained on a growing collection of cities, judged, packed, with their cards."""

import numpy as np
import pytest

from experiments import recipe
from radiodiff_jax.config_files import read_yaml
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.evaluation_files import read_evaluation
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.reporting.model_card import read_judged
from tests.micro import LDM, SHORT, START, TRAINING, VAE

CITIES = ["data.transmitters_per_city=2", "data.cities_at_once=2", "data.simulation_workers=1"]
WORDS = [
    "image_size=[32,32]", "backbone.widths=[8,16]", *TRAINING, "training.steps=4", "training.checkpoint_every=2",
    "training.validate_every=4", "training.sample_every=4", "optimizer.warmup_steps=1", *CITIES,
]  # fmt: skip
STREAM = ["data.source=simulate", "data.reuse=4", *CITIES]


@pytest.mark.parametrize(
    ("words", "says"),
    [(["--name", "../x"], "is no name of a file"), (["--real", "nowhere"], "nowhere"), (["--name", "x" * 300], "too long"),
     (["--vae-config", "tiny"], "without an autoencoder")],
)
def test_a_slip_is_told_before_hours_of_work(words, says, tmp_path):
    with pytest.raises(UserError, match=says):
        recipe.main(["--config", "dpm-tiny", "--out", str(tmp_path / "model"), *words, *WORDS])
    assert not (tmp_path / "model").exists()


def test_from_nothing_to_a_model_file_and_a_card(tmp_path, capsys):
    out = tmp_path / "model"
    call = ["--config", "dpm-tiny", "--out", str(out), "--name", "micro", "--cities", "2", "--workers", "1", *WORDS]
    assert recipe.main(call) == 0
    model = load_generator(out / "micro.safetensors")
    assert model.record["updates"] == 4 and model.config.data.reuse == 4 and model.config.image_size == (32, 32)
    assert len(list((out / "run" / "cities").glob("*/*.npz"))) >= 2
    told = read_evaluation(out / "card" / "made-up.json")
    assert told["radio_maps"] == 16 and told["layouts"] == 2 and "path estimate" in told["results"]
    (entry,) = read_yaml(out / "card" / "card.yaml")["evaluations"]
    assert read_judged(out / "card", entry).result == told
    assert {path.name for path in (out / "card").glob("*.png")} == {"example.light.png", "example.dark.png"}
    assert "--model" in capsys.readouterr().out
    again = load_generator(out / "run")
    buildings = np.zeros((32, 32), bool)
    np.testing.assert_allclose(model.predict(buildings, (3, 4)).gain, again.predict(buildings, (3, 4)).gain, atol=0.02)
    assert recipe.main(call) == 0  # finished: nothing is trained again
    assert load_generator(out / "micro.safetensors").record["digest"] == model.record["digest"]


def test_a_latent_model_with_its_autoencoder_on_the_same_cities(tmp_path):
    out = tmp_path / "model"
    call = ["--config", "tiny", "--vae-config", "tiny", "--out", str(out), "--cities", "2", "--workers", "1", *LDM, *SHORT, *STREAM]
    assert recipe.main([*call, "--vae", *VAE, *SHORT, *START, *STREAM]) == 0
    assert (out / "run" / "cities").resolve() == (out / "autoencoder" / "cities").resolve()
    model = load_generator(out / "dpm-diffusion.safetensors")
    assert model.config.space.name == "latent" and model.record["updates"] == 4
    entries = read_yaml(out / "card" / "card.yaml")["evaluations"]
    judged = {entry["file"]: read_judged(out / "card", entry).result for entry in entries}
    assert [one["steps"] for one in judged.values()] == [1, 5, 5]
    assert judged["made-up-samples.json"]["samples"] == 16 and "autoencoder" in judged["made-up.json"]["results"]
    assert model.predict(np.zeros((32, 32), bool), (3, 4)).gain.shape == (32, 32)
