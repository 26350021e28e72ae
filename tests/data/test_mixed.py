"""Batches from two sources: shares, epochs of each, the same bits whatever the threads, layouts that are held out."""

import itertools

import numpy as np
import pytest

from radiodiff_jax.data.pipeline import training_batches
from radiodiff_jax.data.sources import open_source, open_varied_source, validates
from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import DataConfig
from tests.data.example_folder import write_example_folder

REAL, SIMULATED = 5, 8  # layouts; those of the second folder are told by their size of buildings alone, so by `of`


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixed")
    real = write_example_folder(folder / "real", maps=REAL)
    simulated = write_example_folder(folder / "simulated", maps=SIMULATED, transmitters=3)
    for image in sorted(simulated.rglob("*.png")):  # numbers from 100 on
        number, *rest = image.stem.split("_")
        image.rename(image.with_name("_".join([str(100 + int(number)), *rest]) + ".png"))
    return real, simulated


def stream(roots, count, share=0.5, settings=None, batch=4, **reading):
    settings = settings or DataConfig(hold_out=(1, 3))
    real = open_varied_source(roots[0], "train", settings)
    simulated = open_varied_source(roots[1], "train", DataConfig(observed_range=settings.observed_range))
    batches = training_batches(real, batch, 5, mixed=simulated, mix_share=share, **reading)
    return list(itertools.islice(batches, count)), batches


@pytest.mark.parametrize("share", [0.5, 0.25, 0.3])
def test_the_share_is_kept_in_any_stretch_and_held_out_layouts_never_come(roots, share):
    batches, _ = stream(roots, 60, share)
    maps = np.concatenate([batch["map"] for batch in batches])
    assert abs((maps >= 100).sum() - share * len(maps)) <= 1
    for start in range(0, 200, 40):
        assert abs((maps[start : start + 40] >= 100).sum() - share * 40) <= 1
    assert set(maps[maps < 100].tolist()) == {0, 2, 4}
    train = open_source(roots[1], "train").maps
    assert set(maps[maps >= 100].tolist()) == set(train) and len(train) < SIMULATED


def test_each_source_has_epochs_of_its_own(roots):
    batches, _ = stream(roots, 30)
    pairs = [pair for batch in batches for pair in zip(batch["map"].tolist(), batch["transmitter"].tolist(), strict=True)]
    real = [pair for pair in pairs if pair[0] < 100]
    assert len(real) == 60
    epochs = [real[start : start + 6] for start in range(0, 60, 6)]
    assert all(len(set(epoch)) == 6 for epoch in epochs), "all six maps once an epoch"
    assert len({tuple(epoch) for epoch in epochs}) > 5, "in another order each time"


def test_a_mixed_stream_depends_on_the_seed_alone_and_goes_on_exactly(roots):
    settings = DataConfig(hold_out=(1, 3), observed_range=(0, 20))
    expected, _ = stream(roots, 12, settings=settings, threads=1, prefetch=1)
    other, _ = stream(roots, 12, settings=settings, threads=4)
    parts = [stream(roots, 12, settings=settings, process_index=index, process_count=2)[0] for index in range(2)]
    first, batches = stream(roots, 5, settings=settings)
    _, again = stream(roots, 0, settings=settings)
    again.set_state(batches.get_state())
    resumed = [*first, *itertools.islice(again, 7)]
    joined = [{name: np.concatenate([one[name], two[name]]) for name in one} for one, two in zip(*parts, strict=True)]
    for found in (other, joined, resumed):
        for one, two in zip(expected, found, strict=True):
            assert one.keys() == two.keys()
            for name in one:
                np.testing.assert_array_equal(one[name], two[name], err_msg=name)


def test_both_sources_are_turned_and_observed(roots):
    settings = DataConfig(hold_out=(1, 3), observed_range=(1, 20))
    batches, _ = stream(roots, 40, settings=settings)
    plain, _ = stream(roots, 40, settings=settings, augment=False)
    for kind in (False, True):
        turned = [
            (one["buildings"][i] != two["buildings"][i]).any()
            for one, two in zip(batches, plain, strict=True)
            for i in np.flatnonzero((one["map"] >= 100) == kind)
        ]
        assert 0.5 < np.mean(turned) < 1  # 7 of 8 symmetries change a city
        counts = [int(b["observed"][i].sum()) for b in batches for i in np.flatnonzero((b["map"] >= 100) == kind)]
        assert min(counts) >= 1 and max(counts) <= 20 and len(set(counts)) > 5
    for batch in batches:
        assert not batch["buildings"][batch["observed"]].any()


def test_layouts_are_chosen(roots):
    def maps(split, **choice):
        return open_varied_source(roots[0], split, DataConfig(**choice)).maps

    assert (maps("train", maps=(2, 0)), maps("validation", maps=(2, 0))) == ([0, 2], [1, 3, 4])
    assert (maps("train", maps=(0,), hold_out=(4,)), maps("test", maps=(0,), hold_out=(4,))) == ([0], [4])
    assert maps("all", hold_out=(4,)) == list(range(REAL))
    everything = DataConfig(maps=tuple(range(REAL)))
    assert open_varied_source(roots[0], "train", everything).maps == list(range(REAL))
    assert not validates(roots[0], everything) and validates(roots[0], DataConfig(maps=(0,)))
    assert validates(roots[0], DataConfig()) and not validates(roots[0], DataConfig(split="radiodiff"))
    for choice, says in (
        ({"hold_out": (9,)}, "data.hold_out names layout 9, which .*real does not have .it has 0, 1, 2, 3, 4.; name layouts"),
        ({"hold_out": tuple(range(REAL))}, "the train split of .* is empty .rule data.maps and data.hold_out, "),
    ):
        with pytest.raises(UserError, match=says) as caught:
            maps("train", **choice)
        assert "\n" not in str(caught.value)
