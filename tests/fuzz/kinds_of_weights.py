"""Kinds of trials about weights: checkpoints and settings of the original, the autoencoder inside a run."""

import json
from pathlib import Path

import numpy as np
import yaml
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from experiments import weights
from tests.fuzz import values
from tests.fuzz.ground import IMPORT, Ground, copy
from tests.fuzz.registry import DRAWING, Draw, kind, written
from tests.fuzz.trial import Command

GOLDEN = Path(__file__).parents[1] / "golden"


@kind(slow=True)
def checkpoints_of_the_original(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Weights by the original's names: other tensors, other shapes, damage; its settings; and files that PyTorch wrote."""
    if draw(st.booleans()):
        tree = {"model": {"ddconfig": {"ch": 128, "ch_mult": [1, 2, 4], "dropout": 0.0, "z_channels": 3}, "embed_dim": 3},
                "trainer": {"lr": 1e-5, "min_lr": 1e-6}, "data": {"batch_size": 2}}  # fmt: skip
        mended = values.damaged_tree(tree).map(lambda tree: yaml.safe_dump(tree).encode())
        return Command(weights.main, ["config", written(folder, "c.yaml", draw(mended)), "--out", "ours.yaml"])
    if draw(st.booleans()):
        original = GOLDEN / draw(st.sampled_from(["swin_tiny.pth", "checkpoint.pt", "checkpoint_stream.pt"]))
        content = draw(st.one_of(st.just(original.read_bytes()), values.damaged_file(original.read_bytes())))
        return Command(weights.main, ["import", written(folder, "m.pth", content), "--run", "run"], seconds=DRAWING)
    tensors = load_file(ground.checkpoint)
    for name in draw(st.lists(st.sampled_from(sorted(tensors)), max_size=3, unique=True)):
        shape = draw(st.lists(st.integers(0, 9), max_size=5))
        tensors[name] = np.zeros(shape, np.float32)
        if draw(st.booleans()):
            tensors[draw(st.sampled_from(sorted(tensors)))] = tensors.pop(name)
    content = draw(st.one_of(st.just(save(tensors)), st.just(save(tensors)), values.damaged_file(ground.checkpoint.read_bytes())))
    name = written(folder, draw(st.sampled_from(["m.safetensors", "m.safetensors", "m.pt"])), content)
    return Command(weights.main, ["import", name, "--run", "run", *IMPORT], seconds=DRAWING)


@kind(slow=True)
def records_of_latents(draw: Draw, ground: Ground, folder: Path) -> Command:
    """latent.json, digests.json and the settings of the autoencoder inside a run, with its digests and without."""
    run = copy(ground.latent_run, folder, "run")
    path = run / "autoencoder" / draw(st.sampled_from(["latent.json", "latent.json", "digests.json", "config.yaml"]))
    content = path.read_bytes()
    if path.suffix == ".json":
        path.write_bytes(draw(values.damaged_json(json.loads(content))))
    else:
        path.write_bytes(draw(values.damaged_tree(yaml.safe_load(content)).map(lambda tree: yaml.safe_dump(tree).encode())))
    if path.name != "digests.json" and draw(st.booleans()):
        (path.parent / "digests.json").unlink()
    return Command(weights.main, ["export", "--run", "run", "--out", "x.safetensors"], seconds=DRAWING)
