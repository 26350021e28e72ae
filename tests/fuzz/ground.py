"""What trials start from: one good example of every file that a command reads, made once."""

import json
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from experiments import dataset, evaluate, weights
from radiodiff_jax.composition import compose
from radiodiff_jax.inference.exported import original_tensors
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.inference.model_file import write_model_file
from radiodiff_jax.simulation import write_simulated_folder
from radiodiff_jax.training.frozen import autoencoder_shapes
from tests.data.example_folder import write_example_folder
from tests.micro import RADIODIFF, micro
from tests.reporting.ablation_result import ablation_result
from tests.reporting.run_folders import write_run
from tests.simulation.cities.footprint_examples import town, write_geojson, write_osm

MODEL = ["space.name=pixel", "objective.name=regression", "features=[buildings,free_space,observed]", "data.observed_range=[0,4]"]
IMPORT = ["--config", "tiny", *RADIODIFF]
"""Settings for the checkpoint."""
PLAN = {
    "title": "A plan", "question": "Which?", "base": {"preset": "pixel-tiny", "settings": ["image_size=[32,32]"]},
    "settings": ["backbone.widths=[8,16]"], "budget": {"updates": 3}, "seeds": [0, 1], "reference": "a", "evaluation_maps": 2,
    "stages": {"coder": {"kind": "vae", "preset": "tiny", "share": 2, "settings": ["image_size=[32,32]"]}},
    "variants": {"a": [], "b": {"settings": ["objective.l1_weight=2"], "share": 0.5}, "c": {"preset": "tiny", "vae": "coder",
                 "settings": ["backbone.name=unet", "image_size=[32,32]"], "steps": [1, 2]}},
    "profiles": {"gpu": {"budget": {"updates": 5}}},
}  # fmt: skip
CONFIG = {
    "kind": "generator", "image_size": [32, 32], "space": {"name": "pixel", "patch": 2}, "features": ["buildings", "transmitter"],
    "backbone": {"name": "unet", "widths": [8, 16]}, "objective": {"name": "regression", "l1_weight": 1.0}, "estimate": "path",
    "optimizer": {"learning_rate": 0.001, "betas": [0.9, 0.99], "clip_norm": None}, "ema": {"decay": 0.9, "use": True},
    "data": {"simulation": "DPM", "threads": 1}, "training": {"steps": 10, "batch_size": 2, "seed": 0},
    "precision": {"remat": False},
}  # fmt: skip


class Ground:
    """The examples, below one folder; each is made when it is first asked for."""

    def __init__(self, folder: Path):
        self.folder = folder

    def _made(self, name: str, make: Callable[[Path], Any]) -> Path:
        path = self.folder / name
        if not path.exists():
            make(path)
        return path

    @cached_property
    def maps(self) -> Path:
        """A folder of five layouts of 32 x 32 pixels with two transmitters each."""
        return self._made("maps", write_example_folder)

    @cached_property
    def simulated(self) -> Path:
        """One simulated map, with its record."""
        make = lambda path: write_simulated_folder(path, maps=1, transmitters=1, size=(32, 32), seed=0, progress=False)  # noqa: E731
        return self._made("simulated", make)

    @cached_property
    def packed(self) -> Path:
        """The maps, packed."""
        return self._made("packed", lambda path: dataset.main(["build", "--root", str(self.maps), "--out", str(path)]))

    @cached_property
    def run(self) -> Path:
        """A made-up run of four logged steps, without checkpoints."""
        return self._made("run", lambda path: write_run(path, "vae", rows=4, samples=1, skipped=1, resumes=1))

    @cached_property
    def model(self) -> Path:
        """A model that was never trained, told of measured pixels."""

        def make(path: Path) -> None:
            import jax

            composition = compose(micro("ldm", *MODEL))
            variables = composition.first_variables(jax.random.key(0))
            write_model_file(path, composition, variables, {}, {"summary": "a test"}, "MIT", precision="float32")

        return self._made("model.safetensors", make)

    @cached_property
    def checkpoint(self) -> Path:
        """Weights of a latent diffusion model that was never trained, by the original's names."""

        def make(path: Path) -> None:
            import jax
            from safetensors.numpy import save_file

            vae = micro("vae", "autoencoder.base_channels=32", "autoencoder.normalisation_groups=32")
            composition = compose(micro("radiodiff"), vae)
            shapes, first = jax.eval_shape(composition.first_variables, jax.random.key(0)), autoencoder_shapes(vae)
            variables, params = (jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), tree) for tree in (shapes, first))
            frozen = {"autoencoder": params, "scale": np.float32(0.3)}
            save_file(original_tensors(Generator(composition, variables, frozen, "x")), path)

        return self._made("checkpoint.safetensors", make)

    @cached_property
    def latent_run(self) -> Path:
        """The same as a run folder."""
        return self._made("latent_run", lambda path: weights.main(["import", str(self.checkpoint), "--run", str(path), *IMPORT]))

    @cached_property
    def evaluation(self) -> Path:
        """An evaluation of the model; its arrays are left out."""
        words = ["--model", str(self.model), "--data", str(self.maps), "--split", "all", "--count", "4"]
        return self._made("evaluation.json", lambda path: evaluate.main([*words, "--out", str(path)]))

    @cached_property
    def explored(self) -> Path:
        """Numbers and figures of the maps."""
        words = ["explore", "--root", str(self.maps)]
        return self._made("explored", lambda path: dataset.main([*words, "--out", str(path)]))

    @cached_property
    def town(self) -> dict[str, Any]:
        """A little town as GeoJSON."""
        return json.loads(self._made("town.geojson", lambda path: write_geojson(path, town())).read_text())

    @cached_property
    def town_osm(self) -> bytes:
        """The same as OpenStreetMap XML."""
        return self._made("town.osm", lambda path: write_osm(path, town())).read_bytes()

    @cached_property
    def comparison(self) -> dict[str, Any]:
        """A result of `experiments.ablate`."""
        return ablation_result()


def copy(source: Path, folder: Path, name: str | None = None) -> Path:
    """Copy a file or folder of the ground into a trial's folder."""
    target = folder / (name or source.name)
    shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return target


