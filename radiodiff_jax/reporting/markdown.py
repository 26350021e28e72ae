"""Markdown of the site's pages: tables, figures that follow the light and dark switch, diagrams, notes, numbers."""

import html
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from radiodiff_jax.files import write_text
from radiodiff_jax.units import DB_PER_GAIN


def plain(text: object) -> str:
    """Text that Markdown and HTML leave as it is, on one line."""
    escaped = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"[\\`*_{}\[\]#|$]", lambda found: f"&#{ord(found[0])};", escaped)


def slug(name: str, otherwise: str) -> str:
    """A name for a page's folder: lower-case letters, digits and hyphens; `otherwise` where nothing is left."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or otherwise


def as_text(name: str) -> str:
    """A name of a file for pages and figures: bytes in it that are no text become their escapes."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def counted(number: int, noun: str, plural: str = "") -> str:
    """`1 run`, `2 runs`, `1,000 runs`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 1) -> str:
    """A table; columns from `numbers_from` on are set flush right. Cells are Markdown already: use `plain`.

    Not by tabulate: it pads every cell to the width of its column, which makes our tables 73 % longer."""
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
    """A box: kind is `note`, `tip`, `warning`, `danger` or `success`. The title is plain text, the body Markdown."""
    lines = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
    return f'!!! {kind} "{plain(title).replace(chr(34), chr(39))}"\n' + (f"\n{lines}" if body else "")


def page(title: str, *parts: str, description: str = "") -> str:
    """A page: its title as the one first-level heading, then the parts with a blank line between."""
    front = f"---\ndescription: {html.escape(description)!r}\n---\n\n" if description else ""
    return front + "\n\n".join([f"# {title}", *(part.strip("\n") for part in parts if part.strip())]) + "\n"


def write_page(path: Path, text: str) -> bool:
    """Write the page if it differs from what is there (a watching server reloads only then); true if it did."""
    if path.is_file() and path.read_bytes() == text.encode():
        return False
    write_text(path, text)
    return True


def number(value: float | None, digits: int = 4) -> str:
    """A number to `digits` significant ones; whole numbers whole; "-" for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.{digits}g}"


def code(text: object) -> str:
    """Text as Markdown code, on one line, safe inside a table."""
    return "`" + re.sub(r"[`|\s]+", " ", str(text)) + "`"


def capital(text: str) -> str:
    """The first letter as a capital, the rest as it is."""
    return text[:1].upper() + text[1:]


def percent(share: float) -> str:
    """A share in whole per cent."""
    return f"{100 * share:.0f} %"


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{int(value):,}"


def decibels(rmse: float) -> str:
    """An error in gain as dB."""
    return f"{rmse * DB_PER_GAIN:.2f} dB"


def duration(seconds: float | None) -> str:
    """`3.2 s`, `45 s`, `12 min 5 s`, `3 h 12 min`, `2 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    total = round(seconds)
    for size, unit, part, smaller in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if total >= size:
            rest = total % size // part
            return f"{total // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{total} s"


def fenced(language: str, text: str) -> str:
    """Text as a block of code, behind a fence longer than any in it."""
    longest = max(map(len, re.findall("`+|~+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def moment(time: str | float | None) -> str:
    """An ISO time or seconds since 1970 as `2026-11-23 09:47 UTC`."""
    if time is None or isinstance(time, bool) or not isinstance(time, (str, int, float)):
        return "an unknown time"
    try:
        when = datetime.fromisoformat(time) if isinstance(time, str) else datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if when.tzinfo else when.strftime("%Y-%m-%d %H:%M")


UNCHANGED = 0.01  # a smaller relative change counts as none


def change(before: float, after: float) -> str:
    """`fell by 12 %`, `rose by 3.4 %`, `stayed within 1 %`."""
    if before <= 0 or after <= 0:
        return f"went from {number(before, 3)} to {number(after, 3)}"
    relative = after / before - 1
    if abs(relative) < UNCHANGED:
        return f"stayed within {percent(UNCHANGED)}"
    return f"{'rose' if relative > 0 else 'fell'} by {number(100 * abs(relative), 2)} %"
