"""Draw the pictures of the site's hand-written pages anew: plans, paths, formulas, schedules, six cities."""

import argparse
from pathlib import Path

from experiments.command import a_path, command_help, run_command


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    from radiodiff_jax.reporting.drawings import draw_all

    for path in draw_all(arguments.out, arguments.only or None):
        print(f"{path}  {path.stat().st_size / 1000:.0f} KB", flush=True)
    return 0


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.drawings", **command_help(__doc__, "python -m experiments.drawings --only dominant-paths")
    )
    parser.add_argument("--out", type=a_path, default=Path("site_src/assets"), metavar="DIR", help="folder of the pictures")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="pictures to draw; without it all")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
