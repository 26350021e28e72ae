"""What names tell about a folder, and about RadioMapSeer in full."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from radiodiff_jax.data.checks.check import check_folder
from radiodiff_jax.data.checks.inventory import Inventory, check_completeness, ranges, real_pairs, take_inventory
from radiodiff_jax.images import read_grey, write_grey
from radiodiff_jax.radiomapseer import MISSING_VARIANTS
from tests.data.example_folder import write_example_folder, write_missing_buildings

EVERY_MAP = set(range(701))
WHOLE = Inventory(
    root=Path("seer"),
    buildings=EVERY_MAP,
    cars=EVERY_MAP,
    antennas=real_pairs("DPM"),
    gains={name: real_pairs(name) for name in ("DPM", "IRT4", "carsDPM")},
    missing={"missing1": {variant: EVERY_MAP for variant in range(1, MISSING_VARIANTS + 1)}},
    strays={},
)


def told(inventory, real=True):
    return sorted(f"{found.severity}: {found.file} {found.sentence}" for found in check_completeness(inventory, real))


def test_the_whole_set_has_no_findings():
    assert len(WHOLE.antennas) == 56_080 and len(WHOLE.gains["IRT4"]) == 1_402
    assert WHOLE.is_real and told(WHOLE) == []


def test_what_the_whole_set_lacks_is_told_by_map():
    lacking = replace(
        WHOLE,
        gains=WHOLE.gains
        | {
            "DPM": {
                pair for pair in WHOLE.gains["DPM"] if pair[0] not in (5, 7, 8) and pair not in ((9, 3), (9, 4), (9, 9))
            },
            "IRT4": WHOLE.gains["IRT4"] - {(700, 1)},
        },
        missing={"missing1": WHOLE.missing["missing1"] | {4: EVERY_MAP - {0}, 6: set()}},
    )
    assert told(lacking) == [
        "error: gain/DPM lacks 3 of 701 maps: 5, 7-8",
        "error: gain/DPM/9_*.png lacks transmitters 3-4, 9",
        "error: gain/IRT4/700_*.png lacks transmitter 1",
        "error: png/buildings_missing1/4 lacks 1 of 701 maps: 0",
        "error: png/buildings_missing1/6 lacks 701 of 701 maps: 0-700",
    ]


def test_maps_that_no_file_tells_of_are_missed_in_the_whole_set():
    def few(pairs):
        return {pair for pair in pairs if pair[0] < 650}

    part = replace(
        WHOLE, buildings=set(range(650)), cars=set(), antennas=few(WHOLE.antennas),
        gains={"DPM": few(WHOLE.gains["DPM"])}, missing={},
    )  # fmt: skip
    expected = [
        f"error: {name} lacks 51 of 701 maps: 650-700"
        for name in ("gain/DPM", "png/antennas", "png/buildings_complete")
    ]
    assert part.is_real and told(part) == expected
    assert told(part, real=False) == []


@pytest.mark.parametrize("numbers, text", [([], ""), ([3], "3"), ([1, 2, 3, 7], "1-3, 7"), ({9, 0, 1}, "0-1, 9")])
def test_ranges(numbers, text):
    assert ranges(numbers) == text


def test_missing_buildings_are_checked(tmp_path):
    root = write_example_folder(tmp_path, maps=5)
    write_missing_buildings(root, maps=5)
    assert check_folder(root) == []
    assert not take_inventory(root).is_real
    (root / "png/buildings_missing1/2/3.png").unlink()
    (root / "png/buildings_missing1/5/4.png").write_bytes(b"x")
    write_grey(root / "png/buildings_missing1/6/0.png", np.full((32, 32), 255, np.uint8))
    outdoors = np.count_nonzero(read_grey(root / "png/buildings_complete/0.png") == 0)
    (root / "png/buildings_missing1/1/notes.txt").write_bytes(b"x")
    assert [f"{found.severity}: {found.file} {found.sentence.split(';')[0]}" for found in check_folder(root)] == [
        "error: png/buildings_missing1/2 lacks 1 of 5 maps: 3",
        "error: png/buildings_missing1/5/4.png cannot be read as an image",
        "warning: png/buildings_missing1/1/notes.txt is not named MAP.png, so nothing reads it",
        f"warning: png/buildings_missing1/6/0.png has {outdoors} building pixels that png/buildings_complete lacks",
    ]
