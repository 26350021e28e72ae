"""A graph of blocks as a Mermaid flowchart: boxes with name, size, parameters and work, rows for levels, links."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from radiodiff_jax.reporting.architecture.graph import Graph, Key, Node
from radiodiff_jax.reporting.architecture.words import SPACE, TIMES, count, short, size, stem, title, work
from radiodiff_jax.reporting.style import BLUE, GREEN, MUTED, OCHRE, PURPLE, VERMILION

FILLS = {
    "layer": BLUE, "attention": PURPLE, "fourier": VERMILION, "norm": MUTED, "join": MUTED, "terminal": GREEN,
    "outside": MUTED, "step": OCHRE,
}  # fmt: skip
MANY = 4  # a source that feeds more blocks than this is said in words at each of them


@dataclass
class Box:
    """One box: lines of its label, the class that colours it, the row it stands in, the page that it leads to."""

    lines: list[str]
    style: str = "layer"
    row: str = ""
    link: str = ""
    shape: str = "box"


@dataclass
class Diagram:
    """Boxes by name, arrows (from, to, words), and titles of rows."""

    boxes: dict[str, Box] = field(default_factory=dict)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)
    rows: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, *lines: str, **options: str) -> str:
        """Add a box; returns its name."""
        self.boxes[name] = Box([line for line in lines if line], **options)
        return name

    def chain(self, *names: str, words: str = "") -> None:
        """Arrows from each box to the next."""
        self.arrows += [(a, b, words) for a, b in zip(names, names[1:], strict=False)]

    def source(self) -> str:
        """The Mermaid text."""
        lines = ['%%{init: {"flowchart": {"wrappingWidth": 320, "nodeSpacing": 34, "rankSpacing": 34}}}%%',
                 "flowchart TD"]  # fmt: skip
        for row in dict.fromkeys(box.row for box in self.boxes.values()):
            members = {name: box for name, box in self.boxes.items() if box.row == row}
            drawn = [f"{identifier(name)}{framed(box)}:::{box.style}" for name, box in members.items()]
            if row:
                drawn = [f'subgraph {identifier(row)}["{escape(self.rows[row])}"]', "  direction LR",
                         *(f"  {line}" for line in drawn), "end"]  # fmt: skip
            lines += drawn
        lines += [f"{identifier(a)} -->{f'|{quoted(words)}|' if words else ''} {identifier(b)}" for a, b, words in self.between()]
        lines += [f'click {identifier(name)} "{box.link}"' for name, box in self.boxes.items() if box.link]
        used = dict.fromkeys(box.style for box in self.boxes.values())
        lines += [f"classDef {style} {paint(style)}" for style in used]
        return "\n".join([*lines[:2], *(f"  {line}" for line in lines[2:])]) + "\n"

    def between(self) -> list[tuple[str, str, str]]:
        """The arrows; those that leave a row lead from the row itself, so that Mermaid keeps it in one line."""
        found = {}
        for a, b, words in self.arrows:
            rows = [self.boxes[name].row for name in (a, b)]
            if rows[0] != rows[1]:
                a, b = (row or name for row, name in zip(rows, (a, b), strict=True))
            found[a, b, words] = None
        return list(found)


def paint(style: str) -> str:
    """The look of a class of boxes, for light and dark pages alike."""
    colour = FILLS[style]
    dashes = ",stroke-dasharray:4 3" if style == "outside" else ""
    return f"fill:{colour}22,stroke:{colour},stroke-width:1.5px{dashes}"


def framed(box: Box) -> str:
    """The label in the brackets that give a box its shape."""
    text = quoted("<br/>".join([f"<b>{escape(box.lines[0])}</b>", *map(escape, box.lines[1:])]), escaped=True)
    return {"box": "[{}]", "round": "([{}])", "circle": "(({}))"}[box.shape].format(text)


def quoted(text: str, escaped: bool = False) -> str:
    """Text in quotation marks."""
    return f'"{text if escaped else escape(text)}"'


def escape(text: str) -> str:
    """Text without the characters that Mermaid reads as its own."""
    codes = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "`": "#96;", ";": "#59;"}
    return "".join(codes.get(letter, letter) for letter in text)


def identifier(name: str) -> str:
    """A name that Mermaid takes; two names stay two."""
    return "n_" + re.sub(r"[^A-Za-z0-9]", lambda found: f"_{ord(found[0]):x}_", name)


def diagram_of(graph: Graph, links: Mapping[str, str] | None = None, rows: bool = False) -> Diagram:
    """A graph as boxes: equal neighbours are one box, sources of many blocks are named in them.

    `links` maps a block's path, `a/b`, to a page. With `rows` the blocks of a level, or of a
    block that is looked into, stand in one line; this needs a graph whose levels form one chain.
    """
    graph, spoken = without_broadcasts(graph)
    graph, members = folded(graph, lists=not rows)
    diagram = Diagram()
    for key, node in graph.nodes.items():
        name = "/".join(key)
        row = row_of(key) if rows and node.role == "block" else ""
        lines = label(node, members.get(key, [node]))
        told = [f"and the {word}" for word in spoken.get(key, [])]
        diagram.boxes[name] = Box(lines + told, style_of(node), row, (links or {}).get(name, ""), shape_of(node))
        if row:
            diagram.rows.setdefault(row, row_title(row, node))
    diagram.arrows = [("/".join(a), "/".join(b), "") for a, b in graph.edges]
    lonely = {box.row for box in diagram.boxes.values()} - {""}
    for row in lonely:
        members = [box for box in diagram.boxes.values() if box.row == row]
        if len(members) == 1:
            members[0].row = ""
    return diagram


def label(node: Node, members: list[Node]) -> list[str]:
    """Lines of a box that stands for one node or for some that were folded into it."""
    if node.role == "join":
        return [node.words]
    if node.role in ("input", "output"):
        return [node.words[:1].upper() + node.words[1:], size(node.shape)]
    if node.role == "outside" and node.block:
        return [short(node.block)]
    facts = [count(node.parameters) if node.parameters else "", work(node.operations)]
    sizes = dict.fromkeys(size(each.shape) for each in (members[0], members[-1]))
    return [heading(node, len(members)), " to ".join(sizes), " · ".join(filter(None, facts))]


def style_of(node: Node) -> str:
    """The class of a node."""
    if node.role in ("join", "outside"):
        return node.role
    if node.role in ("input", "output"):
        return "terminal"
    text = node.block.kind if node.block else node.words
    for part, style in (("NormalisedConvolution", "layer"), ("Norm", "norm"), ("Attention", "attention"), ("Relation", "attention"),
                        ("Swin", "attention"), ("Fourier", "fourier"), ("complex", "fourier")):  # fmt: skip
        if part in text:
            return style
    return "layer"


def shape_of(node: Node) -> str:
    """The outline of a node."""
    if node.role == "join" and len(node.words) == 1:
        return "circle"
    return "box" if node.role in ("block", "work") else "round"


def row_title(row: str, first: Node) -> str:
    """What stands above a row."""
    name = row.rsplit("/", 1)[-1]
    kind, _, place = name.partition("_")
    height, width = (first.block.inputs[0] if first.block else first.shape)[:2]
    words = {"down": "Level", "up": "Level"}.get(kind, kind.capitalize())
    return f"{words} {int(place) + 1}, {height} {TIMES} {width}" if place else f"{words}, {height} {TIMES} {width}"


def without_broadcasts(graph: Graph) -> tuple[Graph, dict[Key, list[str]]]:
    """The graph without arrows from sources that feed many blocks, and what each block is therefore told in words."""
    fed: dict[Key, list[Key]] = {}
    for a, b in graph.edges:
        fed.setdefault(a, []).append(b)
    spoken: dict[Key, list[str]] = {}
    for source, targets in fed.items():
        node = graph.nodes[source]
        if len(targets) > MANY and node.block and node.block.kind == "TimeEmbedding":
            for target in targets:
                spoken.setdefault(target, []).append("time vector")
    silent = {a for a in fed if graph.nodes[a].block and graph.nodes[a].block.kind == "TimeEmbedding" and len(fed[a]) > MANY}
    kept = {edge: None for edge in graph.edges if edge[0] not in silent}
    told = {key for key in silent if graph.nodes[key].role == "outside"}
    return Graph({key: node for key, node in graph.nodes.items() if key not in told}, kept), spoken


# ---- equal blocks drawn once ----


def folded(graph: Graph, lists: bool) -> tuple[Graph, dict[Key, list[Node]]]:
    """The graph with equal neighbours as one node, and the nodes that each such node stands for.

    With `lists`, blocks of a list (`name_0`, `name_1`) with the same words and sources are one node too, whatever their sizes.
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
            first = known.setdefault((key[:-1], stem(key[-1]), title(node.block), tuple(before)), key)
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
