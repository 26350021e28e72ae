"""Which parameters of a network are trained, by patterns of their names; the others stay as they are, bit for bit."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from flax import traverse_util

from radiodiff_jax.errors import UserError, nearest

Tree = Any


def trained_names(names: Iterable[str], patterns: Sequence[str]) -> tuple[str, ...]:
    """The parameters ("module/.../kernel") that a pattern names, or whose module it names; all without patterns.

    A pattern may hold * (anything), ? and [abc]. Raises UserError, which lists the modules, for one that names nothing.
    """
    names = sorted(names)
    if not patterns:
        return tuple(names)
    found: set[str] = set()
    for pattern in patterns:
        named = {name for name in names if fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}/*")}
        if not named:
            modules = sorted({name.split("/")[0] for name in names})
            raise UserError(
                f"optimizer.train_only names '{pattern}', which is no parameter of the network; name one of its modules "
                f"({', '.join(modules)}), or more with *{nearest(pattern, modules)}"
            )
        found |= named
    return tuple(sorted(found))


def divide(params: Tree, trained: Sequence[str]) -> tuple[Tree, Tree]:
    """(trained, fixed) parameters as flat mappings by name; together they are `params`."""
    flat = traverse_util.flatten_dict(params, sep="/")
    return {name: flat[name] for name in trained}, {name: leaf for name, leaf in flat.items() if name not in set(trained)}


def unite(trained: Tree, fixed: Tree) -> Tree:
    """The inverse of `divide`."""
    return traverse_util.unflatten_dict(trained | fixed, sep="/")
