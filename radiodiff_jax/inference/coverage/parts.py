"""Maps of sites made by several processes or machines, each a part of the sites, and put together afterwards.

    DIR/parts/parts.json        what the maps depend on: area, model, sites' places
    DIR/parts/{site}.npz        "gain", float32 [height, width], and "known", the window (top, bottom, left, right)

Sites are shared out in the groups in which a network is asked about them, so that the maps are the same, bit for bit, as
those of one process.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from radiodiff_jax import __version__
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import is_written, output_folder, write_json, write_whole
from radiodiff_jax.inference.coverage.area import Area
from radiodiff_jax.inference.coverage.gains import BATCH, Gains, GainSource, Mask, ModelGains, Place
from radiodiff_jax.inference.coverage.named_source import NamedSource, opened, weights_digest
from radiodiff_jax.reading import AnyObject, is_there, read_arrays, read_json
from radiodiff_jax.worker_processes import RunJobs, Shard, of_shard

PARTS = "parts"
RECORD = "parts.json"
AGAIN = "remove it, and its part is made again"


@dataclass(frozen=True)
class StoredGains:
    """A source of gains, less those that are stored in a folder."""

    source: GainSource
    folder: Path

    @property
    def name(self) -> str:
        """The source's name."""
        return self.source.name

    @property
    def digest(self) -> str | None:
        """Of the source's weights."""
        return self.source.digest

    def beyond(self, size: tuple[int, int]) -> str:
        """As the source says."""
        return self.source.beyond(size)

    def check(self, buildings: Mask, places: Sequence[Place]) -> None:
        """Raise UserError as the source does."""
        self.source.check(buildings, places)

    def __call__(self, buildings: Mask, places: Sequence[Place]) -> Iterator[Gains]:
        """As `GainSource`. Raises UserError for stored maps that are damaged."""
        for group in groups(len(places)):
            paths = [gain_path(self.folder, site) for site in group]
            if all(map(is_written, paths)):
                yield from (read_gains(path, buildings.shape) for path in paths)
            else:
                yield from self.source(buildings, [places[site] for site in group])


def groups(count: int) -> list[range]:
    """Numbers of the sites that a source is asked about together."""
    return [range(start, min(start + BATCH, count)) for start in range(0, count, BATCH)]


def store_part(
    source: GainSource, area: Area, places: Sequence[Place], out: Path, shard: Shard, progress: Callable = iter
) -> int:
    """Store the maps of the K-th of N parts of the sites, less those that are there; the number of its sites.

    `shard` is (K, N). Raises UserError where the source refuses the area or a site, and for parts of another plan in `out`.
    """
    source.check(area.buildings, places)
    claim(out, parts_record(source, area, places))
    mine = of_shard(groups(len(places)), shard)
    stored = (site for group in mine for site in store_group(source, area.buildings, _sites(places, group), out))
    for _ in progress(stored):
        pass
    return sum(map(len, mine))


def store_parts(
    source: GainSource, named: NamedSource, area: Area, places: Sequence[Place], out: Path, run_jobs: RunJobs, bar: tqdm
) -> None:
    """Store the maps of all sites, less those that are there. `run_jobs` (see `beam_pipeline.beam_jobs`) makes each group, in
    processes that see `out` and open the source by its name. Raises UserError as `store_part`."""
    source.check(area.buildings, places)
    claim(out, parts_record(source, area, places))
    jobs = [partial(_store_group_of, named, area.buildings, _sites(places, group), out) for group in groups(len(places))]
    run_jobs(jobs, out / PARTS, bar)


def store_group(source: GainSource, buildings: Mask, sites: Mapping[int, Place], out: Path) -> Iterator[int]:
    """Store the maps of sites that the source is asked about together, unless all are there; numbers, as they are made."""
    if all(is_written(gain_path(out, site)) for site in sites):
        return
    for site, gains in zip(sites, source(buildings, list(sites.values())), strict=True):
        known = [edge for side in gains.known for edge in (side.start, side.stop)]

        def write(temporary: Path, gain: np.ndarray = gains.gain, known: list[int] = known) -> None:
            with temporary.open("wb") as file:  # given a name, NumPy appends .npz to it
                np.savez(file, gain=gain, known=np.array(known, np.int32))

        write_whole(gain_path(out, site), write)
        yield site


def _sites(places: Sequence[Place], group: range) -> dict[int, Place]:
    return {site: places[site] for site in group}


def _store_group_of(named: NamedSource, buildings: Mask, sites: Mapping[int, Place], out: Path) -> int:
    for _ in store_group(opened(named), buildings, sites, out):
        pass
    return len(sites)  # also of those that were there


def with_parts(source: GainSource, area: Area, places: Sequence[Place], out: Path) -> GainSource:
    """The source, less what is stored in `out`, if anything is. Raises UserError for parts of another plan."""
    if not is_there(out / PARTS / RECORD):
        return source
    claim(out, parts_record(source, area, places))
    return StoredGains(source, out)


def parts_record(source: GainSource, area: Area, places: Sequence[Place]) -> dict[str, Any]:
    """What maps of sites depend on."""
    asked = {}
    if isinstance(source, ModelGains):
        asked = {"weights": weights_digest(source), "sides": source.sides, "steps": source.steps, "seed": source.seed}
    where = {"sha256": area.digest, "size": list(area.size), "left": area.left, "top": area.top, "crs": area.system}
    sites = [list(place) for place in places]
    return {"version": __version__, "source": source.name, "asked": asked, "area": where, "sites": sites}


def claim(out: Path, record: dict[str, Any]) -> None:
    """Write DIR/parts/parts.json, or hold it against the one that is there. Raises UserError for another."""
    path = output_folder(out / PARTS) / RECORD
    if not is_there(path):
        write_json(path, record)
        return
    found = read_json(path, AnyObject, f"remove {out / PARTS}, and give the command again")
    other = [name for name in record if found.get(name) != record[name]]
    if other:
        raise UserError(f"{path.parent} holds maps with another {' and another '.join(other)}; remove it, or name another --out")


def gain_path(out: Path, site: int) -> Path:
    """Of the stored map of a site."""
    return out / PARTS / f"{site}.npz"


def read_gains(path: Path, size: tuple[int, int]) -> Gains:
    """A stored map. Raises UserError where it is missing or damaged."""
    found = read_arrays(path, ("gain", "known"), AGAIN)
    gain, known = found["gain"], found["known"]
    if gain.shape != size or gain.dtype != np.float32 or known.shape != (4,) or known.dtype != np.int32:
        raise UserError(f"{path} holds no map of {size[0]} x {size[1]} m; {AGAIN}")
    top, bottom, left, right = known.tolist()
    return Gains(gain, (slice(top, bottom), slice(left, right)))
