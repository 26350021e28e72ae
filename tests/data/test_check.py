"""The checker: quiet about a good folder, one finding for every fault."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodiff_jax.data.checks.check import check_folder
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey, write_grey
from tests.data.example_folder import write_example_folder

SAMPLE = Path(os.environ.get("RADIODIFF_SAMPLE_DIR", Path(__file__).parents[3] / "shared" / "radiomapseer_sample"))


@pytest.fixture
def root(tmp_path):
    return write_example_folder(tmp_path, maps=4, transmitters=2, cars=True)


def findings(root):
    return [f"{found.severity}: {found.file} {found.sentence}" for found in check_folder(root)]


def change(root, name, edit):
    grey = read_grey(root / name)
    edit(grey)
    write_grey(root / name, grey)


def put(value, place=(slice(None), slice(None))):
    def edit(grey):
        grey[place] = value

    return edit


def test_a_good_folder_has_no_findings(root):
    assert findings(root) == []


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="the sample of RadioMapSeer is not here")
def test_the_real_sample_is_accepted():
    assert [found for found in check_folder(SAMPLE) if found.severity == "error"] == []


@pytest.mark.parametrize(
    "name, expected",
    [
        ("gain/DPM/2_1.png", "error: gain/DPM/2_1.png is missing, but needed by png/antennas/2_1.png"),
        ("png/antennas/2_1.png", "error: png/antennas/2_1.png is missing, but needed by gain/DPM/2_1.png"),
        ("png/buildings_complete/2.png",
         "error: png/buildings_complete/2.png is missing, but needed by the transmitters of map 2"),
        ("png/cars/2.png", "error: png/cars/2.png is missing, but needed by the simulations with cars"),
    ],
)  # fmt: skip
def test_missing_files(root, name, expected):
    (root / name).unlink()
    assert expected in findings(root)


def test_damaged_files(root):
    path = root / "gain/DPM/1_0.png"
    path.write_bytes(path.read_bytes()[:-60])
    (root / "png/cars/1.png").write_bytes(b"")
    damaged = "cannot be read as an image; the file is damaged, so copy or make it again"
    assert findings(root) == [f"error: gain/DPM/1_0.png {damaged}", f"error: png/cars/1.png {damaged}"]


def test_sizes(root, tmp_path_factory):
    write_grey(root / "gain/DPM/1_0.png", np.zeros((64, 32), np.uint8))
    assert findings(root) == [
        "error: gain/DPM/1_0.png is 64 x 32 pixels, but most maps are 32 x 32; make it again in that size"
    ]
    odd = write_example_folder(tmp_path_factory.mktemp("odd"), maps=1, size=(40, 32))
    assert findings(odd) == [
        "error: png/buildings_complete the maps are 40 x 32 pixels, but both sides must be multiples of 32; "
        "crop or pad all images"
    ]


def test_modes(root):
    image = Image.open(root / "gain/DPM/1_0.png")
    image.convert("RGB").save(root / "gain/DPM/1_0.png")
    Image.fromarray(np.full((32, 32), 300, np.uint16)).save(root / "gain/DPM/1_1.png")
    first, second = findings(root)
    assert first.startswith("error: gain/DPM/1_1.png has pixels of Pillow mode 'I;16', not 8-bit grey; save it as")
    assert second == "warning: gain/DPM/1_0.png is stored as Pillow mode 'RGB'; it is read as grey"


def test_transmitters(root):
    change(root, "png/antennas/0_0.png", put(0))
    change(root, "png/antennas/0_1.png", put(255, (0, slice(None))))
    row, column = np.argwhere(read_grey(root / "png/antennas/3_0.png"))[0]
    change(root, "png/buildings_complete/3.png", put(255, (row, column)))
    found = findings(root)
    assert found[0].startswith("error: png/antennas/0_0.png has no lit pixels")
    assert "lit pixels, but a transmitter is exactly one" in found[1] and "0_1.png" in found[1]
    standing = f"the transmitter at row {row}, column {column} stands in a building"
    assert f"warning: png/antennas/3_0.png {standing}" in found
    assert sum(line.startswith("error") for line in found) == 2


def test_odd_pixels(root):
    change(root, "png/buildings_complete/0.png", put(100, (0, slice(0, 3))))
    walls = np.argwhere(read_grey(root / "png/buildings_complete/1.png"))
    change(root, "gain/DPM/1_1.png", put(9, tuple(walls[0])))
    change(root, "gain/DPM/2_0.png", put(0))
    assert findings(root) == [
        "warning: gain/DPM/0_*.png 2 of 2 radio maps with signal inside buildings (6 pixels)",
        "warning: gain/DPM/1_*.png 1 of 2 radio maps with signal inside buildings (1 pixel)",
        "warning: gain/DPM/2_0.png is 0 everywhere: no signal at any pixel",
        "warning: png/buildings_complete/0.png has 3 pixels other than 0 and 255; all but 0 are taken as set",
    ]


def test_files_that_nothing_reads(root):
    for name in ("gain/DPM/2-1.png", "png/antennas/readme.txt", "png/buildings_complete/01.png", "gain/DPM/.hidden"):
        (root / name).write_bytes(b"x")
    (root / "gain/other").mkdir()
    write_grey(root / "png/buildings_complete/9.png", np.zeros((32, 32), np.uint8))
    assert findings(root) == [
        "warning: gain/DPM/2-1.png is not named MAP_TRANSMITTER.png, so nothing reads it",
        "warning: gain/other is none of the simulations DPM, IRT2, IRT4, carsDPM, carsIRT2, carsIRT4, RT, carsRT",
        "warning: png/antennas/readme.txt is not named MAP_TRANSMITTER.png, so nothing reads it",
        "warning: png/buildings_complete/01.png is not named MAP.png, so nothing reads it",
        "warning: png/buildings_complete/9.png has no transmitter and no radio map",
    ]


def test_irt4_needs_the_first_two_transmitters_only(tmp_path):
    write_example_folder(tmp_path, maps=2, transmitters=4)
    write_example_folder(tmp_path, maps=2, transmitters=1, simulation="IRT4")
    write_example_folder(tmp_path, maps=2, transmitters=4)
    missing = [line for line in findings(tmp_path) if "is missing" in line]
    assert missing == [
        f"error: gain/IRT4/{number}_1.png is missing, but needed by png/antennas/{number}_1.png" for number in (0, 1)
    ]


def test_empty_folders(tmp_path):
    with pytest.raises(UserError, match="there is no folder"):
        check_folder(tmp_path / "nowhere")
    assert findings(tmp_path)[0].startswith("error: gain holds no radio maps; expected one of gain/DPM")
    (tmp_path / "gain/DPM").mkdir(parents=True)
    assert findings(tmp_path) == ["error: gain/DPM holds no radio maps named MAP_TRANSMITTER.png"]


def test_errors_come_first_and_numbers_sort_as_numbers(tmp_path):
    write_example_folder(tmp_path, maps=12, transmitters=1)
    for number in (2, 10):
        (tmp_path / f"png/antennas/{number}_0.png").unlink()
        change(tmp_path, f"gain/DPM/{number}_0.png", put(0))
    assert [(found.severity, found.file) for found in check_folder(tmp_path)] == [
        ("error", "png/antennas/2_0.png"),
        ("error", "png/antennas/10_0.png"),
        ("warning", "gain/DPM/2_0.png"),
        ("warning", "gain/DPM/10_0.png"),
    ]
