"""Compiled functions are kept for the next process, within bounds, and never against the user's will."""

import os
import subprocess
import sys

from experiments.compiled import FOLDER, keep_compiled, processor, shrink

PROGRAM = "import experiments, jax; jax.jit(lambda x: x @ x + 1)(jax.numpy.ones((8, 8)))"


def run(**environment: str) -> None:
    kept = {name: value for name, value in os.environ.items() if name != FOLDER}
    always = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    subprocess.run([sys.executable, "-c", PROGRAM], env=kept | always | environment, check=True)


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
