"""A training small enough to run hundreds of times: noise, batch statistics, an average, two phases, real Grain data.

Run as a program it trains in the folder it is given: `python -m tests.training.toy RUN STEPS [SECONDS_PER_BATCH]`.
"""

import functools
import sys
import time
from pathlib import Path

import grain
import jax
import jax.numpy as jnp
import numpy as np
import optax

from radiodiff_jax.config import VAEConfig
from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import DataConfig, EMAConfig, OptimizerConfig, TrainingConfig
from radiodiff_jax.training import ema
from radiodiff_jax.training.loop import Summary, train
from radiodiff_jax.training.optimizer import first_guard, learning_rate, optimizer, skip_bad_updates
from radiodiff_jax.training.task import Task
from radiodiff_jax.units import grey_to_gain

SIZE, BATCH, WIDTH, SECOND_PHASE = 16, 4, 8, 7


def make_config(steps: int = 20, **training) -> VAEConfig:
    """Settings of a toy training: log every 4 updates, validate, draw and save every 5."""
    every = {"log_every": 4, "validate_every": 5, "checkpoint_every": 5, "sample_every": 5}
    sizes = {"batch_size": BATCH, "validation_maps": 6, "sample_maps": 2, "seed": 3}
    return VAEConfig(
        optimizer=OptimizerConfig(learning_rate=1e-2, warmup_steps=3),
        ema=EMAConfig(decay=0.9, update_after=2, update_every=2),
        data=DataConfig(augment=False),
        training=TrainingConfig(**{"steps": steps, **every, **sizes, **training}),
    )


@functools.cache
def make_task(config: VAEConfig, poisoned_at: int | None = None, poisoned_for: int = 1, guarded: bool = True) -> Task:
    """A two-layer pixelwise network with dropout; `poisoned_for` losses from `poisoned_at` (from 0) are no numbers."""
    update = optimizer(config.optimizer, config.training.steps)
    rate = learning_rate(config.optimizer, config.training.steps)

    def initialise(key):
        first, second = jax.random.split(key)
        params = {
            "one": {"kernel": jax.random.normal(first, (3, WIDTH)), "bias": jnp.zeros(WIDTH)},
            "two": {"kernel": jax.random.normal(second, (WIDTH, 1)) / WIDTH, "bias": jnp.zeros(1)},
        }
        online = {"params": params, "batch_stats": {"mean": jnp.zeros(WIDTH)}}
        guard = {} if config.training.spike_factor is None else {"guard": first_guard()}
        return {
            "step": jnp.zeros((), jnp.int32), **online, "optimizer": update.init(params), "ema": ema.initialise(online),
            **guard,
        }  # fmt: skip

    def apply(params, mean, condition, keep):
        hidden = jnp.tanh(condition @ params["one"]["kernel"] + params["one"]["bias"] - mean)
        return (hidden * keep) @ params["two"]["kernel"] + params["two"]["bias"], hidden

    def step(state, frozen, batch, key):
        keep, gain = jax.random.bernoulli(key, 0.8, (*batch["gain"].shape, WIDTH)) / 0.8, grey_to_gain(batch["gain"])

        def loss(params):
            output, hidden = apply(params, state["batch_stats"]["mean"], condition_of(batch), keep)
            return jnp.mean((frozen["scale"] * output[..., 0] - gain) ** 2), hidden.mean((0, 1, 2))

        (value, mean), gradients = jax.value_and_grad(loss, has_aux=True)(state["params"])
        change, optimizer_state = update.update(gradients, state["optimizer"], state["params"])
        online = {
            "params": optax.apply_updates(state["params"], change),
            "batch_stats": {"mean": 0.9 * state["batch_stats"]["mean"] + 0.1 * mean},
        }
        if poisoned_at is not None:
            poisoned = (state["step"] >= poisoned_at) & (state["step"] < poisoned_at + poisoned_for)
            value = jnp.where(poisoned, jnp.nan, value)
        metrics = {"loss": value, "grad_norm": optax.tree.norm(gradients), "learning_rate": rate(state["step"])}
        new = state | {
            "step": state["step"] + 1, **online, "optimizer": optimizer_state,
            "ema": ema.update(config.ema, state["ema"], online),
        }  # fmt: skip
        return skip_bad_updates(state, new, metrics, config.training.spike_factor) if guarded else (new, metrics)

    def predict(state, frozen, batch, key):
        source = state["ema"]["average"]
        output, _ = apply(source["params"], source["batch_stats"]["mean"], condition_of(batch), 1.0)
        return frozen["scale"] * output[..., 0]

    return Task("toy", initialise, step, predict, lambda number: "first" if number < SECOND_PHASE else "second")


def condition_of(batch):
    """[batch, height, width, 3]: buildings, cars and observed pixels, each -1 or 1."""
    masks = [batch.get(name, batch["buildings"]) for name in ("buildings", "cars", "observed")]
    return jnp.where(jnp.stack(masks, -1), 1.0, -1.0)


class Maps:
    """Forty random maps as a Grain source; reading one takes `seconds`."""

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        time.sleep(self.seconds)
        random = np.random.default_rng(index)
        masks = random.choice([False, True], (SIZE, SIZE, 3))
        named = dict(zip(("buildings", "cars", "observed"), np.moveaxis(masks, -1, 0), strict=True))
        return {"gain": (85 * masks.sum(-1)).astype(np.uint8), "position": np.zeros(2, np.int32), **named}


def make_batches(seconds: float = 0.0) -> grain.DatasetIterator:
    """Endless shuffled batches; making one takes `seconds`."""
    batches = grain.MapDataset.source(Maps(seconds / BATCH)).seed(1).shuffle().repeat().batch(BATCH)
    return iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1)))


def validation_batches() -> list[dict[str, np.ndarray]]:
    """Six maps in two batches, the last filled up."""
    maps = [Maps()[min(index, 5)] | {"mask": np.float32(index < 6)} for index in range(8)]
    return [{name: np.stack([one[name] for one in maps[start : start + 4]]) for name in maps[0]} for start in (0, 4)]


def run_toy(run: Path, config: VAEConfig | None = None, seconds: float = 0.0, **changes) -> Summary:
    """Train the toy in `run`."""
    config = config or make_config()
    arguments = {
        "batches": make_batches(seconds),
        "frozen": {"scale": 1.5},
        "validation_batches": validation_batches,
        "data_fingerprint": "abc",
        "extras": {"toy": True},
    }
    return train(changes.pop("task", None) or make_task(config), config, run, **(arguments | changes))


if __name__ == "__main__":
    try:
        print(run_toy(Path(sys.argv[1]), make_config(int(sys.argv[2])), float(sys.argv[3] if sys.argv[3:] else 0)))
    except UserError as error:
        sys.exit(f"error: {error}")
