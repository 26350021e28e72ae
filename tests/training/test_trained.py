"""Which parameters are trained: patterns, and one sentence for those that name nothing."""

import numpy as np
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.trained import divide, trained_names, unite

PARAMS = {
    "down_0": {"norm1": {"scale": np.ones(2)}, "conv": {"kernel": np.zeros(3)}},
    "up_0": {"conv": {"kernel": np.ones(1), "bias": np.ones(4)}},
}
NAMES = ("down_0/conv/kernel", "down_0/norm1/scale", "up_0/conv/bias", "up_0/conv/kernel")


@pytest.mark.parametrize(
    "patterns, found",
    [
        ((), NAMES),
        (("up_0",), NAMES[2:]),
        (("*norm*",), NAMES[1:2]),
        (("up_*/kernel", "down_0/norm1"), (NAMES[1], NAMES[3])),
    ],
)
def test_patterns(patterns, found):
    assert trained_names(NAMES, patterns) == found


def test_an_unknown_pattern_lists_the_modules():
    with pytest.raises(UserError, match=r"'upp_0', which is no parameter .*modules \(down_0, up_0\).*; did you mean 'up_0'?"):
        trained_names(NAMES, ("down_0", "upp_0"))
    with pytest.raises(UserError, match="names 'norm'"):  # a module inside another one is not named by itself
        trained_names(NAMES, ("norm",))


def test_divided_parameters_are_united_again():
    trained, fixed = divide(PARAMS, NAMES[1:3])
    assert sorted(trained) == list(NAMES[1:3]) and sorted(fixed) == [NAMES[0], NAMES[3]]
    whole = unite(trained, fixed)
    assert whole["up_0"]["conv"]["bias"] is PARAMS["up_0"]["conv"]["bias"] and set(whole) == set(PARAMS)
