"""Radio maps by generative models: scene in, path gain map out, in functional JAX.

    import radiodiff_jax

    buildings, transmitter = radiodiff_jax.example_scene()   # or your own: mask, (row, column); 1 pixel = 1 m
    found = radiodiff_jax.load_generator("dpm-regression").predict(buildings, transmitter)
    found.to_png("map.png")                                  # found.gain in [0, 1], found.db
"""

from typing import Any

__version__ = "0.2.0"
__all__ = ["Generator", "RadioMap", "UserError", "example_scene", "load_generator", "shipped_models"]

_PLACES = {
    "Generator": "radiodiff_jax.inference.generator",
    "RadioMap": "radiodiff_jax.inference.radio_map",
    "UserError": "radiodiff_jax.errors",
    "example_scene": "radiodiff_jax.inference.scene",
    "load_generator": "radiodiff_jax.inference.loading",
    "shipped_models": "radiodiff_jax.inference.model_file",
}


def __getattr__(name: str) -> Any:
    # Found on first use: importing the package alone does not import JAX, which the simulator's processes do without.
    if name not in _PLACES:
        raise AttributeError(f"module 'radiodiff_jax' has no attribute '{name}'")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
