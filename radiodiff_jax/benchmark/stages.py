"""The stages by name: networks, updates, predictions, loop, reading, simulator. Each runs in a process of its own."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.benchmark.job import Job, random_autoencoder, random_scenes
from radiodiff_jax.benchmark.loop import measure_loop_overhead, measure_resume
from radiodiff_jax.benchmark.measure import Row, compiled, jitted, measured, peak_memory_gb, summary, timed, with_rate
from radiodiff_jax.composition import scene_of
from radiodiff_jax.features import estimate_gain, feature_channels
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.models.discriminator import Discriminator
from radiodiff_jax.models.initialisers import first_values

STEPS = (1, 5)  # of a prediction
ON_A_CPU = (1, 4)  # batches to try
FIRST_ON_A_GPU = 8
GAIN = 1.05  # what a larger batch must bring to try a still larger one
LONG = 180.0  # seconds after which no larger batch is tried


# ---- updates ----


def measure_vae_step(job: Job) -> dict[str, Row]:
    """An update of the autoencoder alone, and one against the discriminator with both optimizers."""
    update = job.vae_update()
    alone = update.measure(job.repeats)
    alone["flops"] -= update.avoidable_flops()
    alone.pop("bytes", None)  # XLA counts the dearer branch, which is not taken
    update.skip_to(job.autoencoder.objective.discriminator_start)
    return {"vae step, alone": alone, "vae step, adversarial": update.measure(job.repeats)}


def measure_generator_step(job: Job) -> dict[str, Row]:
    """An update of the generator that encodes its maps."""
    return {"generator step": job.generator_update().measure(job.repeats)}


def measure_generator_step_cached(job: Job) -> dict[str, Row]:
    """An update of the generator on cached latents."""
    return {"generator step, cached latents": job.generator_update(cached=True).measure(job.repeats)}


# ---- predictions: from scenes to radio maps, the copy to and from the device included ----


def measure_prediction(job: Job) -> dict[str, Row]:
    """One sampling step and five, where these are different numbers of evaluations."""
    steps = {job.config.objective.evaluations(number): number for number in reversed(STEPS)}
    rows = {}
    for number in sorted(steps.values()):
        row = predict(job.generator, number, job.forward_batch(), job.repeats)
        if number > 1:
            row.pop("bytes", None)  # XLA counts what is inside a loop once
        rows[f"prediction, {number} step{'s' if number > 1 else ''}"] = row
    return rows


def measure_throughput(job: Job) -> dict[str, Row]:
    """Radio maps a second in one sampling step, in the batch that does most of them.

    On a GPU batches are doubled until one does not fit, brings less than 5 % more, or three minutes are over.
    """
    start = time.perf_counter()
    tried: list[Row] = []
    for batch in batches_to_try(job):
        try:
            tried.append(predict(job.generator, 1, batch, job.repeats))
        except jax.errors.JaxRuntimeError as error:
            if not tried or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            break
        rates = [row["examples_per_s"] for row in tried]
        if time.perf_counter() - start > LONG or (len(rates) > 1 and rates[-1] < GAIN * rates[-2]):
            break
    best = max(tried, key=lambda row: row["examples_per_s"])
    return {"predictions in batch": best | {"tried": {str(row["batch"]): row["examples_per_s"] for row in tried}}}


def batches_to_try(job: Job) -> list[int]:
    """In rising order."""
    if job.batch is not None:
        return [job.batch]
    if jax.default_backend() == "cpu":
        return [2] if job.large else list(ON_A_CPU)
    return [FIRST_ON_A_GPU * 2**doublings for doublings in range(8)]


def predict(generator: Generator, steps: int, batch: int, repeats: int) -> Row:
    """The row of `generator.predict_batch`."""
    scenes = random_scenes(generator.config, batch)
    executable, row = compiled(lambda: generator.traced(scenes, steps))
    inputs = (generator.variables, generator.frozen, scenes, jnp.uint32(0))
    return with_rate(row | timed(lambda: np.asarray(executable(*inputs)), repeats), batch)


# ---- forward passes, one by one ----


def measure_encoder(job: Job) -> dict[str, Row]:
    """Map to posterior moments."""
    return {"encoder": autoencoder_row(job, "encode", (*job.config.image_size, 1))}


def measure_decoder(job: Job) -> dict[str, Row]:
    """Latent to map."""
    settings = job.autoencoder.autoencoder
    height, width = (side // settings.downsampling for side in job.config.image_size)
    return {"decoder": autoencoder_row(job, "decode", (height, width, settings.latent_channels))}


def autoencoder_row(job: Job, method: str, size: tuple[int, int, int]) -> Row:
    """The row of one half of the autoencoder, on inputs of a size."""
    batch, module = job.forward_batch(), Autoencoder(job.autoencoder.autoencoder, job.autoencoder.precision)

    def run(params, x):
        return module.apply({"params": params}, x, method=method)

    return measured(run, (random_autoencoder(job.autoencoder), jnp.zeros((batch, *size))), batch, job.repeats)


def measure_discriminator(job: Job) -> dict[str, Row]:
    """Map to the logits of its patches."""
    batch, module = job.forward_batch(), Discriminator(job.autoencoder.discriminator, job.autoencoder.precision)
    image = jax.ShapeDtypeStruct((batch, *job.config.image_size, 1), jnp.float32)
    variables = first_values(module, jax.random.key(0), image, train=False)

    def run(variables, image):
        return module.apply(variables, image, False)

    return {"discriminator": measured(run, (variables, jnp.zeros(image.shape)), batch, job.repeats)}


def measure_features(job: Job) -> dict[str, Row]:
    """Scene to feature channels, and to the estimate that the generator starts from."""
    batch, generator = job.forward_batch(), job.composition

    def run(scenes):
        scene = scene_of(scenes)
        return generator.features(scene), estimate_gain(job.config.estimate, scene)

    return {"features": measured(run, (random_scenes(job.config, batch),), batch, job.repeats)}


def measure_condition(job: Job) -> dict[str, Row]:
    """Features to what the backbone makes of the scene alone."""
    batch, (run, variables, features) = job.forward_batch(), condition_encoder(job)
    return {"condition": measured(run, (variables, features), batch, job.repeats)}


def measure_backbone(job: Job) -> dict[str, Row]:
    """One evaluation with all heads, the scene's condition given."""
    batch, generator = job.forward_batch(), job.composition
    encode, variables, features = condition_encoder(job)
    height, width, channels = generator.shape
    x = jnp.zeros((batch, height, width, channels * (2 if generator.starts_at_estimate else 1)))
    noised = (x, jnp.full(batch, 0.5)) if generator.objective.noisy else (None, None)

    def run(variables, x, t, condition):
        return generator.network.apply(variables, x, t, condition, method="denoise")

    condition = jitted(encode)(variables, features)
    return {"backbone": measured(run, (variables, *noised, condition), batch, job.repeats)}


