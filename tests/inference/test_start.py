"""What a prediction does without is not loaded: it is most of the time from the command to the map."""

import subprocess
import sys
from pathlib import Path

SLOW = ("numba", "scipy.signal", "scipy.stats", "skimage", "grain", "orbax.checkpoint", "tensorflow_datasets")


def test_the_shipped_model_loads_nothing_that_a_prediction_does_without():
    """As `experiments.predict` imports."""
    program = (
        "import sys\nimport experiments.predict\nfrom radiodiff_jax.inference.loading import load_generator\n"
        "from radiodiff_jax.inference.scene import read_scene\nfrom radiodiff_jax.reporting.map_figures import save_labelled_map\n"
        f"load_generator('dpm-regression')\nprint([name for name in {SLOW} if name in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
