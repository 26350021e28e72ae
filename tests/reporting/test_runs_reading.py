"""Run folders in every state that a training may leave them in."""

import json
import time

import numpy as np
import pytest

from radiodiff_jax.reporting.runs.analysis import SILENT_AFTER_S, continuity, phases, sessions, state, trend
from radiodiff_jax.reporting.runs.curves import thin
from radiodiff_jax.reporting.runs.run import columns, cut_back, read_folder, read_records
from tests.reporting.run_folders import write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return read_folder(write_run(tmp_path_factory.mktemp("runs") / "one", "vae", 120))


def test_everything_is_read(run):
    assert run.problems == ()
    assert (run.kind, run.planned, run.last_step, run.seconds) == ("vae", 1200, 1200, 300.0)
    assert len(run.series["loss"]) == 120 and len(run.metric("validation/rmse")) == 40
    assert [sample.step for sample in run.samples] == [400, 800, 1200]
    assert [(phase.name, phase.first, phase.last) for phase in phases(run)] == [("vae", 0, 600), ("vae_gan", 600, 1200)]
    assert [(one.first, one.last, one.end) for one in sessions(run)] == [
        (0, 400, "preempted"), (400, 800, "preempted"), (800, 1200, "finished"),
    ]  # fmt: skip


def test_a_truncated_last_line_is_left_out_and_told(tmp_path):
    folder = write_run(tmp_path / "cut", rows=20)
    path = folder / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    run = read_folder(folder)
    assert run.problems == ("The last line of metrics.jsonl is unfinished and was left out.",)
    assert len(run.series["loss"]) == 20  # the validation after it was cut


def test_damaged_lines_cost_only_themselves(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 2}\n{"step": 2, "lo\xff\n[3]\n{"step": 4, "loss": null}\n{"loss": 1}\n')
    rows, problems = read_records(path)
    assert [row.get("step") for row in rows] == [1, 4, None]
    assert problems == ["2 lines of metrics.jsonl (2, 3) could not be read and were left out."]
    run = read_folder(tmp_path)
    assert np.isnan(run.series["loss"].values[1]) and len(run.metric("loss")) == 1
    assert any("name no step" in sentence for sentence in run.problems)


def test_two_halves_that_join_to_one_object_are_two_damaged_lines(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1\n"loss": 2}\n')
    rows, problems = read_records(path)
    assert rows == [] and "(1, 2)" in problems[0]


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"kind": 3}'])
def test_a_folder_with_hardly_anything_in_it(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    run = read_folder(tmp_path)
    assert run.kind == "unknown" and run.series == {} and state(run).word == "empty"
    assert "There is no metrics.jsonl yet." in run.problems


def test_metrics_that_are_no_numbers_are_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0, "note": "hello"}\n')
    assert "Left out, because they are no numbers: note." in read_folder(tmp_path).problems


@pytest.mark.parametrize(
    ("ending", "word"),
    [("finished", "finished"), ("preempted", "stopped"), ("interrupted", "stopped"), ("failed", "failed")],
)
def test_the_last_event_is_the_state(tmp_path, ending, word):
    run = read_folder(write_run(tmp_path / "run", rows=10, ending=ending))
    assert state(run).word == word


def test_a_run_without_an_end_is_running_until_it_is_silent(tmp_path):
    run = read_folder(write_run(tmp_path / "run", rows=10, ending=""))
    assert state(run, time.time()).word == "running"
    told = state(run, run.written + SILENT_AFTER_S + 1)
    assert told.word == "silent" and "100 of 100 steps" in told.sentence


def test_steps_that_go_back_are_cut_and_told():
    rows = [{"step": step, "loss": float(step)} for step in (1, 2, 3)] + [
        {"step": 2, "loss": 2.5},
        {"step": 3, "loss": 3.5},
    ]
    kept, resumes = cut_back(rows)
    assert [(row["step"], row["loss"]) for row in kept] == [(1, 1.0), (2, 2.5), (3, 3.5)]
    (one,) = resumes
    assert (one.reached, one.step, one.at, one.old["loss"], one.new["loss"]) == (3, 1, 2, 2.0, 2.5)


def test_a_validation_of_the_same_step_is_no_repetition():
    rows = [{"step": 5, "time_s": 1.0, "loss": 1.0}, {"step": 5, "time_s": 1.5, "validation/rmse": 0.1}]
    assert cut_back(rows) == (rows, [])


def test_continuity_gives_the_exact_difference(run):
    loss = run.metric("loss")
    first, second = continuity(run)
    place = int(np.flatnonzero(loss.steps == 400)[0])
    assert (first.step, first.before.step, first.after.step) == (400, 400, 410)
    assert first.difference == loss.values[place + 1] - loss.values[place]
    assert second.step == 800


def test_the_trend_is_the_median_of_the_last_quarter_against_the_one_before():
    rows = [{"step": n, "loss": value} for n, value in enumerate([9, 9, 9, 9, 4.0, 4.0, 3.0, 3.0], start=1)]
    from radiodiff_jax.reporting.runs.run import Run

    run = Run("x", None, "run folder", series=columns(rows)[0])
    assert trend(run, "loss") == (
        "The total loss fell by 25 % over the last quarter (median 3 of 2 values, steps 7 to 8, against 4 in the quarter "
        "before)."
    )
    assert trend(run, "validation/rmse") == ""


def test_thinning_keeps_every_spike():
    values = np.random.default_rng(0).standard_normal(10_001)
    values[[17, 5000, 9999]] = 100, -100, 50
    rows = [{"step": n, "loss": float(value)} for n, value in enumerate(values)]
    curve = thin(columns(rows)[0]["loss"], 400)
    assert len(curve.steps) == 400 and curve.high.max() == 100 and curve.low.min() == -100
    assert sorted(curve.high)[-2] == 50
    assert np.all((curve.low <= curve.middle) & (curve.middle <= curve.high)) and np.all(np.diff(curve.steps) > 0)
    first = values[:25]
    assert (curve.low[0], curve.middle[0], curve.high[0]) == (first.min(), np.median(first), first.max())


def test_ten_thousand_lines_are_read_quickly(tmp_path):
    folder = tmp_path / "long"
    folder.mkdir()
    row = {"phase": "ldm", "time_s": 1.0} | {f"loss_{n}": 0.1234567 for n in range(14)}
    with (folder / "metrics.jsonl").open("w") as file:
        file.writelines(json.dumps({"step": step} | row) + "\n" for step in range(10_000))
    begin = time.process_time()
    assert len(read_folder(folder).series) == 14
    assert time.process_time() - begin < 2.0  # 0.2 s where this was written
