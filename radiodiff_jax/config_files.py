"""Settings from YAML files and from `section.key=value` words: strict, with the nearest valid name in every error."""

import dataclasses
import textwrap
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from radiodiff_jax.config import CONFIG_TYPES, Config
from radiodiff_jax.errors import UserError, nearest, shown
from radiodiff_jax.files import write_text
from radiodiff_jax.limits import SETTINGS_BYTES
from radiodiff_jax.reading import MissingFileError, read_text
from radiodiff_jax.settings_tree import chosen, fault, field_types, meanings, section_types, type_name
from radiodiff_jax.settings_words import split_word
from radiodiff_jax.yaml_text import parse_yaml

OVERLAY = "overlay"  # folder of presets that say only how to train, for a model that is trained already


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises UserError for a missing file, bad YAML or something that is no mapping."""
    cure = "give the path of a YAML file of settings"
    try:
        value = parse_yaml(read_text(path, cure, most=SETTINGS_BYTES), str(path))
    except MissingFileError as error:
        raise MissingFileError(f"cannot read the settings in {path}: there is no such file; {cure}") from error
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise UserError(f"{path} holds a {type(value).__name__}, not `key: value` settings")
    return value


def shipped_names(kind: str, folder: Path) -> list[str]:
    """Names of the presets that come with the package."""
    return sorted(path.stem for path in (folder / kind).glob("*.yaml"))


def load_config(
    kind: str, name_or_path: str, overrides: list[str], folder: Path, base: dict[str, Any] | None = None
) -> Config:
    """The settings of a preset or YAML file with `section.key=value` words applied on top.

    `kind` is "vae" or "generator", `folder` holds the presets as `{kind}/{name}.yaml`. With `base`, a tree of settings,
    the file is laid over it, and may be one of those in `{OVERLAY}/`, which say nothing but how to train. Raises UserError
    for an unknown preset, key or value, naming the nearest valid one.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = preset_path(kind, name_or_path, folder, overlays=base is not None)
    tree = read_yaml(path)
    if base is not None:
        tree = lay_over(base, tree)
    check_keys(CONFIG_TYPES[kind], tree, str(path))
    for word in overrides:
        apply_override(CONFIG_TYPES[kind], tree, word)
    return build_config(kind, tree, str(path))


def preset_path(kind: str, name: str, folder: Path, overlays: bool) -> Path:
    """The file of a preset. Raises UserError for an unknown one, and for an overlay where there is nothing below."""
    names, laid_over = shipped_names(kind, folder), shipped_names(OVERLAY, folder)
    if name in laid_over and kind == "generator":
        if not overlays:
            raise UserError(f"the preset '{name}' is laid over a trained model; name that with --from RUN, or choose another", 2)
        return folder / OVERLAY / f"{name}.yaml"
    if name not in names:
        known = [*(laid_over if overlays else []), *names]
        raise UserError(
            f"there is no {kind} preset {shown(name)}{nearest(name, known)}; choose one of "
            f"{', '.join(known)} or give the path of a YAML file"
        )
    return folder / kind / f"{name}.yaml"


