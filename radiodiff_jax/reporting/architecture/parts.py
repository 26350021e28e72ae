"""Diagram and table of one part of a network, the same on every page."""

from collections.abc import Callable, Iterable, Mapping

from radiodiff_jax.reporting.architecture.diagram import diagram_of, folded, heading
from radiodiff_jax.reporting.architecture.graph import Graph, Node, graph_of
from radiodiff_jax.reporting.architecture.trace import Block, Network, Path, Shape
from radiodiff_jax.reporting.architecture.words import SPACE, count, size, work
from radiodiff_jax.reporting.markdown import mermaid, plain, table

HEAD = ("block, module", "in", "out", "parameters", "share", "work")
MOST = 2  # sizes named in a cell


def part(
    network: Network, root: Path, opened: Iterable[str] = (), links: Mapping[str, str] | None = None,
    rows: bool = False, reduced: bool = False,
) -> str:  # fmt: skip
    """Diagram of the block at `root` with the blocks of the classes `opened` looked into, and the table below it."""
    graph = graph_of(network, root, looking_into(opened))
    drawn = diagram_of(graph.reduced() if reduced else graph, links, rows)
    return f"{mermaid(drawn.source())}\n{block_table(graph, network.top.find(*root))}"


def looking_into(kinds: Iterable[str]) -> Callable[[Block], bool]:
    """Whether a block is of one of some classes."""
    known = set(kinds)
    return lambda block: block.kind in known


def block_table(graph: Graph, whole: Block) -> str:
    """Every block inside of `whole`, in the order of the run, and their sum."""
    rows = []
    parameters, operations = whole.parameters, whole.operations
    graph, members = folded(graph, lists=False)
    for key, node in graph.nodes.items():
        if node.role not in ("block", "work"):
            continue
        same = members.get(key, [node])
        paths = ["/".join(each.block.path[len(whole.path) :]) for each in (same[0], same[-1]) if each.block]
        inputs = node.block.inputs if node.block else ()
        rows.append(row(heading(node, len(same)), paths, inputs, node, whole.parameters))
        parameters, operations = parameters - node.parameters, operations - node.operations
    if parameters or operations:
        rest = Node((), "work", parameters=parameters, operations=operations)
        rows.append(row("Between the blocks", [], (), rest, whole.parameters))
    total = [f"**{cell}**" if cell else "" for cell in ("Sum", "", "", f"{whole.parameters:,}", "", work(whole.operations))]
    return table(HEAD, [*rows, total], 3)


def row(words: str, paths: list[str], inputs: tuple[Shape, ...], node: Node, whole: int) -> list[str]:
    """One line of a table of blocks; `paths` are those of the first and of the last block that it stands for."""
    name = plain(words) + "".join(f"<br>{'' if place == 0 else 'to '}`{path}`" for place, path in enumerate(dict.fromkeys(paths)))
    parameters, share = "", ""
    if node.parameters:
        parameters, share = f"{node.parameters:,}", f"{100 * node.parameters / whole:.1f}{SPACE}%"
    return [name, listed(inputs), size(node.shape) if node.shape else "", parameters, share, work(node.operations)]


def listed(shapes: tuple[Shape, ...]) -> str:
    """Sizes of some arrays, equal ones once, and how many more there are."""
    sizes = list(dict.fromkeys(map(size, shapes)))
    more = [f"and {len(sizes) - MOST} more"] if len(sizes) > MOST else []
    return "<br>".join(sizes[:MOST] + more)


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns."""
    return table(("what", "value"), [[plain(name), value] for name, value in rows], 1)


def summary(block: Block) -> str:
    """Parameters and work of a block in words."""
    return f"{count(block.parameters)} parameters, {work(block.operations)} a map"
