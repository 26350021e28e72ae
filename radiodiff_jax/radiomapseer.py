"""RadioMapSeer folders, read and written: which maps and transmitters there are, and their images.

    ROOT/png/buildings_complete/{map}.png      255 = building
    ROOT/png/buildings_missing{1..4}/{1..6}/{map}.png  some buildings left out, in six ways
    ROOT/png/cars/{map}.png                    255 = car
    ROOT/png/antennas/{map}_{transmitter}.png  one pixel 255
    ROOT/gain/{simulation}/{map}_{transmitter}.png  path gain in grey levels

Every mask pixel that is not 0 is building, car or transmitter, also where another program wrote 1 in place of 255.
"""

import re
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, lru_cache
from hashlib import sha256
from pathlib import Path

import numpy as np
from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.images import Grey, Mask, Size, read_grey, write_mask
from radiodiff_jax.reading import MissingFileError, read_bytes

SIMULATIONS = ("DPM", "IRT2", "IRT4", "carsDPM", "carsIRT2", "carsIRT4", "RT", "carsRT")
COMPUTED = ("dominant_path", "reflections", "diffraction")
"""Folders below gain/ that are no radio maps to learn: what `simulation.scene_maps` computes of each scene."""
MISSING = ("missing1", "missing2", "missing3", "missing4")
"""Sets of building masks with so many buildings left out (`data.buildings`)."""
MISSING_VARIANTS = 6
SIZE_MULTIPLE = 32
NUMBER = "0|[1-9][0-9]{0,8}"
"""A map or transmitter in the name of a file: such that an int32 holds it."""
MAPS_KEPT = 1024  # decoded buildings and cars stay in memory: 64 KB a map at 256 x 256

Pair = tuple[int, int]


class RadioMapFolder:
    """Reader of one simulation of a RadioMapSeer folder. Safe to use from several threads.

    Raises UserError at once if the folder, the simulation or its maps are missing; files are read later.
    """

    def __init__(self, root: str | Path, simulation: str = "DPM"):
        self.root = Path(root)
        self.simulation = simulation
        self.gain_folder = self.root / "gain" / simulation
        if not self.root.is_dir():
            raise UserError(f"there is no folder {self.root}; give the root of a RadioMapSeer folder or of a built one")
        if not (self.root / "gain").is_dir() or not (self.root / "png").is_dir():
            raise UserError(
                f"{self.root} is neither a RadioMapSeer folder (it must hold png and gain) nor one that "
                "`python -m experiments.dataset build` wrote (it must hold radio_maps)"
            )
        if not self.gain_folder.is_dir():
            there = ", ".join(simulations_in(self.root)) or "none"
            raise UserError(f"{self.gain_folder} is missing; simulations in this folder: {there}")
        self.pairs: list[Pair] = numbered_pairs(self.gain_folder)
        """(map, transmitter) of every gain file, in rising order."""
        if not self.pairs:
            raise UserError(f"{self.gain_folder} holds no radio maps; their names must be as 0_0.png (map_transmitter)")
        self.maps: list[int] = sorted({number for number, _ in self.pairs})
        self._positions: dict[Pair, Pair] = {}
        # A cache an instance, so that a folder that changed on disk can be opened anew.
        self.buildings = lru_cache(MAPS_KEPT)(self._buildings)
        self.cars = lru_cache(MAPS_KEPT)(self._cars)

    @cached_property
    def size(self) -> Size:
        """(height, width) of the first gain file, which every other image must have. UserError if no multiple of 32."""
        path = gain_path(self.root, self.simulation, *self.pairs[0])
        height, width = read_grey(path).shape
        if height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
            raise UserError(
                f"{path} is {height} x {width} pixels, but both sides must be multiples of {SIZE_MULTIPLE}; "
                "crop or pad the maps"
            )
        return height, width

    @property
    def has_cars(self) -> bool:
        """Whether there is a folder of car masks."""
        return cars_path(self.root, 0).parent.is_dir()

    def gain(self, number: int, transmitter: int) -> Grey:
        """Path gain in grey levels."""
        return read_sized(gain_path(self.root, self.simulation, number, transmitter), self.size)

    def _buildings(self, number: int) -> Mask:
        """Building mask of a map (kept in memory)."""
        return read_sized(buildings_path(self.root, number), self.size) != 0

    def _cars(self, number: int) -> Mask:
        """Car mask of a map (kept in memory)."""
        return read_sized(cars_path(self.root, number), self.size) != 0

    def transmitter(self, number: int, transmitter: int) -> Pair:
        """(row, column) of a transmitter. Raises UserError unless exactly one pixel of the antenna image is not 0."""
        pair = number, transmitter
        if pair not in self._positions:
            path = antenna_path(self.root, number, transmitter)
            self._positions[pair] = read_transmitter(path, self.size)
        return self._positions[pair]

    def record(self, number: int, transmitter: int, cars: bool) -> dict[str, np.ndarray]:
        """Everything about one radio map: map, transmitter (int32), position (int32 [2]: row, column), buildings and,
        if asked for, cars (bool [height, width]), gain (uint8 [height, width])."""
        record = {
            "map": np.int32(number),
            "transmitter": np.int32(transmitter),
            "position": np.array(self.transmitter(number, transmitter), np.int32),
            "buildings": self.buildings(number),
        }
        if cars:
            record["cars"] = self.cars(number)
        return record | {"gain": self.gain(number, transmitter)}

    def fingerprint(self) -> str:
        """SHA-256 over the names, sizes and CRC-32 of every file that this simulation uses (car masks where present).

        Two folders with the same content have the same fingerprint, wherever they lie. Reads every file once.
        """
        paths = [gain_path(self.root, self.simulation, *pair) for pair in self.pairs]
        paths += [antenna_path(self.root, *pair) for pair in self.pairs]
        paths += [buildings_path(self.root, number) for number in self.maps]
        paths += [path for number in self.maps if (path := cars_path(self.root, number)).is_file()]
        return content_digest(self.root, paths)


