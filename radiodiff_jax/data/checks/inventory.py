"""What the names in a RadioMapSeer folder tell, without opening an image: which files there are, which are missing, and
which belong to nothing; and how a finding is said."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from radiodiff_jax.data.splits import REAL_MAPS, looks_real
from radiodiff_jax.radiomapseer import (
    COMPUTED,
    MISSING,
    MISSING_VARIANTS,
    SIMULATIONS,
    Pair,
    antenna_path,
    buildings_path,
    cars_path,
    gain_path,
    simulations_in,
)

REAL_TRANSMITTERS = 80
IRT4_TRANSMITTERS = 2
"""RadioMapSeer has IRT4 maps of the first two transmitters of each map only."""
MAP_NAME, PAIR_NAME = "MAP.png", "MAP_TRANSMITTER.png"


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
    missing: dict[str, dict[int, set[int]]]
    """Kind of missing buildings -> variant 1..6 -> maps; kinds without a folder are left out."""
    strays: dict[str, str]
    """Files and folders that nothing reads, and what names would be read in their place."""

    @property
    def pairs(self) -> set[Pair]:
        """Every (map, transmitter) that some file tells of."""
        return self.antennas.union(*self.gains.values())

    @property
    def maps(self) -> list[int]:
        """Every map that some file tells of, in rising order."""
        return sorted(self.buildings | self.cars | {number for number, _ in self.pairs})

    @property
    def is_real(self) -> bool:
        """Whether this seems to be RadioMapSeer itself (see `splits.looks_real`)."""
        return looks_real(self.maps)


def take_inventory(root: Path) -> Inventory:
    """List the folder."""
    strays: dict[str, str] = {}

    def pairs(name: str) -> set[Pair]:
        found = _matches(root, name, r"(0|[1-9]\d*)_(0|[1-9]\d*)\.png", PAIR_NAME, strays)
        return {(int(match[1]), int(match[2])) for match in found}

    def maps(name: str) -> set[int]:
        return {int(match[1]) for match in _matches(root, name, r"(0|[1-9]\d*)\.png", MAP_NAME, strays)}

    kinds = [kind for kind in MISSING if (root / "png" / f"buildings_{kind}").is_dir()]
    _matches(root, "gain", "|".join(SIMULATIONS + COMPUTED), "", strays)
    return Inventory(
        root=root,
        buildings=maps("png/buildings_complete"),
        cars=maps("png/cars"),
        antennas=pairs("png/antennas"),
        gains={name: pairs(f"gain/{name}") for name in simulations_in(root)},
        missing={
            kind: {variant: maps(f"png/buildings_{kind}/{variant}") for variant in range(1, MISSING_VARIANTS + 1)}
            for kind in kinds
        },
        strays=strays,
    )


def real_pairs(simulation: str) -> set[Pair]:
    """Every (map, transmitter) that RadioMapSeer has of a simulation; none of one that is not in it."""
    if simulation in ("RT", "carsRT"):
        return set()
    transmitters = IRT4_TRANSMITTERS if simulation.endswith("IRT4") else REAL_TRANSMITTERS
    return {(number, transmitter) for number in range(REAL_MAPS) for transmitter in range(transmitters)}


def ranges(numbers: Sequence[int]) -> str:
    """Numbers in rising order as text: `1-3, 7`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _matches(root: Path, name: str, pattern: str, names: str, strays: dict[str, str]) -> list[re.Match]:
    folder, expression = root / name, re.compile(pattern)
    if not folder.is_dir():
        return []
    found = []
    for entry in folder.iterdir():
        match = expression.fullmatch(entry.name)
        if match:
            found.append(match)
        elif not entry.name.startswith("."):
            strays[f"{name}/{entry.name}"] = names
    return found


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


def in_order(findings: list[Finding]) -> list[Finding]:
    """Errors first, then by file, with 2.png before 10.png."""
    return sorted(findings, key=lambda finding: (finding.severity, _natural(finding.file), finding.sentence))


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short(root: Path, path: Path) -> str:
    """The path below the root."""
    return path.relative_to(root).as_posix()


def _natural(file: str) -> list[tuple[int, str]]:
    parts = file.replace("/", "_").replace(".", "_").split("_")
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
