"""Diagram and table of one part of a network, the same on every page."""

from collections.abc import Callable, Iterable, Mapping

from radiodiff_jax.reporting.architecture.diagram import diagram_of
from radiodiff_jax.reporting.architecture.graph import Graph, graph_of
from radiodiff_jax.reporting.architecture.trace import Block, Network, Path
from radiodiff_jax.reporting.architecture.words import count, size, title, work
from radiodiff_jax.reporting.markdown import mermaid, plain, table

HEAD = ("block", "module", "in", "out", "parameters", "share", "work")


def part(
    network: Network, root: Path, opened: Iterable[str] = (), links: Mapping[str, str] | None = None,
    rows: bool = False, direction: str = "TD", reduced: bool = False,
) -> str:  # fmt: skip
    """Diagram of the block at `root` with the blocks of the classes `opened` looked into, and the table below it."""
    graph = graph_of(network, root, looking_into(opened))
    drawn = diagram_of(graph.reduced() if reduced else graph, links, rows, direction)
    return f"{mermaid(drawn.source())}\n{block_table(graph, network.top.find(*root))}"


def looking_into(kinds: Iterable[str]) -> Callable[[Block], bool]:
    """Whether a block is of one of some classes."""
    known = set(kinds)
    return lambda block: block.kind in known


def block_table(graph: Graph, whole: Block) -> str:
    """Every block inside of `whole`, in the order of the run, and their sum."""
    rows = []
    parameters, operations = whole.parameters, whole.operations
    for node in graph.nodes.values():
        if node.role not in ("block", "work"):
            continue
        block = node.block
        path = "/".join(block.path[len(whole.path) :]) if block else ""
        rows.append(
            row(title(block) if block else node.words, path, block.inputs if block else (), (node.shape,), node.parameters,
                whole.parameters, node.operations)
        )  # fmt: skip
        parameters, operations = parameters - node.parameters, operations - node.operations
    if parameters or operations:
        rows.append(row("Between the blocks", "", (), (), parameters, whole.parameters, operations))
    total = [f"**{cell}**" if cell else "" for cell in ("Sum", "", "", "", f"{whole.parameters:,}", "", work(whole.operations))]
    return table(HEAD, [*rows, total], 4)


def row(words: str, path: str, inputs: tuple, outputs: tuple, parameters: int, whole: int, operations: int) -> list[str]:
    """One line of a table of blocks."""
    share = f"{100 * parameters / whole:.1f} %" if parameters else ""
    code = f"`{path}`" if path else ""
    return [plain(words), code, listed(inputs), listed(outputs), f"{parameters:,}" if parameters else "", share, work(operations)]


def listed(shapes: tuple) -> str:
    """Sizes of some arrays, equal ones once."""
    return "; ".join(dict.fromkeys(map(size, shapes)))


def facts(rows: Iterable[tuple[str, str]]) -> str:
    """A table of two columns."""
    return table(("what", "value"), [[plain(name), value] for name, value in rows], 1)


def summary(block: Block) -> str:
    """Parameters and work of a block in words."""
    return f"{count(block.parameters)} parameters, {work(block.operations)} a map"
