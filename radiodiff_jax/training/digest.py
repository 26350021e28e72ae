"""Fingerprints of trees of arrays: equal exactly where every bit is."""

import hashlib
import sys

import jax
import numpy as np

from radiodiff_jax.training.task import State, Tree


def digest(tree: Tree) -> str:
    """SHA-256 over path, data type, shape and bytes (little-endian) of every leaf, in sorted path order."""
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf
              for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}  # fmt: skip
    total = hashlib.sha256()
    for path in sorted(leaves):
        values = np.asarray(leaves[path])
        if sys.byteorder == "big":
            values = values.byteswap()
        total.update(f"{path} {values.dtype.name} {list(values.shape)}\n".encode())
        total.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def parameters_digest(state: State) -> str:
    """The digest of a training's outcome: parameters and their moving average."""
    return digest({"params": state["params"], "ema": state["ema"]})
