"""Scenes of other sizes than those of the training: one pass, or windows around the transmitter."""

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.baselines import BASELINES
from radiodiff_jax.inference.windows import places, predict_in_windows, weights, windows
from tests.inference.test_model_file import generator  # noqa: F401 (a fixture)


@pytest.mark.parametrize("length,window,place", [(512, 256, 300), (512, 256, 3), (512, 256, 511), (300, 256, 299), (64, 64, 9)])
def test_windows_contain_the_transmitter_and_reach_as_far_as_they_can(length, window, place):
    found = places(length, window, place, 3)
    assert all(0 <= first <= length - window and first <= place < first + window for first in found)
    reach = range(min(found), max(found) + window)
    assert reach.start == max(0, place - window + 1) and reach.stop == min(length, place + window)


def test_weights_fall_towards_inner_edges_only():
    inner = weights((512, 512), (slice(100, 356), slice(100, 356)))
    assert inner[128, 128] == 1 and 0 < inner[0, 0] == inner[-1, -1] < 0.02
    corner = weights((512, 512), (slice(0, 256), slice(256, 512)))
    assert corner[0, -1] == 1 and corner[-1, 128] < 0.02 and corner[128, 0] < 0.02


def test_what_all_windows_agree_on_is_kept_and_beyond_is_what_lies_under():
    rng = np.random.default_rng(0)
    truth, under = rng.random((512, 640, 1), np.float32), rng.random((512, 640, 1), np.float32)
    asked = []

    def predict(place, transmitter):
        asked.append((place[0].stop - place[0].start, transmitter))
        assert (place[0].start + transmitter[0], place[1].start + transmitter[1]) == (200, 100)
        return truth[place]

    found = predict_in_windows(predict, under, (200, 100), [(256, 256), (128, 128)])
    assert {side for side, _ in asked} == {256, 128}
    np.testing.assert_allclose(found[20:392, :292], truth[20:392, :292], atol=1e-5)  # reached from 64 m inside on
    np.testing.assert_array_equal(found[:, 356:], under[:, 356:])
    np.testing.assert_array_equal(found[456:], under[456:])
    assert len(list(windows((512, 640), (256, 256), (200, 100), 2))) == 4


def test_a_generator_predicts_scenes_of_other_sizes(generator):  # noqa: F811
    rng = np.random.default_rng(0)
    walls = np.kron(rng.random((20, 24)) < 0.2, np.ones((8, 8), bool))  # 160 x 192; the model was made for 32 x 32
    walls[40:50, 50:60] = False
    found = generator.predict(walls, (44, 55))
    assert found.gain.shape == walls.shape and np.isfinite(found.gain).all() and (found.gain[walls] == 0).all()
    beyond = BASELINES["path estimate"]({"buildings": walls[None], "position": np.array([[44, 55]])})[0]
    np.testing.assert_array_equal(found.gain[108:], beyond[108:])  # more than twice 32 m from the transmitter
    assert np.abs(found.gain - beyond)[30:60, 40:70].max() > 0.01
    smaller = generator.predict(walls[40:50, 50:75], (3, 4))
    padded = np.zeros((32, 32), bool)
    padded[:10, :25] = walls[40:50, 50:75]
    np.testing.assert_array_equal(smaller.gain, generator.predict(padded, (3, 4)).gain[:10, :25])
    with pytest.raises(UserError, match="multiples of 32 up to 2048"):
        generator.predict(np.zeros((32, 2080), bool), (3, 4))


def test_the_mean_over_symmetries_turns_with_the_scene(generator):  # noqa: F811
    rng = np.random.default_rng(1)
    walls = np.kron(rng.random((4, 4)) < 0.3, np.ones((8, 8), bool))
    walls[10:14, 20:24] = False
    once, eight = (generator.predict(walls, (12, 22), symmetries=number).gain for number in (1, 8))
    turned = generator.predict(np.rot90(walls), (31 - 22, 12), symmetries=8).gain
    np.testing.assert_allclose(np.rot90(eight), turned, atol=1e-5)
    assert np.abs(once - eight).max() > 1e-4
    with pytest.raises(UserError, match="symmetries is 9"):
        generator.predict(walls, (12, 22), symmetries=9)
