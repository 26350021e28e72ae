"""YAML as settings need it: mappings with names as keys, lists, numbers, texts, true, false and null; nothing else.

Aliases (`*name`), tags (`!!int`), several documents, keys that come twice and deep nesting are refused, so that a short file
can be nothing long or dangerous. Dates are texts.
"""

import re
from typing import Any

import yaml

from radiodiff_jax.errors import UserError
from radiodiff_jax.limits import SETTINGS_DEPTH

PREFIX = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads `1e-4` as a text, `0x_` and `1:30` as numbers and `2020-01-01` as a date; here all are as they look."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"*{event.anchor} stands for another part, which settings may not; write the part itself")
        if event.tag is not None:
            raise yaml.YAMLError(f"the tag {event.tag} says of what type a value is, which settings may not; leave it out")
        self.depth += 1
        if self.depth > SETTINGS_DEPTH:
            raise yaml.YAMLError(f"it has more than {SETTINGS_DEPTH} levels, one in the other")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.YAMLError(f"a key in line {key.start_mark.line + 1} is no name")
            if key.value in found:
                raise yaml.YAMLError(f"the key '{key.value}' comes twice, again in line {key.start_mark.line + 1}")
            found[key.value] = self.construct_object(value, deep=deep)
        return found


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$", list("yYnNtTfFoO")),
    ("int", r"^[-+]?(?:0|[1-9][0-9_]*|0x[0-9a-fA-F]+)$", list("-+0123456789")),
    ("float", r"^[-+]?(\d+\.\d*|\.\d+|\d+)([eE][-+]?\d+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$", list("-+.0123456789")),
):
    _Loader.add_implicit_resolver(PREFIX + _tag, re.compile(_pattern), _first)


def parse_yaml(text: str, where: str) -> Any:
    """One YAML value. Raises UserError that names `where`."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise UserError(f"{where} is not valid YAML: {' '.join(str(error).split())}") from error
