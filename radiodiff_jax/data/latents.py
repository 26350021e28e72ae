"""Posterior moments of a whole training set, computed once and read from memory-mapped files afterwards.

    FOLDER/latents.json           what they were computed from; other data, weights or settings are refused
    FOLDER/latents_{s}.npy        of each record under symmetry s, in their order: "latents", float32 [h, w, channels], and
                                  "checksum", CRC-32 of their bytes; by older versions float32 [records, h, w, channels]

The channels are the posterior's mean and log-variance; for a model that starts from a first estimate, then the mean of
the estimate's posterior.
"""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from typing_extensions import TypedDict

from radiodiff_jax.data.records import Record, RecordSource
from radiodiff_jax.data.sources import VariedSource
from radiodiff_jax.data.symmetries import transform_record
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import output_folder, write_json
from radiodiff_jax.reading import OPEN, Count, is_there, read_json, read_with

FACTS = "latents.json"
AGAIN = "remove the folder that it is in, and the latents are computed again"


class LatentFacts(TypedDict):
    """The schema of latents.json."""

    __pydantic_config__ = OPEN
    records: Count
    symmetries: Count


class CachedLatents:
    """The latents of a folder that is complete; safe to read from several threads.

    Every record is held against its checksum when it is read, so that opening takes no time: 0.04 ms for the 98 kB of a
    record of 256 x 256 pixels.
    """

    def __init__(self, folder: Path, symmetries: int, estimate_channels: int, records: int | None = None):
        """Raises UserError for files that are missing, damaged or, where the number is given, of other `records`."""
        self.symmetries = symmetries
        self._estimate_channels = estimate_channels
        self._paths = [latents_path(folder, symmetry) for symmetry in range(symmetries)]
        self._files = [open_latents(path, records) for path in self._paths]

    def read(self, index: int, symmetry: int) -> dict[str, Float32[np.ndarray, "h w channels"]]:
        """{"moments"} of a record and, where it was cached, {"estimate"}. Raises UserError for a damaged record."""
        found = self._files[symmetry][index]
        checked = found.dtype.names is not None
        stored = np.array(found["latents"] if checked else found)
        if checksum(stored) != found["checksum"] if checked else not np.isfinite(stored).all():
            raise UserError(f"{self._paths[symmetry]} is damaged in record {index}; {AGAIN}")
        if not self._estimate_channels:
            return {"moments": stored}
        return {"moments": stored[..., : -self._estimate_channels], "estimate": stored[..., -self._estimate_channels :]}


def record_type(shape: tuple[int, int, int]) -> np.dtype:
    """A record in a file of latents of (h, w, channels)."""
    return np.dtype([("latents", np.float32, shape), ("checksum", np.uint32)])


def open_latents(path: Path, records: int | None) -> np.ndarray:
    """A memory-mapped file of latents. Raises UserError for anything else, and for another number of records."""

    def read() -> np.ndarray:
        found = np.load(path, mmap_mode="r")
        shape = found.shape[1:] if found.dtype.names is None else found.dtype["latents"].shape
        fits = found.dtype == (np.float32 if found.dtype.names is None else record_type(shape))
        if not fits or len(shape) != 3 or records not in (None, len(found)):
            raise ValueError(f"it holds {len(found)} times {found.dtype}")
        return found

    return read_with(path, read, AGAIN)


def checksum(stored: np.ndarray) -> int:
    """CRC-32 of the bytes of an array."""
    return zlib.crc32(np.ascontiguousarray(stored).data)


class LatentSource:
    """The records of `source`, which become elements of batches with latents in the place of gains."""

    def __init__(self, source: RecordSource, latents: CachedLatents):
        self._source, self._latents = source, latents
        self.size, self.maps, self.cars = source.size, source.maps, source.cars

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        return self._with_index(self._source[index], index)

    @property
    def draw(self) -> Callable[[int, np.random.Generator], Record] | None:
        """As `VariedSource.draw`, where the source is one; it must leave the gain as it is."""
        source = self._source
        if not isinstance(source, VariedSource):
            return None
        return lambda index, generator: self._with_index(source.draw(index, generator), index)

    def with_latents(self, record: Record) -> Record:
        """A record, transformed or not, with "moments" and perhaps "estimate" in the place of the gain."""
        scene = {name: value for name, value in record.items() if name not in ("gain", "index")}
        return scene | self._latents.read(record["index"], record.get("symmetry", 0))

    def _with_index(self, record: Record, index: int) -> Record:
        return record | {"index": index}


class Transformed:
    """The records of a source under one symmetry."""

    def __init__(self, source: RecordSource, symmetry: int):
        self._source, self._symmetry = source, symmetry
        self.size, self.maps, self.cars = source.size, source.maps, source.cars

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> Record:
        return transform_record(self._source[index], self._symmetry)


def latents_path(folder: Path, symmetry: int) -> Path:
    """The file of one symmetry."""
    return folder / f"latents_{symmetry}.npy"


def claim_latents(folder: Path, facts: dict[str, Any]) -> Iterator[int]:
    """The symmetries whose files are missing, after the folder was found to be of these facts, or made so.

    Raises UserError, naming what differs, for latents of something else.
    """
    path = folder / FACTS
    output_folder(folder)
    if is_there(path):
        found = read_json(path, LatentFacts, AGAIN)
        other = sorted(name for name in facts if found.get(name) != facts[name])
        if other:
            raise UserError(
                f"{folder} holds latents of another {' and another '.join(name.replace('_', ' ') for name in other)}; "
                "remove it, or name another folder as --latents"
            )
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} holds other files and no latents; name a new or empty folder as --latents")
    else:
        write_json(path, facts)
    return (symmetry for symmetry in range(facts["symmetries"]) if not is_there(latents_path(folder, symmetry)))
