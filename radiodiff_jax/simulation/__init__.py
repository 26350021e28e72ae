"""Scenes and their radio maps: procedural cities, the dominant path model, ray tracing of real cities.

    cities/            procedural cities, footprints from files, polygons, where transmitters and cars stand
    dominant_path/     the model, in numba and in JAX
    raytrace/          a second physics: real cities and layouts by ray tracing
    folder.py          whole simulated data sets as RadioMapSeer folders
    wall_reflections.py, edge_diffraction.py   power by reflections and by one bend, in the plane of the antennas
    scene_maps.py      maps that a model may be told of, computed beforehand
    scenes.py          scenes of a given folder, whose gains are to be simulated

What others use most is exported here, and loaded when it is first asked for, since numba takes more than a second to
load. Nothing that is exported needs JAX.
"""

import importlib
from typing import Any

_MODULE_OF = {
    "City": "cities.generator",
    "PreparedMap": "dominant_path.field_numba",
    "city": "cities.generator",
    "path_gain_db": "dominant_path.field_numba",
    "path_gain_grey": "dominant_path.field_numba",
    "place_transmitters": "cities.placement",
    "prepare": "dominant_path.field_numba",
    "write_gains_for_scenes": "folder",
    "write_masks_folder": "folder",
    "write_simulated_folder": "folder",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
