"""Functions called in processes of their own, which end with the process that started them.

`python -m radiodiff_jax.worker_processes` is such a process: pickled jobs come on its standard input, pickled results
go to its standard output, until the input is closed. It is not a `multiprocessing` process, because those load the
main program again (seconds, where that imports JAX) and outlive a parent that was killed.
"""

import math
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, as_completed, wait
from pathlib import Path
from typing import Any, BinaryIO

from tqdm import tqdm

from radiodiff_jax.errors import UserError

PACKAGE_ROOT = Path(__file__).resolve().parents[1]
DEATH = "a worker process died, most likely for want of memory; run again with fewer workers"
Shard = tuple[int, int]
"""(K, N): the K-th of N parts, from (1, 1) on."""
Job = Callable[[], int]
"""Something that any process can do, twice if need be; says how much it was, in the unit of a bar."""
RunJobs = Callable[[Sequence[Job], Path, tqdm], None]
"""Does all jobs, which write below the folder, and moves the bar on."""


def of_shard(items: Sequence[Any], shard: Shard) -> Sequence[Any]:
    """The K-th of N parts of a sequence: every N-th item from the K-th on."""
    return items[shard[0] - 1 :: shard[1]]


class WorkerProcesses:
    """Calls `work(argument)` in `count` processes, jobs of the lowest rank first.

    `work` is a function at the top of an importable module, and what it takes and gives can be pickled. `finish`, if
    given, is applied to results in this process. With `count` 0 everything is done by `submit` itself. `death` is the
    sentence of the UserError that is raised if a process dies.
    """

    def __init__(
        self, work: Callable[[Any], Any], count: int, finish: Callable[[Any], Any] | None = None, death: str = DEATH
    ):
        self._work, self._count, self._finish, self._death = work, count, finish, death
        self._jobs: queue.PriorityQueue = queue.PriorityQueue()
        self._order = 0
        self._processes: list[subprocess.Popen] = []
        self._lock = threading.Lock()
        weakref.finalize(self, _stop, self._processes, self._jobs)

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

    def _start(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE_ROOT), *sys.path])}
        command = [sys.executable, "-m", "radiodiff_jax.worker_processes"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self._processes.append(process)
        arguments = process, self._jobs, self._work, self._finish, self._death
        threading.Thread(target=_serve, args=arguments, daemon=True).start()


def run_in_processes(
    work: Callable[[Any], Any], arguments: Sequence[Any], count: int, death: str = DEATH
) -> Iterator[Any]:
    """The results of `work(argument)` for all arguments, as they come, from `count` processes.

    With one process or one argument everything runs in this process. When the caller stops asking, or a call raises, the
    calls at hand are finished and the rest is dropped.
    """
    if count == 1 or len(arguments) <= 1:
        yield from map(work, arguments)
        return
    workers = WorkerProcesses(work, min(count, len(arguments)), death=death)
    futures = [workers.submit(rank, argument) for rank, argument in enumerate(arguments)]
    try:
        for done in as_completed(futures):
            yield done.result()
    finally:
        for future in futures:
            future.cancel()
        wait(futures)


def _serve(
    process: subprocess.Popen, jobs: queue.PriorityQueue, work: Callable, finish: Callable | None, death: str
) -> None:
    """Hand jobs to one process and results to their futures, in a thread of its own."""
    while True:
        _, _, argument, future = jobs.get()
        if future is None:
            return
        _settle(future, lambda argument=argument: _ask(process, work, argument, death), finish)


def _ask(process: subprocess.Popen, work: Callable, argument: Any, death: str) -> Any:
    try:
        pickle.dump((work, argument), process.stdin)
        process.stdin.flush()
        good, result = pickle.load(process.stdout)
    except (OSError, EOFError, ValueError, pickle.UnpicklingError):
        raise UserError(death) from None
    if good:
        return result
    raise result


def _settle(future: Future, call: Callable[[], Any], finish: Callable[[Any], Any] | None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
        future.set_result(result if finish is None else finish(result))
    except Exception as error:  # whoever waits for the result is told
        future.set_exception(error)


def _stop(processes: list[subprocess.Popen], jobs: queue.PriorityQueue) -> None:
    for process in processes:
        jobs.put((-math.inf, 0, None, None))  # ends a thread
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


def _main() -> None:
    # The parent decides on interrupts and says so by closing the pipe; prints must not get into the results.
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve_jobs(sys.stdin.buffer, results)
    os._exit(0)  # nothing to tidy up, and the parent may be gone


if __name__ == "__main__":
    _main()
