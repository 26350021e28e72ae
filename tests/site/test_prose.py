"""What the hand-written pages quote is still so: commands, their options and settings, messages."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest
import yaml

from experiments.training import CONFIGS, parse_training
from radiodiff_jax.config_files import load_config
from tests.site.conftest import REPOSITORY

PAGES = sorted([*(REPOSITORY / "site_src").glob("*.md"), *(REPOSITORY / "site_src" / "guide").glob("*.md")])

TRAINING = {"vae": ("vae", "tiny"), "ldm": ("generator", "tiny"), "train": ("generator", "pixel-tiny")}
"""Command -> (kind of its settings, preset without --config)."""


def commands(page: Path) -> list[list[str]]:
    """The words after `python -m experiments.` of every complete command in the page's shell blocks."""
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            _, mark, rest = line.partition("python -m experiments.")
            if mark and "..." not in rest:
                found.append(shlex.split(rest, comments=True))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_understood(page):
    for name, *words in commands(page):
        module = importlib.import_module(f"experiments.{name}")
        if "--help" in words:
            continue
        if name in TRAINING:
            kind, preset = TRAINING[name]
            arguments = parse_training(name, kind, preset, "", "", words)
            load_config(kind, arguments.config, arguments.settings, CONFIGS, {} if getattr(arguments, "source", None) else None)
        elif name == "dataset":
            module.make_parser().parse_args(words)
        else:
            module.parse(words)


def spoken() -> list[str]:
    """Every string of the program, what is filled in shortened to `{}`."""
    texts = [(REPOSITORY / "Makefile").read_text()]
    for path in [*(REPOSITORY / "radiodiff_jax").rglob("*.py"), *(REPOSITORY / "experiments").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    return texts


def test_messages_are_what_the_program_says():
    page = (REPOSITORY / "site_src" / "troubleshooting.md").read_text()
    symptoms = re.findall(r"^`([^`]{12,})`$", page, re.MULTILINE)
    assert len(symptoms) > 15
    texts = spoken()
    for symptom in symptoms:
        pieces = ".*".join(re.escape(piece.strip()) for piece in symptom.split("..."))
        assert any(re.search(pieces, text, re.DOTALL) for text in texts), symptom


@pytest.mark.parametrize("page", [page for page in PAGES if page.read_text().startswith("---\n")], ids=lambda page: page.stem)
def test_the_head_of_a_page_is_read_as_such(page):
    """MkDocs prints a head that is no YAML as the page's first words."""
    head = yaml.safe_load(page.read_text().split("---\n")[1])
    assert isinstance(head["description"], str)
