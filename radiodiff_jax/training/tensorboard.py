"""The metrics as TensorBoard files too, where a run asks for them."""

import time

from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import TrainingConfig
from radiodiff_jax.training.run_folder import RunFolder


class NoBoard:
    """Writes nothing."""

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Take the metrics of a step."""

    def close(self) -> None:
        """Let go of the file."""


class Board(NoBoard):
    """Appends scalars to RUN/tensorboard; what an earlier session wrote after `step` is no longer shown."""

    def __init__(self, folder: str, step: int):
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(folder)
        if step:
            status = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._writer.add_event(self._event(step=step + 1, session_log=status))

    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Add one point to the curve of every metric."""
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._writer.add_event(self._event(step=step, wall_time=time.time(), summary=self._summary(value=values)))

    def close(self) -> None:
        """Write what is still in memory."""
        self._writer.close()


def board_writer(folder: RunFolder, settings: TrainingConfig, step: int) -> NoBoard:
    """The writer that the settings ask for, of a session that begins after `step` updates.

    Raises UserError where the library is missing.
    """
    if not (settings.tensorboard and folder.writes):
        return NoBoard()
    try:
        return Board(str(folder.path / "tensorboard"), step)
    except ImportError as error:
        raise UserError(
            "training.tensorboard needs the package tensorboard; install the extra with "
            "`python -m pip install -e '.[tensorboard]'`, or set it to false"
        ) from error
