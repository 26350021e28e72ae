"""TensorBoard event files, written here by the package that reads them."""

import sys

import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.runs.analysis import state
from radiodiff_jax.reporting.runs.logs import read_tensorboard
from radiodiff_jax.reporting.runs.refresh import make_sources


def write_events(folder, rows):
    """rows: (wall time, step, {tag: value})."""
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for when, step, values in rows:
        summary = Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()])
        writer.add_event(Event(wall_time=when, step=step, summary=summary))
    writer.close()
    return next(folder.glob("*tfevents*"))


def test_scalars_resumes_and_pauses(tmp_path):
    rows = [(1e9 + step, step, {"total_loss": 10.0 - step, "Learning_Rate": 0.5}) for step in range(6)]
    rows += [(1e9 + 90_000 + step, step, {"total_loss": 20.0 - step, "Learning_Rate": 0.5}) for step in range(3, 9)]
    run = read_tensorboard(write_events(tmp_path, rows), "x")
    assert run.series["loss"].values.tolist() == [10, 9, 8, 17, 16, 15, 14, 13, 12]
    assert run.series["learning_rate"].steps.tolist() == list(range(9))
    assert [event["step"] for event in run.events if event["event"] == "resumed"] == [2]
    assert run.seconds == 7.0  # the pause of a day does not count
    assert state(run).word == "running" and run.last_step == 8


def test_a_damaged_file_is_one_sentence(tmp_path):
    pytest.importorskip("tensorboard")
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="holds no TensorBoard scalars|cannot be read"):
        read_tensorboard(path, "x")


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with pytest.raises(UserError, match=r"install -e .\.\[tensorboard\]"):
        read_tensorboard(path, "x")


def test_event_files_are_known_by_name_and_named_after_their_folder(tmp_path):
    path = tmp_path / "My VAE" / "events.out.tfevents.1.host"
    path.parent.mkdir()
    path.touch()
    (source,) = make_sources([], [path])
    assert (source.kind, source.slug) == ("tensorboard", "my-vae")
