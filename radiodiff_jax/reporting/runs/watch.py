"""Pages that follow running trainings: what has changed is made anew every few seconds, until Ctrl-C."""

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from radiodiff_jax.reporting.runs.card import Card
from radiodiff_jax.reporting.runs.refreshing import (
    Settings,
    Source,
    attempt,
    is_stale,
    read_cards,
    source_digest,
    write_overviews,
)

POLL_S = 3.0
REST = 9.0  # times as long as a page took to make, its run is left alone: a report takes a tenth of a core at most


def watch(find_sources: Callable[[], list[Source]], settings: Settings, polls: int | None = None) -> None:
    """Poll, refresh, print a line a refresh; `polls` ends it after so many (for ever without).

    A source that vanishes, also while it is read, is passed over.
    """
    due: dict[Path, float] = {}
    told: dict[Path, str] = {}
    done = 0
    while polls is None or done < polls:
        done += 1
        changed, kept = False, read_cards(settings.folder)
        for source in find_sources():
            if time.monotonic() < due.get(source.path, 0.0) or not needs_refresh(source, settings, kept):
                continue
            begin = time.monotonic()
            cards, sentence = attempt(source, settings)
            took = time.monotonic() - begin
            due[source.path] = begin + took * (1 + REST)
            changed = changed or bool(cards)
            for card in cards:
                print(f"{datetime.now():%H:%M:%S}  {describe(card)}, page made in {took:.1f} s", flush=True)
            if sentence and told.get(source.path) != sentence:
                print(f"{datetime.now():%H:%M:%S}  {sentence}", flush=True)
                told[source.path] = sentence
        if changed:
            write_overviews(settings)
        if polls is None or done < polls:
            time.sleep(POLL_S)


def needs_refresh(source: Source, settings: Settings, kept: dict[str, dict[str, Any]]) -> bool:
    """Whether its pages are out of date; not if it is gone."""
    try:
        digest = source_digest(source, settings.presets)
    except FileNotFoundError:
        return False
    return is_stale(source, digest, kept, settings.folder, time.time())


def describe(card: Card) -> str:
    """`vae: running, step 120 of 500`."""
    planned = f" of {card['planned']}" if card["planned"] else ""
    return f"{card['name']}: {card['state']}, step {card['step']}{planned}"
