"""The page "Add your own" does what it says: its code, put where it says, trains by the one loop and resumes exactly."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.micro import write_data
from tests.site.conftest import REPOSITORY

PAGE = REPOSITORY / "site_src" / "guide" / "add-your-own.md"
BLOCK = re.compile(r'^```(python|diff|yaml) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
WORDS = [
    "image_size=[32,32]", "training.steps=4", "training.batch_size=4", "training.checkpoint_every=2", "training.log_every=1",
    "training.validate_every=4", "training.validation_maps=4", "training.sample_every=4", "training.sample_maps=2",
]  # fmt: skip
STOPPED = """
import functools, sys
from radiodiff_jax.training import session
session.SessionOptions = functools.partial(session.SessionOptions, until=2)
from experiments import train
train.main(sys.argv[1:])
from radiodiff_jax.config_files import read_config
from radiodiff_jax.reporting.architecture import run_architecture
print(run_architecture(read_config(__import__("pathlib").Path(sys.argv[-1]) / "config.yaml")))
"""


def applied(text: str, diff: str) -> str:
    """A file's text with the places of a diff block changed, each of which must be there once."""
    for place in diff.split("@@\n"):
        lines = place.splitlines(keepends=True)
        old, new = ("".join(line[1:] or line for line in lines if line[0] != other) for other in "+-")
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Path:
    """A copy of the packages with everything that the page adds."""
    folder = tmp_path_factory.mktemp("own")
    for name in ("radiodiff_jax", "experiments"):
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    blocks = BLOCK.findall(PAGE.read_text())
    assert [kind for kind, *_ in blocks] == ["python", "diff"] * 4 + ["yaml"]
    for kind, name, text in blocks:
        path = folder / name
        assert path.exists() == (kind == "diff"), name
        path.write_text(applied(path.read_text(), text) if kind == "diff" else text)
    write_data(folder / "data")
    return folder


def run(copy: Path, *words: str) -> str:
    """The output of Python in the copy."""
    environment = os.environ | {"PYTHONPATH": str(copy), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, *words], cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def finished(folder: Path) -> dict:
    """The last event of a run."""
    event = json.loads((folder / "events.jsonl").read_text().splitlines()[-1])
    assert (event["event"], event["step"]) == ("finished", 4)
    return event


def test_all_of_them_train_and_resume_to_the_same_bits(copy):
    words = ["--config", "mine.yaml", "--data", "data", *WORDS, "--run"]
    run(copy, "-m", "experiments.train", *words, "runs/whole")
    told = run(copy, "-c", STOPPED, *words, "runs/stopped")
    assert not re.search("finished", (copy / "runs/stopped/events.jsonl").read_text())
    assert all(word in told for word in ("Network plain in space coarse", "density", "3 evaluations"))
    run(copy, "-m", "experiments.train", *words, "runs/stopped")
    assert re.search(r'"event": "resumed"', (copy / "runs/stopped/events.jsonl").read_text())
    assert finished(copy / "runs/whole")["digest"] == finished(copy / "runs/stopped")["digest"]
    rows = [json.loads(line) for line in (copy / "runs/whole/metrics.jsonl").read_text().splitlines()]
    assert {"loss_x0", "validation/rmse"} <= set().union(*rows)


def test_mistakes_in_their_settings_are_told(copy):
    words = ["-m", "experiments.train", "--config", "mine.yaml", "--data", "data", "--run", "runs/wrong"]
    environment = os.environ | {"PYTHONPATH": str(copy), "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, *words, "backbone.widht=8"], cwd=copy, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "did you mean 'backbone.width'?" in done.stderr
