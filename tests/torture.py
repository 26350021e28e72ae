"""Ill-treats a training and looks whether it still ends with the same bits.

    python -m tests.torture [--kills 20] [--training toy|vae] [--seed 0]

It is killed (SIGKILL) at random moments, half of them while a checkpoint is being written; its newest checkpoint is
damaged in five ways; its disk is filled. After each it is started again and must end with the digest of a training that
was left alone. The disk is a small one in memory, which needs `unshare` (Linux).
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from radiodiff_jax.training.checkpoint_files import saved_steps
from radiodiff_jax.training.run_folder import read_json_lines
from tests.golden_files import ROOT

PATIENCE = 600  # seconds for one session
VAE = [
    "training.steps=40", "training.batch_size=2", "training.log_every=2", "training.checkpoint_every=4",
    "training.validate_every=20", "training.sample_every=40", "training.validation_maps=4", "objective.discriminator_start=20",
]  # fmt: skip


@dataclass(frozen=True)
class Training:
    """The command line of a training but for its run folder, which goes in the place of RUN."""

    words: tuple[str, ...]
    cache: Path

    def start(self, run: Path) -> subprocess.Popen:
        """Begin or go on, in a process of its own."""
        command = [sys.executable, "-m", *(str(run) if word == "RUN" else word for word in self.words)]
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "JAX_COMPILATION_CACHE_DIR": str(self.cache),  # twenty sessions compile once
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(command, cwd=ROOT, env=environment, **streams)

    def finish(self, run: Path) -> str:
        """Train to the end; the digest of the outcome."""
        output, code = self.session(run)
        assert code == 0, output
        last = read_json_lines(run / "events.jsonl")[-1]
        assert last["event"] == "finished", last
        return last["digest"]

    def session(self, run: Path) -> tuple[str, int]:
        """(all that is printed, exit code) of a session that is left alone."""
        process = self.start(run)
        output, _ = process.communicate(timeout=PATIENCE)
        return output, process.returncode


def toy(cache: Path, steps: int = 60, seconds_per_update: float = 0.03) -> Training:
    """A training of a few seconds."""
    return Training(("tests.training.toy", "RUN", str(steps), str(seconds_per_update)), cache)


def vae(cache: Path, data: Path) -> Training:
    """The real training of the preset `tiny`, both phases, 40 updates."""
    return Training(("experiments.vae", "--config", "tiny", "--data", str(data), "--run", "RUN", *VAE), cache)


def kill(training: Training, run: Path, rest: float, saving: bool, chance: random.Random) -> bool:
    """One session, killed up to `rest` seconds after it began to train; whether the kill met it alive.

    With `saving` it is killed while the first checkpoint after a random moment is being written.
    """
    begun = compilations(run)
    process = training.start(run)

    def waits(done: Callable[[], bool]) -> None:
        while process.poll() is None and not done():
            time.sleep(0.001)

    waits(lambda: compilations(run) > begun)
    end = time.monotonic() + chance.uniform(0, rest)
    waits(lambda: time.monotonic() > end)
    if saving:
        waits(lambda: any((run / "checkpoints").glob("*orbax-checkpoint-tmp*")))
        time.sleep(chance.uniform(0, 0.03))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def compilations(run: Path) -> int:
    """How many sessions of a run have begun to train."""
    return sum(event["event"] == "compiled" for event in read_json_lines(run / "events.jsonl"))


def arrays_of(checkpoint: Path) -> list[Path]:
    """The files that hold the state's arrays, the largest first."""
    return sorted((checkpoint / "state").glob("**/d/*"), key=lambda path: -path.stat().st_size)


def truncate(checkpoint: Path) -> None:
    """Cut the arrays in half."""
    for path in arrays_of(checkpoint):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(checkpoint: Path) -> None:
    """Flip a bit in the middle of every file of arrays."""
    for path in arrays_of(checkpoint):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)


def lose_manifest(checkpoint: Path) -> None:
    """Delete what lists the arrays."""
    (checkpoint / "state" / "manifest.ocdbt").unlink()


def empty_metadata(checkpoint: Path) -> None:
    """Leave nothing beside the state."""
    (checkpoint / "meta" / "metadata").write_bytes(b"")


def lose_data_position(checkpoint: Path) -> None:
    """Delete the data iterator's place."""
    shutil.rmtree(checkpoint / "data")


DAMAGE = (truncate, flip, lose_manifest, empty_metadata, lose_data_position)


def damaged(training: Training, killed: Path, damage: Callable[[Path], None]) -> str:
    """The digest of a copy of `killed`, a run with two checkpoints at least, whose newest was damaged."""
    run = Path(shutil.copytree(killed, killed.with_name(damage.__name__)))
    newest = saved_steps(run / "checkpoints")[-1]
    damage(run / "checkpoints" / str(newest))
    digest = training.finish(run)
    assert any(
        (event["event"], event["step"]) == ("checkpoint_damaged", newest) for event in read_json_lines(run / "events.jsonl")
    ), f"{damage.__name__} went unnoticed"
    return digest


