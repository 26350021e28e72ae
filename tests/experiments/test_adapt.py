"""From given weights: equal at the start, mixed with a second folder, stopped early, gone on with exactly, some parameters."""

import json
import os
import shutil
import signal
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from experiments import adapt, train
from radiodiff_jax.data.pipeline import evaluation_batches
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.simulation import write_simulated_folder
from radiodiff_jax.training.checkpoint_files import load_for_inference, saved_steps
from radiodiff_jax.training.digest import digest, leaves_by_path
from radiodiff_jax.training.progress import TIMED
from radiodiff_jax.training.session import Session
from tests.micro import SHORT, TRAINING

LEAN = ["image_size=[32,32]", "backbone.widths=[8,16]", "features=[buildings,free_space,offset]", "estimate=line_of_sight",
        *TRAINING, *SHORT, "training.batch_size=2"]  # fmt: skip
# Trainings with these words share what is compiled: RMSE soon grows with such a learning rate.
QUICK = ["training.steps=8", "training.batch_size=2", "training.validate_every=1", "training.log_every=1",
         "training.checkpoint_every=2", "training.sample_every=8", "training.sample_maps=2", "training.patience=2",
         "optimizer.learning_rate=0.05", "optimizer.warmup_steps=0"]  # fmt: skip
CHOICE = "data.hold_out=[3,4]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two folders of cities of 32 x 32 m, and a model of the first."""
    folder = tmp_path_factory.mktemp("adapt")
    for name, seed in (("simulated", 0), ("real", 7)):
        write_simulated_folder(folder / name, maps=5, transmitters=2, size=(32, 32), seed=seed, workers=1, progress=False)
    words = ["--config", "pixel-tiny", "--data", str(folder / "simulated"), "--run", str(folder / "source"), *LEAN]
    assert train.main(words) == 0
    return folder


def words(folder, run, *more, source=True):
    given = ["--from", str(folder / "source")] if source else []
    both = ["--data", str(folder / "real"), "--mix", str(folder / "simulated")]
    return [*given, *both, "--run", str(folder / run), *QUICK, CHOICE, *more]


@pytest.fixture(scope="module")
def adapted(folder):
    """A run that stopped early."""
    assert train.main(words(folder, "adapted")) == 0
    return folder / "adapted"


def lines(run, name):
    return [json.loads(line) for line in (run / f"{name}.jsonl").read_text().splitlines()]


def metrics(run):
    return [{name: value for name, value in row.items() if name not in TIMED} for row in lines(run, "metrics")]


def test_a_second_folder_that_is_none_is_told_before_work_begins(folder, tmp_path):
    words = ["--from", str(folder / "source"), "--data", str(folder / "real"), "--mix", str(tmp_path / "none")]
    with pytest.raises(UserError, match="there is no folder .*none"):
        adapt.main([*words, "--out", str(tmp_path / "curve")])
    assert not (tmp_path / "curve").exists()


def test_it_starts_as_the_source(folder, adapted):
    source = load_generator(folder / "source", "best")
    assert saved_steps(adapted / "checkpoints") == [0, 2], "nothing is better than the start with this learning rate"
    start, (state, _) = load_generator(adapted, "best"), load_for_inference(adapted, 0)
    assert lines(adapted, "metrics")[0]["step"] == 0, "what it starts from is judged first"
    assert digest(start.variables) == digest(source.variables)
    assert digest(state["params"]) == digest(source.variables["params"])
    assert digest(load_generator(adapted).variables) != digest(source.variables)
    (batch,) = evaluation_batches(open_source(folder / "real", "train", hold_out=(3, 4)), 6)
    np.testing.assert_array_equal(start.predict_batch(batch), source.predict_batch(batch))


