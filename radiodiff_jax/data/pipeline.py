"""From records to batches, with Grain: endless and shuffled for training, once and in order for evaluation.

A batch is a dictionary of NumPy arrays:

    gain         uint8 [batch, height, width]     path gain in grey levels; absent where there are `moments`
    buildings    bool [batch, height, width]      what the model is told of: True = building
    cars         bool [batch, height, width]      only with `data.cars`
    observed     bool [batch, height, width]      only with `data.observed_pixels`: where the gain is known beforehand
    position     int32 [batch, 2]                 row and column of the transmitter in these images
    map          int32 [batch]                    number of the city map
    transmitter  int32 [batch]                    number of the transmitter
    true_buildings  bool [batch, height, width]   evaluation only, where `buildings` shows not all of them: all of them
    mask         float32 [batch]                  evaluation only: 1, or 0 for what fills up the last batch
    moments      float32 [batch, h, w, 2 * channels]   of a `LatentSource`: mean and log-variance of the posterior
    estimate     float32 [batch, h, w, channels]  of a `LatentSource` of a model that starts from an estimate

Images travel as they are on disk; whatever a model reads is made of them on the device.

What is in the batch of a step depends on the seed and the step alone, not on the number of threads or processes.
"""

from collections.abc import Iterable, Sequence

import grain
import numpy as np

from radiodiff_jax.data.latents import LatentSource
from radiodiff_jax.data.records import Record, RecordSource
from radiodiff_jax.data.sources import VariedSource
from radiodiff_jax.data.symmetries import random_symmetry
from radiodiff_jax.errors import UserError

Batch = dict[str, np.ndarray]


def training_batches(
    source: RecordSource,
    batch_size: int,
    seed: int,
    augment: bool = True,
    threads: int = 2,
    prefetch: int = 4,
    process_index: int = 0,
    process_count: int = 1,
    shuffle: bool = True,
) -> grain.DatasetIterator:
    """Endless shuffled batches; every epoch has its own order, and batches run across the ends of epochs.

    Without `shuffle` the source, which is then endless, is read in its own order. What a `VariedSource` draws is drawn
    anew each time.

    `batch_size` counts the whole batch of all processes; this process gets its contiguous part, so that the parts of
    processes 0, 1, ... one after the other are the batch that a single process would get. The iterator's
    `get_state()` / `set_state(state)` say where it is ({"next_index": ...}: batches drawn by this process, whatever
    the number of threads), and `grain.checkpoint` saves it. Raises UserError if the batch cannot be shared evenly.
    """
    local_size = _local_size(batch_size, process_count)
    draw = source.draw if isinstance(source, VariedSource | LatentSource) else None
    records = (grain.MapDataset.range(len(source)) if draw else grain.MapDataset.source(source)).seed(seed)
    if shuffle:
        records = records.shuffle().repeat()
    if draw:
        records = records.random_map(draw)
    if augment:
        records = records.random_map(random_symmetry)
    if isinstance(source, LatentSource):
        records = records.map(source.with_latents)
    batches = records.map(training_element).batch(local_size, drop_remainder=True)
    return iter(_read(batches[process_index::process_count], threads, prefetch))


def evaluation_batches(
    source: RecordSource,
    batch_size: int,
    count: int | None = None,
    threads: int = 2,
    prefetch: int = 4,
    process_index: int = 0,
    process_count: int = 1,
) -> Iterable[Batch]:
    """Every record once, in the order (map, transmitter), in batches of one size with the key `mask`.

    The last batch is filled up by repeating the last record with mask 0. With `count`, only that many records are
    drawn, evenly spread over the split so that they cover as many maps as possible. Processes share batches as in
    `training_batches`.
    """
    local_size = _local_size(batch_size, process_count)
    batches = grain.MapDataset.source(_Padded(source, batch_size, count)).batch(local_size)
    return _read(batches[process_index::process_count], threads, prefetch)


def buildings_of(batch: Batch) -> np.ndarray:
    """All buildings of the batch's scenes, bool [batch, height, width], whether or not the model is told of them."""
    return batch.get("true_buildings", batch["buildings"])


def training_element(record: Record) -> Record:
    """What a training batch holds of a record."""
    return {name: value for name, value in record.items() if name not in ("true_buildings", "symmetry")}


def chosen_records(total: int, count: int | None) -> Sequence[int]:
    """The indices of `count` of `total` records, evenly spread; of all where there are no more."""
    if count is None or count >= total:
        return range(total)
    return np.linspace(0, total - 1, count).round().astype(int).tolist()


class _Padded:
    """The records of an evaluation: some or all, then the last again with mask 0 until the batch is full."""

    def __init__(self, source: RecordSource, batch_size: int, count: int | None):
        self._chosen = chosen_records(len(source), count)
        self._source = source
        self._length = -(-len(self._chosen) // batch_size) * batch_size

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Record:
        real = index < len(self._chosen)
        return self._source[self._chosen[index if real else -1]] | {"mask": np.float32(real)}


def _local_size(batch_size: int, process_count: int) -> int:
    if batch_size % process_count:
        raise UserError(
            f"a batch of {batch_size} cannot be shared evenly by {process_count} processes; "
            "choose a multiple as training.batch_size"
        )
    return batch_size // process_count


def _read(batches: grain.MapDataset, threads: int, prefetch: int) -> grain.IterDataset:
    # Threads, not worker processes: those take seconds to start, and their states depend on how many they are.
    return batches.to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch))
