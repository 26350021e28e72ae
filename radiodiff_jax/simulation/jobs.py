"""What every long simulation shares: a folder claimed for one purpose, work spread over processes."""

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from tqdm import tqdm

from radiodiff_jax import __version__
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.simulation.constants import CONSTANTS, VISIBILITY

RECORD = "simulation.json"


def claim_folder(out: Path, arguments: dict[str, Any]) -> None:
    """Record in `out` what is simulated there, or check that the same was begun there before.

    Raises UserError where `out` is a file, or holds anything but a simulation of the same arguments, constants and
    program version.
    """
    record = {
        "program": "radiodiff_jax",
        "version": __version__,
        "model": "dominant path",
        "arguments": arguments,
        "constants": CONSTANTS._asdict() | VISIBILITY._asdict(),
    }
    claim_with_record(out, RECORD, record)


def claim_with_record(out: Path, name: str, record: dict[str, Any]) -> None:
    """Write `record` to the file `name` of the folder `out`, or check that it is there; UserError as above."""
    path = out / name
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file; name a folder for the simulated maps.")
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read ({error}); choose another folder or remove this one.") from None
        if found != record:
            changed = sorted(key for key in record if not isinstance(found, dict) or found.get(key) != record[key])
            raise UserError(
                f"{out} holds a simulation with other {' and '.join(changed)} (see {path.name} there); "
                "choose another folder or remove this one."
            )
    elif out.exists() and any(not entry.name.startswith(".writing-") for entry in out.iterdir()):
        raise UserError(f"{out} is not empty and holds no simulation; choose an empty or a new folder.")
    else:
        write_json(path, record)


def run_jobs(work: Callable[..., int], jobs: Sequence[tuple], total: int, workers: int, progress: bool) -> None:
    """Call `work(*job)` for every job, in `workers` processes; each call returns how many maps it has written.

    With one worker everything runs in this process. On an interrupt or an error, jobs at hand in other processes are
    finished and the rest is dropped.
    """
    with tqdm(total=total, unit=" map", disable=not progress, smoothing=0.1) as bar:
        if workers == 1 or len(jobs) <= 1:
            for job in jobs:
                bar.update(work(*job))
            return
        # Spawned processes inherit no threads or locks, so this is safe beside JAX.
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)), multiprocessing.get_context("spawn"), initializer=_obey_the_parent
        )
        try:
            for done in as_completed([pool.submit(work, *job) for job in jobs]):
                bar.update(done.result())
        except BrokenProcessPool:
            raise UserError(
                "A worker process died, most likely for want of memory; run again with fewer workers, "
                "finished maps are kept."
            ) from None
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _obey_the_parent() -> None:
    """The parent decides on an interrupt, workers finish the job at hand; if it is killed, they end at once."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def end_with_the_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_the_parent, daemon=True).start()
