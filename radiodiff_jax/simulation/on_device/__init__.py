"""The dominant path model in JAX: one call makes the radio maps of many transmitters, on whatever device JAX has.

    scene = describe(buildings, polygons)           # numpy, on the host: walls, corners, roof points, padded
    prepared = prepare_on_device(scene)             # once a city
    maps = radio_maps(prepared, *transmitters(...)) # uint8 [transmitters, height, width]

The same rules as `dominant_path`, in float32; maps agree to one grey level but for single pixels at shadow edges. Both
functions are pure, so `jax.vmap` takes them over several cities of equally padded arrays.
"""

from radiodiff_jax.simulation.on_device.field import prepare_on_device, radio_maps
from radiodiff_jax.simulation.on_device.scene import Scene, describe, transmitter_places

__all__ = ["Scene", "describe", "prepare_on_device", "radio_maps", "transmitter_places"]
