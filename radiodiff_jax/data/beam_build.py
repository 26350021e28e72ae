"""Writes the files of a built data set with Apache Beam: on the cores of this machine, on Dataflow, Spark or Flink.

Each file is one element of the pipeline. Workers see the folder of PNG files and the output folder under the same paths
as the program that starts them, or else a store that holds a copy of the folder (see `beam_store`).
"""

import threading
from collections.abc import Sequence

from tqdm import tqdm

from radiodiff_jax.data.builder import WriteShards
from radiodiff_jax.data.shards import Shard, fault_path, write_shard
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_text

SECONDS_BETWEEN_LOOKS = 0.5
QUIET = "default_sdk_harness_log_level=WARNING"  # workers otherwise tell of every connection


def beam_writer(options: Sequence[str] = (), store: str | None = None) -> WriteShards:
    """Writer for `builder.build` that runs a Beam pipeline; `options` are words as `runner=FlinkRunner`.

    `store` is the address of a copy of the folder, for workers that do not see ours. Raises UserError if Apache Beam is
    not installed or refuses the options.
    """
    try:
        import apache_beam
        from apache_beam.options.pipeline_options import PipelineOptions
    except ImportError as error:
        raise UserError(
            f"Apache Beam cannot be loaded ({error}); install it with `pip install 'radiodiff-jax[beam]'`, or leave out --beam"
        ) from error
    # Functions and values travel by Python's own pickle: everything here is importable where the package is installed.
    words = [f"--{option}" for option in (QUIET, *options)]  # of two values for one option the last counts
    chosen = PipelineOptions(words)

    def write(shards: list[Shard], bar: tqdm) -> None:
        try:
            pipeline = apache_beam.Pipeline(options=chosen)
        except (ValueError, ImportError) as error:
            raise UserError(f"Apache Beam refuses {' '.join(options) or 'to start'}: {error}") from error
        files = pipeline | "files" >> apache_beam.Create(shards) | "spread" >> apache_beam.Reshuffle()
        _ = files | "write" >> apache_beam.Map(write_or_tell, store)
        with Watch(shards, bar):
            pipeline.run().wait_until_finish()
            collect(shards, store)

    return write


def write_or_tell(shard: Shard, store: str | None) -> None:
    """Write a file; a fault in the data is written beside it, because Beam would try again and hide the sentence."""
    if store is not None:
        from radiodiff_jax.data.beam_store import tell_in_store, write_to_store
    try:
        write_shard(shard) if store is None else write_to_store(shard, store)
    except UserError as error:
        write_text(fault_path(shard), str(error)) if store is None else tell_in_store(shard, store, str(error))


def collect(shards: list[Shard], store: str | None) -> None:
    """Bring the files of a store here. Raises UserError for the first fault that a worker told, or a missing file."""
    if store is not None:
        from radiodiff_jax.data.beam_store import fetch_built

        for shard in shards:
            fetch_built(shard, store)
    for shard in shards:
        if fault_path(shard).is_file():
            raise UserError(fault_path(shard).read_text(encoding="utf-8"))
        if not shard.path.is_file():
            raise UserError(
                f"{shard.path} was not written by the Beam workers; they must see {shard.path.parent.parent.parent} under "
                "this path, or else a store (--beam-store)"
            )


class Watch:
    """Moves a bar on as files appear, until the block ends."""

    def __init__(self, shards: list[Shard], bar: tqdm):
        self._left, self._bar = list(shards), bar
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
            there = [shard for shard in self._left if shard.path.is_file()]
            self._left = [shard for shard in self._left if shard not in there]
            self._bar.update(sum(len(shard.keys) for shard in there))
