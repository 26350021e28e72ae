"""Whole trainings of the toy: what they write, how they stop, and that going on gives the same bits."""

import dataclasses
import gzip
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
from radiodiff_jax.training.checkpoint_files import load_for_inference, saved_steps
from radiodiff_jax.training.checkpoints import Checkpoints
from radiodiff_jax.training.compiled import MeasuredStep, compile_task
from radiodiff_jax.training.devices import check_batch_size, device_mesh, put_batch, replicate
from radiodiff_jax.training.digest import parameters_digest
from radiodiff_jax.training.flops import traced_flops
from radiodiff_jax.training.progress import TIMED
from radiodiff_jax.training.run_folder import read_json_lines
from radiodiff_jax.training.run_lock import run_lock
from radiodiff_jax.training.session import Session, SessionOptions
from radiodiff_jax.units import grey_to_gain
from tests.golden_files import ROOT
from tests.training.toy import BATCH, SIZE, WIDTH, Maps, make_batches, make_config, make_task, run_toy


def events_of(run):
    """(event, step) in order."""
    return [(record["event"], record["step"]) for record in read_json_lines(run / "events.jsonl")]


def metrics_of(run):
    """The metrics without what depends on the clock."""
    return [
        {name: value for name, value in record.items() if name not in TIMED}
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
    assert {"examples_per_s", "step_ms", "teraflops_per_s", "learning_rate", "grad_norm"} <= set(logged[-1])
    assert [record["phase"] for record in logged] == ["first", "second", "second", "second", "second"]
    times = [record["time_s"] for record in metrics]
    assert times == sorted(times) and times[-1] <= summary.seconds
    validated = {record["step"]: record["validation/rmse"] for record in metrics if "validation/rmse" in record}
    assert list(validated) == [5, 10, 15, 20]
    assert validated[20] < validated[5], "it learns"
    assert {"validation/nmse", "validation/ssim"} <= set(metrics[-1])

    assert events_of(run) == [
        ("started", 0), ("phase", 0), ("compiled", 0), ("phase", 7),
        *[event for event in events_of(run)[4:-1] if event[0] == "saved"], ("finished", 20),
    ]  # fmt: skip
    assert read_json_lines(run / "events.jsonl")[-1]["digest"] == summary.digest
    assert saved_steps(run / "checkpoints") == [15, 20]

    details = json.loads((run / "run.json").read_text())
    assert details["parameters"] == {"total": 41, "one": 32, "two": 9}
    assert details["toy"] and details["data_fingerprint"] == "abc" and details["versions"]["jax"] == jax.__version__

    assert [drawing[0] for drawing in drawings] == [run / "samples" / f"{step}.png" for step in (5, 10, 15, 20)]
    _, truth, output, buildings, title = drawings[-1]
    assert truth.shape == output.shape == buildings.shape == (2, 16, 16)
    np.testing.assert_array_equal(truth[1], grey_to_gain(Maps()[1]["gain"]))
    assert "20 updates" in title


def test_digest_is_that_of_the_saved_parameters(finished):
    run, summary, _ = finished
    state, step = load_for_inference(run)
    assert (step, parameters_digest(state)) == (20, summary.digest)


def test_validation_figures_are_means_over_real_maps(finished):
    """The filled-up map counts for nothing; the figures are those of the averaged weights."""
    run, _, _ = finished
    state, _ = load_for_inference(run)
    masks = {name: np.stack([Maps()[i][name] for i in range(6)]) for name in ("buildings", "cars", "observed")}
    output = make_task(make_config()).predict(state, {"scale": 1.5}, masks, None)
    truth = grey_to_gain(np.stack([Maps()[i]["gain"] for i in range(6)]))
    error = np.asarray(output, np.float64) - truth
    last = metrics_of(run)[-1]
    np.testing.assert_allclose(last["validation/rmse"], np.sqrt((error**2).mean((1, 2))).mean(), rtol=1e-5)
    expected = ((error**2).sum((1, 2)) / (truth**2).sum((1, 2))).mean()
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
    assert events_of(tmp_path / "run")[-2:] == [("resumed", 20), ("finished", 20)], "nothing is compiled for nothing"


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


def test_one_compilation_serves_every_update(finished, tmp_path):
    """The compiled update takes the first state, one that an update made, and a restored one; no other batch."""
    run, _, _ = finished
    config, mesh = make_config(), device_mesh()
    compiled = compile_task(make_task(config), 0, mesh)
    frozen, batches = replicate({"scale": 1.5}, mesh), make_batches()
    measured = MeasuredStep(compiled.step, "float32")
    state, batch = compiled.initialise(), put_batch(next(batches), mesh)
    measured.compile(state, frozen, batch)
    for _ in range(2):
        state, _ = measured(state, frozen, batch)
    checkpoints = Checkpoints(shutil.copytree(run, tmp_path / "run") / "checkpoints", 2)
    state, _ = measured(checkpoints.restore(compiled.shapes, batches).state, frozen, batch)
    checkpoints.close()
    assert compiled.step._cache_size() == 0, "nothing was compiled beside it"
    with pytest.raises(TypeError):
        measured(state, frozen, {name: part[:2] for name, part in batch.items()})


def test_operations_are_those_of_the_matrix_products():
    config = make_config()
    compiled = compile_task(make_task(config), 0, device_mesh())
    pixels = BATCH * SIZE**2
    traced = compiled.step.trace(compiled.initialise(), {"scale": 1.5}, next(make_batches()))
    forward = 2 * pixels * (3 * WIDTH + WIDTH)
    backward = 2 * pixels * (3 * WIDTH + 2 * WIDTH)  # to both kernels, and to the hidden layer
    assert traced_flops(traced) == forward + backward


def test_second_process_is_refused(finished, tmp_path):
    run, _, _ = finished
    with run_lock(run), pytest.raises(UserError, match="is being trained by process"):
        run_toy(run)


@pytest.mark.parametrize("step", [6, 10])
def test_update_without_a_finite_loss_is_skipped_and_told(tmp_path, step):
    summary = run_toy(tmp_path / "run", task=make_task(make_config(), poisoned_at=step - 1))
    assert summary.finished
    assert ("skipped_nonfinite", step) in events_of(tmp_path / "run")
    logged = {record["step"]: record for record in metrics_of(tmp_path / "run") if "loss" in record}
    assert {number: record.get("skipped_updates") for number, record in logged.items()} == {
        number: 1.0 if number - 4 < step <= number else None for number in (4, 8, 12, 16, 20)
    }
    assert all(np.isfinite(record["loss"]) for record in logged.values())


def test_too_many_skipped_in_a_row_stop_it(tmp_path):
    config = make_config(most_skipped_in_a_row=2)
    with pytest.raises(UserError, match="3 updates in a row, up to update 9, were skipped.* last good checkpoint is step 5"):
        run_toy(tmp_path / "run", config, task=make_task(config, poisoned_at=6, poisoned_for=9))
    assert events_of(tmp_path / "run")[-1] == ("failed", 9)
    assert [event for event in events_of(tmp_path / "run") if event[0] == "skipped_nonfinite"] == [
        ("skipped_nonfinite", step) for step in (7, 8, 9)
    ]


def test_counting_in_a_row_goes_on_after_a_resume(tmp_path, monkeypatch):
    config = make_config(most_skipped_in_a_row=3)
    task = make_task(config, poisoned_at=8, poisoned_for=9)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 10)
        assert run_toy(tmp_path / "run", config, task=task).step == 10
    with pytest.raises(UserError, match="4 updates in a row, up to update 12"):
        run_toy(tmp_path / "run", config, task=task)


def test_part_of_a_session_for_a_look(finished, tmp_path):
    """Until some update, with a trace of updates on the way."""
    run = tmp_path / "run"
    summary = run_toy(run, options=SessionOptions(until=9, profile_from=3))
    assert (summary.step, summary.finished) == (9, False)
    assert saved_steps(run / "checkpoints") == [5, 9]
    with gzip.open(run / "profile" / "3" / "perfetto_trace.json.gz") as file:
        assert json.load(file)["traceEvents"]
    assert run_toy(run).digest == finished[1].digest


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
