"""The one exception that a user is meant to read, and the nearest name to what was mistyped."""

import difflib
import reprlib
from collections.abc import Iterable


class UserError(Exception):
    """Bad input, told in one sentence: what is wrong, where, and what to do about it.

    Commands print the sentence and leave with `exit_code` (1: the work found fault or failed; 2: wrong usage);
    no traceback is shown.
    """

    def __init__(self, sentence: str, exit_code: int = 1):
        super().__init__(sentence)
        self.exit_code = exit_code


class TableError(UserError):
    """A sentence and, in lines of their own below it, a table."""


def shown(value: object, most: int = 80) -> str:
    """A value for a sentence, as Python writes it on one line, cut in the middle where it is longer than `most`."""
    limits = reprlib.Repr()
    limits.maxstring = limits.maxother = limits.maxlong = most
    limits.maxlist = limits.maxtuple = limits.maxdict = 8
    limits.maxlevel = 3
    text = " ".join(limits.repr(value).split())
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 4 :]}"


def nearest(name: str, known: Iterable[str]) -> str:
    """'; did you mean X?' for the closest known name, or nothing."""
    close = difflib.get_close_matches(name[:100], list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""