def gain_path(root: Path, simulation: str, number: int, transmitter: int) -> Path:
    """File of a radio map."""
    return root / "gain" / simulation / f"{number}_{transmitter}.png"


def antenna_path(root: Path, number: int, transmitter: int) -> Path:
    """File of a transmitter's position."""
    return root / "png" / "antennas" / f"{number}_{transmitter}.png"


def buildings_path(root: Path, number: int) -> Path:
    """File of a map's buildings."""
    return root / "png" / "buildings_complete" / f"{number}.png"


def missing_buildings_path(root: Path, kind: str, variant: int, number: int) -> Path:
    """File of a map's buildings without some of them: `kind` is one of MISSING, `variant` 1..6."""
    return root / "png" / f"buildings_{kind}" / str(variant) / f"{number}.png"


def missing_buildings_paths(root: Path, kind: str) -> list[Path]:
    """The files of all maps and variants of a kind that are there."""
    variants = range(1, MISSING_VARIANTS + 1)
    folders = [(variant, missing_buildings_path(root, kind, variant, 0).parent) for variant in variants]
    return [
        missing_buildings_path(root, kind, variant, number)
        for variant, folder in folders
        for number in numbered_maps(folder)
    ]


def read_missing_buildings(root: Path, kind: str, variant: int, number: int, size: Size) -> Mask:
    """A building mask with some buildings left out. Raises UserError for a faulty or missing file."""
    return read_sized(missing_buildings_path(root, kind, variant, number), size) != 0


def cars_path(root: Path, number: int) -> Path:
    """File of a map's cars."""
    return root / "png" / "cars" / f"{number}.png"


def simulations_in(root: Path) -> list[str]:
    """The known simulations that a RadioMapSeer folder has gains of."""
    return [name for name in SIMULATIONS if (root / "gain" / name).is_dir()]


def numbered_pairs(folder: Path) -> list[Pair]:
    """(map, transmitter) of the files named MAP_TRANSMITTER.png in a folder, in rising order."""
    found = (re.fullmatch(rf"({NUMBER})_({NUMBER})\.png", path.name) for path in folder.glob("*.png"))
    return sorted((int(match[1]), int(match[2])) for match in found if match)


def numbered_maps(folder: Path) -> list[int]:
    """Numbers of the files named MAP.png in a folder, in rising order."""
    found = (re.fullmatch(NUMBER, path.stem) for path in folder.glob("*.png"))
    return sorted(int(match[0]) for match in found if match)


def read_transmitter(path: Path, size: Size) -> Pair:
    """(row, column) of the transmitter in an antenna image. Raises UserError if it cannot be read or is not one pixel."""
    return single_pixel(read_sized(path, size), path)


def write_transmitter(path: Path, size: Size, position: Pair) -> None:
    """Write an antenna image of (height, width): 255 at the transmitter's (row, column), else 0."""
    mask = np.zeros(size, bool)
    mask[tuple(position)] = True
    write_mask(path, mask)


def single_pixel(grey: Grey, path: Path) -> Pair:
    """(row, column) of the one pixel of an antenna image that is not 0. Raises UserError for none or several."""
    lit = np.flatnonzero(grey)
    if len(lit) != 1:
        raise UserError(
            f"{path} has {len(lit) or 'no'} lit pixels, but a transmitter is exactly one; make the image again"
        )
    row, column = divmod(int(lit[0]), grey.shape[1])
    return row, column


def read_sized(path: Path, size: Size) -> Grey:
    """Grey levels of an image of a set. Raises UserError if it cannot be read or is not of the set's (height, width)."""
    grey = read_grey(path)
    if grey.shape != size:
        raise UserError(
            f"{path} is {grey.shape[0]} x {grey.shape[1]} pixels, but the first map of the set is "
            f"{size[0]} x {size[1]}; all images of a set must have one size"
        )
    return grey


def content_digest(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names (below `root`), sizes and CRC-32 of files. Reads each once; UserError if one cannot be."""
    paths = list(paths)

    def line(path: Path) -> str:
        try:
            content = read_bytes(path, "restore it")
        except MissingFileError as error:
            raise UserError(f"{path} cannot be read (there is no such file); restore it") from error
        return f"{path.relative_to(root).as_posix()} {len(content)} {zlib.crc32(content):08x}\n"

    with ThreadPoolExecutor(4) as pool:
        lines = sorted(tqdm(pool.map(line, paths), total=len(paths), desc="fingerprint", unit="file", delay=2))
    return sha256("".join(lines).encode()).hexdigest()
