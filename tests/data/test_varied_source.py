"""Missing buildings, mixtures and measured pixels: right values, anew in training, fixed in evaluation, same storage."""

import itertools

import numpy as np
import pytest

from radiodiff_jax.data.latents import LatentSource
from radiodiff_jax.data.packed.builder import build, build_masks
from radiodiff_jax.data.pipeline import buildings_of, evaluation_batches, training_batches
from radiodiff_jax.data.sources import fingerprint, open_source, open_varied_source, varied_fingerprint
from radiodiff_jax.data.symmetries import transform_record
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey, write_grey
from radiodiff_jax.radiomapseer import gain_path
from radiodiff_jax.settings import DataConfig
from tests.data.example_folder import write_example_folder, write_missing_buildings

MAPS = 5
ALL = DataConfig(mixture="IRT2", buildings="missing1", observed_pixels=30)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = write_example_folder(tmp_path_factory.mktemp("varied") / "maps", maps=MAPS)
    for number, transmitter in itertools.product(range(MAPS), range(2)):
        gain = read_grey(gain_path(root, "DPM", number, transmitter))
        write_grey(gain_path(root, "IRT2", number, transmitter), gain // 2)
    write_missing_buildings(root, maps=MAPS)
    return root


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    out = tmp_path_factory.mktemp("varied") / "tfds"
    build(root, out), build(root, out, "IRT2"), build_masks(root, out, "missing1")
    return out


def batches(root, settings, seed=0, count=40, **reading):
    source = open_varied_source(root, "train", settings)
    return list(itertools.islice(training_batches(source, 4, seed, augment=False, **reading), count))


def test_nothing_varied_is_the_plain_source(root):
    source = open_varied_source(root, "train", DataConfig())
    assert type(source) is type(open_source(root, "train"))
    assert varied_fingerprint(root, DataConfig()) == fingerprint(root)


def test_a_mixture_lies_between_its_simulations(root):
    weights = []
    plain = open_source(root, "train")
    own = {(plain[i]["map"], plain[i]["transmitter"]): plain[i]["gain"].astype(float) for i in range(len(plain))}
    for batch in batches(root, DataConfig(mixture="IRT2")):
        for gain, number, transmitter in zip(batch["gain"], batch["map"], batch["transmitter"], strict=True):
            truth = own[int(number), int(transmitter)]
            mixed = gain.astype(float)
            weight = (mixed.max() / truth.max() - 0.5) / 0.5
            np.testing.assert_allclose(mixed, weight * truth + (1 - weight) * (truth // 2), atol=2)
            weights.append(weight)
    assert min(weights) < 0.1 and max(weights) > 0.9 and np.mean(weights) == pytest.approx(0.5, abs=0.1)


def test_missing_buildings_change_the_input_alone(root):
    source, plain = open_varied_source(root, "train", DataConfig(buildings="missing1")), open_source(root, "train")
    for index in range(len(plain)):
        np.testing.assert_array_equal(source[index]["gain"], plain[index]["gain"])
        np.testing.assert_array_equal(source[index]["true_buildings"], plain[index]["buildings"])
        assert (source[index]["buildings"] <= plain[index]["buildings"]).all()
    for batch in evaluation_batches(source, 3):
        assert batch["buildings"].dtype == batch["true_buildings"].dtype == bool
        assert (buildings_of(batch) >= batch["buildings"]).all()
    variants = {
        (int(number), buildings.tobytes())
        for batch in batches(root, DataConfig(buildings="missing1"))
        for number, buildings in zip(batch["map"], batch["buildings"], strict=True)
    }
    masks = {(m, read_grey(p).tobytes()) for m in source.maps for p in root.glob(f"png/buildings_missing1/*/{m}.png")}
    assert len(variants) == len(masks)  # every variant of every map was drawn


def test_observed_pixels_are_outdoors_and_drawn_anew(root):
    settings = DataConfig(observed_pixels=30)
    places = set()
    for batch in batches(root, settings):
        known = batch["observed"]
        assert known.dtype == bool and known.sum(axis=(1, 2)).tolist() == [30] * 4
        assert not batch["buildings"][known].any()
        places |= {one.tobytes() for one in known}
    assert len(places) == 160  # anew each time
    record = open_varied_source(root, "train", DataConfig(observed_pixels=100_000))[0]
    np.testing.assert_array_equal(record["observed"], ~record["buildings"])  # no more than there are


def test_evaluation_is_fixed_and_draws_are_independent(root):
    first, again = (open_varied_source(root, "test", ALL) for _ in range(2))
    for index in range(len(first)):
        for name, value in first[index].items():
            np.testing.assert_array_equal(value, again[index][name])
    fewer = open_varied_source(root, "test", DataConfig(observed_pixels=30))
    np.testing.assert_array_equal(first[0]["observed"], fewer[0]["observed"])
    assert (first[0]["observed"] != first[1]["observed"]).any()


def test_the_stream_depends_on_the_seed_alone(root, built):
    expected = batches(root, ALL, seed=3, threads=1, prefetch=1)
    for other in (batches(root, ALL, seed=3, threads=4), batches(built, ALL, seed=3)):
        for one, two in zip(expected, other, strict=True):
            for name in one:
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    different = batches(root, ALL, seed=4)
    assert any((one["gain"] != two["gain"]).any() for one, two in zip(expected, different, strict=True))
    assert varied_fingerprint(built, ALL) == varied_fingerprint(root, ALL) != varied_fingerprint(root, DataConfig())


def test_records_with_cached_latents_are_varied_too(root):
    class Latents:
        def read(self, index, symmetry):
            return {"moments": np.full((1, 1, 1), index, np.float32)}

    source = LatentSource(open_varied_source(root, "train", DataConfig(observed_pixels=30)), Latents())
    drawn = list(itertools.islice(training_batches(source, 4, 0, augment=False), 10))
    known = {one.tobytes() for batch in drawn for one in batch["observed"]}
    assert len(known) == 40
    for batch in drawn:
        assert "gain" not in batch
        for moments, number, transmitter in zip(batch["moments"], batch["map"], batch["transmitter"], strict=True):
            record = source[int(moments.item())]
            assert (record["map"], record["transmitter"]) == (number, transmitter)


def test_a_symmetry_moves_all_images_alike(root):
    record = open_varied_source(root, "train", ALL)[0]
    turned = transform_record(record, 6)
    measured = record["gain"][record["observed"]]
    assert sorted(turned["gain"][turned["observed"]]) == sorted(measured)
    assert (turned["true_buildings"][turned["observed"]] == 0).all() and (
        turned["observed"] != record["observed"]
    ).any()


def test_what_is_not_there_is_told(root, built, tmp_path):
    for place in (root, built):
        with pytest.raises(UserError, match="missing2"):
            open_varied_source(place, "train", DataConfig(buildings="missing2"))
        with pytest.raises(UserError, match="IRT4"):
            open_varied_source(place, "train", DataConfig(mixture="IRT4"))
    few = write_example_folder(tmp_path / "few", maps=5)
    write_example_folder(few, maps=5, transmitters=1, simulation="IRT4")
    write_example_folder(few, maps=5)
    with pytest.raises(UserError, match="a mixture needs both gains of every transmitter"):
        open_varied_source(few, "train", DataConfig(mixture="IRT4"))
    source = open_varied_source(root, "train", DataConfig(buildings="missing1"))
    absent, kept = root / f"png/buildings_missing1/3/{source.maps[0]}.png", tmp_path / "kept.png"
    absent.rename(kept)
    try:
        with pytest.raises(UserError, match=f"buildings_missing1/3/{source.maps[0]}.png is missing"):
            for seed in range(60):
                source.draw(0, np.random.default_rng(seed))
    finally:
        kept.rename(absent)
