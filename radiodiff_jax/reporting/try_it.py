"""What the page "Try it" loads: the shipped model as ONNX and six made-up cities, written while the site is built.

    site_src/try/dpm-regression.onnx   int8 weights, 256 x 256 m
    site_src/try/cities/NAME.png       255 = building
"""

import importlib.util
from pathlib import Path

from radiodiff_jax.files import write_whole
from radiodiff_jax.images import write_mask

MODEL = "dpm-regression"
WEIGHTS = Path(__file__).parents[1] / "pretrained" / f"{MODEL}.safetensors"
SIZE = (256, 256)
CITIES = {"curved-streets": 902, "rows": 900, "mixed": 908, "courtyard": 901, "houses": 904, "large-buildings": 903}
"""Name of a file -> seed of `simulation.cities.generator.city`."""


def write_try_it(site: Path) -> None:
    """Write the files below SITE/try; nothing where they are there and of the same weights.

    Without the package onnx there is no model, and the page says so.
    """
    folder = site / "try"
    if not (folder / "index.md").is_file():
        return
    (folder / "cities").mkdir(exist_ok=True)
    missing = {seed: path for name, seed in CITIES.items() if not (path := folder / "cities" / f"{name}.png").is_file()}
    if missing:
        # Here, as what follows: loading them takes as long as half a build.
        from radiodiff_jax.simulation.cities.generator import city

        for seed, path in missing.items():
            write_mask(path, city(seed, *SIZE).buildings)
    out = folder / f"{MODEL}.onnx"
    if out.is_file() and out.stat().st_mtime >= _changed(WEIGHTS) or importlib.util.find_spec("onnx") is None:
        return
    from radiodiff_jax.inference.exported import onnx_model
    from radiodiff_jax.inference.loading import load_model

    content = onnx_model(load_model(MODEL), SIZE, "int8")
    write_whole(out, lambda temporary: temporary.write_bytes(content))


def _changed(weights: Path) -> float:
    """When the weights or the program that makes the graph were last written."""
    program = (Path(__file__).parents[1] / "inference").rglob("*.py")
    return max(path.stat().st_mtime for path in [weights, Path(__file__), *program])
