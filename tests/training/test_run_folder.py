"""What may go on in a run folder and what may not."""

import dataclasses
import json

import pytest

from radiodiff_jax.config_files import read_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.training.run_folder import open_run, settings_fingerprint
from tests.training.toy import make_config


def changed(config, section, **values):
    """The settings with some of one section replaced."""
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **values)})


@pytest.fixture
def config():
    return make_config()


def test_new_and_again(tmp_path, config):
    run = tmp_path / "runs" / "one"
    folder = open_run(run, config, "data")
    folder.write_details({"data_fingerprint": "data", "first": True})
    folder.event(3, "saved", more=1)
    again = open_run(run, config, "data")
    again.write_details({"first": False})
    assert read_config(run / "config.yaml") == config
    assert json.loads((run / "run.json").read_text())["first"], "run.json tells how the run began"
    assert again.changed == []
    found = again.find_event("saved", 3)
    assert (found["step"], found["event"], found["more"]) == (3, "saved", 1) and "time" in found
    assert again.find_event("saved", 4) is None


def test_other_settings_are_refused_and_shown(tmp_path, config):
    open_run(tmp_path / "run", config)
    with pytest.raises(UserError, match=r"training.batch_size: 4 -> 8; training.seed: 3 -> 5\)"):
        open_run(tmp_path / "run", changed(config, "training", batch_size=8, seed=5))
    many = {"batch_size": 8, "seed": 5, "validation_maps": 1, "sample_maps": 1}
    other = changed(changed(config, "training", **many), "optimizer", learning_rate=0.5, weight_decay=0.5)
    with pytest.raises(UserError, match="and 1 more"):
        open_run(tmp_path / "run", other)
    assert read_config(tmp_path / "run" / "config.yaml") == config


def test_free_settings_may_change(tmp_path, config):
    open_run(tmp_path / "run", config)
    other = changed(changed(config, "training", log_every=9, checkpoints_kept=7), "data", threads=1)
    assert open_run(tmp_path / "run", other).changed == [
        "data.threads: 2 -> 1", "training.log_every: 4 -> 9", "training.checkpoints_kept: 2 -> 7",
    ]  # fmt: skip
    assert read_config(tmp_path / "run" / "config.yaml") == other
    assert settings_fingerprint(config) == settings_fingerprint(other)
    assert settings_fingerprint(config) != settings_fingerprint(changed(config, "training", seed=9))


def test_steps_may_change_only_with_a_constant_rate(tmp_path, config):
    open_run(tmp_path / "cosine", config)
    with pytest.raises(UserError, match="training.steps: 20 -> 30.*cosine schedule"):
        open_run(tmp_path / "cosine", changed(config, "training", steps=30))
    constant = changed(config, "optimizer", schedule="constant")
    open_run(tmp_path / "constant", constant)
    assert open_run(tmp_path / "constant", changed(constant, "training", steps=30)).changed


def test_other_data_is_refused(tmp_path, config):
    open_run(tmp_path, config, "one").write_details({"data_fingerprint": "one"})
    with pytest.raises(UserError, match="other data .*one, now two"):
        open_run(tmp_path, config, "two")


@pytest.mark.parametrize("name", ["holiday.jpg", "checkpoints"])
def test_foreign_folder_is_refused(tmp_path, config, name):
    (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=name):
        open_run(tmp_path, config)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_prepared_folder_and_leftovers_are_accepted(tmp_path, config):
    (tmp_path / "autoencoder").mkdir()
    (tmp_path / ".writing-abc.yaml").touch()
    assert open_run(tmp_path, config).path == tmp_path


def test_file_is_no_folder(tmp_path, config):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="is a file"):
        open_run(tmp_path / "run", config)
