"""The report command: what it prints, what it makes, how it fails."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from experiments import report
from radiodiff_jax.errors import UserError
from tests.reporting.run_folders import write_run

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def runs(tmp_path):
    run = write_run(tmp_path / "runs" / "one", "ldm", 1, resumes=0, samples=1)
    (run / "config.yaml").unlink()  # no diagram of the model, which takes JAX to make
    return tmp_path / "runs"


def test_pages_are_made_once(runs, tmp_path, capsys):
    words = ["--runs", str(runs), "--site", str(tmp_path / "site"), "--workers", "1"]
    assert report.main(words) == 0 and report.main(words) == 0
    first, second = (line for line in capsys.readouterr().out.splitlines() if "sources" in line)
    assert "1 page made, 0 of 1 sources unchanged" in first and "0 pages made, 1 of 1 sources unchanged" in second
    assert (tmp_path / "site" / "runs" / "one" / "index.md").is_file()


def test_one_run_may_be_named_itself(runs, tmp_path):
    assert report.main(["--runs", str(runs / "one"), "--site", str(tmp_path / "site")]) == 0
    assert (tmp_path / "site" / "runs" / "index.md").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--runs", "nowhere"], "there is no folder nowhere"),
        (["--runs", "."], "holds no run"),
        (["--log", "nowhere.log"], "there is no file nowhere.log"),
    ],
)
def test_what_is_not_there_is_one_sentence(words, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=sentence):
        report.main([*words, "--site", str(tmp_path / "site")])


def test_a_site_that_cannot_be_written_is_one_sentence(runs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written .* as --site"):
        report.main(["--runs", str(runs), "--site", str(tmp_path / "file")])


def test_a_page_that_cannot_be_written_is_one_sentence(runs, tmp_path):
    (tmp_path / "site" / "runs").mkdir(parents=True)
    (tmp_path / "site" / "runs" / "one").write_text("")
    with pytest.raises(UserError, match="the page of .*one cannot be made"):
        report.main(["--runs", str(runs), "--site", str(tmp_path / "site")])


def test_help_has_an_example(capsys):
    with pytest.raises(SystemExit):
        report.main(["--help"])
    told = capsys.readouterr().out
    assert "example:\n  python -m experiments.report" in told and "--watch" in told


def test_watching_follows_a_run_and_ends_with_ctrl_c(runs, tmp_path):
    words = [
        sys.executable,
        "-u",
        "-m",
        "experiments.report",
        "--runs",
        str(runs),
        "--site",
        str(tmp_path / "site"),
        "--watch",
    ]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "Ctrl-C" in line:
                break
        with (runs / "one" / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 123, "phase": "ldm", "time_s": 9.0, "loss": 1.0}) + "\n")
        begin = time.monotonic()
        told = process.stdout.readline()
        assert "step 123 of 10" in told and time.monotonic() - begin < 60
        os.kill(process.pid, signal.SIGINT)
        rest, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "ended" in rest and "Traceback" not in errors
