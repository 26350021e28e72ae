"""The one door to all readers: a path and its kind in, runs out."""

from pathlib import Path

from radiodiff_jax.reporting.runs.read_folder import read_folder
from radiodiff_jax.reporting.runs.run import Run


def source_name(path: Path, kind: str) -> str:
    """What a source is called: a folder's name, a log's without its ending.

    Every event file is called events.out.tfevents.NUMBERS, so that the name of its folder tells more.
    """
    path = path.resolve()
    if kind == "tensorboard" and path.is_file():
        return path.parent.name
    return path.name if kind != "text" else path.stem


def read_source(path: Path, kind: str) -> list[Run]:
    """The trainings of a run folder ("folder"), a text log ("text") or TensorBoard files ("tensorboard").

    Raises FileNotFoundError if there is nothing, UserError for a log that holds no training.
    """
    if kind == "folder":
        return [read_folder(path)]
    if kind == "text":
        from radiodiff_jax.reporting.runs.read_text_log import read_text_log

        return read_text_log(path, source_name(path, kind))
    from radiodiff_jax.reporting.runs.read_tensorboard import read_tensorboard

    return [read_tensorboard(path, source_name(path, kind))]
