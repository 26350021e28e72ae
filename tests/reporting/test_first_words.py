"""What each page says first: a crash, a run worse than a formula, two validations; no comparison across phases."""

import json

import numpy as np
import pytest

from radiodiff_jax.reporting.evaluation_verdict import sight_sentence, verdict
from radiodiff_jax.reporting.runs.analysis import continuity, trend
from radiodiff_jax.reporting.runs.comparison import verdict_of_all
from radiodiff_jax.reporting.runs.crashes import crash_cause
from radiodiff_jax.reporting.runs.curve_sections import relative_to_start
from radiodiff_jax.reporting.runs.logs import read_text_log
from radiodiff_jax.reporting.runs.opening import few_validations, opening_verdict
from radiodiff_jax.reporting.runs.refresh import report
from radiodiff_jax.reporting.runs.rules import advice
from radiodiff_jax.reporting.runs.run import Series, read_folder
from radiodiff_jax.reporting.runs.verdict import result_verdict
from tests.reporting.run_folders import write_run
from tests.reporting.test_run_verdicts import result
from tests.reporting.test_runs_rules import run_of

LINES = "".join(f"[Train Step] {step}/300: train/total_loss: {3 - step / 200}\n" for step in (0, 100, 200))
CRASHES = {
    "exception": ("RuntimeError: CUDA error: an illegal memory access\n", "error"),
    "rank": ("[rank0]: torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 20 MiB\n", "out of memory"),
    "launcher": ("slurmstepd: error: Detected 1 oom-kill event(s)\nsubprocess.CalledProcessError: exit status 1\n",
                 "out of memory"),
    "limit": ("slurmstepd: error: *** JOB 7 CANCELLED AT 2026-01-01 DUE TO TIME LIMIT ***\n", "time limit"),
    "cut off": ('Traceback (most recent call last):\n  File "train.py", line 3, in <module>\n', "error"),
    "xla": ("jaxlib: RESOURCE_EXHAUSTED: Failed to allocate 8589934592 bytes\n", "out of memory"),
}  # fmt: skip


def first_words(folder, slug):
    """What stands right under the heading of a run's page."""
    text = (folder / "runs" / slug / "index.md").read_text()
    return text[text.index("\n# ") :].split("\n\n", 2)[1]


@pytest.mark.parametrize("name", CRASHES)
def test_a_log_that_crashed_at_its_planned_end_is_not_finished(tmp_path, name):
    words, cause = CRASHES[name]
    log = tmp_path / "train.log"
    log.write_text(LINES + words)
    (run,) = read_text_log(log, "train")
    found = opening_verdict(run)
    assert found.kind == "danger" and found.title == f"Crashed after 200 of 300 steps: {cause}"
    assert found.short == f"crashed: {cause}" and found.sentences[0].startswith("Its last words: `")


def test_every_page_opens_with_the_verdict(tmp_path):
    """A crashed imported log, a run worse than the baselines, and a run with two validations."""
    log = tmp_path / "old.log"
    log.write_text(LINES + "torch.cuda.OutOfMemoryError: CUDA out of memory.\n")
    worse, two = (write_run(tmp_path / "runs" / name, "ldm", 2, resumes=0, samples=0) for name in ("worse", "two"))
    (worse / "evaluation").mkdir()
    (worse / "evaluation" / "test.json").write_text(json.dumps(result(9.0, path_estimate=3.0)))
    report([worse, two], tmp_path / "site", logs=[log])
    assert first_words(tmp_path / "site", "old") == '!!! danger "Crashed after 200 of 300 steps: out of memory"'
    text = (tmp_path / "site" / "runs" / "old" / "index.md").read_text()
    assert "- **Crashed: out of memory.** Found: step 200, torch.cuda" in text and "No issues found" not in text
    assert "Finished" not in text and "`training.batch_size`" in text and "`optimizer.accumulate`" in text
    assert first_words(tmp_path / "site", "worse").startswith('!!! danger "6.0 dB worse than the path estimate on 8 unseen')
    assert first_words(tmp_path / "site", "two").startswith('!!! note "Not evaluated yet: nobody knows how good')
    text = (tmp_path / "site" / "runs" / "two" / "index.md").read_text()
    assert "    - 2 validations of its phase decoupled diffusion are too few to say whether it still improves" in text
    assert "(at least 8); the newest has an RMSE of" in text and "`training.validate_every=1`" in text
    text = (tmp_path / "site" / "runs" / "compare.md").read_text()
    assert '!!! danger "0 of 3 runs better than every formula without training, 2 worse or crashed"' in text


