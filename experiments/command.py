"""What every command shares: how it fails, how it explains itself, how it prints a table.

A command's file ends with

    if __name__ == "__main__":
        run_command(main)

where `main()` returns the exit code (None is 0). Exit codes: 0 done, 1 the work found fault or failed, 2 wrong usage,
130 interrupted.
"""

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from tabulate import tabulate

from experiments.compiled import keep_compiled
from experiments.ending import close_streams, code_of, open_streams
from radiodiff_jax.bounds import MOST_SEED
from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.limits import MAPS


def run_command(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and leave with its exit code; whatever goes wrong is one line on stderr, no traceback (`ending.py`).

    What XLA compiles is kept, see `compiled.py`.
    """
    open_streams()
    try:
        keep_compiled()
        code = main() or 0
    except BaseException as error:  # noqa: BLE001 (this is the end)
        code = code_of(error)
    sys.exit(close_streams(code))


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Shows defaults where there are any, and keeps the lines of the description and of the example."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.required or action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


def command_help(description: str, example: str) -> dict:
    """Keyword arguments for `ArgumentParser(...)` or `add_parser(name, ...)`: description, one example, formatter."""
    return {
        "description": description,
        "epilog": f"example:\n  {example}",
        "formatter_class": HelpFormatter,
    }


def whole_number(smallest: int, largest: int | None = None) -> Callable[[str], int]:
    """An argparse type: an integer of at least `smallest` and, where it is given (see `limits.py`), at most `largest`."""

    def parse(text: str) -> int:
        # Not int(text), which takes 1_0, blanks, digits of other scripts, and refuses 5,000 digits in another way.
        if re.fullmatch(r"\+?[0-9]{19,}", text):
            raise argparse.ArgumentTypeError(f"{shown(text)} is too large: the most is {largest or 10**18}")
        value = int(text) if re.fullmatch(r"[-+]?[0-9]{1,18}", text) else smallest - 1
        if value < smallest:
            raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number of at least {smallest}")
        if largest is not None and value > largest:
            raise argparse.ArgumentTypeError(f"{shown(text)} is too large: the most is {largest}")
        return value

    return parse


def a_path(text: str) -> Path:
    """An argparse type: the name of a file or folder that the system can look for, whether it is there or not."""
    try:
        os.stat(text)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (OSError, ValueError) as error:  # a name that is too long, a loop of links, a zero byte
        told = getattr(error, "strerror", None) or error
        raise argparse.ArgumentTypeError(f"{shown(text)} is no name of a file or folder ({told})") from error
    return Path(text)


def seed_number(text: str) -> int:
    """An argparse type: a seed, any whole number from 0 on below 2^32."""
    number = whole_number(0)(text)
    if number > MOST_SEED:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no seed; give a whole number from 0 to {MOST_SEED} (2^32 - 1)")
    return number


def shard(text: str) -> tuple[int, int]:
    """An argparse type: `K/N`, 1 <= K <= N."""
    found = re.fullmatch("([0-9]{1,7})/([0-9]{1,7})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]) <= MAPS:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no shard; give K/N, such as 1/8 to 8/8")
    return int(found[1]), int(found[2])


def add_beam(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--beam` and `--beam-option KEY=VALUE`."""
    parser.add_argument("--beam", action="store_true", help=f"{what} with Apache Beam (extra `beam`)")
    parser.add_argument("--beam-option", action="append", default=[], metavar="KEY=VALUE",
                        help="an option of the Beam pipeline, such as runner=FlinkRunner; may be given again")  # fmt: skip


def check_beam(arguments: argparse.Namespace) -> None:
    """Raise UserError for words about a pipeline that there is none of, and for --workers beside one."""
    for name in ("beam_option", "beam_store"):
        if getattr(arguments, name, None) and not arguments.beam:
            raise UserError(f"--{name.replace('_', '-')} has a meaning with --beam only; add it", 2)
    if arguments.beam and getattr(arguments, "workers", None):
        raise UserError("--workers has no meaning with --beam; tell the runner, as --beam-option direct_num_workers=2", 2)


def parse_checkpoint(text: str) -> str | int:
    """An argparse type: best, latest or a step."""
    if text in ("best", "latest"):
        return text
    if not re.fullmatch("[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError(f"{shown(text)} is neither best, latest nor a step")
    return int(text)


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add `--checkpoint best|latest|STEP`."""
    parser.add_argument("--checkpoint", type=parse_checkpoint, default="latest", metavar="best|latest|STEP",
                        help="which of the run's checkpoints: lowest validation RMSE, newest, or a step")  # fmt: skip


def add_model(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add `--run RUN`, `--checkpoint`, and `--model NAME|FILE` (`default`, without which one of the two is needed)."""
    which = parser.add_mutually_exclusive_group(required=default is None)
    which.add_argument("--run", type=a_path, metavar="RUN", help="run of experiments.train, ldm or vae")
    which.add_argument("--model", default=default, metavar="NAME|FILE",
                       help="a model that comes with the package (`python -m experiments.models` lists them) or a "
                       ".safetensors file of `experiments.models pack`")  # fmt: skip
    add_checkpoint(parser)


class Stages:
    """Prints the head of one stage after the other."""

    def __init__(self, count: int):
        self._count, self._number, self._started = count, 0, time.monotonic()

    def __call__(self, what: str) -> None:
        self._number += 1
        print(f"\n[{self._number}/{self._count}] {what}  ({self.minutes():.1f} min since the start)", flush=True)

    def minutes(self) -> float:
        """Since the start."""
        return (time.monotonic() - self._started) / 60


NUMBER = re.compile(r"-|[-+]?[\d,]*\.?\d+")  # or none, as a table's cell


def text_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under their head: text to the left, numbers to the right with 4 decimals, '-' for None."""

    def cell(value: object) -> str:
        if value is None:
            return "-"
        return f"{value:.4f}" if isinstance(value, float) else str(value)

    def is_words(column: int) -> bool:
        texts = [row[column] for row in rows]
        return all(isinstance(text, str) for text in texts) and not all(map(NUMBER.fullmatch, texts))

    sides = ["left" if is_words(column) else "right" for column in range(len(head))]
    # The head as a line of its own, since tabulate widens every column that has a head by two.
    lines = [head, *([cell(value) for value in row] for row in rows)]
    return tabulate(lines, tablefmt="plain", colalign=sides, disable_numparse=True)
