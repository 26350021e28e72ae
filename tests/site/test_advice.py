"""What messages advise can be done: extras, presets, settings and commands that they name are there."""

import re
import tomllib

import pytest

from experiments.training import CONFIGS
from radiodiff_jax.config import CONFIG_TYPES
from radiodiff_jax.config_files import field_types, section_types
from tests.site.conftest import REPOSITORY
from tests.site.test_prose import spoken

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
FILLED = "{}"  # what a message fills in


@pytest.fixture(scope="module")
def texts():
    pages = [path.read_text() for path in [*(REPOSITORY / "site_src").rglob("*.md"), REPOSITORY / "README.md"]]
    return [*spoken(), *pages]


def found(pattern, texts):
    return {match for text in texts for match in re.findall(pattern, text)}


def test_extras_that_are_named_can_be_installed(texts):
    extras = {one for many in found(r"install[^\n]*\.\[([a-z0-9,]+)\]", texts) for one in many.split(",")}
    assert {"raytrace", "geo", "beam"} <= extras and extras <= set(PROJECT["optional-dependencies"])
    assert not found(r"radiodiff-jax\[", texts)  # it is on no index: only a clone can be installed


def test_presets_that_are_named_exist(texts):
    presets = {path.stem for path in CONFIGS.rglob("*.yaml")}
    quoted = found(r"`[^`]*--config ([a-z][a-z0-9-]*)[` ]", texts)
    quoted |= found(r"(?m)^python .*--config ([a-z][a-z0-9-]*)(?: |$)", texts)
    assert len(quoted) > 5 and quoted <= presets, quoted - presets


def settings():
    """{section: its fields} of every kind of settings."""
    known: dict[str, set[str]] = {}
    for root in CONFIG_TYPES.values():
        for name, kind in field_types(root).items():
            for section in section_types(kind):
                known.setdefault(name, set()).update(field_types(section))
    return known


def test_settings_that_are_advised_exist(texts):
    known = settings()
    named = found(rf"\b({'|'.join(known)})\.([a-z][a-z_]*)=", texts)
    assert len(named) > 30
    deliberate = {("optimizer", "learning_rat")}  # the page shows what a mistyped name answers
    assert {pair for pair in named if pair[1] not in known[pair[0]]} == deliberate


def test_commands_that_are_advised_exist(texts):
    commands = {path.stem for path in (REPOSITORY / "experiments").glob("*.py")} | {"ablation"}
    named = found(r"python -m experiments\.([a-z_]+)", texts)
    assert len(named) > 8 and named <= commands, named - commands