def test_it_stops_early_and_tells_what_it_was_made_of(folder, adapted, capsys):
    last = lines(adapted, "events")[-1]
    assert (last["event"], last["stopped_early"], last["best"], last["step"]) == ("finished", True, 0, 2)
    rows = [row for row in lines(adapted, "metrics") if "validation/rmse" in row]
    assert [row["step"] for row in rows] == [0, 1, 2]
    assert rows[0]["validation/rmse"] < min(row["validation/rmse"] for row in rows[1:])
    told = json.loads((adapted / "run.json").read_text())
    source = load_generator(folder / "source", "best")
    assert told["start"] == {"source": str(folder / "source"), "checkpoint": "best", "digest": digest(source.variables)}
    prints = {name: json.loads((folder / name / "run.json").read_text())["data_fingerprint"] for name in ("source", "adapted")}
    assert told["mix"]["fingerprint"] == prints["source"] and told["mix"]["share"] == 0.5
    assert prints["adapted"] not in (prints["source"], told["mix"]["data_fingerprint"])
    capsys.readouterr()
    before = (adapted / "events.jsonl").read_bytes()
    assert train.main(words(folder, "adapted")) == 0  # the same command
    assert "is finished already (2 updates" in capsys.readouterr().out
    assert (adapted / "events.jsonl").read_bytes() == before


def test_it_goes_on_to_the_same_bits_without_the_source(folder, adapted, monkeypatch):
    broken, update = folder / "broken", Session._update

    def interrupted(self):
        update(self)
        if self.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Session, "_update", interrupted)
    assert train.main(words(folder, "broken")) == 0
    monkeypatch.undo()
    assert lines(broken, "events")[-1]["event"] == "interrupted"
    hidden = (folder / "source").rename(folder / "hidden")
    try:
        assert train.main(words(folder, "broken", source=False)) == 0
    finally:
        hidden.rename(folder / "source")
    ends = [lines(run, "events")[-1] for run in (adapted, broken)]
    assert ends[0]["digest"] == ends[1]["digest"] and ends[1]["stopped_early"]
    assert metrics(adapted) == metrics(broken)


def test_frozen_parameters_do_not_move(folder):
    run = folder / "partly"
    chosen = 'optimizer.train_only=["x0_output","*norm*"]'
    assert train.main(words(folder, "partly", chosen, "training.steps=1", "training.patience=null")) == 0
    state, _ = load_for_inference(run)
    before, after = (leaves_by_path(tree["params"]) for tree in (load_generator(folder / "source").variables, state))
    moved = {name for name in before if (np.asarray(before[name]) != np.asarray(after[name])).any()}
    assert moved == {name for name in before if "norm" in name or name.startswith("x0_output")}
    assert 0 < len(moved) < len(before)
    average = leaves_by_path(state["ema"]["average"]["params"])
    assert all((np.asarray(average[name]) == np.asarray(before[name])).all() for name in set(before) - moved)
    optimizer = jax.tree.leaves(load_optimizer(run))
    assert max(leaf.size for leaf in optimizer) < max(leaf.size for leaf in after.values()), "no moments of what is fixed"


def load_optimizer(run):
    import orbax.checkpoint as ocp

    with ocp.PyTreeCheckpointer() as checkpointer:
        return checkpointer.restore(run.resolve() / "checkpoints" / "1" / "state")["optimizer"]


