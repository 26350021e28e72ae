"""Looks a whole RadioMapSeer folder over: what is missing, damaged or odd."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from radiodiff_jax.data.checks.inventory import (
    Finding,
    Inventory,
    check_completeness,
    check_names,
    counted,
    in_order,
    short,
    take_inventory,
)
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import Grey, Size, png_size, read_png
from radiodiff_jax.radiomapseer import (
    SIZE_MULTIPLE,
    Pair,
    antenna_path,
    buildings_path,
    cars_path,
    gain_path,
    missing_buildings_path,
    single_pixel,
)


def check_folder(
    root: str | Path, workers: int | None = None, most_maps: int | None = None, real: bool = False
) -> list[Finding]:
    """Every finding about a RadioMapSeer folder, errors first, then by file; an empty list for a faultless folder.

    Every image is read once, by `workers` threads (default: one a core); with `most_maps`, only those of so many maps,
    evenly spread (0: none), while names are compared for all. A folder that seems to be RadioMapSeer itself, or is said
    to be by `real`, is held against the whole of it. Raises UserError if there is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; give the root of a RadioMapSeer folder")
    inventory = take_inventory(root)
    findings = [*check_names(inventory), *check_completeness(inventory, real or inventory.is_real)]
    maps = inventory.maps
    if most_maps is not None and most_maps < len(maps):
        maps = [maps[round(place * (len(maps) - 1) / max(most_maps - 1, 1))] for place in range(most_maps)]
    return in_order(findings + check_images(inventory, maps, workers or os.cpu_count()) if maps else findings)


def check_images(inventory: Inventory, maps: list[int], workers: int) -> list[Finding]:
    """Findings in the images of some maps, which `workers` threads read."""
    findings: list[Finding] = []
    size = usual_size(inventory)
    if size is not None and (size[0] % SIZE_MULTIPLE or size[1] % SIZE_MULTIPLE):
        sentence = f"the maps are {size[0]} x {size[1]} pixels, but both sides must be multiples of {SIZE_MULTIPLE}"
        findings.append(Finding("error", "png/buildings_complete", f"{sentence}; crop or pad all images"))
    pairs_of: dict[int, list[Pair]] = {}
    for pair in sorted(inventory.pairs):
        pairs_of.setdefault(pair[0], []).append(pair)
    with ThreadPoolExecutor(workers) as pool:
        checked = pool.map(lambda number: check_map(inventory, number, pairs_of.get(number, []), size), maps)
        for found in tqdm(checked, total=len(maps), desc="checking", unit="map"):
            findings += found
    return findings


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
    for kind, variants in inventory.missing.items():
        for path in [
            missing_buildings_path(root, kind, one, number) for one, maps in variants.items() if number in maps
        ]:
            masks[path] = read(path)
            findings += check_fewer(short(root, path), masks[path], buildings)
    for path, mask in masks.items():
        odd = 0 if mask is None else mask.size - np.count_nonzero((mask == 0) | (mask == 255))
        if odd:
            sentence = f"has {counted(odd, 'pixel')} other than 0 and 255; all but 0 are taken as set"
            findings.append(Finding("warning", short(root, path), sentence))
    for pair in pairs:
        if pair in inventory.antennas:
            path = antenna_path(root, *pair)
            findings += check_transmitter(short(root, path), read(path), path, buildings)
    for simulation, present in inventory.gains.items():
        gains = {pair: read(gain_path(root, simulation, *pair)) for pair in pairs if pair in present}
        gains = {pair: gain for pair, gain in gains.items() if gain is not None}
        for pair, gain in gains.items():
            if not gain.any():
                path = gain_path(root, simulation, *pair)
                findings.append(Finding("warning", short(root, path), "is 0 everywhere: no signal at any pixel"))
        if buildings is not None:
            findings += check_inside(f"gain/{simulation}/{number}_*.png", list(gains.values()), buildings)
    return findings


def check_fewer(file: str, fewer: Grey | None, buildings: Grey | None) -> Iterator[Finding]:
    """A mask with missing buildings has none that the complete one lacks."""
    if fewer is None or buildings is None:
        return
    more = np.count_nonzero((fewer != 0) & (buildings == 0))
    if more:
        yield Finding("warning", file, f"has {counted(more, 'building pixel')} that png/buildings_complete lacks")


def check_inside(file: str, gains: list[Grey], buildings: Grey) -> Iterator[Finding]:
    """Signal inside buildings, counted over the radio maps of one map."""
    walls = np.where(buildings, np.uint8(255), np.uint8(0))
    inside = [np.count_nonzero(gain & walls) for gain in gains]
    faulty = sum(pixels > 0 for pixels in inside)
    if faulty:
        yield Finding("warning", file, f"{faulty} of {counted(len(inside), 'radio map')} with signal inside buildings "
                      f"({counted(sum(inside), 'pixel')})")  # fmt: skip


def check_transmitter(file: str, antenna: Grey | None, path: Path, buildings: Grey | None) -> Iterator[Finding]:
    """Exactly one bright pixel, outside buildings."""
    if antenna is None:
        return
    try:
        row, column = single_pixel(antenna, path)
    except UserError as error:
        yield Finding("error", file, _without_path(error, path))
        return
    if buildings is not None and buildings[row, column]:
        yield Finding("warning", file, f"the transmitter at row {row}, column {column} stands in a building")


def read_checked(root: Path, path: Path, size: Size | None) -> tuple[Grey | None, list[Finding]]:
    """(grey levels or None if they cannot be used, findings about the file itself)."""
    try:
        grey, mode = read_png(path)
    except UserError as error:
        return None, [Finding("error", short(root, path), _without_path(error, path))]
    if size is not None and grey.shape != size:
        sentence = f"is {grey.shape[0]} x {grey.shape[1]} pixels, but most maps are {size[0]} x {size[1]}"
        return None, [Finding("error", short(root, path), f"{sentence}; make it again in that size")]
    if mode != "L":
        return grey, [Finding("warning", short(root, path), f"is stored as Pillow mode '{mode}'; it is read as grey")]
    return grey, []


def usual_size(inventory: Inventory) -> Size | None:
    """The (height, width) that most building masks have, from the headers of the files alone."""
    sizes: Counter[Size] = Counter()
    for number in inventory.buildings:
        try:
            sizes[png_size(buildings_path(inventory.root, number))] += 1
        except UserError:  # reported when the map is read
            continue
    return sizes.most_common(1)[0][0] if sizes else None


def _without_path(error: UserError, path: Path) -> str:
    return str(error).removeprefix(f"{path} ")
