"""Posterior moments of a whole training set, computed once and read from memory-mapped files afterwards.

    FOLDER/latents.json           what they were computed from; other data, weights or settings are refused
    FOLDER/latents_{s}.npy        float32 [records, h, w, channels] of the records under symmetry s, in their order

The channels are the posterior's mean and log-variance; for a model that starts from a first estimate, then the mean of
the estimate's posterior.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from radiodiff_jax.data.records import Record, RecordSource
from radiodiff_jax.data.sources import VariedSource
from radiodiff_jax.data.symmetries import transform_record
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json

FACTS = "latents.json"


class CachedLatents:
    """The latents of a folder that is complete; safe to read from several threads."""

    def __init__(self, folder: Path, symmetries: int, estimate_channels: int):
        self.symmetries = symmetries
        self._estimate_channels = estimate_channels
        self._files = [np.load(latents_path(folder, symmetry), mmap_mode="r") for symmetry in range(symmetries)]

    def read(self, index: int, symmetry: int) -> dict[str, Float32[np.ndarray, "h w channels"]]:
        """{"moments"} of a record and, where it was cached, {"estimate"}."""
        stored = np.array(self._files[symmetry][index])
        if not self._estimate_channels:
            return {"moments": stored}
        return {"moments": stored[..., : -self._estimate_channels], "estimate": stored[..., -self._estimate_channels :]}


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
    if path.is_file():
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{path} is damaged; remove {folder}, and the latents are computed again") from error
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
    return (symmetry for symmetry in range(facts["symmetries"]) if not latents_path(folder, symmetry).is_file())
