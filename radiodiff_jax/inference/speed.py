"""How long the parts of a prediction take and how much memory: measured after compilation, on random weights."""

import math
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.inference.trained import RadioMapModel
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.training.ldm_task import first_variables, latent_size, make_unet

Result = dict[str, Any]


def timed(run: Callable[[], Any], repeats: int) -> Result:
    """Seconds of the first call (with compilation) and of `repeats` more: median and best."""
    start = time.perf_counter()
    jax.block_until_ready(run())
    first = time.perf_counter() - start
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        seconds.append(time.perf_counter() - start)
    return {"median_s": statistics.median(seconds), "best_s": min(seconds), "first_s": first, "repeats": repeats}


def peak_memory_gb() -> float:
    """Largest resident set of this process so far, in GB (10^9 bytes)."""
    kilo = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / 1e9


def filled(shapes: Any) -> Any:
    """Weights of these shapes for timing: one block of normal numbers over and over, scaled by the fan-in."""
    block = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)

    def fill(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        scale = np.float32(1 / math.sqrt(math.prod(leaf.shape[:-1]))) if len(leaf.shape) > 1 else np.float32(1)
        return jnp.asarray(np.resize(block * scale, leaf.shape), leaf.dtype)

    return jax.tree.map(fill, shapes)


def random_autoencoder(config: VAEConfig, size: tuple[int, int, int], encoder: bool) -> tuple[Autoencoder, Any]:
    """(module, parameters), of the encoder too only where asked for; `size` is the latent's."""
    module = Autoencoder(config.autoencoder, config.precision)
    if encoder:
        image = jnp.zeros((1, *config.image_size, config.autoencoder.image_channels))
        shapes = jax.eval_shape(lambda key: module.init(key, image), jax.random.key(1))
    else:
        shapes = jax.eval_shape(lambda key: module.init(key, jnp.zeros((1, *size)), method="decode"), jax.random.key(1))
    return module, filled(shapes["params"])


def random_model(config: LDMConfig, autoencoder_config: VAEConfig) -> RadioMapModel:
    """A model with random weights; of the autoencoder only what prediction uses."""
    size = latent_size(config, autoencoder_config)
    shapes = jax.eval_shape(lambda key: first_variables(config, autoencoder_config, key), jax.random.key(0))
    _, params = random_autoencoder(autoencoder_config, size, encoder=config.unet.prior != "none")
    return RadioMapModel(config, autoencoder_config, filled(shapes), {"autoencoder": params, "scale": jnp.float32(1)})


def measure_unet(config: LDMConfig, autoencoder_config: VAEConfig, repeats: int) -> Result:
    """One U-Net evaluation with the condition's features computed on the way, batch 1."""
    model = random_model(config, autoencoder_config)
    unet, size = make_unet(config, autoencoder_config), latent_size(config, autoencoder_config)
    z, t = jnp.zeros((1, *size)), jnp.full(1, 0.5)
    condition = jnp.ones((1, *config.image_size, config.unet.condition_channels))
    prior = None if config.unet.prior == "none" else z
    run = jax.jit(lambda variables, *inputs: unet.apply(variables, *inputs, prior=prior))
    return timed(lambda: run(model.variables, z, t, condition), repeats)


def measure_decoder(config: LDMConfig, autoencoder_config: VAEConfig, repeats: int) -> Result:
    """Latent to map, batch 1."""
    size = latent_size(config, autoencoder_config)
    autoencoder, params = random_autoencoder(autoencoder_config, size, encoder=False)
    run = jax.jit(lambda params, z: autoencoder.apply({"params": params}, z, method="decode"))
    return timed(lambda: run(params, jnp.zeros((1, *size))), repeats)


def measure_prediction(config: LDMConfig, autoencoder_config: VAEConfig, repeats: int) -> Result:
    """Scene to radio map in one diffusion step (two network evaluations) and decoding, batch 1."""
    model = random_model(config, autoencoder_config)
    condition = np.ones((1, *config.image_size, config.unet.condition_channels), np.float32)
    return timed(lambda: model.predict(condition, 1), repeats)


def measure_simulator(config: LDMConfig, autoencoder_config: VAEConfig, repeats: int) -> Result:
    """One radio map by the dominant path model on one core, once the city is prepared; preparation beside it."""
    from radiodiff_jax.simulation import city, path_gain_grey, place_transmitters, prepare

    layout = city(1, *config.image_size)
    prepare(layout.buildings, layout.polygons)  # compiles
    start = time.perf_counter()
    prepared = prepare(layout.buildings, layout.polygons)
    preparation = time.perf_counter() - start
    places = place_transmitters(layout.buildings, 8, 0)

    def run() -> None:
        for row, column in places:
            path_gain_grey(prepared, int(row), int(column))

    result = timed(run, repeats)
    per_map = {key: result[key] / len(places) for key in ("median_s", "best_s", "first_s")}
    return {**per_map, "repeats": repeats, "preparation_s": preparation}


def measure_simulator_on_device(config: LDMConfig, autoencoder_config: VAEConfig, repeats: int) -> Result:
    """One of 80 radio maps of a city by the dominant path model in JAX; what they share is in `examples_per_s` too."""
    from radiodiff_jax.simulation import city, place_transmitters
    from radiodiff_jax.simulation.on_device.field import prepare_on_device, radio_maps
    from radiodiff_jax.simulation.on_device.scene import describe, transmitter_places

    layout = city(2, *config.image_size)
    pixels = place_transmitters(layout.buildings, 80, 0).astype(np.int32)
    places = transmitter_places(pixels, layout.polygons)
    scene = jax.device_put(describe(layout.buildings, layout.polygons))
    preparation = timed(lambda: prepare_on_device(scene), repeats)
    prepared = prepare_on_device(scene)
    result = timed(lambda: radio_maps(prepared, pixels, places), repeats)
    per_map = {key: result[key] / len(pixels) for key in ("median_s", "best_s", "first_s")}
    rate = len(pixels) / (result["median_s"] + preparation["median_s"])
    return {**per_map, "repeats": repeats, "preparation_s": preparation["median_s"], "examples_per_s": rate}


def measure_reading(config: LDMConfig, autoencoder_config: VAEConfig, repeats: int) -> Result:
    """Training batches of 16 from a built TFDS folder of random grey maps, two threads."""
    from radiodiff_jax.data.builder import build
    from radiodiff_jax.data.pipeline import training_batches
    from radiodiff_jax.data.source import open_source
    from radiodiff_jax.simulation import write_simulated_folder

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulated_folder(folder / "maps", maps=10, transmitters=25, size=config.image_size, seed=0, workers=2)
        build(folder / "maps", folder / "tfds")
        batches = training_batches(open_source(folder / "tfds", "train"), 16, 0)
        rates = []
        for _ in range(8):  # fill the read-ahead
            next(batches)
        for _ in range(repeats):
            start = time.perf_counter()
            for _ in range(30):
                next(batches)
            rates.append(30 * 16 / (time.perf_counter() - start))
    return {"examples_per_s": statistics.median(rates), "best_examples_per_s": max(rates), "repeats": repeats}


STAGES = {
    "unet": measure_unet,
    "decoder": measure_decoder,
    "prediction": measure_prediction,
    "simulator": measure_simulator,
    "simulator_on_device": measure_simulator_on_device,
    "reading": measure_reading,
}
