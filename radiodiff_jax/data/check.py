"""Looks a whole RadioMapSeer folder over: what is missing, damaged or odd."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from tqdm import tqdm

from radiodiff_jax.data.grey_images import Grey, read_grey
from radiodiff_jax.data.layout import (
    BRIGHT,
    SIMULATIONS,
    SIZE_MULTIPLE,
    Pair,
    antenna_path,
    buildings_path,
    cars_path,
    gain_path,
    numbered_maps,
    numbered_pairs,
    simulations_in,
    single_bright_pixel,
)
from radiodiff_jax.errors import UserError

Size = tuple[int, int]
IRT4_TRANSMITTERS = 2
"""RadioMapSeer has IRT4 maps of the first two transmitters of each map only."""


@dataclass(frozen=True)
class Finding:
    """One fault (`error`: training would stop or be wrong) or oddity (`warning`) of a file, told in a sentence."""

    severity: Literal["error", "warning"]
    file: str
    sentence: str

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Inventory:
    """The numbered files of a folder."""

    root: Path
    buildings: set[int]
    cars: set[int]
    antennas: set[Pair]
    gains: dict[str, set[Pair]]

    @property
    def pairs(self) -> set[Pair]:
        """Every (map, transmitter) that some file tells of."""
        return self.antennas.union(*self.gains.values())

    @property
    def maps(self) -> list[int]:
        """Every map that some file tells of, in rising order."""
        return sorted(self.buildings | self.cars | {number for number, _ in self.pairs})


def check_folder(root: str | Path, workers: int | None = None, most_maps: int | None = None) -> list[Finding]:
    """Every finding about a RadioMapSeer folder, errors first, then by file; an empty list for a faultless folder.

    Every image is read once, by `workers` threads (default: one a core); with `most_maps`, only those of so many maps,
    evenly spread, while names are compared for all. Raises UserError if there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; give the root of a RadioMapSeer folder")
    inventory = take_inventory(root)
    size = usual_size(inventory)
    findings = [*check_names(inventory), *check_completeness(inventory)]
    if size is not None and (size[0] % SIZE_MULTIPLE or size[1] % SIZE_MULTIPLE):
        sentence = f"the maps are {size[0]} x {size[1]} pixels, but both sides must be multiples of {SIZE_MULTIPLE}"
        findings.append(Finding("error", "png/buildings_complete", f"{sentence}; crop or pad all images"))
    pairs_of: dict[int, list[Pair]] = {}
    for pair in sorted(inventory.pairs):
        pairs_of.setdefault(pair[0], []).append(pair)

    def of_map(number: int) -> list[Finding]:
        return check_map(inventory, number, pairs_of.get(number, []), size)

    maps = inventory.maps
    if most_maps is not None and most_maps < len(maps):
        maps = [maps[round(place * (len(maps) - 1) / max(most_maps - 1, 1))] for place in range(most_maps)]
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for found in tqdm(pool.map(of_map, maps), total=len(maps), desc="checking", unit="map"):
            findings += found
    return sorted(findings, key=lambda finding: (finding.severity, _natural(finding.file), finding.sentence))


def take_inventory(root: Path) -> Inventory:
    """List the folder."""
    return Inventory(
        root=root,
        buildings=set(numbered_maps(buildings_path(root, 0).parent)),
        cars=set(numbered_maps(cars_path(root, 0).parent)),
        antennas=set(numbered_pairs(antenna_path(root, 0, 0).parent)),
        gains={name: set(numbered_pairs(root / "gain" / name)) for name in simulations_in(root)},
    )


def check_names(inventory: Inventory) -> Iterator[Finding]:
    """Files and folders that nothing reads."""
    root = inventory.root
    folders = [root / "png" / name for name in ("buildings_complete", "cars", "antennas")]
    known = {buildings_path(root, number) for number in inventory.buildings}
    known |= {cars_path(root, number) for number in inventory.cars}
    known |= {antenna_path(root, *pair) for pair in inventory.antennas}
    for simulation, pairs in inventory.gains.items():
        folders.append(root / "gain" / simulation)
        known |= {gain_path(root, simulation, *pair) for pair in pairs}
    for folder in folders:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path not in known and not path.name.startswith("."):
                name = "MAP_TRANSMITTER.png" if folder.parent.name == "gain" or folder.name == "antennas" else "MAP.png"
                yield Finding("warning", _short(root, path), f"is not named {name}, so nothing reads it")
    for path in (root / "gain").iterdir() if (root / "gain").is_dir() else ():
        if path.name not in SIMULATIONS and not path.name.startswith("."):
            yield Finding("warning", _short(root, path), f"is none of the simulations {', '.join(SIMULATIONS)}")


