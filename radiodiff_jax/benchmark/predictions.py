"""From scenes to radio maps, the copy to and from the device included."""

import time

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.benchmark.job import Job, Row
from radiodiff_jax.benchmark.timing import compiled, timed, with_rate
from radiodiff_jax.benchmark.weights import random_condition, random_model
from radiodiff_jax.inference.trained import RadioMapModel

STEPS = (1, 5)
ON_A_CPU = (1, 4)
FIRST_ON_A_GPU = 8
GAIN = 1.05  # what a larger batch must bring to try a still larger one
LONG = 180.0  # seconds after which no larger batch is tried


def measure_prediction(job: Job) -> dict[str, Row]:
    """One sampling step and five."""
    model = random_model(job.ldm, job.vae)
    return {
        f"prediction, {steps} step{'s' if steps > 1 else ''}": predict(model, steps, job.forward_batch(), job.repeats)
        for steps in STEPS
    }


def measure_throughput(job: Job) -> dict[str, Row]:
    """Radio maps a second in one sampling step, in the batch that does most of them.

    On a GPU batches are doubled until one does not fit, brings less than 5 % more, or three minutes are over.
    """
    model, start = random_model(job.ldm, job.vae), time.perf_counter()
    tried: list[Row] = []
    for batch in batches(job):
        try:
            tried.append(predict(model, 1, batch, job.repeats))
        except jax.errors.JaxRuntimeError as error:
            if not tried or "RESOURCE_EXHAUSTED" not in str(error):
                raise
            break
        rates = [row["examples_per_s"] for row in tried]
        if time.perf_counter() - start > LONG or (len(rates) > 1 and rates[-1] < GAIN * rates[-2]):
            break
    best = max(tried, key=lambda row: row["examples_per_s"])
    return {"predictions in batch": best | {"tried": {str(row["batch"]): row["examples_per_s"] for row in tried}}}


def batches(job: Job) -> list[int]:
    """Batches to try, in rising order."""
    if job.batch is not None:
        return [job.batch]
    if jax.default_backend() == "cpu":
        return [2] if job.heavy else list(ON_A_CPU)
    return [FIRST_ON_A_GPU * 2**doublings for doublings in range(8)]


def predict(model: RadioMapModel, steps: int, batch: int, repeats: int) -> Row:
    """The row of `model.predict`."""
    inputs = (model.variables, model.frozen, random_condition(model.config, batch), jnp.uint32(0))
    executable, row = compiled(lambda: model.traced(inputs[2], steps))
    return with_rate(row | timed(lambda: np.asarray(executable(*inputs)), repeats), batch)