def condition_encoder(job: Job) -> tuple[Callable, dict, jax.Array]:
    """(function of variables and features, variables, features)."""
    size = (job.forward_batch(), *job.config.image_size, feature_channels(job.config.features))

    def run(variables, features):
        return job.composition.network.apply(variables, features, method="encode_condition")

    return run, job.generator.variables, jnp.zeros(size)


# ---- what radio maps to train on cost: reading them, simulating them ----


def measure_reading(job: Job) -> dict[str, Row]:
    """Training batches of 16 from a built TFDS folder, two threads."""
    from radiodiff_jax.data.packed.builder import build
    from radiodiff_jax.data.pipeline import training_batches
    from radiodiff_jax.data.sources import open_source
    from radiodiff_jax.simulation import write_simulated_folder

    size, at_once, batch = job.config.image_size, 30, 16
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_simulated_folder(folder / "maps", maps=10, transmitters=25, size=size, seed=0, workers=2, progress=False)
        build(folder / "maps", folder / "tfds")
        batches = training_batches(open_source(folder / "tfds", "train"), batch, 0)
        for _ in range(8):  # fill the read-ahead
            next(batches)
        seconds = []
        for _ in range(job.repeats):
            start = time.perf_counter()
            for _ in range(at_once):
                next(batches)
            seconds.append((time.perf_counter() - start) / at_once)
    return {"reading, a batch": with_rate(summary(seconds), batch)}


