"""A run's settings as Markdown: what differs from its preset, and all of them."""

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from radiodiff_jax.config_files import TRUNKS, build_config, flatten, load_config, shipped_names, to_tree
from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.markdown import plain, table
from radiodiff_jax.reporting.runs.run import Run
from radiodiff_jax.reporting.runs.words import code

ABSENT = object()


def flat_settings(tree: dict[str, Any] | None) -> dict[str, Any]:
    """Dotted names -> values, with the defaults of what the file leaves out, if this version knows all its settings."""
    if not tree:
        return {}
    kind = tree.get("kind")
    try:
        return flatten(to_tree(build_config(kind, tree, "config.yaml"))) if kind in TRUNKS else flatten(tree)
    except UserError:
        return flatten(tree)


def preset_of(run: Run, settings: dict[str, Any], presets: Path | None) -> tuple[str, dict[str, Any], bool] | None:
    """(name, its settings, whether the command names it; else it is the nearest), or None without presets."""
    if presets is None or run.kind not in TRUNKS:
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
        words = shlex.split(command)
    except ValueError:
        return None
    for word, following in pairwise([*words, ""]):
        if word == "--config":
            return following
        if word.startswith("--config="):
            return word.removeprefix("--config=")
    return "tiny" if any(word.startswith("experiments.") for word in words) else None


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """(name, old, new) of every setting that differs between flat settings; ABSENT where one side lacks it."""
    return [
        (name, old.get(name, ABSENT), new.get(name, ABSENT))
        for name in dict.fromkeys([*old, *new])
        if old.get(name, ABSENT) != new.get(name, ABSENT)
    ]


def shown(value: Any) -> str:
    """A setting as YAML in a table cell."""
    if value is ABSENT:
        return "(absent)"
    text = yaml.safe_dump(value, default_flow_style=True, width=1000).strip()
    return plain(text.removesuffix("...").strip())


def settings_section(run: Run, presets: Path | None) -> str:
    """Differences from the preset as a table, all settings below, folded away."""
    if run.origin != "run folder":
        return ""
    if run.settings is None:
        return "The settings are not known: there is no readable config.yaml."
    settings = flat_settings(run.settings)
    parts, preset = [], preset_of(run, settings, presets)
    if preset is not None:
        name, base, named = preset
        which = f"the preset `{name}`" + ("" if named else ", the nearest one (the command names none of ours)")
        rows = [[code(key), shown(old), shown(new)] for key, old, new in differences(base, settings)]
        if rows:
            parts += [f"What differs from {which}:", table(["setting", f"preset {name}", "this run"], rows, 3)]
        else:
            parts.append(f"The settings are those of {which}.")
    full = yaml.safe_dump(run.settings, sort_keys=False, default_flow_style=None)
    block = "".join(f"    {line}\n" for line in f"```yaml\n{full}```".splitlines())
    return "\n\n".join([*parts, f'??? note "All settings (config.yaml)"\n\n{block}'])
