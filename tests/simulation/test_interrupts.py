"""A simulation that is interrupted or killed from outside is taken up again and ends with the same bytes."""

import signal
import subprocess
import sys
import time

import psutil
import pytest

from radiodiff_jax.simulation import write_simulated_folder

MAPS, TRANSMITTERS = 90, 2
WORDS = f"--maps {MAPS} --transmitters {TRANSMITTERS} --size 64 --seed 2 --cars"


def contents(root):
    files = (path for path in root.rglob("*") if path.is_file() and not path.name.startswith(".writing-"))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "set"
    write_simulated_folder(out, MAPS, TRANSMITTERS, (64, 64), 2, progress=False, cars=True)
    return contents(out)


def simulate(out, workers):
    command = [sys.executable, "-m", "experiments.dataset", "simulate", "--out", out, "--workers", workers, *WORDS.split()]
    heard = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)  # noqa: E731  # a shell's background jobs ignore it
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=heard
    )


def interrupted(folder, sent, workers):
    """(output folder, all that was printed) of a simulation that `sent` met at work; it may have ended on a busy machine."""
    for attempt in range(5):
        out = folder / str(attempt)
        running = simulate(out, workers)
        until = time.monotonic() + 60
        while len(list(out.glob("gain/carsDPM/[!.]*.png"))) < 3 and time.monotonic() < until:
            time.sleep(0.02)
        children = psutil.Process(running.pid).children(recursive=True)
        running.send_signal(sent)
        printed = running.communicate(timeout=30)[0]
        assert not psutil.wait_procs(children, timeout=20)[1]  # no worker outlives its parent
        if running.returncode != 0:
            return out, printed
    raise AssertionError(f"{sent.name} did not stop any of five simulations")


@pytest.mark.parametrize("sent, workers", [(signal.SIGINT, 2), (signal.SIGKILL, 2)])
def test_killed_and_called_again(whole, tmp_path, sent, workers):
    out, printed = interrupted(tmp_path, sent, workers)
    assert "Traceback" not in printed

    begun = contents(out)
    assert 3 < len(begun) < len(whole)
    assert all(whole[name] == data for name, data in begun.items())
    write_simulated_folder(out, MAPS, TRANSMITTERS, (64, 64), 2, progress=False, cars=True)
    assert contents(out) == whole
