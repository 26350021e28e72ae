"""Cities simulated in processes of their own, which end with the process that started them.

Such a process takes pickled jobs from its standard input and writes pickled results to its standard output, until the
input is closed. It is not one of `multiprocessing` or `concurrent.futures`: those load the main program again and
outlive a parent that was killed.
"""

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, BinaryIO

from radiodiff_jax.errors import UserError

PACKAGE_ROOT = Path(__file__).resolve().parents[2]


class CityWorkers:
    """Calls `work(argument)` in `count` processes, jobs of the lowest rank first.

    `work` is a function at the top of an importable module, and what it takes and gives can be pickled. `finish`, if
    given, is applied to results in this process. With `count` 0 everything is done by `submit` itself.
    """

    def __init__(self, work: Callable[[Any], Any], count: int, finish: Callable[[Any], Any] | None = None):
        self._work, self._count, self._finish = work, count, finish
        self._jobs: queue.PriorityQueue = queue.PriorityQueue()
        self._order = 0
        self._processes: list[subprocess.Popen] = []
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _stop, self._processes)

    def submit(self, rank: int, argument: Any) -> Future:
        """A future of the result; it raises what `work` raises, or UserError if the process dies."""
        future: Future = Future()
        if self._count == 0:
            _settle(future, lambda: self._work(argument), self._finish)
            return future
        with self._lock:
            self._order += 1
            self._jobs.put((rank, self._order, argument, future))
            if len(self._processes) < min(self._count, self._order):
                self._start()
        return future

    def close(self) -> None:
        """Drop the jobs that are not begun, finish those that are, end the processes. Nothing may be submitted after it."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._jobs.get_nowait()[-1].cancel()
        for _ in self._threads:
            self._order += 1
            self._jobs.put((0, self._order, None, None))
        for thread in self._threads:
            thread.join()

    def _start(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE_ROOT), *sys.path])}
        command = [sys.executable, "-c", f"from {__name__} import serve; serve()"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._processes.append(process)
        serving = (process, self._jobs, self._work, self._finish)
        self._threads.append(threading.Thread(target=_hand_jobs_over, args=serving, daemon=True))
        self._threads[-1].start()


def _hand_jobs_over(
    process: subprocess.Popen, jobs: queue.PriorityQueue, work: Callable, finish: Callable | None
) -> None:
    """Hand jobs to one process and results to their futures, in a thread of its own, until there is no future."""
    while True:
        _, _, argument, future = jobs.get()
        if future is None:
            with contextlib.suppress(BrokenPipeError):  # the process died
                process.stdin.close()
            process.wait()
            return
        _settle(future, lambda argument=argument: _ask(process, work, argument), finish)


def _ask(process: subprocess.Popen, work: Callable, argument: Any) -> Any:
    try:
        pickle.dump((work, argument), process.stdin)
        process.stdin.flush()
        good, result = pickle.load(process.stdout)
    except (OSError, EOFError, ValueError, pickle.UnpicklingError):
        raise UserError(
            "a process that simulates cities died, most likely for want of memory; run again with fewer of them (--workers, "
            "or data.simulation_workers of a training), which goes on where this stopped"
        ) from None
    if good:
        return result
    raise result


def _settle(future: Future, call: Callable[[], Any], finish: Callable[[Any], Any] | None) -> None:
    try:
        result = call()
        future.set_result(result if finish is None else finish(result))
    except Exception as error:  # whoever waits for the result is told
        future.set_exception(error)


def _stop(processes: list[subprocess.Popen]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def serve_jobs(jobs: BinaryIO, results: BinaryIO) -> None:
    """Do pickled jobs (function, argument) one after the other until there are no more."""
    while True:
        try:
            work, argument = pickle.load(jobs)
        except EOFError:
            return
        try:
            answer = (True, work(argument))
        except Exception as error:  # told to the parent, which raises it
            answer = (False, error)
        try:
            pickle.dump(answer, results, pickle.HIGHEST_PROTOCOL)
            results.flush()
        except BrokenPipeError:
            return


def serve() -> None:
    """The whole life of a process that simulates."""
    # The parent decides on interrupts and says so by closing the pipe; prints must not get into the results.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve_jobs(sys.stdin.buffer, results)
    os._exit(0)  # nothing to tidy up, and the parent may be gone
