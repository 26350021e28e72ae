"""Posterior moments of a whole training set, computed once and read from memory-mapped files afterwards.

    FOLDER/latents.json           what they were computed from; other data, weights or settings are refused
    FOLDER/latents_{s}.npy        float32 [records, h, w, channels] of the records under symmetry s, in their order
    FOLDER/checksums_{s}.npy      uint32 [records], CRC-32 of the bytes of each; folders of older versions have none

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

    Every record is held against its checksum when it is read, so that opening takes no time (some 20 microseconds for the
    24 kB of a record of 256 x 256 pixels).
    """

    def __init__(self, folder: Path, symmetries: int, estimate_channels: int, records: int | None = None):
        """Raises UserError for files that are missing, damaged or, where the number is given, of other `records`."""
        self.symmetries = symmetries
        self._estimate_channels = estimate_channels
        self._paths = [latents_path(folder, symmetry) for symmetry in range(symmetries)]
        self._files = [open_array(path, np.float32, 4, records) for path in self._paths]
        sums = [checksums_path(folder, symmetry) for symmetry in range(symmetries)]
        self._sums = [
            open_array(path, np.uint32, 1, len(stored)) if is_there(path) else None
            for path, stored in zip(sums, self._files, strict=True)
        ]

    def read(self, index: int, symmetry: int) -> dict[str, Float32[np.ndarray, "h w channels"]]:
        """{"moments"} of a record and, where it was cached, {"estimate"}. Raises UserError for a damaged record."""
        stored, sums = np.array(self._files[symmetry][index]), self._sums[symmetry]
        if not np.isfinite(stored).all() if sums is None else checksum(stored) != sums[index]:
            raise UserError(f"{self._paths[symmetry]} is damaged in record {index}; {AGAIN}")
        if not self._estimate_channels:
            return {"moments": stored}
        return {"moments": stored[..., : -self._estimate_channels], "estimate": stored[..., -self._estimate_channels :]}


def open_array(path: Path, kind: type, axes: int, length: int | None) -> np.ndarray:
    """A memory-mapped .npy file. Raises UserError unless it holds an array of that type, number of axes and length."""

    def read() -> np.ndarray:
        found = np.load(path, mmap_mode="r")
        if found.dtype != kind or found.ndim != axes or length not in (None, len(found)):
            raise ValueError(f"it holds {found.dtype} {list(found.shape)}")
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


def checksums_path(folder: Path, symmetry: int) -> Path:
    """The file of the checksums of one symmetry."""
    return folder / f"checksums_{symmetry}.npy"


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