def lay_over(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """A nested mapping with what `tree` says in the place of what `base` says; sections of another name are taken whole."""
    merged = dict(base)
    for key, value in tree.items():
        below = base.get(key)
        same = isinstance(value, dict) and isinstance(below, dict) and value.get("name", below.get("name")) == below.get("name")
        merged[key] = lay_over(below, value) if same else value
    return merged


def build_config(kind: str, tree: dict[str, Any], where: str) -> Config:
    """Check a nested mapping against the tree of settings. Raises UserError in one line."""
    root = CONFIG_TYPES[kind]
    check_keys(root, tree, where)
    if tree.get("kind", kind) != kind:
        raise UserError(f"{where} holds settings of kind '{tree['kind']}', but this command needs '{kind}'")
    choices = [name for name, type_ in field_types(root).items() if len(section_types(type_)) > 1]
    named = {name: {"name": chosen(root, name, tree.get(name)).name, **tree.get(name, {})} for name in choices}
    try:
        return adapter(root).validate_python({"kind": kind, **tree, **named})
    except ValidationError as error:
        raise UserError(f"{where}: {fault(root, error.errors(include_url=False)[0])}") from error


@cache
def adapter(root: type) -> TypeAdapter:
    """Pydantic's reader and writer of a tree of settings, which takes a tenth of a second to make."""
    return TypeAdapter(root)


def apply_override(root: type, tree: dict[str, Any], word: str) -> None:
    """Write one `section.key=value` word into a nested mapping; see `settings_words` for what a value may be.

    `section.name=CHOICE` makes another choice, whose settings then have their defaults.
    """
    keys, value = split_word(word)
    check_path(root, keys, tree, shown(word))
    if keys[1:] == ["name"] and tree.get(keys[0], {}).get("name") != value:
        tree[keys[0]] = {}
    for key in keys[:-1]:
        tree = tree.setdefault(key, {})
    tree[keys[-1]] = value


def check_path(root: type, keys: list[str], tree: dict[str, Any], where: str) -> None:
    """Raise UserError unless `keys` lead from `root` to one setting; `tree` says which choices were made."""
    place: Any = root
    for depth, key in enumerate(keys):
        if not dataclasses.is_dataclass(place):
            raise UserError(f"{where}: {'.'.join(keys[:depth])} is a single setting and has no '{key}' below it")
        known = field_types(place)
        if key not in known:
            raise UserError(_unknown(where, keys[:depth], key, root, known))
        tree = tree.get(key, {}) if isinstance(tree, dict) else {}
        place = chosen(place, key, tree) if section_types(known[key]) else known[key]
    if dataclasses.is_dataclass(place):
        raise UserError(f"{where}: {'.'.join(keys)} is a section; name a setting in it: {', '.join(field_types(place))}")


def check_keys(place: type, tree: dict[str, Any], where: str, path: tuple[str, ...] = (), root: type | None = None):
    """Raise UserError for the first key of a nested mapping that the tree of settings does not have."""
    root = root or place
    known = field_types(place)
    for key, value in tree.items():
        if key not in known:
            raise UserError(_unknown(where, list(path), str(key), root, known))
        if section_types(known[key]):
            section = chosen(place, key, value)
            if not isinstance(value, dict):
                raise UserError(
                    f"{where}: {'.'.join([*path, key])} is a section, so it takes settings "
                    f"({', '.join(field_types(section))}), not {shown(value)}"
                )
            check_keys(section, value, where, (*path, key), root)


def settings(root: Any, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Every setting of a tree: dotted name -> (type, value).

    `root` is a tree's instance, or a type, whose values are the defaults and whose choices are all listed.
    """
    return {name: (kind, value) for name, kind, value, _ in described(root, prefix)}


def described(root: Any, prefix: str = "") -> Iterator[tuple[str, Any, Any, type]]:
    """As `settings`, (dotted name, type, value, the dataclass that it is a field of)."""
    values = root() if isinstance(root, type) else root
    for name, kind in field_types(type(values)).items():
        value = getattr(values, name)
        if not section_types(kind):
            yield f"{prefix}{name}", kind, value, type(values)
            continue
        for section in section_types(kind) if isinstance(root, type) else (value,):
            yield from described(section, f"{prefix}{name}.")


def settings_help(config: Config, width: int = 100) -> str:
    """The settings of a preset for `--help`: `section.key=value`, and below it what it means and what it may be."""
    flat, lines = flatten(to_tree(config)), []
    sections = {name: section_types(kind) for name, kind in field_types(type(config)).items()}
    choices = {f"{name}.name": " | ".join(one.name for one in found) for name, found in sections.items() if len(found) > 1}
    for name, kind, _, owner in described(config):
        lines.append(f"  {name}={_plain(flat[name])}")
        said = choices.get(name, type_name(kind))
        told = meanings(owner).get(name.rsplit(".", 1)[-1], "")
        told += f" ({said})" if said != str(flat[name]) else ""  # else there is no choice
        lines.append(textwrap.fill(told, width, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False))
    return "\n".join(lines)


def to_tree(config: Config) -> dict[str, Any]:
    """A nested mapping of plain YAML values (tuples become lists)."""
    return adapter(type(config)).dump_python(config, mode="json")


def flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mapping -> dotted names."""
    found = {}
    for key, value in tree.items():
        found |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Lines `section.key: old -> new` for what differs between two nested mappings."""
    old, new = flatten(old), flatten(new)
    return [
        f"{name}: {_plain(old.get(name, 'absent'))} -> {_plain(new.get(name, 'absent'))}"
        for name in dict.fromkeys([*old, *new])
        if old.get(name, "absent") != new.get(name, "absent")
    ]


def write_config(path: Path, config: Config) -> None:
    """Write every setting, resolved, as YAML that `load_config` reads back to the same tree."""
    write_text(path, yaml.safe_dump(to_tree(config), sort_keys=False, default_flow_style=None))


def read_config(path: Path) -> Config:
    """Read what `write_config` wrote; the kind is in the file."""
    tree = read_yaml(path)
    kind = tree.get("kind")
    if kind == "ldm":
        raise UserError(
            f"{path} was written by a version before 0.2, whose diffusion runs this one cannot read; use that version, or train "
            "anew with `python -m experiments.ldm`"
        )
    if not isinstance(kind, str) or kind not in CONFIG_TYPES:
        raise UserError(f"{path}: kind is {kind!r}, but it must be one of {', '.join(CONFIG_TYPES)}")
    return build_config(kind, tree, str(path))


def _unknown(where: str, path: list[str], key: str, root: type, known: dict[str, Any]) -> str:
    name = ".".join([*path, key])
    everywhere = list(settings(root))
    leaf = {full.rsplit(".", 1)[-1]: full for full in everywhere}
    full_names = [".".join([*path, here]) for here in known]
    hint = nearest(name, [*full_names, *everywhere]) if key not in leaf else f"; did you mean '{leaf[key]}'?"
    return f"{where}: there is no setting {shown(name)}{hint}"


def _plain(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(_plain, value))}]" if isinstance(value, (list, tuple)) else str(value)
