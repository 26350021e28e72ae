"""Equal blocks drawn once."""

import re
from collections.abc import Sequence
from dataclasses import replace

from radiodiff_jax.reporting.architecture.graph import Graph, Key, Node
from radiodiff_jax.reporting.architecture.words import SPACE, TIMES, stem, title


def folded(graph: Graph, lists: bool) -> tuple[Graph, dict[Key, list[Node]]]:
    """The graph with equal neighbours as one node, and the nodes that each such node stands for.

    With `lists`, blocks of a list (`name_0`, `name_1`) with the same sources are one node too, whatever their sizes.
    Parameters and operations are summed.
    """
    out: dict[Key, list[Key]] = {}
    given: dict[Key, list[Key]] = {}
    for a, b in graph.edges:
        out.setdefault(a, []).append(b)
        given.setdefault(b, []).append(a)
    into: dict[Key, Key] = {}
    members: dict[Key, list[Node]] = {}
    known: dict[tuple, Key] = {}
    for key, node in graph.nodes.items():
        if node.role != "block" or not node.block:
            continue
        before, first = given.get(key, []), key
        if len(before) == 1 and len(out[before[0]]) == 1 and are_equal(graph.nodes[before[0]], node):
            first = into.get(before[0], before[0])
        elif lists and re.search(r"_\d+$", key[-1]):
            first = known.setdefault((key[:-1], stem(key[-1]), node.block.kind, tuple(before)), key)
        if first != key:
            into[key] = first
            members.setdefault(first, [graph.nodes[first]]).append(node)
    nodes = {key: summed(members.get(key, [node])) for key, node in graph.nodes.items() if key not in into}
    edges = {(into.get(a, a), into.get(b, b)): None for a, b in graph.edges}
    return Graph(nodes, {edge: None for edge in edges if edge[0] != edge[1]}), members


def summed(nodes: Sequence[Node]) -> Node:
    """The first of some nodes with the sums of all."""
    return replace(
        nodes[0], parameters=sum(node.parameters for node in nodes), operations=sum(node.operations for node in nodes)
    )


def heading(node: Node, many: int) -> str:
    """A node in words, with the number of nodes that it stands for."""
    words = title(node.block) if node.block else node.words
    return f"{words}{SPACE}{TIMES}{SPACE}{many}" if many > 1 else words


def are_equal(one: Node, other: Node) -> bool:
    """Whether two neighbours look the same from outside, and stand in one row."""
    if not (one.role == other.role == "block" and one.block and other.block):
        return False
    plain = [replace(block, path=(), settings={}, children=(), dtype="") for block in (one.block, other.block)]
    return plain[0] == plain[1] and one.key[:-1] == other.key[:-1] and row_of(one.key) == row_of(other.key)


def row_of(key: Key) -> str:
    """The level (`down_0`), layer or opened block that a block belongs to, or nothing."""
    found = re.match(r"(down|up|convolution|norm)_(\d+)", key[-1])
    if not found:
        return "/".join(key[:-1]) if key[-2:-1] == ("middle",) else ""
    kind = "layer" if found[1] in ("convolution", "norm") else found[1]
    return "/".join([*key[:-1], f"{kind}_{found[2]}"])
