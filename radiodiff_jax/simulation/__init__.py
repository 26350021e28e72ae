"""Scenes and their radio maps: procedural cities and the dominant path simulator (numpy and numba, no JAX).

Numba caches each kernel under the date of its own file: after editing a kernel that kernels of other files call, remove
`simulation/__pycache__/*.nb?`.
"""

from radiodiff_jax.simulation.cities import City, city
from radiodiff_jax.simulation.dominant_path import PreparedMap, path_gain_db, path_gain_grey, prepare
from radiodiff_jax.simulation.folder import write_gains_for_scenes, write_layouts_folder, write_simulated_folder
from radiodiff_jax.simulation.scenes import place_transmitters

__all__ = [
    "City",
    "PreparedMap",
    "city",
    "path_gain_db",
    "path_gain_grey",
    "place_transmitters",
    "prepare",
    "write_gains_for_scenes",
    "write_layouts_folder",
    "write_simulated_folder",
]
