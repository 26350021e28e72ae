"""The dominant path model in JAX: one call makes the radio maps of many transmitters, on whatever device JAX has.

    scene = describe(buildings, polygons)                  # scene.py; NumPy: walls, corners, roof points, padded
    places = transmitter_places(pixels, polygons)          # scene.py
    prepared = prepare_on_device(scene)                    # field.py; once a city
    maps = radio_maps(prepared, pixels, places)            # field.py; uint8 [transmitters, height, width]

The rules are those of `dominant_path`, in float32. The last two are pure, so `jax.vmap` takes them over cities that are
padded alike. Nothing is imported here, so that worker processes can have `scene.py` without JAX.
"""
