"""The benchmark on the smallest networks, its tables, and what happens to the rest when one stage fails."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from experiments import benchmark
from experiments.training import CONFIGS
from radiodiff_jax.benchmark.job import Job
from radiodiff_jax.benchmark.stages import STAGES, run_stage, why_left_out
from radiodiff_jax.benchmark.tables import tables, text
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError
from tests.micro import micro

MACHINE = {
    "date": "2026-01-01T00:00:00+00:00", "backend": "cpu", "devices": ["1 x cpu"], "processor": "Abacus", "cores": 2,
    "compute": "float32", "versions": {"jax": "0.0"},
    "limits": {"teraflops": 0.1, "gigabytes_per_s": 10.0, "source": "measured"},
}  # fmt: skip
ROW = {"median_s": 0.02, "best_s": 0.01, "spread_s": 0.001, "flops": 10**9, "bytes": 2e7, "batch": 2,
       "examples_per_s": 100.0, "compile_s": 1.5, "peak_gb": 0.5}  # fmt: skip


@pytest.fixture
def answers(monkeypatch):
    """Stages answer what a test puts in here, without processes."""
    found = {"machine": {"status": "done", "rows": MACHINE}}
    asked = []

    def start(arguments, stage, batch):
        asked.append((stage, batch))
        return found[stage](batch) if callable(found[stage]) else found[stage]

    monkeypatch.setattr(benchmark, "start_stage", start)
    return found, asked


def test_real_stages_on_the_smallest_networks():
    vae = micro("vae")
    job = Job(micro("radiodiff"), replace(vae, training=replace(vae.training, batch_size=2)), repeats=1)
    rows = {what: row for stage in ("vae_step", "discriminator") for what, row in run_stage(stage, job).items()}
    alone, adversarial = rows["vae step, alone"], rows["vae step, adversarial"]
    assert alone["batch"] == adversarial["batch"] == 2
    # The discriminator runs forward and back for real maps, for made-up ones, and in the autoencoder's own loss.
    assert adversarial["flops"] - alone["flops"] > 4 * rows["discriminator"]["flops"]
    assert all(row["median_s"] > 0 and row["peak_gb"] > 0.1 and row["compile_s"] > 0 for row in rows.values())
    results = {"config": "micro", "machine": MACHINE, "rows": rows}
    assert [len(lines) for _, lines in tables(results).values()] == [3, 3]


LATENT = [
    "backbone.name=unet", "backbone.widths=[8,8]", "features=[buildings,transmitter]", "estimate=line_of_sight",
]  # fmt: skip
PIXEL = [*LATENT, "space.name=pixel", "objective.name=regression"]


@pytest.mark.parametrize("space", ["latent", "pixel"])
def test_real_stages_of_a_generator(space):
    """On the smallest networks, for which FLOPs are known to be more or less than one another's."""
    latent = space == "latent"
    job = Job(micro("radiodiff", *(LATENT if latent else PIXEL)), micro("vae") if latent else None, batch=2, repeats=1)
    names = ["features", "condition", "backbone", "prediction", "generator_step", "generator_step_cached"]
    rows = {what: row for name in names if not why_left_out(name, job) for what, row in run_stage(name, job).items()}
    assert all(row["median_s"] > 0 and row["batch"] == 2 for row in rows.values())
    # A forward and a backward pass are about three times a forward pass.
    assert rows["generator step"]["flops"] > 2.5 * rows["backbone"]["flops"] > 0
    assert rows["prediction, 1 step"]["flops"] >= rows["backbone"]["flops"] / 2
    assert ("prediction, 5 steps" in rows) == ("generator step, cached latents" in rows) == latent
    if latent:
        assert rows["generator step, cached latents"]["flops"] < rows["generator step"]["flops"]
        assert rows["prediction, 5 steps"]["flops"] > rows["prediction, 1 step"]["flops"]
        assert "bytes" in rows["prediction, 1 step"] and "bytes" not in rows["prediction, 5 steps"]


def test_real_loop_and_resume(monkeypatch):
    monkeypatch.setattr("radiodiff_jax.benchmark.loop.SECONDS", 0.1)
    job = Job(micro("radiodiff", *PIXEL), batch=2, repeats=1)
    rows = run_stage("loop_overhead", job) | run_stage("resume", job)
    assert rows["loop"]["looped_s"] > 0 and rows["loop"]["updates"] % 17 == 0 and rows["resume"]["resume_s"] > 0