def test_a_crashed_run_that_was_evaluated_is_judged_and_told(tmp_path):
    run = write_run(tmp_path / "run", "ldm", 2, resumes=0, samples=0, ending="failed")
    assert opening_verdict(read_folder(run)).title == "Crashed after 20 of 20 steps: numbers that are not finite"
    (run / "evaluation").mkdir()
    (run / "evaluation" / "test.json").write_text(json.dumps(result(1.0, path_estimate=3.0)))
    found = opening_verdict(read_folder(run))
    assert found.kind == "warning" and found.title.startswith("2.0 dB better than the path estimate")
    assert "Crashed after 20 of 20 steps" in found.sentences[0] and "learning" in found.sentences[0]


def test_a_log_that_ended_well_is_told_that_nobody_knows_how_good_it_is(tmp_path):
    log = tmp_path / "train.log"
    log.write_text(LINES)
    (run,) = read_text_log(log, "train")
    found = opening_verdict(run)
    assert found.kind == "note" and found.title.startswith("Not evaluated") and "experiments.weights import" in found.sentences[0]


def test_causes_have_a_cure_each():
    assert crash_cause("loss of update 400 is not finite")[0] == "numbers that are not finite"
    assert crash_cause("OSError: [Errno 28] No space left on device")[0] == "disk full"
    assert crash_cause("KeyError: 'banana'")[0] == "error"


def with_sight(found, model_db, law_db):
    """The evaluation with errors in line of sight of the model and of the distance law."""
    for name, error in (("model", model_db), ("distance law", law_db)):
        found["results"][name]["errors"] = {"in_sight": {"pixels": 5, "rmse_db": error}}
    return found


def test_worse_in_line_of_sight_than_the_distance_law():
    found = with_sight(result(2.0, distance_law=20.0), 1.9, 0.6)
    judged = result_verdict(found)
    assert judged.kind == "warning" and judged.title.startswith("18.0 dB better than the distance law")
    told = "In line of sight it is worse than the distance law: 1.90 dB against 0.60 dB, 1.30 dB more"
    assert any(one.startswith(told) and "`estimate=path`" in one for one in judged.sentences)
    assert any(one.startswith(told) for one in verdict(found)[2]) and verdict(found)[0] == "warning"
    better = with_sight(result(2.0, distance_law=20.0), 0.5, 0.6)
    assert sight_sentence(better) == "" and result_verdict(better).kind == "success"


def two_phases(before, after):
    """A run of two phases, logged 20 times each."""
    run = run_of(40, loss=np.concatenate([before, after]), validation__rmse=np.linspace(1.0, 0.1, 40))
    phases = np.array(["vae"] * 20 + ["vae_gan"] * 20, dtype=object)
    series = {name: Series(one.steps, one.seconds, one.values, phases) for name, one in run.series.items()}
    return type(run)(**{**vars(run), "series": series})


def test_nothing_is_compared_across_a_change_of_phase():
    run = two_phases(np.full(20, 1.0), np.full(20, 100.0))
    assert "stayed within 1 %" in trend(run, "loss") and "steps 360 to 400" in trend(run, "loss")
    assert relative_to_start(run.metric("loss")).values.tolist() == [1.0] * 40
    resumed = type(run)(**{**vars(run), "events": ({"event": "resumed", "step": 200},)})
    assert continuity(resumed) == []
    inside = type(run)(**{**vars(run), "events": ({"event": "resumed", "step": 300},)})
    assert continuity(inside)[0].typical == 0.0  # the jump between the phases is no usual change


def test_overfitting_is_sought_in_the_newest_phase_alone():
    run = two_phases(np.linspace(1.0, 0.5, 20), np.linspace(9.0, 5.0, 20))
    rises = np.concatenate([np.full(20, 0.1), np.full(20, 0.3)])  # the second phase begins worse, and stays
    one = run.series["validation/rmse"]
    series = run.series | {"validation/rmse": Series(one.steps, one.seconds, rises, one.phases)}
    found = [found.rule.split(":")[0] for found in advice(type(run)(**{**vars(run), "series": series}))]
    assert "overfitting" not in found


def test_losses_below_zero_are_drawn():
    values = np.array([-2.0, -2.0, -2.0, -2.0, -2.0, 1.0, 4.0])
    series = Series(np.arange(7.0), np.arange(7.0), values, np.full(7, "", dtype=object))
    assert relative_to_start(series).values.tolist() == [-1.0] * 5 + [0.5, 2.0]


def test_enough_validations_are_not_too_few():
    assert few_validations(run_of(8, validation__rmse=0.1)) == ""
    assert few_validations(run_of(7, validation__rmse=0.1)).startswith("7 validations of its phase")
    assert "No validation has been logged" in few_validations(run_of(8, loss=0.1))


def test_the_comparison_is_green_only_where_all_are_better():
    run = {"name": "a", "slug": "a", "verdict": "2.0 dB better than path estimate", "verdict_kind": "success"}
    assert verdict_of_all([run, run]).startswith('!!! success "2 of 2 runs better')
    assert verdict_of_all([run, run | {"verdict_kind": "note"}]).startswith('!!! note "1 of 2 runs better')
