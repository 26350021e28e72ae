"""Whole trainings of the toy: what they write, how they stop, and that going on gives the same bits."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.checkpoints import load_for_inference, saved_steps
from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import check_batch_size, device_mesh, put_batch, put_everywhere
from radiodiff_jax.training.digest import parameters_digest
from radiodiff_jax.training.json_lines import read_json_lines
from radiodiff_jax.training.session import Session
from tests.golden_files import ROOT
from tests.training.toy import Maps, make_batches, make_config, make_task, run_toy


def events_of(run):
    """(event, step) in order."""
    return [(record["event"], record["step"]) for record in read_json_lines(run / "events.jsonl")]


def metrics_of(run):
    """The metrics without what depends on the clock."""
    timed = ("time_s", "examples_per_s", "input_wait_ms", "input_wait_share")
    return [
        {name: value for name, value in record.items() if name not in timed}
        for record in read_json_lines(run / "metrics.jsonl")
    ]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(run, summary, drawings) of an uninterrupted training."""
    run, drawings = tmp_path_factory.mktemp("runs") / "finished", []
    summary = run_toy(run, draw_samples=lambda *arguments: drawings.append(arguments))
    return run, summary, drawings


def test_what_is_written(finished, capsys):
    run, summary, drawings = finished
    assert (summary.step, summary.finished) == (20, True)
    metrics = read_json_lines(run / "metrics.jsonl")
    logged = [record for record in metrics if "loss" in record]
    assert [record["step"] for record in logged] == [4, 8, 12, 16, 20]
    assert all(list(record)[:3] == ["step", "phase", "time_s"] for record in metrics)
    assert {"examples_per_s", "learning_rate", "grad_norm"} <= set(logged[-1])
    assert [record["phase"] for record in logged] == ["first", "second", "second", "second", "second"]
    times = [record["time_s"] for record in metrics]
    assert times == sorted(times) and times[-1] <= summary.seconds
    validated = {record["step"]: record["validation/rmse"] for record in metrics if "validation/rmse" in record}
    assert list(validated) == [5, 10, 15, 20]
    assert validated[20] < validated[5], "it learns"
    assert {"validation/nmse", "validation/ssim"} <= set(metrics[-1])

    assert events_of(run) == [
        ("started", 0), ("phase", 0), ("phase", 7),
        *[event for event in events_of(run)[3:-1] if event[0] == "saved"], ("finished", 20),
    ]  # fmt: skip
    assert read_json_lines(run / "events.jsonl")[-1]["digest"] == summary.digest
    assert saved_steps(run / "checkpoints") == [15, 20]

    details = json.loads((run / "run.json").read_text())
    assert details["parameters"] == {"total": 41, "one": 32, "two": 9}
    assert details["toy"] and details["data_fingerprint"] == "abc" and details["versions"]["jax"] == jax.__version__

    assert [drawing[0] for drawing in drawings] == [run / "samples" / f"{step}.png" for step in (5, 10, 15, 20)]
    _, truth, output, buildings, title = drawings[-1]
    assert truth.shape == output.shape == buildings.shape == (2, 16, 16)
    np.testing.assert_array_equal(truth[1], Maps()[1]["gain"][..., 0])
    assert "20 updates" in title


def test_digest_is_that_of_the_saved_parameters(finished):
    run, summary, _ = finished
    state, step = load_for_inference(run)
    assert (step, parameters_digest(state)) == (20, summary.digest)


def test_validation_figures_are_means_over_real_maps(finished):
    """The filled-up map counts for nothing; the figures are those of the averaged weights."""
    run, _, _ = finished
    state, _ = load_for_inference(run)
    condition = np.stack([Maps()[i]["condition"] for i in range(6)])
    output = make_task(make_config()).predict(state, {"scale": 1.5}, {"condition": condition}, None)
    truth = np.stack([Maps()[i]["gain"] for i in range(6)])
    error = np.asarray(output, np.float64) - truth
    last = metrics_of(run)[-1]
    np.testing.assert_allclose(last["validation/rmse"], np.sqrt((error**2).mean((1, 2, 3))).mean(), rtol=1e-5)
    expected = ((error**2).sum((1, 2, 3)) / (truth**2).sum((1, 2, 3))).mean()
    np.testing.assert_allclose(last["validation/nmse"], expected, rtol=1e-5)


def test_finished_run_is_left_alone(finished, capsys):
    run, summary, _ = finished
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert run_toy(run) == summary
    assert "is finished already (20 updates" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def interrupt_at(monkeypatch, step, number=signal.SIGINT):
    """Send a signal to this process during update `step`."""
    update = Session._update

    def interrupted(self):
        update(self)
        if self.step == step:
            os.kill(os.getpid(), number)

    monkeypatch.setattr(Session, "_update", interrupted)


@pytest.mark.parametrize(
    ("number", "event", "step"), [(signal.SIGINT, "interrupted", 11), (signal.SIGTERM, "preempted", 5)]
)
def test_interrupted_and_resumed_gives_the_same_bits(finished, tmp_path, monkeypatch, capsys, number, event, step):
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with monkeypatch.context() as patch:
        interrupt_at(patch, step, number)
        summary = run_toy(tmp_path / "run")
    assert (summary.step, summary.finished, summary.digest) == (step, False, None)
    assert events_of(tmp_path / "run")[-2:] == [("saved", step), (event, step)]
    assert f"{event} after {step} updates" in capsys.readouterr().out
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers

    again = run_toy(tmp_path / "run")
    run, uninterrupted, _ = finished
    assert again.digest == uninterrupted.digest
    assert metrics_of(tmp_path / "run") == metrics_of(run)
    assert ("resumed", step) in events_of(tmp_path / "run")
    assert again.seconds > summary.seconds, "time goes on counting"


