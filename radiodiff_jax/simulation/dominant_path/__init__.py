"""The dominant path model: each receiver gets one path, that of least loss; straight, around corners or over the roofs.

After G. Wölfle and F. M. Landstorfer, "Dominant paths for the field strength prediction", IEEE VTC 1998; the numbers are
fitted to RadioMapSeer's DPM maps (Yapar, Levie, Kutyniok, Caire, arXiv 2212.11777). Two versions, side by side:

    what                                        numba, float64, one core     JAX, float32, any device
    what a point sees: depth maps               visibility_numba.py          visibility_jax.py
    paths around corners on the ground          ground_numba.py              ground_jax.py
    paths over the roofs                        roofs_numba.py               roofs_jax.py
    the radio map                               field_numba.py               field_jax.py
    what only one of them needs                 car_loss.py                  padded_scene.py, tiles_jax.py

Both share `constants.py` and `walls.py` (walls, corners, roof points). On a CPU or for a few transmitters:

    prepared = prepare(buildings, polygons)                # field_numba.py; once a city, about 2 s at 256 x 256
    grey = path_gain_grey(prepared, row, column)           # field_numba.py; about 0.1 s; uint8 [height, width]

For many transmitters at once:

    scene = describe(buildings, polygons)                  # padded_scene.py; NumPy: walls, corners, roof points, padded
    places = transmitter_places(pixels, polygons)          # padded_scene.py
    prepared = prepare_on_device(scene)                    # field_jax.py; once a city
    maps = radio_maps(prepared, pixels, places)            # field_jax.py; uint8 [transmitters, height, width]

The last two are pure, so `jax.vmap` takes them over cities that are padded alike. Nothing is imported here: the numba
files do without JAX, and the JAX files and `padded_scene.py` without numba.
"""
