"""Which block feeds which, read off a traced network for any choice of blocks to look into.

Arrays are followed through every equation. A block that is not looked into is one node. Inside a block that is, the
equations between its blocks become nodes where they say something: attention, resizing, a Fourier transform, any other
counted work, and the places where two paths join.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from jax.extend.core import JaxprEqn, Literal, Var

from radiodiff_jax.reporting.architecture.trace import Block, Network, Path, Shape
from radiodiff_jax.training.flops import equation_flops, parts

Key = tuple[str, ...]
Sources = frozenset[Key]
NONE: Sources = frozenset()

HELPERS = {
    "attend": "Attention: softmax(q kᵀ) v",
    "pool": "Maximum of 2 × 2 pixels",
    "pool_windows": "Mean over windows",
    "resize": "Bilinear resize",
    "resize_aligned": "Bilinear resize",
}
"""Functions that a picture names; what they do happens between modules."""


@dataclass
class Node:
    """A box: `role` is block, outside (a block that is not looked into here), input, output, work or join."""

    key: Key
    role: str
    words: str = ""
    block: Block | None = None
    shape: Shape = ()
    operations: int = 0
    parameters: int = 0


@dataclass
class Graph:
    """Nodes in the order of the run, and edges between them."""

    nodes: dict[Key, Node] = field(default_factory=dict)
    edges: dict[tuple[Key, Key], None] = field(default_factory=dict)

    def reduced(self) -> "Graph":
        """The graph without the arrows that only jump over blocks: those with another way from end to end."""
        following: dict[Key, set[Key]] = {key: set() for key in self.nodes}
        for a, b in self.edges:
            following[a].add(b)
        after: dict[Key, set[Key]] = {}

        def reach(key: Key) -> set[Key]:
            if key not in after:
                after[key] = following[key].union(*map(reach, following[key]))
            return after[key]

        jumps = {(a, b) for a, b in self.edges if any(b in reach(c) for c in following[a] if c != b)}
        return Graph(self.nodes, {edge: None for edge in self.edges if edge not in jumps})

    def keep(self, keys: Iterable[Key]) -> "Graph":
        """The part with some nodes."""
        kept = set(keys)
        return Graph(
            {key: node for key, node in self.nodes.items() if key in kept},
            {edge: None for edge in self.edges if kept.issuperset(edge)},
        )


def graph_of(network: Network, root: Path, look_into: Callable[[Block], bool]) -> Graph:
    """What happens inside the block at `root`, and what it gets from and gives to the blocks around it."""
    reader = Reader(network, root, look_into)
    for path, equation in zip(network.owners, network.jaxpr.eqns, strict=True):
        reader.read(path, equation)
    return reader.finish()


class Reader:
    """Follows the arrays of a traced network, one equation at a time."""

    def __init__(self, network: Network, root: Path, look_into: Callable[[Block], bool]):
        self.network, self.root, self.look_into = network, root, look_into
        self.graph = Graph()
        self.places: dict[Path, Block | None] = {}
        self.sources: dict[Var, Sources] = {}
        self.from_leaf: dict[Path, Sources] = {}
        for variable, name in network.inputs.items():
            self.sources[variable] = self.add(Node(("input", name), "input", name, None, tuple(variable.aval.shape[1:])))

    def add(self, node: Node) -> Sources:
        """Add a node; returns it as a source."""
        self.graph.nodes.setdefault(node.key, node)
        return frozenset([node.key])

    def connect(self, sources: Sources, key: Key) -> None:
        """Add the edges from all sources."""
        for source in sorted(sources, key=list(self.graph.nodes).index):
            if source != key:
                self.graph.edges[source, key] = None

    def leaf(self, path: Path) -> Block | None:
        """The block that is one node and holds `path`; None between such blocks."""
        if path not in self.places:
            block: Block | None = self.network.top
            while block and self.is_open(block):
                inside = [child for child in block.children if child.path == path[: len(child.path)]]
                block = inside[0] if inside else None
            self.places[path] = block
        return self.places[path]

    def is_open(self, block: Block) -> bool:
        """Whether the blocks inside of this one are to be seen."""
        depth = len(block.path)
        if depth <= len(self.root):
            return self.root[:depth] == block.path
        return block.path[: len(self.root)] == self.root and bool(block.children) and self.look_into(block)

    def is_inside(self, path: Path) -> bool:
        """Whether a path lies in the root block."""
        return path[: len(self.root)] == self.root

    def read(self, path: Path, equation: JaxprEqn) -> None:
        """Follow the arrays through one equation."""
        given = [self.sources.get(v, NONE) for v in equation.invars if not isinstance(v, Literal)]
        leaf = self.leaf(path)
        if leaf is not None:
            if leaf.path not in self.graph.nodes:
                role = "block" if self.is_inside(leaf.path) else "outside"
                self.add(Node(leaf.path, role, "", leaf, leaf.outputs[0], leaf.operations, leaf.parameters))
                self.from_leaf[leaf.path] = frozenset([leaf.path])
            out = self.from_leaf[leaf.path]
            for sources in given:
                if sources is not out and sources is not NONE:
                    self.connect(sources, leaf.path)
        else:
            out = NONE.union(*given)
            if out and self.is_inside(path):
                out = self.between(path, equation, given, out)
        for variable in equation.outvars:
            self.sources[variable] = out

    def between(self, path: Path, equation: JaxprEqn, given: list[Sources], everything: Sources) -> Sources:
        """The sources after an equation between blocks: a node of its own, or what it was given."""
        shape = tuple(equation.outvars[0].aval.shape[1:])
        words, count = work_of(equation), equation_flops(equation)
        if words:
            before = [self.graph.nodes[key] for key in everything]
            same = [node for node in before if node.role == "work" and node.words == words and node.key[1:-1] == path]
            node = same[0] if same else Node(self.fresh("work", path), "work", words, None, shape)
            node.shape, node.operations = shape, node.operations + count
            if words == WEIGHTS:
                node.parameters = self.network.top.find(*path).own_parameters
            out = self.add(node)
            self.connect(everything, node.key)
            return out
        if len(everything) == 1:
            before = self.graph.nodes[min(everything)]
            if before.role == "work" and before.words != WEIGHTS and math.prod(before.shape) == math.prod(shape):
                before.shape = shape  # the same numbers in another order
        if equation.primitive.name in JOINS and joins(given):
            node = Node(self.fresh("join", path), "join", JOINS[equation.primitive.name], None, shape)
            out = self.add(node)
            self.connect(everything, node.key)
            return out
        return everything

    def fresh(self, role: str, path: Path) -> Key:
        """A key for a node that has no path."""
        return (role, *path, str(len(self.graph.nodes)))

    def finish(self) -> Graph:
        """Add the outputs, and keep what lies inside the root with its neighbours and leads somewhere."""
        graph = self.graph
        for variable, name in self.network.outputs.items():
            self.add(Node(("output", name), "output", name, None, tuple(variable.aval.shape[1:])))
            self.connect(self.sources.get(variable, NONE), ("output", name))
        inside = {key for key, node in graph.nodes.items() if node.role in ("block", "work", "join")}
        ends = {key for edge in graph.edges if inside.intersection(edge) for key in edge}
        graph = graph.keep(inside | ends)
        graph.edges = {edge: None for edge in graph.edges if inside.intersection(edge)}
        while True:
            leading = {source for source, _ in graph.edges}
            dead = [key for key, node in graph.nodes.items() if node.role in ("work", "join") and key not in leading]
            if not dead:
                return graph
            graph = graph.keep(set(graph.nodes).difference(dead))


WEIGHTS = "Multiply by learned complex weights"
JOINS = {"add": "+", "sub": "−", "concatenate": "side by side"}


def joins(given: list[Sources]) -> bool:
    """Whether two paths meet: sources that differ, none a part of another."""
    sets = [sources for sources in given if sources]
    return any(not (a <= b or b <= a) for a in sets for b in sets)


def work_of(equation: JaxprEqn) -> str:
    """Words for an equation between blocks that deserves a node, or nothing."""
    helper = helper_of(equation)
    if helper:
        return HELPERS[helper]
    name = equation.primitive.name
    inside = {name} | inner_names(equation)
    if "fft" in inside:
        return "Inverse Fourier transform" if is_inverse(equation) else "Fourier transform"
    if name == "mul" and equation.outvars[0].aval.dtype.kind == "c" and all(v.aval.shape for v in equation.invars):
        return WEIGHTS
    return "Matrix product" if equation_flops(equation) else ""


def inner_names(equation: JaxprEqn) -> set[str]:
    """Names of the primitives inside an equation."""
    found = set()
    for part in parts(equation.params):
        for inner in part.eqns:
            found |= {inner.primitive.name} | inner_names(inner)
    return found


def is_inverse(equation: JaxprEqn) -> bool:
    """Whether a Fourier transform leads from a complex to a real array."""
    return equation.outvars[0].aval.dtype.kind != "c"


def helper_of(equation: JaxprEqn) -> str:
    """The function in HELPERS that an equation was made in, called by the module that owns it, or nothing."""
    traceback = equation.source_info.traceback
    for frame in traceback.frames if traceback else ():
        names = frame.function_name.split(".")
        found = [name for name in names if name in HELPERS]
        if found:
            return found[0]
        if names[-1] == "__call__":
            return ""
    return ""