def test_going_back_to_an_older_checkpoint_cuts_metrics_back(finished, tmp_path, capsys):
    run, summary, _ = finished
    shutil.copytree(run, tmp_path / "run")
    for file in (tmp_path / "run" / "checkpoints" / "20").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2')
    again = run_toy(tmp_path / "run")
    assert again.digest == summary.digest
    assert metrics_of(tmp_path / "run") == metrics_of(run)
    assert ("checkpoint_damaged", 20) in events_of(tmp_path / "run")
    assert "checkpoint 20 of" in capsys.readouterr().out


def test_killed_between_last_checkpoint_and_last_event(finished, tmp_path):
    run, summary, _ = finished
    shutil.copytree(run, tmp_path / "run")
    events = tmp_path / "run" / "events.jsonl"
    events.write_text("".join(events.read_text().splitlines(keepends=True)[:-1]) + '{"step": 20, "ev')
    assert run_toy(tmp_path / "run").digest == summary.digest
    assert events_of(tmp_path / "run")[-2:] == [("resumed", 20), ("finished", 20)]


def test_killed_and_resumed_gives_the_same_bits(tmp_path):
    """SIGKILL in mid-training, in a process of its own, against one that is left alone."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}

    def start(name, pause):
        command = [sys.executable, "-m", "tests.training.toy", str(tmp_path / name), "60", str(pause)]
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    left_alone = start("left_alone", 0)
    killed = start("killed", 0.05)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        saved = saved_steps(tmp_path / "killed" / "checkpoints")
        lines = read_json_lines(tmp_path / "killed" / "metrics.jsonl")
        if saved and lines and lines[-1]["step"] >= 12:
            break
        assert killed.poll() is None, killed.stdout.read().decode()
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    killed.stdout.close()
    last = start("killed", 0)
    output = last.communicate(timeout=60)[0].decode()
    assert last.returncode == 0, output
    assert left_alone.wait(timeout=60) == 0
    left_alone.stdout.close()

    runs = [tmp_path / "left_alone", tmp_path / "killed"]
    first, second = (read_json_lines(run / "events.jsonl")[-1] for run in runs)
    assert first["event"] == second["event"] == "finished"
    assert first["digest"] == second["digest"]
    assert metrics_of(runs[0]) == metrics_of(runs[1])
    assert [event for event, _ in events_of(runs[1])].count("resumed") == 1


def test_one_compilation():
    """State from initialisation and from an update are the same to the compiler."""
    config, mesh = make_config(), device_mesh()
    compiled = compile_task(make_task(config), 0, mesh)
    state, frozen, batches = compiled.initialise(), put_everywhere({"scale": 1.5}, mesh), make_batches()
    for _ in range(3):
        state, _ = compiled.step(state, frozen, put_batch(next(batches), mesh))
    assert compiled.step._cache_size() == 1
    assert jax.tree.map(lambda x: (x.shape, x.dtype, x.sharding), state) == jax.tree.map(
        lambda x: (x.shape, x.dtype, x.sharding), compiled.shapes
    )


def test_restored_state_is_not_compiled_again(finished, tmp_path, monkeypatch):
    run, _, _ = finished
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
    ended = []
    end = Session.end
    monkeypatch.setattr(Session, "end", lambda self, interrupts: ended.append(self) or end(self, interrupts))
    assert run_toy(tmp_path / "run").finished
    assert ended[0].compiled.step._cache_size() == 1, "the compiled step is the one that the whole training used"


@pytest.mark.parametrize("step", [6, 10])
def test_loss_that_is_no_number_stops_it(tmp_path, step):
    config = make_config()
    with pytest.raises(UserError, match=f"loss of update {step} is not finite .the last checkpoint is step 5"):
        run_toy(tmp_path / "run", task=make_task(config, poisoned_at=step - 1))
    assert events_of(tmp_path / "run")[-1] == ("failed", step)
    assert metrics_of(tmp_path / "run")[-1]["loss"] is None
    assert saved_steps(tmp_path / "run" / "checkpoints") == [5], "nothing is saved from then on"


def test_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*_arguments, **_settings):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("orbax.checkpoint.CheckpointManager.save", full)
    with pytest.raises(UserError, match="the disk is full: step 5 could not be saved"):
        run_toy(tmp_path / "run")


def test_edited_settings_are_noticed(finished, tmp_path):
    run, _, _ = finished
    shutil.copytree(run, tmp_path / "run")
    file = tmp_path / "run" / "config.yaml"
    file.write_text(file.read_text().replace("seed: 3", "seed: 4"))
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "20")
    with pytest.raises(UserError, match="was edited"):
        run_toy(tmp_path / "run", make_config(seed=4))


def test_more_steps_with_a_constant_rate(tmp_path):
    def constant(steps):
        config = make_config(steps)
        return dataclasses.replace(config, optimizer=dataclasses.replace(config.optimizer, schedule="constant"))

    run_toy(tmp_path / "run", constant(5))
    longer = run_toy(tmp_path / "run", constant(9))
    assert longer.step == 9
    assert longer.digest == run_toy(tmp_path / "at_once", constant(9)).digest
    resumed = [event for event in read_json_lines(tmp_path / "run" / "events.jsonl") if event["event"] == "resumed"]
    assert resumed[0]["changed"] == ["training.steps: 5 -> 9"]


def test_batch_that_devices_cannot_share():
    with pytest.raises(UserError, match=r"5, which 2 devices .* training.batch_size=6"):
        check_batch_size(5, type("Mesh", (), {"size": 2})())
