"""A run folder has one master; the lock of a dead one does not count."""

import json
import os
import subprocess
import sys

import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training import run_lock as module
from radiodiff_jax.training.run_lock import NAME, run_lock
from tests.golden_files import ROOT

HOLD = """
import sys, time
from pathlib import Path
from radiodiff_jax.training.run_lock import run_lock
with run_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(run):
    """A process that holds the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_held_and_released(tmp_path):
    with run_lock(tmp_path) as stale:
        assert stale is None
        assert json.loads((tmp_path / NAME).read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_released_when_the_training_fails(tmp_path):
    with pytest.raises(ZeroDivisionError), run_lock(tmp_path):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_second_process_is_refused_until_the_first_is_killed(tmp_path):
    process = hold(tmp_path)
    try:
        with pytest.raises(UserError, match=f"trained by process {process.pid} on "), run_lock(tmp_path):
            pass
        assert (tmp_path / NAME).is_file(), "the refusal leaves the lock alone"
    finally:
        process.kill()
        process.communicate()
    with run_lock(tmp_path) as stale:
        assert stale["pid"] == process.pid
    assert list(tmp_path.iterdir()) == []


def test_another_process_with_the_same_number_is_another_process(tmp_path):
    with run_lock(tmp_path):
        holder = json.loads((tmp_path / NAME).read_text())
    (tmp_path / NAME).write_text(json.dumps(holder | {"process_started": holder["process_started"] - 5}))
    with run_lock(tmp_path) as stale:
        assert stale["pid"] == os.getpid()


@pytest.mark.parametrize("content", [{"host": "elsewhere", "pid": 1, "process_started": 0, "since": "then"}, None])
def test_other_hosts_and_damaged_locks_are_believed_dead_after_a_silence(tmp_path, content):
    path = tmp_path / NAME
    path.write_text("{" if content is None else json.dumps(content))
    with pytest.raises(UserError, match="is being trained by process"), run_lock(tmp_path):
        pass
    old = path.stat().st_mtime - module.SILENCE - 1
    os.utime(path, (old, old))
    with run_lock(tmp_path) as stale:
        assert stale == (content or {})


def test_signs_of_life(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "HEARTBEAT", 0.01)
    path = tmp_path / NAME
    with run_lock(tmp_path):
        os.utime(path, (0, 0))
        for _ in range(500):
            if path.stat().st_mtime > 0:
                break
            module.threading.Event().wait(0.01)
        assert path.stat().st_mtime > 0