def measure_simulator(job: Job) -> dict[str, Row]:
    """A radio map by the dominant path model on one core, once the city is prepared; preparation in a row of its own."""
    from radiodiff_jax.simulation import city, path_gain_grey, place_transmitters, prepare

    layout = city(1, *job.config.image_size)
    prepared = prepare(layout.buildings, layout.polygons)
    preparation = timed(lambda: prepare(layout.buildings, layout.polygons) and None, min(job.repeats, 3))
    places = place_transmitters(layout.buildings, 8, 0)

    def run() -> None:
        for row, column in places:
            path_gain_grey(prepared, int(row), int(column))

    maps = each(timed(run, job.repeats), len(places))
    return {"simulator, a map": with_rate(maps, 1), "simulator, a city before": preparation}


def measure_simulator_on_device(job: Job) -> dict[str, Row]:
    """One of 80 radio maps of a city by the dominant path model in JAX; preparation in a row of its own."""
    from radiodiff_jax.simulation import city, place_transmitters
    from radiodiff_jax.simulation.dominant_path.field_jax import prepare_on_device, radio_maps
    from radiodiff_jax.simulation.dominant_path.padded_scene import describe, transmitter_places

    layout = city(2, *job.config.image_size)
    pixels = place_transmitters(layout.buildings, 80, 0).astype(np.int32)
    places = transmitter_places(pixels, layout.polygons)
    scene = jax.device_put(describe(layout.buildings, layout.polygons))
    preparation = timed(lambda: prepare_on_device(scene), min(job.repeats, 3))
    prepared = prepare_on_device(scene)
    maps = each(timed(lambda: radio_maps(prepared, pixels, places), min(job.repeats, 3)), len(pixels))
    return {"simulator on device, a map": with_rate(maps, 1), "simulator on device, a city before": preparation}


def each(row: Row, count: int) -> Row:
    """The row of one of `count` things done in a call."""
    return row | {name: row[name] / count for name in ("median_s", "best_s", "spread_s")}


# ---- all of them ----

STAGES: dict[str, Callable[[Job], dict[str, Row]]] = {
    "vae_step": measure_vae_step,
    "generator_step": measure_generator_step,
    "generator_step_cached": measure_generator_step_cached,
    "prediction": measure_prediction,
    "throughput": measure_throughput,
    "encoder": measure_encoder,
    "decoder": measure_decoder,
    "discriminator": measure_discriminator,
    "features": measure_features,
    "condition": measure_condition,
    "backbone": measure_backbone,
    "loop_overhead": measure_loop_overhead,
    "resume": measure_resume,
    "reading": measure_reading,
    "simulator": measure_simulator,
    "simulator_on_device": measure_simulator_on_device,
}
"""Name -> function of a job that returns {what: row}; in the order in which they run."""

OF_AUTOENCODER = ("vae_step", "encoder", "decoder", "discriminator")
FIXED_BATCH = ("reading", "simulator", "simulator_on_device")
"""Stages that no batch size applies to."""


def why_left_out(name: str, job: Job) -> str | None:
    """Why a stage does not apply to the generator, or None."""
    config = job.config
    if name in OF_AUTOENCODER and job.autoencoder is None:
        return f"left out, as the space {config.space.name} has no autoencoder; name one with --vae-config"
    if name == "generator_step_cached" and not config.space.needs_autoencoder:
        return f"left out, as the space {config.space.name} has no latents to cache"
    if name == "generator_step_cached" and config.objective.needs_base:
        return f"left out, as the objective {config.objective.name} starts from a base, which is not cached"
    return None


def run_stage(name: str, job: Job) -> dict[str, Row]:
    """The rows of a stage, with the most memory that this process has used."""
    rows = STAGES[name](job)
    peak = peak_memory_gb()
    return {what: row | {"peak_gb": peak} for what, row in rows.items()}
