"""Many trials of one kind, drawn by Hypothesis, and what they found."""

import shutil
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import hypothesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir

from tests.fuzz.ground import Ground
from tests.fuzz.kinds import KINDS
from tests.fuzz.trial import attempt

set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hypothesis")  # which is `.hypothesis` where one stands, otherwise


@dataclass
class Found:
    """One fault, with the first trial that found it."""

    words: list[str]
    details: list[str]
    number: int = 0


@dataclass
class Report:
    """What happened; folders of trials that found something are kept in `keep`."""

    keep: Path | None = None
    trials: Counter = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    findings: dict[tuple[str, str], Found] = field(default_factory=dict)


def run_trials(
    kind: str, ground: Ground, scratch: Path, number: int, seed: int, report: Report
) -> None:
    """Up to `number` trials of a kind; what they find goes into the report."""
    phases, checks = [hypothesis.Phase.generate], list(HealthCheck)
    quiet = hypothesis.settings(max_examples=number, deadline=None, database=None, phases=phases, suppress_health_check=checks)

    @hypothesis.seed(seed)
    @quiet
    @hypothesis.given(st.data())
    def trial(data: st.DataObject) -> None:
        folder = Path(tempfile.mkdtemp(dir=scratch, prefix="trial-"))
        try:
            command = KINDS[kind](data.draw, ground, folder)
            begin = time.monotonic()
            finding = attempt(command, folder)
            report.trials[kind] += 1
            report.slowest[kind] = max(report.slowest[kind], time.monotonic() - begin)
            if finding is not None:
                known = (kind, finding.what) in report.findings
                found = report.findings.setdefault((kind, finding.what), Found(command.words, finding.details.splitlines()))
                found.number += 1
                if report.keep is not None and not known:
                    shutil.copytree(folder, report.keep / f"{kind}-{len(report.findings)}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    trial()
