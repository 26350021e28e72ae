"""The first signal is a wish, the second an order."""

import signal
import subprocess
import sys

import pytest

from tests.golden_files import ROOT

PROGRAM = """
import os, signal, sys, time
from radiodiff_jax.training.progress import Interrupts
with Interrupts() as interrupts:
    os.kill(os.getpid(), {first})
    print(interrupts.event, flush=True)
    if {again}:
        os.kill(os.getpid(), {first})
        time.sleep(10)
        print("still here")
"""


@pytest.mark.parametrize(
    ("number", "event"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "preempted")], ids=["SIGINT", "SIGTERM"]
)
@pytest.mark.parametrize("again", [False, True])
def test_signals(number, event, again):
    program = PROGRAM.format(first=int(number), again=again)
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (-number if again else 0, f"{event}\n")
