"""A tree of arrays as one vector a data type: what touches every parameter touches one array, and not hundreds.

Optimizer, average, guard and gradient norm are then a few operations each, whatever the number of layers. Checkpoints
and all who read them see trees by name: `by_name` and `like` go from one to the other.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.training.devices import SMALLEST_SHARDED
from radiodiff_jax.training.task import Tree

MULTIPLE = 2**6 * 3**2 * 5 * 7  # of a vector that is shared: 1 to 10, 12, 14, 16, 32 or 64 devices can do so evenly


@dataclass(frozen=True)
class Layout:
    """Where the leaves of a tree lie: in the order of the tree, one after the other, in the vector of their data type."""

    structure: Any
    """of the tree"""
    leaves: tuple[tuple[str, tuple[int, ...]], ...]
    """(data type, shape) of each"""

    def places(self) -> Iterator[tuple[str, int, tuple[int, ...]]]:
        """(data type, first place in its vector, shape) of each leaf."""
        lengths: dict[str, int] = {}
        for dtype, shape in self.leaves:
            start = lengths.get(dtype, 0)
            yield dtype, start, shape
            lengths[dtype] = start + math.prod(shape)


@jax.tree_util.register_pytree_with_keys_class
class Flat:
    """A tree of arrays, held as `vectors` (data type -> vector). A pytree with one leaf a vector."""

    def __init__(self, layout: Layout, vectors: dict[str, Any]):
        self.layout, self.vectors = layout, vectors

    @classmethod
    def of(cls, tree: Tree) -> "Flat":
        """From a tree of arrays; NumPy arrays stay such."""
        leaves, structure = jax.tree.flatten(tree)
        layout = Layout(structure, tuple((leaf.dtype.name, tuple(leaf.shape)) for leaf in leaves))
        module = np if all(isinstance(leaf, np.ndarray | np.generic) for leaf in leaves) else jnp
        parts: dict[str, list] = {}
        for leaf in leaves:
            parts.setdefault(leaf.dtype.name, []).append(module.reshape(leaf, -1))
        for pieces in parts.values():
            length = sum(piece.size for piece in pieces)
            if length >= SMALLEST_SHARDED and length % MULTIPLE:
                pieces.append(module.zeros(-length % MULTIPLE, pieces[0].dtype))
        return cls(layout, {name: module.concatenate(pieces) for name, pieces in parts.items()})

    def tree(self) -> Tree:
        """The tree. Its gradient is gathered into vectors, too."""
        if all(isinstance(vector, np.ndarray) for vector in self.vectors.values()):
            return _cut(self)
        return _differentiable_cut(self)

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple[Layout, tuple[str, ...]]]:
        """As JAX asks it of a pytree."""
        names = tuple(self.vectors)
        return [(jax.tree_util.DictKey(name), self.vectors[name]) for name in names], (self.layout, names)

    @classmethod
    def tree_unflatten(cls, known: tuple[Layout, tuple[str, ...]], vectors: Any) -> "Flat":
        """The inverse."""
        layout, names = known
        return cls(layout, dict(zip(names, vectors, strict=True)))


def _cut(flat: Flat) -> Tree:
    pieces = [
        flat.vectors[dtype][start : start + math.prod(shape)].reshape(shape) for dtype, start, shape in flat.layout.places()
    ]
    return jax.tree.unflatten(flat.layout.structure, pieces)


# Without it the gradient would be the sum of as many zero-padded vectors as there are leaves.
_differentiable_cut = jax.custom_vjp(_cut)
_differentiable_cut.defvjp(lambda flat: (_cut(flat), None), lambda _, cotangents: (Flat.of(cotangents),))


def is_flat(node: Any) -> bool:
    """Whether a node of a tree is a `Flat`."""
    return isinstance(node, Flat)


def flatten(tree: Tree, pieces: Sequence[Tree]) -> Tree:
    """The tree with a `Flat` for every dictionary in it that has the structure of one of the pieces."""
    structures = {jax.tree.structure(piece) for piece in pieces if jax.tree.leaves(piece)}

    def is_piece(node: Any) -> bool:
        return isinstance(node, dict) and jax.tree.structure(node) in structures

    return jax.tree.map(lambda node: Flat.of(node) if is_piece(node) else node, tree, is_leaf=is_piece)


def by_name(tree: Tree) -> Tree:
    """The tree with every `Flat` in it as a tree by name."""
    return jax.tree.map(lambda node: node.tree() if is_flat(node) else node, tree, is_leaf=is_flat)


def host_shapes(tree: Tree) -> Tree:
    """What `by_name(tree)` looks like: for the leaves of a `Flat` NumPy arrays that take no memory, all else as it is."""

    def shapes(node: Any) -> Tree:
        if not is_flat(node):
            return node
        empty = [np.broadcast_to(jnp.zeros((), dtype), shape) for dtype, shape in node.layout.leaves]
        return jax.tree.unflatten(node.layout.structure, empty)

    return jax.tree.map(shapes, tree, is_leaf=is_flat)


def like(pattern: Tree, tree: Tree) -> Tree:
    """The inverse of `by_name`: a tree by name with a `Flat` wherever `pattern` has one."""
    return jax.tree.map(lambda node, part: Flat.of(part) if is_flat(node) else part, pattern, tree, is_leaf=is_flat)

