"""One run of an ablation in a process of its own: trained (or gone on with), then evaluated.

    python -m experiments.ablation.job '{"command": "train", "words": [...], "run": DIR, "data": DIR, ...}'

It stops in order, with a checkpoint, when its standard input is closed, as happens when the process that started it dies.
"""

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from experiments.command import run_command
from experiments.ending import INTERRUPTED


def main(argv: list[str] | None = None) -> int:
    """Train, evaluate what is missing; the exit code is 130 where the training was interrupted."""
    told = json.loads((argv or sys.argv[1:])[0])
    threading.Thread(target=stop_with_parent, daemon=True).start()
    from experiments import evaluate, train, vae
    from experiments.ablation.results import SPLITS, is_trained, read_results

    run, data = Path(told["run"]), Path(told["data"])
    {"train": train, "vae": vae}[told["command"]].main(told["words"])
    if not is_trained(run):
        return INTERRUPTED
    missing = [split for split in SPLITS if read_results(run, split, told["steps"]) is None]
    for split in missing:
        evaluate.evaluate_run(run, data, split, told["steps"] or None, told["batch_size"], count=told["count"])
    return 0


def stop_with_parent() -> None:
    """Wait for the end of the standard input, then stop as at SIGTERM."""
    while os.read(sys.stdin.fileno(), 1):  # not by sys.stdin, whose lock this thread would hold at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def request(
    command: str, words: list[str], run: Path, data: Path, steps: list[int], batch_size: int, count: int | None
) -> str:
    """The argument of this program."""
    told: dict[str, Any] = {"command": command, "words": words, "run": str(run), "data": str(data)}
    return json.dumps(told | {"steps": steps, "batch_size": batch_size, "count": count})


if __name__ == "__main__":
    run_command(main)
