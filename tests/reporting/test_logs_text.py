"""Text logs of the PyTorch original, with everything that may stand between the lines that count."""

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.runs.analysis import continuity, phases, sessions, state
from radiodiff_jax.reporting.runs.logs import read_text_log
from radiodiff_jax.reporting.runs.refresh import report


def vae_line(step: int, loss: float, prefix: str = "", factor: float = 0.0) -> str:
    return (
        f"{prefix}[Train Step] {step}/150000: train/total_loss: {loss}, train/kl_loss: {10 * loss}, "
        f"train/disc_factor: {factor}, train/g_loss: -0.1, lr: 5e-06\n"
    )


def bar(step: int, loss: float) -> str:
    return f"\r[Train Step] {step}/150000: train/total_loss: {loss}, lr: 5e-06:   1%|▏    | {step}/150000 [00:12<3:45, 11.1it/s]"


def read(tmp_path, *parts: str, name: str = "train"):
    path = tmp_path / "train.log"
    path.write_text("".join(parts))
    return read_text_log(path, name)


def test_lines_between_noise_are_found(tmp_path):
    (run,) = read(
        tmp_path, "load model\n\x00\x1b[0m", vae_line(0, 3.0), bar(3, 9.9), "\r\n", "{'a': 1}\nEpoch 3: loss 7\n",
        "worker says: ", vae_line(100, 2.5), "[Train Step] 200/150000: train/total_lo",
    )  # fmt: skip
    assert (run.kind, run.planned, run.last_step, run.origin) == ("vae", 150_000, 100, "text log")
    assert run.series["loss"].values.tolist() == [3.0, 2.5] and run.series["loss"].steps.tolist() == [0, 100]
    assert run.series["learning_rate"].values.tolist() == [5e-6, 5e-6]
    assert run.series["kl_loss"].values.tolist() == [30.0, 25.0]


def test_progress_bars_count_where_nothing_else_was_kept(tmp_path):
    (run,) = read(tmp_path, bar(1, 2.0), bar(1, 2.0), bar(2, 1.5), "\n")
    assert run.series["loss"].values.tolist() == [2.0, 1.5]


def test_numbers_in_every_spelling(tmp_path):
    values = "train/loss_simple: tensor(0.25, device='cuda:0'), loss_vlb: 1.5e-03, total_loss: nan, lr: 0.00005"
    (run,) = read(tmp_path, f"[Train Step] 7/50000: {values}\n[Train Step] 8/50000: total_loss: inf\n")
    assert run.kind == "ldm" and run.metric("loss_simple").values.tolist() == [0.25]
    assert run.metric("loss_vlb").values.tolist() == [0.0015] and len(run.metric("loss")) == 0
    assert np.isnan(run.series["loss"].values).all() and len(run.series["loss"]) == 2


def test_lower_steps_are_a_resume_with_the_exact_difference(tmp_path):
    crash = (
        'Traceback (most recent call last):\n  File "train_vae.py", line 3, in main\nRuntimeError: CUDA out of memory\n'
    )
    before = [vae_line(step, 10 - step / 100) for step in (0, 100, 200, 300)]
    after = [vae_line(step, 9.5 - step / 100) for step in (200, 300, 400)]
    (run,) = read(tmp_path, *before, crash, *after)
    assert run.series["loss"].steps.tolist() == [0, 100, 200, 300, 400]
    assert run.series["loss"].values.tolist() == [10.0, 9.0, 7.5, 6.5, 5.5]
    (resume,) = continuity(run)
    assert (resume.step, resume.difference, resume.same_step) == (100, -1.5, (200, 8.0, 7.5))
    first, second = sessions(run)
    assert first.end == "broke off: RuntimeError: CUDA out of memory" and (first.last, second.first) == (300, 100)


def test_a_step_logged_again_is_a_resume_too(tmp_path):
    (run,) = read(tmp_path, vae_line(0, 3.0), vae_line(100, 2.0), vae_line(100, 1.9), vae_line(200, 1.5))
    (resume,) = continuity(run)
    assert resume.same_step == (100, 2.0, 1.9) and run.series["loss"].values.tolist() == [3.0, 1.9, 1.5]


def test_several_trainings_in_one_file_are_several_runs(tmp_path):
    vae = [vae_line(step, 5.0) for step in (0, 100, 200)]
    ldm = [f"[Train Step] {step}/50000: loss_simple: 0.3, loss_vlb: 0.1, total_loss: 0.4\n" for step in (0, 100)]
    runs = read(tmp_path, *vae, *vae[:2], *ldm)
    assert [(run.name, run.kind, run.last_step, run.planned) for run in runs] == [
        ("train, part 1", "vae", 200, 150_000), ("train, part 2", "vae", 100, 150_000), ("train, part 3", "ldm", 100, 50_000),
    ]  # fmt: skip
    assert [state(run).word for run in runs] == ["stopped", "stopped", "running"]


def test_phases_and_times_come_from_the_log(tmp_path):
    stamps = [
        "2024-08-11 10:00:00,500 INFO ",
        "[2024-08-11 10:00:20.500] ",
        "2024-08-12 23:00:00 ",
        "2024-08-12 23:00:10 ",
    ]
    lines = [vae_line(100 * n, 1.0 + n, stamp, factor=float(n > 1)) for n, stamp in enumerate(stamps)]
    (run,) = read(tmp_path, *lines)
    assert run.series["loss"].seconds.tolist() == [0.0, 20.0, 20.0, 30.0]  # the night is no training time
    assert [(phase.name, phase.first) for phase in phases(run)] == [("vae", 0), ("vae_gan", 200)]


def test_a_log_that_ends_in_a_traceback_has_failed(tmp_path):
    (run,) = read(tmp_path, vae_line(0, 3.0), vae_line(100, 2.0), "torch.cuda.OutOfMemoryError: CUDA out of memory.\n")
    assert state(run).word == "failed" and "OutOfMemoryError" in state(run).sentence


def test_a_log_that_reaches_its_plan_is_finished(tmp_path):
    lines = [f"[Train Step] {step}/300: total_loss: 1.0\n" for step in (0, 100, 200)]
    (run,) = read(tmp_path, *lines)
    assert state(run).word == "finished"


def test_a_log_becomes_a_page_and_something_else_an_error(tmp_path):
    good, bad = tmp_path / "Old train.log", tmp_path / "other.log"
    good.write_text("".join(vae_line(step, 3.0 - step / 1000) for step in range(0, 1000, 100)))
    bad.write_text("nothing of interest\n")
    with pytest.raises(UserError, match="other.log holds no line such as"):
        report([], tmp_path / "site", logs=[bad, good])
    text = (tmp_path / "site" / "runs" / "old-train" / "index.md").read_text()
    assert "# Run Old train" in text and "## Losses" in text and "could not be drawn" not in text
    assert "## Settings" not in text and "## Environment" not in text


def test_a_log_that_was_begun_anew_leaves_no_page_behind(tmp_path):
    path = tmp_path / "train.log"
    path.write_text(vae_line(0, 3.0) + vae_line(100, 2.0) + vae_line(0, 3.0))
    report([], tmp_path / "site", logs=[path])
    pages = tmp_path / "site" / "runs"
    assert (pages / "train-part-2" / "index.md").is_file()
    path.write_text(vae_line(0, 3.5))
    report([], tmp_path / "site", logs=[path])
    assert not (pages / "train-part-2").exists() and "3.5 at step 0" in (pages / "train" / "index.md").read_text()
