"""Several devices and several processes train as one does: same losses, same checkpoints."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.devices import parse_processes
from radiodiff_jax.training.progress import TIMED
from radiodiff_jax.training.run_folder import read_json_lines

ROOT = Path(__file__).parents[2]


def start(*words) -> subprocess.Popen:
    command = [sys.executable, "-m", "tests.training.parallel_runs", *map(str, words)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def answers(*processes: subprocess.Popen) -> list:
    """What each wrote as its last line; all end together."""
    found = []
    try:
        for process in processes:
            output, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors[-3000:]
            found.append(json.loads(output.splitlines()[-1]))
    finally:
        for process in processes:
            process.kill()
    return found


def in_two_processes(run: Path, steps: int) -> list:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    return answers(*(start("toy", run, steps, 1, f"{address},2,{index}") for index in (0, 1)))


def test_four_devices_train_as_one_does(tmp_path):
    (found,) = answers(start("four", tmp_path))
    np.testing.assert_allclose(found["toy, four devices"], found["toy, one device"], rtol=1e-6)
    # The adaptive weight of the second phase is a ratio of gradient norms, which differ by more than their rounding.
    alone, shared = found["vae, one device"], found["vae, four devices, fsdp"]
    np.testing.assert_allclose(shared[0], alone[0], rtol=1e-6)
    np.testing.assert_allclose(shared, alone, rtol=1e-3)
    assert found["share of the state"][0] < 0.4  # a quarter, and what is small or odd
    assert found["digest, fsdp"] == found["digest, switched"] == found["digest, whole"]


def test_two_processes_train_as_two_devices_do_and_resume_anywhere(tmp_path):
    """Bit for bit: from the start, and from a checkpoint that two processes wrote."""
    (whole,) = answers(start("toy", tmp_path / "one", 12, 2))
    stopped = in_two_processes(tmp_path / "two", 8)
    assert [answer["step"] for answer in stopped] == [8, 8]
    shutil.copytree(tmp_path / "two", tmp_path / "alone")
    assert in_two_processes(tmp_path / "two", 12) == [whole, whole]
    assert answers(start("toy", tmp_path / "alone", 12, 2)) == [whole]
    logs = [
        [{name: value for name, value in line.items() if name not in TIMED} for line in read_json_lines(path)]
        for path in (tmp_path / run / "metrics.jsonl" for run in ("one", "two", "alone"))
    ]
    for log in logs[1:]:
        for line, other in zip(log, logs[0], strict=True):
            if "loss" in other:
                assert line == other
            else:  # the mean of a validation, which is summed up in another order
                assert line.pop("phase") == other["phase"]
                assert line == pytest.approx({name: other[name] for name in other if name != "phase"}, rel=1e-6)
    events = [line["event"] for line in read_json_lines(tmp_path / "two" / "events.jsonl")]
    assert events.count("started") == events.count("resumed") == events.count("finished") == 1


@pytest.mark.parametrize("words", ["", "auto,2,0", "node:1234", "node:1234,2", "node,2,0", "node:1234,2,2", "node:x,2,0"])
def test_manual_processes_are_named_whole(words):
    with pytest.raises(UserError, match="--distributed"):
        parse_processes(words)


def test_manual_processes():
    assert parse_processes("node1:1234,2,0") == ("node1:1234", 2, 0)
    assert parse_processes("[::1]:1234,16,15") == ("[::1]:1234", 16, 15)


def test_large_arrays_are_divided_along_their_longest_even_axis():
    from jax.sharding import AbstractMesh, PartitionSpec

    from radiodiff_jax.training import devices

    mesh = AbstractMesh((4,), (devices.AXIS,))
    found = {shape: devices.fsdp_sharding(shape, mesh).spec for shape in [(3, 3, 64, 128), (7, 8192), (127, 129), (8, 8), ()]}
    assert found[3, 3, 64, 128] == PartitionSpec(None, None, None, devices.AXIS)
    assert found[7, 8192] == PartitionSpec(None, devices.AXIS)
    assert found[127, 129] == found[8, 8] == found[()] == PartitionSpec()
