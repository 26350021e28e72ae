"""A run is a folder that holds one training, whole.

    config.yaml      every setting, resolved
    run.json         command, commit, versions, devices, parameter counts, data fingerprint
    metrics.jsonl    {"step", "phase", "time_s", metric: value, ...}, one line a logged step
    events.jsonl     {"step", "time", "event", ...}
    checkpoints/     one folder a saved step
    samples/         STEP.png
    profile/         STEP/perfetto_trace.json.gz
    tensorboard/     the metrics once more, where asked for
    lock.json        while a process trains here
    evaluation/      *.json
    autoencoder/     the autoencoder of a latent space
    base/            the regression that a residual flow starts from
    start/           the weights that the training was started from, with --from
    encoder/         imported weights of the condition encoder that it was started from
    latents/         the training set, encoded, with data.latents=cached
"""

import hashlib
import json
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

from radiodiff_jax import __version__
from radiodiff_jax.config import Config
from radiodiff_jax.config_files import differences, flatten, read_config, to_tree, write_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import FILE, FOLDER, kind_of, output_folder, write_json
from radiodiff_jax.reading import is_there
from radiodiff_jax.reading import read_json_lines as read_json_lines
from radiodiff_jax.training.devices import describe_devices
from radiodiff_jax.training.run_files import JsonLines, read_events, read_run_json
from radiodiff_jax.training.task import Tree

# ---- what a run was made with ----

PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
CODE = Path(__file__).resolve().parents[2]


def provenance(parameters: Tree) -> dict[str, Any]:
    """The facts for run.json; `parameters` are shapes or arrays."""
    return {
        "command": shlex.join([Path(sys.orig_argv[0]).name, *sys.orig_argv[1:]]),
        "started": now(),
        "git_commit": git_commit(),
        "versions": package_versions(),
        "devices": describe_devices(),
        "processes": jax.process_count(),
        "parameters": count_parameters(parameters),
    }


