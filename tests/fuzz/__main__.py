"""`python -m tests.fuzz`: trials of every kind in turn until the time is over, and a list of what they found."""

import argparse
import contextlib
import sys
import tempfile
import time
from pathlib import Path

import tests.conftest  # noqa: F401  (the CPU, as in every test)
from tests.fuzz.ground import Ground
from tests.fuzz.kinds import KINDS, SLOW
from tests.fuzz.run import Report, run_trials


def main() -> int:
    """Parse, try, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, without what the first trials need to be made")
    parser.add_argument("--trials", type=int, default=10, help="of one kind before the next has its turn; of a "
                        "slow one a third")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="the same seed throws the same things, in the same order")
    parser.add_argument("--only", nargs="+", choices=sorted(KINDS), default=sorted(KINDS), metavar="KIND",
                        help=", ".join(sorted(KINDS)))  # fmt: skip
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep the folders of trials that found something")
    arguments = parser.parse_args()
    report = Report(arguments.keep)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as name:
        ground = Ground(Path(name) / "ground")
        ground.folder.mkdir()
        started, turn = time.monotonic(), 0
        with contextlib.suppress(KeyboardInterrupt):  # what was found until then is told
            while (seconds := time.monotonic() - started) < arguments.seconds:
                kind = arguments.only[turn % len(arguments.only)]
                tried = f"{sum(report.trials.values())} trials, {len(report.findings)} different findings"
                print(f"{seconds:.0f} of {arguments.seconds:.0f} s: {tried}; now {kind}", file=sys.stderr, flush=True)
                number = max(1, arguments.trials // 3) if kind in SLOW else arguments.trials
                run_trials(kind, ground, Path(name), number, arguments.seed + turn, report)
                turn += 1
    for kind, number in sorted(report.trials.items()):
        print(f"{kind:24} {number:6} trials, the slowest {report.slowest[kind]:.1f} s")
    for (kind, what), found in sorted(report.findings.items()):
        print(f"\n{kind}: {what}  ({found.number} times)\n  {str(found.words)[:1000]}")
        print("\n".join(f"    {line[:300]}" for line in found.details[-12:]))
    print(f"\n{sum(report.trials.values())} trials, {len(report.findings)} different findings")
    return 1 if report.findings else 0


if __name__ == "__main__":
    sys.exit(main())
