"""Reading RadioMapSeer folders, and every sentence said about a folder that cannot be read."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from radiodiff_jax.data.sources import fingerprint, open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import decode_grey, encode_grey, read_grey, write_grey
from radiodiff_jax.radiomapseer import RadioMapFolder
from tests.data.example_folder import write_example_folder


@pytest.fixture
def root(tmp_path):
    return write_example_folder(tmp_path / "maps", maps=11, transmitters=2, size=(32, 64))


def grey_file(root, name, value):
    grey = np.full((32, 64), value, np.uint8)
    write_grey(root / name, grey)


def test_lists_maps_in_the_order_of_their_numbers(root):
    folder = RadioMapFolder(root)
    assert folder.maps == list(range(11))
    assert folder.pairs == [(number, transmitter) for number in range(11) for transmitter in (0, 1)]
    assert folder.size == (32, 64) and not folder.has_cars


def test_reads_what_the_files_hold(root):
    record = RadioMapFolder(root).record(10, 1, cars=False)
    assert list(record) == ["map", "transmitter", "position", "buildings", "gain"]
    np.testing.assert_array_equal(record["gain"], np.asarray(Image.open(root / "gain/DPM/10_1.png")))
    np.testing.assert_array_equal(record["buildings"], np.asarray(Image.open(root / "png/buildings_complete/10.png")) == 255)
    antenna = np.asarray(Image.open(root / "png/antennas/10_1.png"))
    assert antenna[tuple(record["position"])] == 255 and antenna.sum() == 255
    assert record["gain"].dtype == np.uint8 and record["gain"][tuple(record["position"])] == 255


def test_other_stored_forms_of_a_grey_image_are_read_alike(tmp_path):
    grey = np.zeros((32, 32), np.uint8)
    grey[3:9, 4:5] = 255
    image = Image.fromarray(grey)
    for mode in ("L", "1", "P", "LA", "RGB", "RGBA"):
        image.convert(mode).save(tmp_path / "image.png")
        np.testing.assert_array_equal(read_grey(tmp_path / "image.png"), grey, err_msg=mode)
    np.testing.assert_array_equal(decode_grey(encode_grey(grey)), grey)


@pytest.mark.parametrize("colour, sentence", [("RGB", "is a colour image"), ("I;16", "not 8-bit grey")])
def test_colour_and_16_bit_images_are_refused(tmp_path, colour, sentence):
    pixels = np.zeros((32, 32, 3), np.uint8) + np.arange(3, dtype=np.uint8)
    image = Image.fromarray(pixels) if colour == "RGB" else Image.fromarray(np.full((32, 32), 300, np.uint16))
    image.save(tmp_path / "image.png")
    with pytest.raises(UserError, match=f"image.png .*{sentence}; save it as an 8-bit grey PNG"):
        read_grey(tmp_path / "image.png")


def test_faults_of_the_folder(root, tmp_path):
    with pytest.raises(UserError, match="there is no folder .*nowhere"):
        RadioMapFolder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="neither a RadioMapSeer folder .* nor one that"):
        RadioMapFolder(tmp_path)
    with pytest.raises(UserError, match="gain/IRT4 is missing; simulations in this folder: DPM"):
        RadioMapFolder(root, "IRT4")
    (root / "gain/IRT2").mkdir()
    with pytest.raises(UserError, match="gain/IRT2 holds no radio maps"):
        RadioMapFolder(root, "IRT2")


def test_faults_of_images(root):
    gain = root / "gain/DPM/3_0.png"
    gain.write_bytes(gain.read_bytes()[:150])
    (root / "png/buildings_complete/4.png").unlink()
    (root / "png/antennas/5_0.png").write_bytes(b"no image")
    grey_file(root, "png/antennas/6_0.png", 0)
    grey_file(root, "png/antennas/7_0.png", 255)
    write_grey(root / "gain/DPM/8_0.png", np.zeros((64, 32), np.uint8))
    folder = RadioMapFolder(root)
    for number, sentence in {
        3: "3_0.png cannot be read as an image; the file is damaged",
        4: "4.png is missing; restore it",
        5: "5_0.png cannot be read as an image",
        6: "6_0.png has no lit pixels, but a transmitter is exactly one",
        7: "7_0.png has 2048 lit pixels",
        8: "8_0.png is 64 x 32 pixels, but the first map of the set is 32 x 64",
    }.items():
        with pytest.raises(UserError, match=sentence):
            folder.record(number, 0, cars=False)
    assert folder.record(2, 0, cars=False)["map"] == 2
    with pytest.raises(UserError, match="4.png cannot be read .*restore it"):
        folder.fingerprint()


def test_size_must_be_a_multiple_of_32(tmp_path):
    write_example_folder(tmp_path, maps=1, size=(32, 40))
    with pytest.raises(UserError, match="0_0.png is 32 x 40 pixels, but both sides must be multiples of 32"):
        RadioMapFolder(tmp_path).size  # noqa: B018


def test_fingerprint_is_of_the_content_and_not_of_the_place(root, tmp_path):
    before = fingerprint(root)
    shutil.copytree(root, tmp_path / "copy")
    assert fingerprint(tmp_path / "copy") == before
    grey_file(root, "gain/DPM/9_1.png", 7)
    assert fingerprint(root) != before


def test_sources_of_a_folder(root, tmp_path):
    parts = {split: open_source(root, split) for split in ("train", "validation", "test")}
    assert {split: len(source) for split, source in parts.items()} == {"train": 18, "validation": 2, "test": 2}
    assert sorted(sum((source.maps for source in parts.values()), [])) == list(range(11))
    assert all(parts["test"][i]["map"] in parts["test"].maps for i in range(2))
    with pytest.raises(UserError, match="no split 'dev'; choose one of train, validation, test"):
        open_source(root, "dev")
    with pytest.raises(UserError, match="no car masks"):
        open_source(root, "train", cars=True)
    with pytest.raises(UserError, match=r"validation split .* is empty \(rule radiodiff.*set data.split to radiounet"):
        open_source(root, "validation", rule="radiodiff")
    two = write_example_folder(tmp_path / "two", maps=2)
    with pytest.raises(UserError, match=r"test split .* is empty \(rule by_map, 2 maps\): splitting needs at least 3"):
        open_source(two, "test")
    assert len(open_source(two, "train")) == 4
    with pytest.raises(UserError, match="test split .* is empty .*set data.split to by_map"):
        open_source(two, "test", rule="radiounet")


def test_cars_are_in_the_records_where_asked_for(tmp_path):
    write_example_folder(tmp_path, cars=True, simulation="carsDPM")
    with_cars, without = (open_source(tmp_path, "train", "carsDPM", cars=cars)[0] for cars in (True, False))
    assert with_cars["cars"].any() and "cars" not in without


def test_reading_and_checking_do_not_import_jax(root):
    program = (
        "import sys; import radiodiff_jax.data.packed.builder, radiodiff_jax.data.checks.check, radiodiff_jax.data.checks.compare\n"
        "import radiodiff_jax.metrics; from radiodiff_jax.data.sources import open_source\n"
        f"open_source({str(root)!r}, 'train')[0]; assert 'jax' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
