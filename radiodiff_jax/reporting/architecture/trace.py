"""A network as a tree of blocks, from one abstract run of its initialisation: nothing is computed, nothing allocated.

Flax names the scope of every module call, and JAX keeps that name with every equation; so each operation is counted at
the module that did it, and parameters come from the very tree that training starts from.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any

import jax
from flax import linen as nn
from jax.extend.core import Jaxpr, Var

from radiodiff_jax.models.initialisers import shapes_only
from radiodiff_jax.training.flops import equation_flops

Path = tuple[str, ...]
Shape = tuple[int, ...]  # without the batch


@dataclass(frozen=True)
class Block:
    """One module call. Parameters and operations (of one map) include those of the blocks inside; `own_*` do not."""

    path: Path
    kind: str
    settings: dict[str, Any]
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    dtype: str
    parameters: int
    operations: int
    own_parameters: int
    own_operations: int
    children: tuple["Block", ...] = field(repr=False, default=())

    def find(self, *path: str) -> "Block":
        """The block inside this one at a relative path. Raises KeyError where there is none."""
        block = self
        for name in path:
            found = [child for child in block.children if child.path[-1] == name]
            if not found:
                raise KeyError(f"{'/'.join(self.path)} has no block {'/'.join(path)}")
            block = found[0]
        return block


@dataclass(frozen=True)
class Network:
    """A traced network: its blocks, and its equations with the path of the block that each belongs to."""

    top: Block
    jaxpr: Jaxpr = field(repr=False)
    owners: list[Path] = field(repr=False)
    inputs: dict[Var, str] = field(repr=False)
    outputs: dict[Var, str] = field(repr=False)

    def operations_of(self, method: str) -> int:
        """Operations of a method of the outermost module, such as "encode_condition"."""
        scope = f".{method}/"
        return sum(equation_flops(e) for e in self.jaxpr.eqns if scope in f"{e.source_info.name_stack}/")


def trace(
    module: nn.Module, arguments: dict[str, Any], outputs: tuple[str, ...] = (),
    prepare: Callable[..., tuple] = lambda *given: given,
) -> Network:  # fmt: skip
    """Trace `module(*prepare(*arguments))`; names are for the reader. Without `outputs` the result is a dictionary of them.

    Arrays are given as shapes with a batch of one.
    """
    inputs = {name: value for name, value in arguments.items() if isinstance(value, jax.ShapeDtypeStruct)}
    calls: dict[Path, tuple[nn.Module, list, list]] = {}

    def listen(call, args, kwargs, context):
        """Keep the first call of every module, in the order in which they begin."""
        path = tuple(context.module.path)
        if context.method_name != "__call__" or path in calls:
            return call(*args, **kwargs)
        calls[path] = (context.module, jax.tree.leaves((args, kwargs)), [])
        result = call(*args, **kwargs)
        calls[path][2].extend(jax.tree.leaves(result))
        return result

    def run(key, *arrays):
        with nn.intercept_methods(listen), shapes_only():
            given = arguments | dict(zip(inputs, arrays, strict=True))
            return module.init_with_output({"params": key}, *prepare(*given.values()))

    jaxpr, (result, variables) = jax.make_jaxpr(run, return_shape=True)(jax.random.key(0), *inputs.values())
    paths = set(calls)
    of_scope = cache(lambda scope: owner(scope, paths))
    owners = [of_scope(str(equation.source_info.name_stack)) for equation in jaxpr.jaxpr.eqns]
    work: Counter[Path] = Counter()
    for path, equation in zip(owners, jaxpr.jaxpr.eqns, strict=True):
        work[path] += equation_flops(equation)
    weights: Counter[Path] = Counter()
    for place, leaf in jax.tree_util.tree_leaves_with_path(variables["params"]):
        weights[tuple(part.key for part in place[:-1])] += leaf.size
    below: dict[Path, list[Path]] = {}
    for path in filter(None, calls):
        below.setdefault(path[:-1], []).append(path)
    return Network(
        grow((), calls, below, weights, work),
        jaxpr.jaxpr,
        owners,
        dict(zip(jaxpr.jaxpr.invars[1:], inputs, strict=True)),
        dict(zip(jaxpr.jaxpr.outvars, outputs or sorted(result), strict=False)),
    )


def owner(scope: str, paths: set[Path]) -> Path:
    """The path of the innermost module that a name stack such as `UNetNetwork/UNetNetwork.denoise/norm` lies in."""
    path: Path = ()
    for name in (part.partition(".")[0] for part in scope.split("/")):
        if (*path, name) in paths:
            path = (*path, name)
    return path


def grow(
    path: Path, calls: dict[Path, tuple], below: dict[Path, list[Path]], weights: Counter[Path], work: Counter[Path]
) -> Block:
    """The block at `path` with all blocks inside, those `below` it in the order of their calls."""
    module, arguments, results = calls[path]
    children = tuple(grow(child, calls, below, weights, work) for child in below.get(path, ()))
    return Block(
        path,
        type(module).__name__,
        {item.name: getattr(module, item.name) for item in fields(module) if item.name not in ("parent", "name")},
        shapes(arguments),
        shapes(results),
        str(results[0].dtype),
        weights[path] + sum(child.parameters for child in children),
        work[path] + sum(child.operations for child in children),
        weights[path],
        work[path],
        children,
    )


def shapes(leaves: list) -> tuple[Shape, ...]:
    """The shapes of all arrays, without their first axis."""
    return tuple(tuple(leaf.shape[1:]) for leaf in leaves if hasattr(leaf, "shape"))
