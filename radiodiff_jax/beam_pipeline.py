"""Functions called by Apache Beam: on the cores of this machine, on Dataflow, Spark or Flink.

Each call is one element of a pipeline. Workers have this package installed, so that functions travel by their names.

Apache Beam is an extra, so it is imported where it is used.
"""

import pickle
import threading
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import working_folder, write_text
from radiodiff_jax.worker_processes import Job, RunJobs

QUIET = "default_sdk_harness_log_level=WARNING"  # workers otherwise tell of every connection
SECONDS_BETWEEN_LOOKS = 0.5
FAULT = "fault"

CallEach = Callable[[Callable[[Any], Any], Sequence[Any]], None]
"""Calls a function for each of many arguments."""


def beam_jobs(options: Sequence[str] = ()) -> RunJobs:
    """What does jobs in a Beam pipeline whose workers see the folder under the path that it has here.

    A UserError that a job raises is raised here, and jobs that have not begun by then are not done. `options` and errors as
    `beam_calls`; UserError also where the workers do not see the folder.
    """
    call_each = beam_calls(options)

    def run(jobs: Sequence[Job], folder: Path, bar: tqdm) -> None:
        with working_folder(folder, ".beam-") as answers:
            paths = [answers / str(number) for number in range(len(jobs))]
            with Watch(paths, lambda path: int(path.read_text(encoding="utf-8")), bar):
                call_each(do_or_tell, list(zip(jobs, paths, strict=True)))
            if (answers / FAULT).is_file():
                raise UserError((answers / FAULT).read_text(encoding="utf-8"))
            if not all(path.is_file() for path in paths):
                raise UserError(f"the Beam workers wrote nothing into {folder}; they must see that folder under this path")

    return run


def do_or_tell(order: tuple[Job, Path]) -> None:
    """Do a job and write its answer; its fault is written beside, because Beam would try again and hide the sentence."""
    job, answer = order
    fault = answer.with_name(FAULT)
    if fault.exists():
        return
    try:
        write_text(answer, str(job()))
    except UserError as error:
        write_text(fault, str(error))


def beam_calls(options: Sequence[str] = ()) -> CallEach:
    """What calls a function of a module in a Beam pipeline; `options` are words as `runner=FlinkRunner`.

    Raises UserError if Apache Beam is not installed, and at the call if it refuses the options.
    """
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            f"Apache Beam cannot be loaded ({error}); install it with `pip install -e '.[beam]'`, or leave out --beam"
        ) from error
    chosen = PipelineOptions([f"--{option}" for option in (QUIET, *options)])  # of two values for one option the last counts

    def call_each(function: Callable[[Any], Any], arguments: Sequence[Any]) -> None:
        try:
            pipeline = apache_beam.Pipeline(options=chosen)
        except (ValueError, ImportError) as error:
            raise UserError(f"Apache Beam refuses {' '.join(options) or 'to start'}: {error}") from error
        # Small, as the elements are part of the pipeline's description, which a service may take up to some megabytes of.
        packed = [zlib.compress(pickle.dumps(argument)) for argument in arguments]
        elements = pipeline | "arguments" >> apache_beam.Create(packed) | "spread" >> apache_beam.Reshuffle()
        _ = elements | "call" >> apache_beam.Map(_unpack_and_call, function)
        pipeline.run().wait_until_finish()

    return call_each


def _unpack_and_call(packed: bytes, function: Callable[[Any], Any]) -> None:
    function(pickle.loads(zlib.decompress(packed)))


class Watch:
    """Moves a bar on by `count(path)` as files appear, until the block ends."""

    def __init__(self, paths: Sequence[Path], count: Callable[[Path], int], bar: tqdm):
        self._left, self._count, self._bar = list(paths), count, bar
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *fault: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        over = False
        while not over:
            over = self._over.wait(SECONDS_BETWEEN_LOOKS)
            there = {path for path in self._left if path.is_file()}
            self._left = [path for path in self._left if path not in there]
            self._bar.update(sum(map(self._count, there)))
