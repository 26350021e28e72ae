"""How a run was set up: its settings beside those of its preset, its networks, its environment."""

import hashlib
import shlex
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from radiodiff_jax.config import CONFIG_TYPES
from radiodiff_jax.config_files import build_config, flatten, load_config, read_config, shipped_names, to_tree
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_text
from radiodiff_jax.reporting.markdown import code, fenced, moment, plain, table
from radiodiff_jax.reporting.runs.run import RUN_FOLDER, Run

ABSENT = object()


def flat_settings(tree: dict[str, Any] | None) -> dict[str, Any]:
    """Dotted names -> values, with the defaults of what the file leaves out, if this version knows all its settings."""
    if not tree:
        return {}
    kind = tree.get("kind")
    try:
        return flatten(to_tree(build_config(kind, tree, "config.yaml"))) if kind in CONFIG_TYPES else flatten(tree)
    except UserError:
        return flatten(tree)


def preset_of(run: Run, settings: dict[str, Any], presets: Path | None) -> tuple[str, dict[str, Any], bool] | None:
    """(name, its settings, whether the command names it; else it is the nearest), or None without presets."""
    if presets is None or run.kind not in CONFIG_TYPES:
        return None
    known = {name: flatten(to_tree(load_config(run.kind, name, [], presets))) for name in
             shipped_names(run.kind, presets)}  # fmt: skip
    if not known:
        return None
    named = named_config(str(run.details.get("command", "")))
    if named in known:
        return named, known[named], True
    nearest = min(known, key=lambda name: len(differences(known[name], settings)))
    return nearest, known[nearest], False


def named_config(command: str) -> str | None:
    """What follows --config in a command; "tiny", the default, for a command of ours without it."""
    try:
        arguments = shlex.split(command)
    except ValueError:
        return None
    for argument, following in pairwise([*arguments, ""]):
        if argument == "--config":
            return following
        if argument.startswith("--config="):
            return argument.removeprefix("--config=")
    return "tiny" if any(argument.startswith("experiments.") for argument in arguments) else None


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, old, new) of every setting that differs between flat settings; ABSENT where one side lacks it."""
    return [
        (name, old.get(name, ABSENT), new.get(name, ABSENT))
        for name in dict.fromkeys([*old, *new])
        if old.get(name, ABSENT) != new.get(name, ABSENT)
    ]


def as_cell(value: Any) -> str:
    """A setting as YAML in a table cell."""
    if value is ABSENT:
        return "(absent)"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return plain(text.removesuffix("...").strip())


def settings_section(run: Run, presets: Path | None) -> str:
    """Differences from the preset as a table, all settings below, folded away."""
    if run.origin != RUN_FOLDER:
        return ""
    if run.settings is None:
        return "The settings are not known: there is no readable config.yaml."
    settings = flat_settings(run.settings)
    parts, preset = [], preset_of(run, settings, presets)
    if preset is not None:
        name, base, named = preset
        which = f"the preset `{name}`" + ("" if named else ", the nearest one (the command names none of ours)")
        rows = [[code(key), as_cell(old), as_cell(new)] for key, old, new in differences(base, settings)]
        if rows:
            parts += [f"What differs from {which}:", table(["setting", f"preset {name}", "this run"], rows, 3)]
        else:
            parts.append(f"The settings are those of {which}.")
    full = yaml.safe_dump(run.settings, sort_keys=False, default_flow_style=None)
    block = "".join(f"    {line}\n" for line in fenced("yaml", full).splitlines())
    return "\n\n".join([*parts, f'??? note "All settings (config.yaml)"\n\n{block}'])


def architecture_section(run: Run, folder: Path) -> str:
    """The model of the run's settings as a diagram. It is kept, since it takes JAX and a trace of the model to make."""
    if run.settings is None or run.kind not in CONFIG_TYPES:
        return ""
    config = build_config(run.kind, run.settings, str(run.path / "config.yaml"))
    files = {name: run.path / name / "config.yaml" for name in ("autoencoder", "base")}  # a run keeps what it builds on
    built_on = {name: read_config(path) for name, path in files.items() if path.is_file()}
    key = hashlib.sha256(f"{code_digest()} {config} {built_on}".encode()).hexdigest()
    kept = folder / ".architecture"
    if kept.is_file():
        before, _, text = kept.read_text(encoding="utf-8").partition("\n")
        if before == key:
            return text
    # Imported here: it loads JAX and the models.
    from radiodiff_jax.reporting.architecture import run_architecture

    text = run_architecture(config, **built_on)
    write_text(kept, f"{key}\n{text}")
    return text


def environment_section(run: Run) -> str:
    """Command, versions, devices, commit, parameters, data."""
    details = run.details
    if not details:
        return "" if run.origin != RUN_FOLDER else "Not known: there is no readable run.json."
    rows = [
        ("started", moment(details.get("started"))),
        ("git commit", plain(details.get("git_commit") or "not known (no repository)")),
        ("devices", plain(", ".join(map(str, details.get("devices") or [])) or "not known")),
        ("processes", plain(details.get("processes", "not known"))),
        ("data fingerprint", code(details.get("data_fingerprint"))),
    ]
    digest = next((event.get("digest") for event in reversed(run.events) if event["event"] == "finished"), None)
    if digest:
        rows.append(("parameters' digest", f"{code(digest)} (equal for two runs that ended with the same bits)"))
    versions = details.get("versions")
    if isinstance(versions, dict):
        rows += [(f"{plain(name)}", plain(version)) for name, version in versions.items()]
    known = ("kind", "command", "started", "git_commit", "versions", "devices", "processes", "parameters",
             "data_fingerprint")  # fmt: skip
    rows += [(plain(name), plain(value)) for name, value in details.items() if name not in known]
    parts = [table(["what", "value"], rows, 2)]
    if details.get("command"):
        parts.insert(0, fenced("sh", " ".join(str(details["command"]).split())))
    parameters = details.get("parameters")
    if isinstance(parameters, dict) and len(parameters) > 1:
        counts = [[code(name), plain(f"{value:,}" if isinstance(value, int) else value)]
                  for name, value in parameters.items()]  # fmt: skip
        parts.append(table(["trained module", "parameters"], counts))
    return "\n\n".join(parts)


PACKAGE = Path(__file__).parents[2]


@cache
def code_digest() -> str:
    """SHA-256 over the source of the whole package: diagrams come from the models, meanings from the objectives."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