def full_disk(training: Training, killed: Path) -> str:
    """The digest of a copy of `killed` that ran into a full disk, and went on when there was room again.

    Runs in a mount namespace of its own, see `in_namespace`.
    """
    disk = killed.with_name("disk")
    disk.mkdir()
    size = (8 << 20) + 4 * sum(path.stat().st_size for path in killed.rglob("*") if path.is_file())
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk], check=True)
    run = Path(shutil.copytree(killed, disk / "run"))
    before = saved_steps(run / "checkpoints")
    for path in (run / "checkpoints").iterdir():
        if path.name not in map(str, before):  # a save that was killed, which a resumed training removes, and so makes room
            shutil.rmtree(path)
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    newest = run / "checkpoints" / str(before[-1])
    one = sum(512 * path.stat().st_blocks for path in newest.rglob("*") if path.is_file())
    (disk / "ballast").write_bytes(bytes(max(free - one // 2, 0)))  # room for the log, and for half of a checkpoint
    output, code = training.session(run)
    assert code == 1 and "the disk is full" in output and "Traceback" not in output, (code, output)
    after = saved_steps(run / "checkpoints")
    assert set(before) <= set(after), f"earlier steps stay: {before}, then {after}"
    (disk / "ballast").unlink()
    return training.finish(run)


def in_namespace(training: Training, killed: Path) -> str | None:
    """`full_disk`, where mounting is allowed; None elsewhere."""
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        if shutil.which("unshare") and subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            arguments = json.dumps([training.words, str(training.cache), str(killed)])
            words = [*command, sys.executable, "-m", "tests.torture", "--full-disk", arguments]
            done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            return done.stdout.split()[-1]
    return None


def torture(training: Training, folder: Path, kills: int, seed: int = 0, tell: Callable[[str], None] = print) -> None:
    """All of it. Raises AssertionError where a training ends with other bits, or does not end."""
    chance = random.Random(seed)
    started = time.monotonic()
    expected = training.finish(folder / "left_alone")
    times = {event["event"]: event["time"] for event in read_json_lines(folder / "left_alone" / "events.jsonl")}
    begun, ended = (datetime.fromisoformat(times[name]) for name in ("compiled", "finished"))
    rest = 2 * (ended - begun).total_seconds() / (kills + 1)
    tell(f"left alone: {expected[:16]} after {time.monotonic() - started:.0f} s")

    killed, snapshot = folder / "killed", folder / "snapshot"
    hits, steps, patience = 0, [], rest
    for number in range(kills):
        hit = kill(training, killed, patience, number % 2 == 1, chance)
        hits += hit
        before, steps = steps, saved_steps(killed / "checkpoints")
        patience = rest if steps != before else 1.5 * patience  # on a slow machine too it comes on between kills
        if len(steps) > 1 and hit:
            shutil.rmtree(snapshot, ignore_errors=True)
            shutil.copytree(killed, snapshot)
        tell(f"kill {number + 1}: checkpoints {steps}{'' if hit else ' (it had finished)'}")
        if not hit and number < kills - 1:  # the machine has become faster since it was left alone
            shutil.rmtree(killed)
            steps, rest = [], rest / 2
            patience = rest
    assert hits >= kills / 2, f"only {hits} of {kills} kills met a training"
    assert training.finish(killed) == expected, "killed"
    if not snapshot.is_dir():  # no kill met a run with two checkpoints
        process = training.start(snapshot)
        while process.poll() is None and len(saved_steps(snapshot / "checkpoints")) < 2:
            time.sleep(0.01)
        process.kill()
        process.communicate()
    for damage in DAMAGE:
        assert damaged(training, snapshot, damage) == expected, damage.__name__
        tell(f"{damage.__name__}: the same bits")
    digest = in_namespace(training, snapshot)
    tell("full disk: cannot be tried here" if digest is None else "full disk: the same bits")
    assert digest in (None, expected), "full disk"


def main() -> None:
    """Parse, call."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--training", choices=("toy", "vae"), default="vae")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full-disk", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.full_disk:
        words, cache, killed = json.loads(arguments.full_disk)
        print(full_disk(Training(tuple(words), Path(cache)), Path(killed)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.training == "toy":
            training = toy(folder / "cache", 100)
        else:
            from radiodiff_jax.simulation import write_simulated_folder

            write_simulated_folder(folder / "data", maps=12, transmitters=3, size=(64, 64), seed=0, progress=False)
            training = vae(folder / "cache", folder / "data")
        torture(training, folder, arguments.kills, arguments.seed)


if __name__ == "__main__":
    main()
