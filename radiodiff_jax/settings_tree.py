"""The tree of settings as types: which sections and settings there are, what each may be, and how that is said."""

import ast
import dataclasses
import inspect
import io
import textwrap
import tokenize
import types
import typing
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic_core import ErrorDetails

from radiodiff_jax.errors import UserError, nearest, shown

WORDS = {int: "whole number", float: "number", bool: "true | false", str: "text", type(None): "null"}


def section_types(kind: Any) -> tuple[type, ...]:
    """The dataclasses that a setting of this type may be: one for a section, several for a choice, none for a value."""
    kind = without_bounds(kind)
    if dataclasses.is_dataclass(kind):
        return (kind,)
    members = typing.get_args(kind)
    return members if members and all(map(dataclasses.is_dataclass, members)) else ()


def without_bounds(kind: Any) -> Any:
    """The type itself of one with `Annotated` around it."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def field_types(place: type) -> dict[str, Any]:
    """Setting names and their types, bounds included, in the order of the dataclass."""
    hints = typing.get_type_hints(place, include_extras=True)
    return {item.name: hints[item.name] for item in dataclasses.fields(place)}


def meanings(place: type) -> dict[str, str]:
    """What each setting of a dataclass means: the comment beside its field, or on the line above it.

    Nothing for a class without source at hand.
    """
    found: dict[str, str] = {}
    for owner in reversed(place.__mro__):
        if not dataclasses.is_dataclass(owner):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(owner))
        except (OSError, TypeError):
            continue
        comments = {token.start[0]: token for token in tokenize.generate_tokens(io.StringIO(source).readline)
                    if token.type == tokenize.COMMENT}  # fmt: skip
        for node in ast.parse(source).body[0].body:
            if isinstance(node, ast.AnnAssign):
                above = comments.get(node.lineno - 1)
                alone = above is not None and above.line.lstrip().startswith("#")
                said = comments.get(node.end_lineno) or (above if alone else None)
                if said is not None:
                    found[node.target.id] = said.string.lstrip("# ")
    return found


def chosen(place: type, key: str, value: Any) -> type:
    """The dataclass of the section `key` of `place`, by the "name" in its mapping, or by its default.

    Raises UserError for a name that is none of the choices.
    """
    members = section_types(field_types(place)[key])
    if len(members) == 1:
        return members[0]
    default = type(getattr(place(), key))
    name = value.get("name", default.name) if isinstance(value, dict) else default.name
    for member in members:
        if member.name == name:
            return member
    names = [member.name for member in members]
    raise UserError(f"there is no {key} {shown(name)}{nearest(str(name), names)}; choose one of {', '.join(names)}")


# ---- in words ----


def type_name(kind: Any) -> str:
    """What a setting may be, for `--help`: `whole number, 1 to 64`, `number above 0, at most 10, or null`."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        said = bounds_of(kind)
        return type_name(parts[0]) + (f" {said}" if said else "")
    if origin in (types.UnionType, typing.Union):
        return " or ".join(map(type_name, parts))
    if origin is typing.Literal:
        return " | ".join(map(str, parts))
    if origin is tuple:
        return f"list of {type_name(parts[0])}".replace("number", "numbers")
    return WORDS.get(kind) or kind.__name__


def bounds_of(kind: Any) -> str:
    """The bounds of an annotated number: `from 1 to 64`, `above 0, at most 10`; "" for none."""
    said = {type(one): dataclasses.astuple(one)[0] for one in kind.__metadata__ if isinstance(one, (Ge, Gt, Le, Lt))}
    if Ge in said and Le in said:
        return f"from {plain_number(said[Ge])} to {plain_number(said[Le])}"
    words = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}
    return ", ".join(f"{word} {plain_number(said[name])}" for name, word in words.items() if name in said)


def plain_number(value: float) -> str:
    """Thousands apart, no useless decimals."""
    return f"{int(value):,}" if float(value).is_integer() else str(value)


def fault(root: type, error: ErrorDetails) -> str:
    """What pydantic found, as `section.key is VALUE: it must be ...`."""
    names, kind, place = [], root, None
    for part in error["loc"]:
        if dataclasses.is_dataclass(without_bounds(kind)) or section_types(kind):
            found = {name: type_ for member in section_types(kind) for name, type_ in field_types(member).items()}
            if part in found:  # else the name of a choice, which pydantic puts between section and setting
                names.append(str(part))
                kind = place = found[part]
        elif isinstance(part, int):
            names.append(str(part))
    limits = {"greater_than_equal": ("ge", "at least"), "greater_than": ("gt", "above"),
              "less_than_equal": ("le", "at most"), "less_than": ("lt", "below")}  # fmt: skip
    value = shown(error["input"])
    if error["type"] in limits:
        key, word = limits[error["type"]]
        others = "".join(f", or {type_name(part)}" for part in typing.get_args(place) if part is type(None))
        return f"{'.'.join(names)} is {value}: it must be {word} {plain_number(error['ctx'][key])}{others}"
    message = error["msg"][:1].lower() + error["msg"][1:]
    return f"{'.'.join(names)} is {value}, but {message}"