def test_a_fault_is_one_line_and_the_others_go_on(answers, capsys, tmp_path):
    found, asked = answers
    found["backbone"] = {"status": "failed with exit code 1; its output is above"}
    found["encoder"] = {"status": "done", "rows": {"encoder": ROW}}
    found["generator_step"] = lambda batch: (
        {"status": "out of memory", "batch": batch or 16}
        if batch is None or batch > 4
        else {"status": "done", "rows": {"generator step": ROW | {"batch": batch}}}
    )
    path = tmp_path / "tiny.json"
    assert benchmark.main(["--config", "tiny", "--only", "backbone", "encoder", "generator_step", "--json", str(path)]) == 1
    shown = capsys.readouterr()
    assert "backbone: failed with exit code 1" in shown.out and "a batch of 16 does not fit" in shown.err
    assert asked[-3:] == [("generator_step", None), ("generator_step", 8), ("generator_step", 4)]
    assert "50.0 %" in shown.out and "compute" in shown.out  # 50 of 100 GFLOP/s, 50 FLOPs a byte against 10
    assert all(len(line) <= 120 for line in shown.out.splitlines())
    written = json.loads(path.read_text())
    assert written["stages"] == {"backbone": found["backbone"]["status"], "encoder": "done", "generator_step": "done"}
    assert written["rows"]["generator step"]["batch"] == 4

    assert benchmark.main(["--markdown", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "| encoder | 2 | 20.0 | 10.0 | 1.00 | 100 | 1.50 | 0.500 |" in lines
    assert lines[0].startswith("2 cores, Abacus; float32; jax 0.0; 2026-01-01 limits (measured): 100 GFLOP/s")


def test_several_batches_are_rows_of_their_own(answers, tmp_path):
    found, asked = answers
    found["encoder"] = lambda batch: {"status": "done", "rows": {"encoder": ROW | {"batch": batch}}}
    found["reading"] = {"status": "done", "rows": {"reading": ROW}}
    path = tmp_path / "out.json"
    benchmark.main(["--config", "tiny", "--only", "encoder", "reading", "--batch", "1", "8", "--json", str(path)])
    assert list(json.loads(path.read_text())["rows"]) == ["encoder, batch 1", "encoder, batch 8", "reading"]


def test_stages_of_an_autoencoder_are_left_out_where_there_is_none(answers, capsys, tmp_path):
    found, asked = answers
    found["encoder"] = found["features"] = {"status": "done", "rows": {"some": ROW}}
    path = tmp_path / "out.json"
    words = ["--config", "pixel-tiny", "--only", "encoder", "generator_step_cached", "features", "--json", str(path)]
    assert benchmark.main(words) == 0
    assert "encoder: left out, as the space pixel has no autoencoder" in capsys.readouterr().out
    assert [stage for stage, _ in asked] == ["machine", "features"]
    assert json.loads(path.read_text())["stages"]["generator_step_cached"].startswith("left out")
    assert benchmark.main([*words, "--vae-config", "tiny"]) == 0 and ("encoder", None) in asked


@pytest.mark.parametrize(("config", "vae"), [("small", "small"), ("flow-tiny", "tiny"), ("residual-tiny", None)])
def test_the_autoencoder_is_that_of_the_same_name(config, vae):
    job = benchmark.read_job(benchmark.parse(["--config", config, "--precision", "bfloat16"]))
    preset = None if vae is None else load_config("vae", vae, ["precision.compute=bfloat16"], CONFIGS)
    assert job.autoencoder == preset and job.config.precision.compute == "bfloat16"


def test_columns_of_the_terminal_are_aligned():
    assert text(["a", "ms"], [["long", "1"], ["b", "100"]]) == "a      ms\nlong    1\nb     100"


def test_wrong_usage(tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(["--only", "nothing"])
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match="is no file of results"):
        benchmark.main(["--markdown", str(tmp_path / "a.json")])
    capsys.readouterr()
    benchmark.parse([])
    assert "loop_overhead" in STAGES


def test_sigterm_ends_the_stage_under_way():
    command = [sys.executable, "-m", "experiments.benchmark", "--config", "tiny", "--only", "reading"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        itself = psutil.Process(process.pid)
        while not (stages := itself.children()):
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        assert process.wait(timeout=20) == 128 + signal.SIGTERM
    assert not any(stage.is_running() for stage in stages)


def test_a_stage_that_is_just_being_started_ends_too():
    program = (
        "import subprocess, sys\nfrom experiments.benchmark import leave\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid, flush=True)\nleave(15, None)"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 128 + signal.SIGTERM and not psutil.pid_exists(int(done.stdout))


@pytest.mark.parametrize("machine", [{}, {"versions": {}}, {"versions": {"jax": 1}, "backend": "cpu"}])
def test_results_without_a_machine_are_no_results(tmp_path, machine):
    results = {"config": "tiny", "repeats": 1, "machine": machine, "stages": {}, "rows": {"update": {"median_s": "fast"}}}
    (tmp_path / "a.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match="is no file of results; make it with --json"):
        benchmark.main(["--markdown", str(tmp_path / "a.json")])
