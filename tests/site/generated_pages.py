"""Pages as the report commands write them, of small made-up runs and data."""

from pathlib import Path

import numpy as np

from experiments import dataset
from experiments.training import CONFIGS
from radiodiff_jax.composition import compose
from radiodiff_jax.config_files import load_config
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.files import write_json
from radiodiff_jax.inference.baselines import BASELINES
from radiodiff_jax.inference.evaluation import evaluate_steps
from radiodiff_jax.inference.evaluation_files import write_evaluation
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.reporting.runs.refresh import report
from radiodiff_jax.units import grey_to_gain
from tests.data.example_folder import write_example_folder
from tests.reporting.ablation_result import ablation_result
from tests.reporting.run_folders import write_run


def write_generated_pages(site: Path, folder: Path) -> None:
    """Run pages, their comparison, an evaluation, a data page and an ablation below `site`; their sources are made in `folder`."""
    data = write_example_folder(folder / "maps")
    words = ["explore", "--root", str(data), "--out", str(folder / "explore" / "maps"), "--site", str(site)]
    dataset.main(words)
    kinds = {"vae": "vae", "vae-fast": "vae", "ldm": "ldm"}
    runs = [write_run(folder / "runs" / name, kind, rows=40, seed=i) for i, (name, kind) in enumerate(kinds.items())]
    write_evaluations(folder / "runs" / "ldm", data)
    report(runs, site, presets=CONFIGS)
    write_json(site / "ablations" / "micro.json", ablation_result())  # its page is made while the site is built


class NoisyEstimate(Generator):
    """A model without weights: the line-of-sight estimate, and noise that falls with the number of steps."""

    def predict_batch(self, batch, steps=None, seed=0):
        """Gain of the scenes of a batch."""
        gain = BASELINES["line-of-sight estimate"](batch)
        return np.clip(gain + 0.05 / steps * np.random.default_rng(seed).standard_normal(gain.shape), 0, 1)

    @property
    def reconstructor(self):
        """An autoencoder that loses 2 % of the gain."""
        return lambda batch: 0.98 * grey_to_gain(batch["gain"])


def write_evaluations(run: Path, data: Path) -> None:
    """Evaluations of a made-up model with one step and with two."""
    configs = [load_config(kind, "tiny", [], CONFIGS) for kind in ("generator", "vae")]
    model = NoisyEstimate(compose(*configs), None, None)
    source = open_source(data, "train", "DPM", False, "auto")
    for result, arrays in evaluate_steps(model, source, [1, 2], batch_size=3):
        head = {"run": str(run), "data": str(data), "split": "test", "evaluated": "2026-03-01T12:00:00+00:00"}
        write_evaluation(run / "evaluation" / f"test_steps{result['steps']}.json", head | result, arrays)
