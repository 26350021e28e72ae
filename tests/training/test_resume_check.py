"""The replay of some updates tells a run that resumes exactly from one that does not."""

import json
import shutil

import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.loop import replay
from radiodiff_jax.training.session import SessionOptions
from tests.training.toy import run_toy


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "run"
    run_toy(run)
    return run


def differences(run, updates=None):
    with replay(run, updates) as again:
        run_toy(again.folder, options=SessionOptions(until=again.end))
        found = (again.start, again.end, again.differences())
    assert sorted(path.name for path in run.parent.iterdir()) == [run.name], "the copy is removed"
    return found


@pytest.mark.parametrize(("updates", "start", "end"), [(None, 15, 20), (3, 15, 18)])
def test_same_bits(run, updates, start, end):
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    assert differences(run, updates) == (start, end, [])
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_another_log_and_another_state_are_seen(run, tmp_path):
    changed = shutil.copytree(run, tmp_path / "run")
    log = changed / "metrics.jsonl"
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    lines[-1]["validation/rmse"] += 1e-7
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    meta = changed / "checkpoints" / "20" / "meta" / "metadata"
    meta.write_text(meta.read_text().replace('"params": "', '"params": "0'))
    _, _, found = differences(changed)
    assert len(found) == 2
    assert "another digest" in found[0] and "validation/rmse of update 20 was" in found[1]


def test_too_few_checkpoints(run, tmp_path):
    with pytest.raises(UserError, match="has no checkpoint"), replay(tmp_path):
        pass
    with pytest.raises(UserError, match="a checkpoint with 6 logged updates after it .it keeps 15, 20, and its log ends with"):
        differences(run, 6)
