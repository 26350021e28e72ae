"""The short form of `python -m tests.fuzz`: a few trials of every kind that is quick, the same every time."""

import time

import pytest

from tests.fuzz.ground import Ground
from tests.fuzz.kinds import KINDS, SLOW
from tests.fuzz.run import Report, run_trials
from tests.fuzz.trial import Command, attempt


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground(tmp_path_factory.mktemp("ground"))


@pytest.mark.parametrize("kind", sorted(set(KINDS) - SLOW))
def test_bad_input_ends_in_a_sentence(kind, ground, tmp_path):
    report = Report()
    run_trials(kind, ground, tmp_path, 12, 1, report)
    told = [f"{what}: {found.words}\n" + "\n".join(found.details[-8:]) for (_, what), found in report.findings.items()]
    assert not told, "\n\n".join(told)
    assert report.trials[kind] >= 6


def test_the_trial_sees_what_is_wrong(tmp_path):
    """Every promise, broken once."""
    from radiodiff_jax.errors import UserError

    def call(main, clean=True, seconds=10.0):
        found = attempt(Command(lambda words: main(), [], clean, seconds), tmp_path)
        for path in tmp_path.iterdir():
            path.unlink()
        return "" if found is None else found.what

    def refused(leave):
        (tmp_path / leave).write_text("half")
        raise UserError("no")

    def changing():
        (tmp_path / "given").write_text("other")

    def endless():
        while True:
            pass

    def multiline():
        raise UserError("one\ntwo")

    assert call(lambda: 0) == "" and call(lambda: refused("x"), clean=False) == ""
    assert call(lambda: 1 / 0).startswith("ZeroDivisionError: ")
    assert call(lambda: refused("x")).startswith("exit code 1, but something was written")
    assert call(lambda: refused(".writing-x"), clean=False) == "a temporary file was left"
    assert call(lambda: 7) == "exit code 7"
    assert call(lambda: print("Traceback (most recent call last):")) == "a traceback was printed"
    assert call(endless, seconds=0.2).startswith("longer than 0 s")
    assert call(lambda: time.sleep(9), seconds=0.05).startswith("longer than 0 s")
    assert call(multiline).startswith("a sentence of 7 letters in 2 lines")
    (tmp_path / "given").write_text("this")
    assert call(changing) == "an input was changed"
