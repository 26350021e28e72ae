"""Comparing our networks with the original's recorded tensors (NCHW, PyTorch names)."""

import numpy as np
from flax import traverse_util

from radiodiff_jax.models.torch_weights import export_weights


def nhwc(x) -> np.ndarray:
    """NCHW -> NHWC; arrays of another rank stay."""
    x = np.asarray(x)
    return x.transpose(0, 2, 3, 1) if x.ndim == 4 else x


def relative_error(actual, expected) -> float:
    """Largest absolute difference over the largest absolute expected value."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    return float(np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-12))


def assert_close(actual, expected, tolerance: float, what: str = ""):
    """Fail with the error where it is above `tolerance`."""
    error = relative_error(actual, expected)
    assert error <= tolerance, f"{what}: relative error {error:.2e} above {tolerance:.0e}"


def state_dict(file, prefix: str) -> dict[str, np.ndarray]:
    """The tensors of a golden file below `prefix`."""
    return {key.removeprefix(prefix): file[key] for key in file.files if key.startswith(prefix)}


def assert_gradients(kind: str, gradients, file, prefix: str, tolerance: float, floor: float = 1e-4):
    """Compare parameter gradients, exported to the original's names, with every tensor below `prefix`."""
    ours = export_weights(kind, {"params": gradients})
    expected = state_dict(file, prefix)
    assert expected
    largest = max(np.abs(value).max() for value in expected.values())
    for name, value in expected.items():
        if np.abs(value).max() < floor * largest:  # structurally zero: rounding noise on both sides
            assert np.abs(ours[name]).max() < 10 * floor * largest, name
        else:
            assert_close(ours[name], value, tolerance, name)


def assert_gradient_norms(kind: str, gradients, names, values, tolerance: float):
    """Compare the L2 norm of every parameter gradient with the original's (float64) norms."""
    ours = export_weights(kind, {"params": gradients})
    checked = 0
    largest = float(np.max(values))
    for name, value in zip(names, values, strict=True):
        if str(name) not in ours:  # parameters that take no part in the forward pass
            assert value == 0, name
            continue
        norm = np.linalg.norm(np.asarray(ours[str(name)], np.float64))
        assert abs(norm - value) <= tolerance * value + 1e-6 * largest, (str(name), norm, float(value))
        checked += 1
    assert checked == len(ours) or checked == len(ours) - sum(n.endswith(".W") for n in ours)


def at(tree, path: str):
    """The leaf or subtree of a nested dict at a/b/c."""
    for key in path.split("/"):
        tree = tree[key if isinstance(tree, dict) else int(key)]
    return tree


def flat(tree) -> dict:
    """Nested dict -> {a/b/c: leaf}."""
    return traverse_util.flatten_dict(tree, sep="/")
