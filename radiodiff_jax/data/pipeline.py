"""From records to batches, with Grain: endless and shuffled for training, once and in order for evaluation.

A batch is a dictionary of NumPy arrays:

    gain         uint8 [batch, height, width]     path gain in grey levels; absent where there are `moments`
    buildings    bool [batch, height, width]      what the model is told of: True = building
    cars         bool [batch, height, width]      only with `data.cars`
    observed     bool [batch, height, width]      only with `data.observed_pixels`: where the gain is known beforehand
    dominant_path, reflections, diffraction   uint8 [batch, height, width]   only with `data.computed`, in grey levels
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
from fractions import Fraction
from typing import Any

import grain
import numpy as np

from radiodiff_jax.data.latents import LatentSource
from radiodiff_jax.data.records import Record, RecordSource
from radiodiff_jax.data.sources import VariedSource
from radiodiff_jax.data.symmetries import symmetries_of, transform_record
from radiodiff_jax.errors import UserError

Batch = dict[str, np.ndarray]
ENDLESS = 2**40  # elements; nobody will see the last one
OTHER_SEED = 0x5EED  # so that two sources that are mixed have orders of their own


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
    mixed: RecordSource | None = None,
    mix_share: float = 0.5,
    mix_shuffle: bool = True,
) -> grain.DatasetIterator:
    """Endless shuffled batches; every epoch has its own order, and batches run across the ends of epochs.

    Without `shuffle` the source, which is then endless, is read in its own order. What a `VariedSource` draws is drawn
    anew each time.

    With `mixed`, `mix_share` of the elements are records of that source, evenly spread, each source in epochs of its own;
    `mix_shuffle` is `shuffle` for it.

    `batch_size` counts the whole batch of all processes; this process gets its contiguous part, so that the parts of
    processes 0, 1, ... one after the other are the batch that a single process would get. The iterator's
    `get_state()` / `set_state(state)` say where it is ({"next_index": ...}: batches drawn by this process, whatever
    the number of threads), and `grain.checkpoint` saves it. Raises UserError if the batch cannot be shared evenly.
    """
    local_size = _local_size(batch_size, process_count)
    count = symmetries_of(source.size)
    elements = _indices(source, seed, shuffle)
    if mixed is not None:
        others = _indices(mixed, seed ^ OTHER_SEED, mix_shuffle)
        elements = _interleave((source, elements), (mixed, others), mix_share).seed(seed)
    if augment:
        elements = elements.random_map(lambda element, generator: (element, int(generator.integers(count))))

    def read(element: Any) -> Record:
        element, symmetry = element if augment else (element, 0)
        origin, element = element if mixed is not None else (source, element)
        record = transform_record(element if isinstance(element, dict) else origin[element], symmetry)
        return source.with_latents(record) if isinstance(source, LatentSource) else record

    def make_batch(elements: Sequence[Any]) -> Batch:
        return stack_records(map(read, elements), len(elements), leave_out=("true_buildings", "symmetry"))

    batches = elements.batch(local_size, drop_remainder=True, batch_fn=make_batch)
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
    padded = _Padded(source, batch_size, count)

    def make_batch(indices: Sequence[int]) -> Batch:
        return stack_records(map(padded.__getitem__, indices), len(indices))

    batches = grain.MapDataset.range(len(padded)).batch(local_size, batch_fn=make_batch)
    return _read(batches[process_index::process_count], threads, prefetch)


def buildings_of(batch: Batch) -> np.ndarray:
    """All buildings of the batch's scenes, bool [batch, height, width], whether or not the model is told of them."""
    return batch.get("true_buildings", batch["buildings"])


def stack_records(records: Iterable[Record], count: int, leave_out: Sequence[str] = ()) -> Batch:
    """A batch of `count` records, all but the named values; each is copied into place before the next one is read."""
    batch: Batch = {}
    for place, record in enumerate(records):
        if not batch:
            kept = {name: np.asarray(value) for name, value in record.items() if name not in leave_out}
            batch = {name: np.empty((count, *value.shape), value.dtype) for name, value in kept.items()}
        for name, values in batch.items():
            values[place] = record[name]
    return batch


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


def _indices(source: RecordSource, seed: int, shuffle: bool) -> grain.MapDataset:
    """The places of a source's records in the order of training; of a source that varies its records, the records."""
    # `range`, not `source`: Grain's monitoring of a source costs as much as reading a record. What reads no record by a
    # generator is put off until the batch is made, where each record is copied into place as soon as it is there.
    elements = grain.MapDataset.range(len(source)).seed(seed)
    if shuffle:
        elements = elements.shuffle().repeat()
    return elements.random_map(source.draw) if _draws(source) else elements


def _interleave(
    own: tuple[RecordSource, grain.MapDataset], other: tuple[RecordSource, grain.MapDataset], share: float
) -> grain.MapDataset:
    """(source, element) of two endless data sets: of any n in a row `share` n, within one, are of the other."""
    part = Fraction(share).limit_denominator(1000)

    def element(number: int) -> tuple[RecordSource, Any]:
        before, after = (number * part.numerator // part.denominator for number in (number, number + 1))
        source, elements = other if after > before else own
        return source, elements[before if after > before else number - before]

    return grain.MapDataset.range(ENDLESS).map(element)


def _draws(source: RecordSource) -> bool:
    return isinstance(source, VariedSource | LatentSource) and source.draw is not None


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
