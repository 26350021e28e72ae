"""Fingerprints of trees of arrays: equal exactly where every bit is."""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from radiodiff_jax.training.task import State, Tree


def digest(tree: Tree) -> str:
    """SHA-256 over path, data type, shape and bytes (little-endian) of every leaf, in sorted path order."""
    total = hashlib.sha256()
    for path, leaf in sorted(leaves_by_path(tree).items()):
        feed(total, path, whole(leaf))
    return total.hexdigest()


def quick_digests(trees: dict[str, Tree]) -> dict[str, str]:
    """For each tree the SHA-256 over the SHA-256 of its leaves, which threads compute side by side."""
    leaves = {name: sorted(leaves_by_path(tree).items()) for name, tree in trees.items()}

    def of_leaf(path: str, values: np.ndarray) -> bytes:
        found = hashlib.sha256()
        feed(found, path, values)
        return found.digest()

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        # Arrays shared among processes are gathered in one order everywhere, hence outside the threads.
        waiting = {name: [pool.submit(of_leaf, path, whole(leaf)) for path, leaf in found] for name, found in leaves.items()}
        return {
            name: hashlib.sha256(b"".join(one.result() for one in found)).hexdigest() for name, found in waiting.items()
        }


def leaves_by_path(tree: Tree) -> dict[str, Any]:
    """"a/b/c" -> leaf."""
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}  # fmt: skip


def whole(leaf: Any) -> np.ndarray:
    """All of an array, wherever its parts lie; every process must ask for it if some lie with other processes."""
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable and not leaf.is_fully_replicated:
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(leaf)


def feed(total: "hashlib._Hash", path: str, values: np.ndarray) -> None:
    """Add one leaf."""
    if sys.byteorder == "big":
        values = values.byteswap()
    total.update(f"{path} {values.dtype.name} {list(values.shape)}\n".encode())
    total.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


def parameters_digest(state: State) -> str:
    """The digest of a training's outcome: parameters and their moving average."""
    return digest({"params": state["params"], "ema": state["ema"]})
