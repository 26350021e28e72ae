"""What is measured: one generator with its autoencoder, on random weights and on cities with random gains."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.benchmark.measure import Row, avoidable_flops, compiled, timed, with_rate
from radiodiff_jax.composition import Composition, compose
from radiodiff_jax.config import Config, GeneratorConfig
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.models.initialisers import first_values
from radiodiff_jax.objectives.regression import Regression
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.simulation.cities.generator import city
from radiodiff_jax.simulation.cities.placement import place_cars, place_transmitters
from radiodiff_jax.simulation.scene_maps import scene_maps
from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import device_mesh, put_batch, replicate
from radiodiff_jax.training.task import Batch, State, Task, Tree
from radiodiff_jax.training.update import make_update
from radiodiff_jax.training.vae_update import make_vae_update

LARGE = 256 * 256  # pixels of a map from which on a CPU is given single maps
CITIES = 8  # different ones in a batch


@dataclass(frozen=True)
class Job:
    """A generator and the autoencoder it works on, the batch (None: what suits stage and device), how many timed calls.

    A residual flow starts from a regression of the same network and features.
    """

    config: GeneratorConfig
    autoencoder: VAEConfig | None = None
    batch: int | None = None
    repeats: int = 10

    @property
    def large(self) -> bool:
        """Whether maps are of full size."""
        return math.prod(self.config.image_size) >= LARGE

    def forward_batch(self) -> int:
        """Maps of a forward pass."""
        return self.batch or 1

    def update_batch(self, config: Config) -> int:
        """Maps of an update: the preset's, or one where maps are large and the device a CPU."""
        on_cpu = jax.default_backend() == "cpu"
        return self.batch or (1 if self.large and on_cpu else config.training.batch_size)

    @cached_property
    def composition(self) -> Composition:
        """The generator as pure functions, simplified."""
        base = replace(self.config, objective=Regression()) if self.config.objective.needs_base else None
        return compose(simplified(self.config), self.autoencoder, base)

    @cached_property
    def frozen(self) -> Tree:
        """What the generator reads and does not train."""
        return self.first_frozen()

    def first_frozen(self) -> Tree:
        """`frozen`, made anew."""
        found: dict[str, Any] = {}
        if self.config.space.needs_autoencoder:
            found = {"autoencoder": random_autoencoder(self.autoencoder), "scale": jnp.float32(1)}
        base = self.composition.base
        return found if base is None else found | {"base": base.first_variables(jax.random.key(2))}

    @cached_property
    def generator(self) -> Generator:
        """The generator, ready to predict."""
        return Generator(self.composition, self.composition.first_variables(jax.random.key(0)), self.frozen)

    def generator_task(self, cached: bool = False) -> tuple[Task, Config, Batch]:
        """Training of the generator, its settings, a batch; with `cached` that holds latents, and nothing is encoded."""
        generator, batch = self.composition, self.update_batch(self.config)
        maps = random_batch(self.config, batch)
        if cached:
            data = replace(generator.config.data, latents="cached")
            generator = replace(generator, config=replace(generator.config, data=data))
            maps = with_latents(maps, generator)
        return make_update(generator), generator.config, maps

    def vae_task(self) -> tuple[Task, VAEConfig, Batch]:
        """Training of the autoencoder without a perceptual loss, its settings, a batch."""
        config = simplified(self.autoencoder)
        config = replace(config, objective=replace(config.objective, perceptual_weight=0.0))
        return make_vae_update(config), config, random_batch(config, self.update_batch(config))

    def generator_update(self, cached: bool = False) -> "Update":
        """An update of the generator."""
        task, config, batch = self.generator_task(cached)
        return Update(task, config, self.frozen, batch)

    def vae_update(self) -> "Update":
        """An update of the autoencoder."""
        task, config, batch = self.vae_task()
        return Update(task, config, {}, batch)