def test_what_does_not_fit_is_told(folder, adapted):
    shutil.copytree(folder / "source", folder / "plain", dirs_exist_ok=True)
    new = str(folder / "new")
    for says, given in (
        ("the weights of .*source do not fit the network of these settings in .* of .* parameters; leave the settings of the "
         "network out", words(folder, "new", "backbone.widths=[8,24]")),
        ("trained with other features than the settings now have; leave it out", words(folder, "new", "features=[buildings]")),
        ("trained with other estimate than", words(folder, "new", "estimate=none")),
        ("optimizer.train_only names 'decoder', which is no parameter", words(folder, "new", "optimizer.train_only=[decoder]")),
        ("was started from .*source .checkpoint best., not from .*hidden", [*words(folder, "adapted"), "--from", "hidden"]),
        ("was made with other settings .data.hold_out", words(folder, "adapted", "data.hold_out=[3]")),
        ("was trained on other data", [*words(folder, "adapted"), "--mix", str(folder / "real")]),
        ("there already and was not started from given weights", words(folder, "plain")),
        ("the preset 'adapt' is laid over a trained model; name that with --from",
         ["--config", "adapt", "--data", str(folder / "real"), "--run", new]),
        ("did you mean 'adapt'", [*words(folder, "new"), "--config", "adept"]),
        ("data.maps and data.hold_out both name layout 3", words(folder, "new", "data.maps=[1,3]")),
        ("training.patience needs maps to validate on", words(folder, "new", "data.maps=[0,1,2,3,4]", "data.hold_out=[]")),
        ("data.mix_share is 1.0: it must be above 0 and below 1", words(folder, "new", "data.mix_share=1.0")),
    ):  # fmt: skip
        with pytest.raises(UserError, match=says) as caught:
            train.main(given)
        assert "\n" not in str(caught.value) or "\nparameter " in str(caught.value)
    assert not (folder / "new").exists()


def test_curve_over_numbers_of_maps(folder, capsys):
    given = ["--from", str(folder / "source"), "--data", str(folder / "real"), "--mix", str(folder / "simulated"),
             "--out", str(folder / "curve"), "--counts", "99", "--folds", "2", *QUICK]  # fmt: skip
    assert adapt.main(given) == 0
    told = json.loads((folder / "curve" / "adapt.json").read_text())
    assert sorted(layout for part in told["folds"] for layout in part) == [0, 1, 2, 3, 4]
    assert [row["maps"] for row in told["rows"]] == [0, 99]
    assert [row["seen"] for row in told["rows"]] == [0, 5], "of 2 and 3 layouts of two maps there are not 99 maps"
    for row in told["rows"]:
        assert sorted(row["per_map"]["map"]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4], "every layout is judged once"
        for figure in ("raw/all/rmse", "thresholded/all/rmse"):
            assert row["figures"][figure]["mean"] == pytest.approx(np.mean(row["per_map"][figure]))
            low, high = row["figures"][figure]["interval"]
            assert low <= row["figures"][figure]["mean"] <= high
    for place, part in enumerate(told["folds"]):
        one = json.loads((folder / "curve" / "results" / f"fold{place}_maps99.json").read_text())
        assert sorted([*one["trained_on"], *one["stopped_on"]]) == sorted(set(range(5)) - set(part))
        assert one["stopped_on"] and one["trained_on"]
    assert (folder / "curve" / "adapt.light.svg").is_file() and (folder / "curve" / "adapt.dark.svg").is_file()
    out = capsys.readouterr().out
    assert "RMSE thresholded" in out and "cities not adapted on" in out
    stamps = {path: path.stat().st_mtime_ns for path in (folder / "curve" / "results").iterdir()}
    assert adapt.main(given) == 0
    assert {path: path.stat().st_mtime_ns for path in (folder / "curve" / "results").iterdir()} == stamps
    with pytest.raises(UserError, match="holds results with another seed and another folds; give the same command"):
        adapt.main([*given, "--seed", "1"])
    with pytest.raises(UserError, match="5 layouts cannot be dealt into 9 folds; choose 2 to 5 folds"):
        adapt.main([*given, "--folds", "9"])


def test_layouts_are_taken_until_there_are_enough_maps():
    folder = SimpleNamespace(pairs=[(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (3, 0), (3, 1)])
    order = [2, 1, 3, 0]
    found = {number: adapt.layouts_of_maps(folder, order, number) for number in (1, 4, 5, 6, 7, 99)}
    assert found == {1: [2, 1], 4: [2, 1], 5: [2, 1, 3], 6: [2, 1, 3], 7: order, 99: order}
