"""What the names in a RadioMapSeer folder tell: files that are missing, and files that belong to nothing."""

from collections.abc import Iterator
from pathlib import Path

from radiodiff_jax.data.findings import Finding, counted, short
from radiodiff_jax.data.inventory import IRT4_TRANSMITTERS, Inventory, ranges, real_pairs
from radiodiff_jax.data.layout import SIMULATIONS, Pair, antenna_path, buildings_path, cars_path, gain_path
from radiodiff_jax.data.splits import REAL_MAPS


def check_names(inventory: Inventory) -> Iterator[Finding]:
    """Files and folders that nothing reads."""
    for file, names in inventory.strays.items():
        sentence = f"is not named {names}, so nothing reads it" if names else (
            f"is none of the simulations {', '.join(SIMULATIONS)}")  # fmt: skip
        yield Finding("warning", file, sentence)


def check_completeness(inventory: Inventory, real: bool) -> Iterator[Finding]:
    """Files that others need and that are missing, and files that belong to nothing.

    A `real` set must have every map and transmitter of RadioMapSeer; what it lacks is told by map, not by file.
    """
    root = inventory.root
    if not inventory.gains:
        yield Finding("error", "gain", f"holds no radio maps; expected one of gain/{', gain/'.join(SIMULATIONS)}")
    if real:
        yield from _lacking_maps("png/buildings_complete", inventory.buildings, set(range(REAL_MAPS)))
        yield from _lacking_pairs("png/antennas", inventory.antennas, real_pairs("DPM"))
    for simulation, pairs in inventory.gains.items():
        if not pairs:
            yield Finding("error", f"gain/{simulation}", "holds no radio maps named MAP_TRANSMITTER.png")
            continue
        known = real_pairs(simulation) if real else set()
        yield from _lacking_pairs(f"gain/{simulation}", pairs, known)
        told = real_pairs("DPM") if real else set()
        for pair in pairs - inventory.antennas - told:
            yield _missing(root, antenna_path(root, *pair), gain_path(root, simulation, *pair))
        for pair in inventory.antennas - pairs - known:
            if not simulation.endswith("IRT4") or pair[1] < IRT4_TRANSMITTERS:
                yield _missing(root, gain_path(root, simulation, *pair), antenna_path(root, *pair))
    yield from _check_maps(inventory, real)


def _check_maps(inventory: Inventory, real: bool) -> Iterator[Finding]:
    root = inventory.root
    needed = {number for number, _ in inventory.pairs}
    for number in needed - inventory.buildings - (set(range(REAL_MAPS)) if real else set()):
        yield _missing(root, buildings_path(root, number), f"the transmitters of map {number}")
    for number in inventory.buildings - needed:
        yield Finding("warning", short(root, buildings_path(root, number)), "has no transmitter and no radio map")
    if inventory.cars or any(name.startswith("cars") for name in inventory.gains):
        for number in needed - inventory.cars:
            yield _missing(root, cars_path(root, number), "the simulations with cars")
    for number in inventory.cars - inventory.buildings:
        yield Finding("warning", short(root, cars_path(root, number)), "belongs to a map without buildings")
    for kind, variants in inventory.missing.items():
        for variant, there in variants.items():
            yield from _lacking_maps(f"png/buildings_{kind}/{variant}", there, needed | inventory.buildings)


def _lacking_maps(folder: str, there: set[int], needed: set[int]) -> Iterator[Finding]:
    lacking = needed - there
    if lacking:
        yield Finding("error", folder, f"lacks {len(lacking)} of {counted(len(needed), 'map')}: {ranges(lacking)}")


def _lacking_pairs(folder: str, there: set[Pair], needed: set[Pair]) -> Iterator[Finding]:
    """Whole maps in one finding, single transmitters in one for each map."""
    lacking: dict[int, list[int]] = {}
    for number, transmitter in needed - there:
        lacking.setdefault(number, []).append(transmitter)
    present = {number for number, _ in there}
    yield from _lacking_maps(folder, present, {number for number, _ in needed})
    for number in sorted(lacking.keys() & present):
        words = "transmitter" if len(lacking[number]) == 1 else "transmitters"
        yield Finding("error", f"{folder}/{number}_*.png", f"lacks {words} {ranges(lacking[number])}")


def _missing(root: Path, path: Path, needed_by: Path | str) -> Finding:
    needed_by = short(root, needed_by) if isinstance(needed_by, Path) else needed_by
    return Finding("error", short(root, path), f"is missing, but needed by {needed_by}")
