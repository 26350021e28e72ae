"""Markdown of the site's pages: tables, figures that follow the light and dark switch, diagrams, notes."""

import html
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from radiodiff_jax.files import write_text


def plain(text: object) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"[\\`*_{}\[\]#|$]", lambda found: f"&#{ord(found[0])};", escaped)


def slug(name: str, otherwise: str) -> str:
    """A name for a page's folder: lower-case letters, digits and hyphens; `otherwise` where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or otherwise


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `2 runs`, `1,000 runs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1) -> str:
    """A table; columns from `numbers_from` on are set flush right. Cells are Markdown already: use `plain`."""
    rule = ["---" if column < numbers_from else "---:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows)) + "\n"


def figure(stem: str | PurePosixPath, alternative: str, caption: str = "", kind: str = "svg") -> str:
    """The picture pair `stem`.light.`kind` and `stem`.dark.`kind` with its text for those who cannot see it."""
    pair = "".join(
        f'![{plain(alternative)}]({stem}.{variant}.{kind}#only-{variant}){{ loading="lazy" }}'
        for variant in ("light", "dark")
    )
    return f"{pair}\n" + (f"\n*{caption}*{{ .caption }}\n" if caption else "")


def mermaid(source: str) -> str:
    """A Mermaid diagram."""
    return f"```mermaid\n{source.rstrip()}\n```\n"


def note(kind: str, title: str, body: str = "") -> str:
    """A box: kind is `note`, `tip`, `warning`, `danger` or `success`."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    return f'!!! {kind} "{title.replace(chr(34), chr(39))}"\n' + (f"\n{lines}" if body else "")


def page(title: str, *parts: str, description: str = "") -> str:
    """A whole page: its title as the one first-level heading, then the parts with a blank line between."""
    front = f"---\ndescription: {html.escape(description)!r}\n---\n\n" if description else ""
    return front + "\n\n".join([f"# {title}", *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def write_page(path: Path, text: str) -> bool:
    """Write the page if it differs from what is there (a watching server reloads only then); true if it did."""
    if path.exists() and path.read_text() == text:
        return False
    write_text(path, text)
    return True
