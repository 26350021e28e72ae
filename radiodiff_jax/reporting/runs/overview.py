"""runs/index.md: every run on a line."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from radiodiff_jax.reporting.markdown import counted, page, plain, table, write_page
from radiodiff_jax.reporting.runs.card import Card
from radiodiff_jax.reporting.runs.words import KINDS, PHASE_SHORT, count, moment, number

HEAD = ["run", "trains", "state", "phase", "steps", "of", "best RMSE (gain)", "best SSIM", "last loss", "time (h)",
        "speed (examples/s)", "last line"]  # fmt: skip


def write_index(cards: list[Card], folder: Path) -> bool:
    """Write the table of all runs, the newest first; true if it changed."""
    if not cards:
        return False
    newest = sorted(cards, key=lambda card: -card["written"])
    states = ", ".join(f"{number} {word}" for word, number in tally(card["state"] for card in cards).items())
    parts = [
        f"{counted(len(cards), 'run')}: {states}. Every page is made from the files of its run; "
        "`python -m experiments.report` makes those anew whose files have changed.",
        "[All runs side by side](compare.md): curves, settings, quality against cost." if len(cards) > 1 else "",
        sortable(table(HEAD, [index_row(card) for card in newest], 4)),
        "RMSE and SSIM are the best of the validations in the run: raw protocol, all pixels, mean over a fixed set of "
        "validation maps. Click a head to sort.",
    ]
    if any(card["gone"] for card in cards):
        parts.append("*Folder gone*: the run's folder is no longer where it was; its page stays until you delete it.")
    return write_page(folder / "index.md", wide(page("Runs", *parts, description="All runs that have been reported")))


def wide(text: str) -> str:
    """A page without a table of contents beside it, to leave room for wide tables."""
    return text.replace("---\n", "---\nhide: [toc]\n", 1)


def tally(words: Iterable[str]) -> dict[str, int]:
    """How often each word comes, in the order of first appearance."""
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found


def sortable(text: str) -> str:
    """A table that the reader can sort by a click on its head."""
    return f'<div class="sortable" markdown>\n\n{text}\n</div>'


def run_link(card: Card) -> str:
    """The run's name, linking to its page."""
    return f"[{plain(card['name'])}]({card['slug']}/index.md)"


def state_words(card: Card) -> str:
    """The state, and whether the folder is gone."""
    return card["state"] + (" (folder gone)" if card["gone"] else "")


def best_value(card: Card, name: str) -> float | None:
    """The best validation figure of a run."""
    found: Any = card["best"][name]
    return found[0] if found else None


def hours(card: Card) -> str:
    """Training time."""
    return "-" if card["seconds"] is None else f"{card['seconds'] / 3600:.3g}"


def index_row(card: Card) -> list[str]:
    """The cells of a run."""
    return [
        run_link(card), KINDS.get(card["kind"], plain(card["kind"])), state_words(card),
        PHASE_SHORT.get(card["phase"], plain(card["phase"]) or "-"), count(card["step"]),
        count(card["planned"]) if card["planned"] else "-", number(best_value(card, "rmse")),
        number(best_value(card, "ssim")), number(card["last_loss"]), hours(card), number(card["examples_per_s"], 3),
        moment(card["written"]).removesuffix(" UTC") if card["written"] else "-",
    ]  # fmt: skip
