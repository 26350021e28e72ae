"""The reference of the site: `::: MODULE` on a page becomes the docstrings of that module (and its submodules) as Markdown.

A line `    without: NAME, NAME` below it leaves submodules out, which another page holds. Read from the source by `ast`, so that
nothing is imported. What has no docstring or begins with `_` is private. Every name has its full path as anchor:
`#radiodiff_jax.units.gain_to_db`.
"""

import ast
import html
import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

DIRECTIVE = re.compile(r"^::: ([\w.]+)\n(?: +without: (.+)\n)?", re.MULTILINE)
LINE_LENGTH = 96
ASSIGNMENTS = tuple(getattr(ast, kind) for kind in ("Assign", "AnnAssign", "TypeAlias") if hasattr(ast, kind))  # the last: 3.12
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Described(NamedTuple):
    """A public name: its path, how it is written, its docstring, how deep it is below its module."""

    path: str
    signature: str
    docstring: str
    depth: int


def write_out(markdown: str, root: Path) -> str:
    """A page with every directive replaced; `root` is the folder that the package `radiodiff_jax` lies in."""

    def texts(found: re.Match) -> str:
        without = re.split(r",\s*", found[2] or "")
        for name in filter(None, without):
            module_file(f"{found[1]}.{name}", root)
        return "\n".join(module_text(name, root) for name in modules(found[1], root, without))

    return DIRECTIVE.sub(texts, markdown + "\n")


def modules(name: str, root: Path, without: Sequence[str] = ()) -> Iterator[str]:
    """A module and, of a package, all below it, by name, but for those `without`."""
    yield name
    folder = root.joinpath(*name.split("."))
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            child = path.stem if path.suffix == ".py" else path.name if (path / "__init__.py").is_file() else "_"
            if not child.startswith("_") and child not in without:
                yield from modules(f"{name}.{child}", root)


def module_file(name: str, root: Path) -> Path:
    """The file of a module or package. Raises FileNotFoundError where there is none, which ends a build."""
    path = root.joinpath(*name.split("."))
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    if not found.is_file():
        raise FileNotFoundError(f"the reference names {name}, which has no file {found}; correct the page or the name")
    return found


def module_text(name: str, root: Path) -> str:
    """The Markdown of one module; nothing for one that has neither a docstring nor public names."""
    path = module_file(name, root)
    return text_of_file(name, path, path.stat().st_mtime_ns)


@cache  # pages and the search both ask
def text_of_file(name: str, path: Path, changed: int) -> str:
    """As `module_text`, of the module in a file that was changed then."""
    tree = ast.parse(path.read_text())
    found = list(public(tree.body, name, 1))
    about = ast.get_docstring(tree)
    if not found and not about:
        return ""
    parts = [f"## `{name}` {{ #{name} }}", about or ""]
    for one in found:
        level = "#" * (2 + min(one.depth, 2))
        parts += [f"{level} `{one.path.rsplit('.', 1)[-1]}` {{ #{one.path} }}", signature_block(one.signature), one.docstring]
    return "\n\n".join(part for part in parts if part) + "\n"


def public(body: list[ast.stmt], path: str, depth: int) -> Iterator[Described]:
    """The public names of a module or class with docstrings, in the order of the source."""
    for node, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and (about := ast.get_docstring(node)):
            bases = ", ".join(map(ast.unparse, node.bases))
            yield Described(f"{path}.{node.name}", f"class {node.name}{f'({bases})' if bases else ''}", about, depth)
            yield from public(node.body, f"{path}.{node.name}", depth + 1)
        elif isinstance(node, Function) and not node.name.startswith("_") and (about := ast.get_docstring(node)):
            yield Described(f"{path}.{node.name}", function_signature(node), about, depth)
        elif isinstance(node, ASSIGNMENTS):
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", getattr(node, "name", None))
            about = documented(following)
            if isinstance(target, ast.Name) and not target.id.startswith("_") and about:
                kind = f": {ast.unparse(node.annotation)}" if isinstance(node, ast.AnnAssign) else ""
                yield Described(f"{path}.{target.id}", f"{target.id}{kind}", about, depth)


def documented(following: ast.stmt | None) -> str:
    """The docstring of an assignment: a string that stands alone right below it."""
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant) and isinstance(following.value.value, str):
        return inspect.cleandoc(following.value.value)
    return ""


def function_signature(node: Function) -> str:
    """`name(arguments) -> answer`, an argument a line where it is long."""
    marks = {ast.unparse(one).rsplit(".", 1)[-1] for one in node.decorator_list}
    head = "".join(f"@{mark}\n" for mark in ("property", "classmethod", "staticmethod") if mark in marks)
    answer = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    arguments = ast.unparse(node.args)
    whole = f"{node.name}({arguments}){answer}"
    if len(whole) > LINE_LENGTH:
        whole = f"{node.name}(\n" + "".join(f"    {one},\n" for one in split_arguments(arguments)) + f"){answer}"
    return head + whole


def split_arguments(text: str) -> list[str]:
    """`a: dict[str, int], b=(1, 2)` -> [`a: dict[str, int]`, `b=(1, 2)`]: at commas outside brackets and strings."""
    parts, depth, quote, begin = [], 0, "", 0
    for place, letter in enumerate(text):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and not depth:
            parts.append(text[begin:place].strip())
            begin = place + 1
    return [*parts, text[begin:].strip()]


def signature_block(text: str) -> str:
    """A signature as plain code; highlighting two thousand of them took most of the time of a build."""
    return f'<pre class="signature"><code>{html.escape(text, quote=False)}</code></pre>'