class Update:
    """One compiled update with its state and its batch, to be called again and again, as the training loop does it: the
    state that goes in is gone."""

    def __init__(self, task: Task, config: Config, frozen: Tree, batch: Batch):
        self._mesh = device_mesh()
        step = compile_task(task, config.training.seed, self._mesh, fsdp=config.training.fsdp)
        self.state: State = step.initialise()
        self._frozen, self._batch = replicate(frozen, self._mesh), put_batch(batch, self._mesh)
        self._maps = len(batch["position"])
        self._traced = None

        def trace() -> jax.stages.Traced:
            self._traced = step.step.trace(self.state, self._frozen, self._batch)
            return self._traced

        self._executable, self.costs = compiled(trace)

    def __call__(self) -> State:
        """One more update of the same batch."""
        self.state, _ = self._executable(self.state, self._frozen, self._batch)
        return self.state

    def measure(self, repeats: int) -> Row:
        """The row of the update as it stands."""
        return with_rate(self.costs | timed(self, repeats), self._maps)

    def skip_to(self, step: int) -> None:
        """Pretend that so many updates are done."""
        self.state = self.state | {"step": replicate(np.int32(step), self._mesh)}

    def avoidable_flops(self) -> int:
        """By how many FLOPs the dearest branches of its choices surpass the cheapest."""
        return sum(map(avoidable_flops, self._traced.jaxpr.eqns))


def simplified(config: Config) -> Config:
    """Without accumulation, an update being of one microbatch, and without cached latents."""
    optimizer, data = replace(config.optimizer, accumulate=1), replace(config.data, latents="computed")
    return replace(config, optimizer=optimizer, data=data)


def random_autoencoder(config: VAEConfig) -> Tree:
    """Parameters of an autoencoder before any training."""
    image = jax.ShapeDtypeStruct((1, *config.image_size, 1), jnp.float32)
    return first_values(Autoencoder(config.autoencoder, config.precision), jax.random.key(1), image)["params"]


def random_scenes(config: Config, count: int) -> Batch:
    """What a prediction is told: a few procedural cities over and over, since features take as long as a city is winding."""
    random, size, data = np.random.default_rng(0), config.image_size, config.data
    buildings = [city(seed, *size).buildings for seed in range(min(count, CITIES))]
    position = [place_transmitters(mask, 1, seed)[0] for seed, mask in enumerate(buildings)]
    scenes = {"buildings": np.stack(buildings), "position": np.stack(position).astype(np.int32)}
    if data.cars:
        scenes["cars"] = np.stack([place_cars(mask, [place], 0) for mask, place in zip(buildings, position, strict=True)])
    for name in data.computed:
        maps = [scene_maps([name], mask, tuple(place))[name] for mask, place in zip(buildings, position, strict=True)]
        scenes[name] = np.stack(maps)
    scenes = {name: np.resize(part, (count, *part.shape[1:])) for name, part in scenes.items()}
    if data.observed is not None:
        known = random.random((count, *size)) < data.observed[1] / math.prod(size)
        scenes |= {"observed": known & ~scenes["buildings"], "gain": random_gain(config, count)}
    return scenes


def random_batch(config: Config, count: int) -> Batch:
    """A training batch, without what tells of the maps' numbers."""
    return random_scenes(config, count) | {"gain": random_gain(config, count)}


def random_gain(config: Config, count: int) -> np.ndarray:
    """Grey levels, uint8 [count, height, width]."""
    return np.random.default_rng(1).integers(0, 256, (count, *config.image_size), np.uint8)


def with_latents(batch: Batch, generator: Composition) -> Batch:
    """A training batch that holds latents in the place of gains, see `data/latents.py`."""
    random, (height, width, channels) = np.random.default_rng(2), generator.shape
    count = len(batch["position"])
    made = {"moments": random.standard_normal((count, height, width, 2 * channels), np.float32)}
    if generator.starts_at_estimate:
        made["estimate"] = random.standard_normal((count, height, width, channels), np.float32)
    return made | {name: part for name, part in batch.items() if name != "gain"}
