"""Compiled functions are kept for the next process, within bounds, and never against the user's will."""

import os
import subprocess
import sys

from experiments.compiled import FOLDER, keep_compiled, processor, shrink

MAIN = "def main(): jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((8, 8)))"
PROGRAM = f"import jax\nfrom experiments.command import run_command\n{MAIN}\nrun_command(main)"


def run(program: str = PROGRAM, **environment: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != FOLDER}
    always = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    subprocess.run([sys.executable, "-c", program], env=kept | always | environment, check=True)


def test_importing_changes_nothing(tmp_path):
    """Neither the environment nor the user's cache folder; both are a running command's business."""
    program = "import os; before = dict(os.environ); import experiments, experiments.train; assert dict(os.environ) == before"
    run(program, XDG_CACHE_HOME=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_processes_of_a_command_are_told(tmp_path):
    child = f"import os; assert os.environ[{FOLDER!r}].startswith({str(tmp_path)!r})"
    main = f"def main(): subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    run(f"import subprocess, sys\nfrom experiments.command import run_command\n{main}\nrun_command(main)",
        XDG_CACHE_HOME=str(tmp_path))  # fmt: skip


def test_the_next_process_finds_what_was_compiled(tmp_path):
    folder = tmp_path / "radiodiff_jax" / "compiled" / processor()
    run(XDG_CACHE_HOME=str(tmp_path))
    entries = {path.name for path in folder.glob("*-cache")}
    assert entries
    run(XDG_CACHE_HOME=str(tmp_path))
    assert {path.name for path in folder.glob("*-cache")} == entries
    run(XDG_CACHE_HOME=str(tmp_path / "other"), JAX_COMPILATION_CACHE_DIR=str(tmp_path / "named"))
    assert list((tmp_path / "named").glob("*-cache")) and not (tmp_path / "other").exists()


def test_a_home_that_cannot_be_written_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER, raising=False)
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    keep_compiled()
    assert FOLDER not in os.environ


def test_the_oldest_go_first(tmp_path):
    for age, name in enumerate(["new", "middle", "old"]):
        (tmp_path / name).write_bytes(b"x" * 10)
        os.utime(tmp_path / name, (1000 - age, 1000 - age))
    shrink(tmp_path, 25)
    assert {path.name for path in tmp_path.iterdir()} == {"new", "middle"}
