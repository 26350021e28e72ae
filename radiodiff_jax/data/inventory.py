"""Which files a RadioMapSeer folder holds: a list of names, read without opening an image."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from radiodiff_jax.data.layout import MISSING, MISSING_VARIANTS, SIMULATIONS, Pair, simulations_in
from radiodiff_jax.data.splits import REAL_MAPS, looks_real

REAL_TRANSMITTERS = 80
IRT4_TRANSMITTERS = 2
"""RadioMapSeer has IRT4 maps of the first two transmitters of each map only."""
MAP_NAME, PAIR_NAME = "MAP.png", "MAP_TRANSMITTER.png"


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
    _matches(root, "gain", "|".join(SIMULATIONS), "", strays)
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
    if simulation == "RT":
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
