"""What is in a packed folder: TFDS reads it, as we do; images are small and quickly decoded PNGs."""

import io

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from radiodiff_jax.data.packed.builder import build
from radiodiff_jax.data.packed.contents import VERSION
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import decode_grey, encode_grey, encode_unfiltered
from tests.data.example_folder import write_example_folder


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    place = tmp_path_factory.mktemp("packed")
    build(write_example_folder(place / "maps", maps=6, transmitters=3, size=(32, 64), cars=True), place / "tfds", cars=True,
          shard_megabytes=0.005)  # fmt: skip
    return place / "tfds"


def test_tfds_reads_the_same_records(built):
    folder = built / "radio_maps/DPM_with_cars" / VERSION
    assert len(list(folder.glob("*-train.*"))) > 1
    theirs = tfds.builder_from_directory(folder).as_data_source("train")
    ours = open_source(built, "train", cars=True)
    assert len(theirs) == len(ours) == 12
    for index in range(len(ours)):
        other, record = theirs[index], ours[index]
        assert (other["map"], other["transmitter"]) == (record["map"], record["transmitter"])
        assert [other["row"], other["column"]] == record["position"].tolist()
        np.testing.assert_array_equal(other["gain"][..., 0], record["gain"])
        for name in ("buildings", "cars"):
            np.testing.assert_array_equal(other[name][..., 0], record[name] * 255)


def test_a_missing_file_is_told(built, tmp_path):
    folder = build(write_example_folder(tmp_path / "maps", maps=6), tmp_path / "tfds", shard_megabytes=0.002)
    first, *_ = sorted(folder.glob("*-train.*"))
    first.unlink()
    with pytest.raises(UserError, match="is damaged .it holds .* of .* records.; remove it and build it again"):
        open_source(tmp_path / "tfds", "train")


@pytest.mark.parametrize("size", [(32, 32), (64, 32), (1, 5)])
def test_unfiltered_pngs_are_pngs(size):
    grey = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    png = encode_unfiltered(grey)
    with Image.open(io.BytesIO(png)) as image:
        image.verify()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), grey)
    np.testing.assert_array_equal(decode_grey(png), grey)


def test_other_pngs_are_decoded_as_well():
    grey = np.add.outer(np.arange(64), np.arange(32)).astype(np.uint8)  # so that row filters are worth their while
    np.testing.assert_array_equal(decode_grey(encode_grey(grey)), grey)
    for options in ({"compress_level": 9}, {"optimize": True}, {"compress_level": 0}):
        buffer = io.BytesIO()
        Image.fromarray(grey).save(buffer, format="PNG", **options)
        np.testing.assert_array_equal(decode_grey(buffer.getvalue()), grey)
