"""The dihedral group: closed, invertible, and the same for images and positions."""

import numpy as np
import pytest

from radiodiff_jax.data.symmetries import RECTANGLE, SQUARE, symmetries_of, transform_image, transform_position


def test_eight_different_symmetries_form_a_group():
    image = np.arange(16).reshape(4, 4)
    orbit = [transform_image(image, symmetry).tobytes() for symmetry in range(SQUARE)]
    assert len(set(orbit)) == SQUARE and orbit[0] == image.tobytes()
    for first in range(SQUARE):
        products = {transform_image(transform_image(image, first), second).tobytes() for second in range(SQUARE)}
        assert products == set(orbit)


@pytest.mark.parametrize("size, count", [((5, 5), SQUARE), ((3, 5), RECTANGLE)])
def test_positions_go_where_their_pixels_go(size, count):
    assert symmetries_of(size) == count
    for symmetry in range(SQUARE):
        for row in range(size[0]):
            for column in range(size[1]):
                image = np.zeros(size, bool)
                image[row, column] = True
                place = transform_position(row, column, size, symmetry)
                assert np.argwhere(transform_image(image, symmetry)).tolist() == [list(place)]


def test_rectangles_keep_their_shape():
    image = np.arange(15).reshape(3, 5)
    orbit = [transform_image(image, symmetry) for symmetry in range(RECTANGLE)]
    assert all(turned.shape == (3, 5) for turned in orbit)
    assert len({turned.tobytes() for turned in orbit}) == RECTANGLE