def check_completeness(inventory: Inventory) -> Iterator[Finding]:
    """Files that others need and that are missing, and files that belong to nothing."""
    root = inventory.root
    if not inventory.gains:
        yield Finding("error", "gain", f"holds no radio maps; expected one of gain/{', gain/'.join(SIMULATIONS)}")
    for simulation, pairs in inventory.gains.items():
        if not pairs:
            yield Finding("error", f"gain/{simulation}", "holds no radio maps named MAP_TRANSMITTER.png")
            continue
        for pair in pairs - inventory.antennas:
            yield _missing(root, antenna_path(root, *pair), gain_path(root, simulation, *pair))
        for pair in inventory.antennas - pairs:
            if not simulation.endswith("IRT4") or pair[1] < IRT4_TRANSMITTERS:
                yield _missing(root, gain_path(root, simulation, *pair), antenna_path(root, *pair))
    needed = {number for number, _ in inventory.pairs}
    for number in needed - inventory.buildings:
        yield _missing(root, buildings_path(root, number), f"the transmitters of map {number}")
    for number in inventory.buildings - needed:
        yield Finding("warning", _short(root, buildings_path(root, number)), "has no transmitter and no radio map")
    if inventory.cars or any(name.startswith("cars") for name in inventory.gains):
        for number in needed - inventory.cars:
            yield _missing(root, cars_path(root, number), "the simulations with cars")
    for number in inventory.cars - inventory.buildings:
        yield Finding("warning", _short(root, cars_path(root, number)), "belongs to a map without buildings")


def check_map(inventory: Inventory, number: int, pairs: list[Pair], size: Size | None) -> list[Finding]:
    """Findings in the images of one map, all of which are read. `size` is the (height, width) that all should have."""
    root = inventory.root
    findings: list[Finding] = []

    def read(path: Path) -> Grey | None:
        grey, found = read_checked(root, path, size)
        findings.extend(found)
        return grey

    buildings = read(buildings_path(root, number)) if number in inventory.buildings else None
    masks = {buildings_path(root, number): buildings}
    if number in inventory.cars:
        masks[cars_path(root, number)] = read(cars_path(root, number))
    for path, mask in masks.items():
        odd = 0 if mask is None else int(((mask != 0) & (mask != 255)).sum())
        if odd:
            sentence = f"has {counted(odd, 'pixel')} other than 0 and 255; those from {BRIGHT} on are taken as set"
            findings.append(Finding("warning", _short(root, path), sentence))
    for pair in pairs:
        if pair in inventory.antennas:
            path = antenna_path(root, *pair)
            findings += check_transmitter(_short(root, path), read(path), path, buildings)
    for simulation, present in inventory.gains.items():
        gains = {pair: read(gain_path(root, simulation, *pair)) for pair in pairs if pair in present}
        gains = {pair: gain for pair, gain in gains.items() if gain is not None}
        for pair, gain in gains.items():
            if not gain.any():
                path = gain_path(root, simulation, *pair)
                findings.append(Finding("warning", _short(root, path), "is 0 everywhere: no signal at any pixel"))
        if buildings is not None:
            findings += check_inside(f"gain/{simulation}/{number}_*.png", list(gains.values()), buildings)
    return findings


def check_inside(file: str, gains: list[Grey], buildings: Grey) -> Iterator[Finding]:
    """Signal inside buildings, counted over the radio maps of one map."""
    inside = [int(((gain > 0) & (buildings >= BRIGHT)).sum()) for gain in gains]
    faulty = sum(pixels > 0 for pixels in inside)
    if faulty:
        yield Finding("warning", file, f"{faulty} of {counted(len(inside), 'radio map')} with signal inside buildings "
                      f"({counted(sum(inside), 'pixel')})")  # fmt: skip


def check_transmitter(file: str, antenna: Grey | None, path: Path, buildings: Grey | None) -> Iterator[Finding]:
    """Exactly one bright pixel, outside buildings."""
    if antenna is None:
        return
    try:
        row, column = single_bright_pixel(antenna, path)
    except UserError as error:
        yield Finding("error", file, _without_path(error, path))
        return
    if buildings is not None and buildings[row, column] >= BRIGHT:
        yield Finding("warning", file, f"the transmitter at row {row}, column {column} stands in a building")


def read_checked(root: Path, path: Path, size: Size | None) -> tuple[Grey | None, list[Finding]]:
    """(grey levels or None if they cannot be used, findings about the file itself)."""
    try:
        grey = read_grey(path)
    except UserError as error:
        return None, [Finding("error", _short(root, path), _without_path(error, path))]
    if size is not None and grey.shape != size:
        sentence = f"is {grey.shape[0]} x {grey.shape[1]} pixels, but most maps are {size[0]} x {size[1]}"
        return None, [Finding("error", _short(root, path), f"{sentence}; make it again in that size")]
    with Image.open(path) as image:
        mode = image.mode
    if mode != "L":
        return grey, [Finding("warning", _short(root, path), f"is stored as Pillow mode '{mode}'; it is read as grey")]
    return grey, []


def usual_size(inventory: Inventory) -> Size | None:
    """The (height, width) that most building masks have, from the headers of the files alone."""
    sizes: Counter[Size] = Counter()
    for number in inventory.buildings:
        try:
            with Image.open(buildings_path(inventory.root, number)) as image:
                sizes[image.height, image.width] += 1
        except Exception:  # damaged: reported when the map is read
            continue
    return sizes.most_common(1)[0][0] if sizes else None


def _missing(root: Path, path: Path, needed_by: Path | str) -> Finding:
    needed_by = _short(root, needed_by) if isinstance(needed_by, Path) else needed_by
    return Finding("error", _short(root, path), f"is missing, but needed by {needed_by}")


def _short(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _without_path(error: UserError, path: Path) -> str:
    return str(error).removeprefix(f"{path} ")


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _natural(file: str) -> list[tuple[int, str]]:
    """Sorting key that has 2.png before 10.png."""
    parts = file.replace("/", "_").replace(".", "_").split("_")
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
