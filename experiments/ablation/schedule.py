"""Jobs as processes: each as soon as what it builds on is finished and a slot is free, stopped in order by Ctrl-C."""

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.ablation.plan import Job

POLL_S = 0.2
FINISHED, FAILED, INTERRUPTED = "finished", "failed", "interrupted"


@dataclass
class Running:
    """A process at work."""

    job: Job
    process: subprocess.Popen
    slot: Any
    since: float


class Stop:
    """While entered, Ctrl-C and SIGTERM are counted instead of obeyed."""

    def __init__(self):
        self.count = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: Any) -> None:
        self.count += 1


def run_jobs(
    jobs: Sequence[Job],
    slots: Sequence[Any],
    start: Callable[[Job, Any], subprocess.Popen],
    ended: Callable[[Job, int, float], str],
    watch: Callable[[Sequence[Running]], None],
    stop: Stop,
    before: dict[str, str],
) -> dict[str, str]:
    """Name of a job -> how it ended, `before` among them; jobs that were never begun are not in it.

    `start(job, slot)` makes the process, `ended(job, exit code, seconds)` says how it ended, `watch` is called again and
    again. A job whose needs failed fails too, without being begun: `ended` is told with exit code None. The first
    Ctrl-C asks every process to stop, and no other is begun; the second ends them at once.
    """
    waiting, free, running, outcome = list(jobs), list(slots), [], dict(before)
    names = {job.name for job in jobs}
    obeyed = 0
    try:
        while running or (waiting and not stop.count):
            if not stop.count:
                for job in ready(waiting, names, outcome):
                    if any(outcome.get(need) == FAILED for need in job.needs):
                        waiting.remove(job)
                        outcome[job.name] = ended(job, None, 0.0)
                    elif free:
                        slot = free.pop(0)
                        waiting.remove(job)
                        running.append(Running(job, start(job, slot), slot, time.monotonic()))
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                free.append(one.slot)
                outcome[one.job.name] = ended(one.job, one.process.returncode, time.monotonic() - one.since)
            while obeyed < min(stop.count, 2):
                obeyed += 1
                for one in running:
                    (one.process.terminate if obeyed == 1 else one.process.kill)()
            watch(running)
            if running:
                time.sleep(POLL_S)
    finally:
        for one in running:
            one.process.kill()
            one.process.wait()
    return outcome


def ready(waiting: Sequence[Job], names: set[str], outcome: dict[str, str]) -> list[Job]:
    """The jobs that need nothing that is still to be made; what is not among the jobs was finished before."""
    return [job for job in waiting if all(need in outcome or need not in names for need in job.needs)]