def now() -> str:
    """The time, UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def count_parameters(parameters: Tree) -> dict[str, int]:
    """Numbers of parameters: "total" and one entry for each top-level module."""
    counts = {name: sum(leaf.size for leaf in jax.tree.leaves(module)) for name, module in parameters.items()}
    return {"total": sum(counts.values()), **counts}


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result may depend on."""
    versions = {"radiodiff_jax": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def git_commit() -> str | None:
    """The commit of this code, with " (modified)" where files differ from it; None without git or a repository."""
    commit = _git("rev-parse", "HEAD")
    # A package installed into some other project's tree is not described by that project's commit.
    if commit is None or _git("ls-files", "--error-unmatch", "--", str(Path(__file__).resolve())) is None:
        return None
    return f"{commit} (modified)" if _git("status", "--porcelain", "--untracked-files=no") else commit


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=CODE, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


# ---- the folder ----

PARTS = (
    "config.yaml", "run.json", "metrics.jsonl", "events.jsonl", "checkpoints", "samples", "evaluation", "autoencoder", "base",
    "start", "encoder", "latents", "cities", "profile", "tensorboard", "lock.json",
)  # fmt: skip
RESUMABLE_SETTINGS = (
    "training.log_every", "training.validate_every", "training.checkpoint_every", "training.sample_every",
    "training.checkpoints_kept", "training.most_skipped_in_a_row", "training.tensorboard", "training.fsdp",
    "data.threads", "data.prefetch", "data.simulation_workers", "objective.validation_steps",
)  # fmt: skip
"""Settings that no update depends on, so that they may change when a run goes on; `training.steps` too, see below."""
SHOWN = 5  # differences named in an error


@dataclass(frozen=True)
class RunFolder:
    """The paths and the growing files of a run; only one process of several `writes`."""

    path: Path
    metrics: JsonLines
    events: JsonLines
    changed: list[str]
    """Lines "setting: old -> new" for the free settings that differ from the last session's."""
    writes: bool = True

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are."""
        return self.path / "checkpoints"

    def sample(self, step: int) -> Path:
        """The sample picture of a step."""
        return self.path / "samples" / f"{step}.png"

    def event(self, step: int, event: str, **fields: Any) -> None:
        """Append to events.jsonl."""
        if self.writes:
            self.events.append({"step": step, "time": now(), "event": event, **fields})

    def log(self, record: dict[str, Any]) -> None:
        """Append to metrics.jsonl."""
        if self.writes:
            self.metrics.append(record)

    def cut_back(self, step: int) -> None:
        """Drop the metrics after `step`."""
        if self.writes:
            self.metrics.cut_back(step)

    def find_event(self, event: str, step: int) -> dict[str, Any] | None:
        """The last event of that name at that step."""
        found = [one for one in read_events(self.path) if (one["event"], one["step"]) == (event, step)]
        return found[-1] if found else None

    def write_details(self, details: dict[str, Any]) -> None:
        """Write run.json, unless an earlier session has."""
        if self.writes and not (self.path / "run.json").is_file():
            write_json(self.path / "run.json", details)


def open_run(path: Path, config: Config, data_fingerprint: str | None = None, writes: bool = True) -> RunFolder:
    """Make a run folder, or open it to go on, in which case config.yaml follows changes of free settings.

    Without `writes` nothing is made or changed: another process does.

    Raises UserError if the folder belongs to something else, or to a run with other settings or other data.
    """
    check_folder(path)
    changed = check_settings(path, config) if (path / "config.yaml").is_file() else []
    check_data(path, data_fingerprint)
    if writes and (changed or not (path / "config.yaml").is_file()):
        path.mkdir(parents=True, exist_ok=True)
        write_config(path / "config.yaml", config)
    return RunFolder(path, JsonLines(path / "metrics.jsonl"), JsonLines(path / "events.jsonl"), changed, writes)


def check_folder(path: Path) -> None:
    """Raise UserError unless `path` is a run folder that can be written, or may become one."""
    if path.is_file():
        raise UserError(f"{path} is a file; name a folder as --run")
    output_folder(path)
    for name in PARTS if path.is_dir() else ():
        place, wanted = path / name, FILE if "." in name else FOLDER
        if is_there(place) and (kind := _kind(place)) != wanted:
            raise UserError(f"{place} is {kind}, not {wanted}; move it away")
    if not path.is_dir() or (path / "config.yaml").is_file():
        return
    names = sorted(item.name for item in path.iterdir() if not item.name.startswith(".writing-"))
    foreign = [name for name in names if name not in PARTS]
    if foreign:
        raise UserError(
            f"{path} holds files but is no run (it has {', '.join(foreign[:3])} and no config.yaml); "
            "name a new or empty folder as --run"
        )
    if "checkpoints" in names:
        raise UserError(f"{path} has checkpoints but no config.yaml; put that file back, or name a new folder as --run")


def _kind(path: Path) -> str:
    try:
        return str(kind_of(path))
    except OSError as error:
        return f"of no use ({error.strerror})"


def check_settings(path: Path, config: Config) -> list[str]:
    """The allowed differences from the run's settings, "name: old -> new"; raises UserError for any other."""
    old, new = to_tree(read_config(path / "config.yaml")), to_tree(config)
    found = {line.split(":")[0]: line for line in differences(old, new)}
    refused = [line for name, line in found.items() if name not in (*RESUMABLE_SETTINGS, "training.steps")]
    if refused:
        more = f" and {len(refused) - SHOWN} more" if len(refused) > SHOWN else ""
        raise UserError(
            f"{path} was made with other settings ({'; '.join(refused[:SHOWN])}{more}); "
            "use the run's settings, or name a new folder as --run"
        )
    if "training.steps" in found and config.optimizer.schedule != "constant":
        raise UserError(
            f"{path} was made with another number of steps ({found['training.steps']}), on which the learning rates of "
            f"its {config.optimizer.schedule} schedule depend; use the run's number, or name a new folder as --run"
        )
    return list(found.values())


def check_data(path: Path, data_fingerprint: str | None) -> None:
    """Raise UserError if run.json names other data."""
    if not is_there(path / "run.json"):
        return
    recorded = read_run_json(path).get("data_fingerprint")
    if recorded != data_fingerprint:
        raise UserError(
            f"{path} was trained on other data (fingerprint {str(recorded)[:12]}, now {str(data_fingerprint)[:12]}); "
            "give the same data as --data, or name a new folder as --run"
        )


def settings_fingerprint(config: Config) -> str:
    """SHA-256 over the settings that must not change while a run goes on."""
    fixed = {name: value for name, value in flatten(to_tree(config)).items() if name not in (*RESUMABLE_SETTINGS, "training.steps")}
    return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()
