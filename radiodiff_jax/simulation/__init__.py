"""Scenes and their radio maps: procedural cities and the dominant path simulator (numpy and numba, no JAX)."""

from radiodiff_jax.simulation.dominant_path import PreparedMap, path_gain_db, path_gain_grey, prepare

__all__ = ["PreparedMap", "path_gain_db", "path_gain_grey", "prepare"]
