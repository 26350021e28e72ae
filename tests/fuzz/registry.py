"""How kinds of trials are registered: each takes a way to draw, the ground and an empty folder, and gives the command to call."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.ground import Ground
from tests.fuzz.trial import Command

Draw = Callable[[st.SearchStrategy], Any]
Kind = Callable[[Draw, Ground, Path], Command]
KINDS: dict[str, Kind] = {}
SLOW: set[str] = set()
"""Kinds that compile networks or draw pages: left out of the short form."""
DRAWING = 60.0  # seconds of the processor for what compiles a network or draws figures


def kind(slow: bool = False) -> Callable[[Kind], Kind]:
    """Register a kind by the name of its function."""

    def register(function: Kind) -> Kind:
        KINDS[function.__name__] = function
        SLOW.update([function.__name__] if slow else [])
        return function

    return register


def written(folder: Path, name: str, content: bytes) -> str:
    """Write a file of a trial; its name, relative to the folder."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)
    return name
