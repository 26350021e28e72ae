"""Whether a run really resumes to the same bits on this machine: some updates done again, compared with the log."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.checkpoints import read_meta, saved_steps
from radiodiff_jax.training.json_lines import Record, read_json_lines
from radiodiff_jax.training.progress import TIMED

COPIED = ("config.yaml", "run.json", "metrics.jsonl", "events.jsonl")


@dataclass(frozen=True)
class Replay:
    """A copy of a run as it was after `start` updates, to be trained until `end`."""

    original: Path
    folder: Path
    start: int
    end: int

    def differences(self) -> list[str]:
        """Sentences about metrics and states that differ between the run and its copy, by rising step."""
        before, after = (self._metrics(path) for path in (self.original, self.folder))
        found = [
            (step, f"{name} of update {step} was {before[step].get(name)}, now {after.get(step, {}).get(name)}")
            for step, record in before.items()
            for name in record
            if after.get(step, {}).get(name) != record[name]
        ]
        for step in saved_steps(self.folder / "checkpoints"):
            saved, made = (path / "checkpoints" / str(step) for path in (self.original, self.folder))
            if step > self.start and saved.is_dir() and read_meta(saved)["digests"] != read_meta(made)["digests"]:
                found.append((step, f"the state after update {step} has another digest"))
        return [sentence for _, sentence in sorted(found)]

    def _metrics(self, run: Path) -> dict[int, Record]:
        """Step -> all that was logged of it, but for what depends on the clock."""
        found: dict[int, Record] = {}
        for record in read_json_lines(run / "metrics.jsonl"):
            if self.start < record["step"] <= self.end:
                kept = {name: value for name, value in record.items() if name not in TIMED}
                found[record["step"]] = found.get(record["step"], {}) | kept
        return found


@contextlib.contextmanager
def replay(run: Path, updates: int | None = None) -> Iterator[Replay]:
    """A copy of `run`, beside it, that stands at one of its checkpoints; removed afterwards.

    It is to be trained for `updates` more updates, or up to the newest checkpoint. Raises UserError where the run
    keeps no checkpoint with so many logged updates after it.
    """
    steps = saved_steps(run / "checkpoints")
    if not steps:
        raise UserError(f"{run} has no checkpoint, so nothing can be replayed; train it first")
    logged = [record["step"] for record in read_json_lines(run / "metrics.jsonl")]
    last = max([*steps, *logged])
    starts = [step for step in steps if step < steps[-1]] if updates is None else [s for s in steps if s + updates <= last]
    if not starts:
        wanted = "two checkpoints" if updates is None else f"a checkpoint with {updates} logged updates after it"
        raise UserError(
            f"{run} does not keep {wanted} (it keeps {', '.join(map(str, steps))}, and its log ends with update {last}); "
            "ask for fewer updates, or train on"
        )
    start = starts[-1]
    with tempfile.TemporaryDirectory(dir=run.parent, prefix=".writing-replay-") as name:
        folder = Path(name) / run.name
        folder.mkdir()
        for part in COPIED:
            shutil.copyfile(run / part, folder / part)
        for part in ("autoencoder", "base"):
            if (run / part).is_dir():
                shutil.copytree(run / part, folder / part)
        shutil.copytree(run / "checkpoints" / str(start), folder / "checkpoints" / str(start))
        yield Replay(run, folder, start, steps[-1] if updates is None else start + updates)
