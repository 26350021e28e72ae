"""Packs a RadioMapSeer folder into ArrayRecord files that TFDS reads, without TensorFlow.

    OUT/radio_maps/{simulation}[_with_cars]/{version}/    TFDS files and radiodiff.json (see `description`)
    OUT/radio_maps/buildings_missing{1..4}/{version}/     the same for building masks with missing buildings

Images go in as PNG bytes: TFDS needs TensorFlow only to encode arrays. Records keep the order (map, transmitter), so
that reading in order needs no index; the shuffle is the pipeline's. Sets that belong together, such as two simulations
of a mixture, lie side by side.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from radiodiff_jax.data.contents import Contents, MissingBuildings, RadioMaps, forget_folders
from radiodiff_jax.data.layout import RadioMapFolder
from radiodiff_jax.data.shards import NAME, VERSION, Shard, plan_shards, write_metadata, write_shard
from radiodiff_jax.data.splits import Split, chosen_rule, split_maps
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import working_folder, write_json

DESCRIPTION_FILE = "radiodiff.json"
SHARD_MEGABYTES = 200
"""Usual size of a file: large enough for object stores, small enough to be written and copied by many workers."""

WriteShards = Callable[[list[Shard], tqdm], None]
"""Writes all files; the bar counts records."""


def write_in_turn(shards: list[Shard], bar: tqdm) -> None:
    """Write the files here, one after the other."""
    for shard in shards:
        write_shard(shard, wrote=bar.update)


def build(
    root: str | Path, out: str | Path, simulation: str = "DPM", cars: bool = False, rule: str = "auto",
    shard_megabytes: float = SHARD_MEGABYTES, write: WriteShards = write_in_turn,
) -> Path:  # fmt: skip
    """Pack one simulation of the folder `root` below `out`; returns the finished version folder.

    Everything is written under a temporary name in `out` and renamed at the end. A folder that is there already and
    was built from the same content is kept. Raises UserError for faulty images, missing cars, or a different data set
    in the same place.
    """
    return _build(RadioMaps(Path(root), simulation, cars), simulation, Path(out), rule, shard_megabytes, write)


def build_masks(
    root: str | Path, out: str | Path, kind: str, simulation: str = "DPM", rule: str = "auto",
    shard_megabytes: float = SHARD_MEGABYTES, write: WriteShards = write_in_turn,
) -> Path:  # fmt: skip
    """Pack the building masks of a kind (`layout.MISSING`) for the maps that have gains of `simulation`; as `build`."""
    return _build(MissingBuildings(Path(root), kind, simulation), simulation, Path(out), rule, shard_megabytes, write)


def _build(
    contents: Contents, simulation: str, out: Path, rule: str, shard_megabytes: float, write: WriteShards
) -> Path:
    forget_folders()
    maps = RadioMapFolder(contents.root, simulation).maps
    contents.check()
    parts = split_maps(maps, rule)
    finished = out / NAME / contents.name / VERSION
    facts = description(contents, parts, chosen_rule(maps, rule))
    if finished.exists():
        from radiodiff_jax.data.built_source import read_json

        if read_json(finished) == facts:
            return finished
        raise UserError(f"{finished} was built from other data or by another split; remove it or choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    with working_folder(out, ".building-") as temporary:
        folder = temporary / VERSION
        folder.mkdir()
        shards = plan_shards(contents, parts, folder, int(shard_megabytes * 2**20))
        with tqdm(total=sum(facts["records"].values()), desc=f"packing {contents.name}", unit="record") as bar:
            write(shards, bar)
        write_metadata(contents, shards, folder)
        write_json(folder / DESCRIPTION_FILE, facts)
        finished.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(finished)
    return finished


def description(contents: Contents, parts: Split, rule: str) -> dict[str, Any]:
    """What radiodiff.json says about a built data set."""
    return {"version": VERSION} | contents.facts() | {
        "image_size": list(contents.size),
        "rule": rule,
        "records": {name: len(contents.keys(maps)) for name, maps in parts.items()},
        "maps": parts,
    }  # fmt: skip
