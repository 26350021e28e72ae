"""Updates of both trainings, compiled and fed as the training loop does it; the state that goes in is gone."""

from dataclasses import replace

import numpy as np

from radiodiff_jax.benchmark.job import Job, Row
from radiodiff_jax.benchmark.timing import compiled, timed, with_rate
from radiodiff_jax.benchmark.weights import random_batch, random_frozen, random_latent_batch
from radiodiff_jax.config import Config, LDMConfig, VAEConfig
from radiodiff_jax.training.arithmetic import operations, parts
from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import device_mesh, put_batch, replicate
from radiodiff_jax.training.ldm_task import make_ldm_task
from radiodiff_jax.training.task import Batch, State, Task, Tree
from radiodiff_jax.training.vae_task import make_vae_task


class Update:
    """One compiled update with its state and its batch, to be called again and again."""

    def __init__(self, task: Task, config: Config, frozen: Tree, batch: Batch):
        settings, self._mesh = config.training, device_mesh()
        step = compile_task(task, settings.seed, self._mesh, spike_factor=settings.spike_factor, fsdp=settings.fsdp)
        self.state: State = step.initialise()
        self._frozen, self._batch = replicate(frozen, self._mesh), put_batch(batch, self._mesh)
        self._maps = len(batch["condition"])
        self._traced = None

        def trace():
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

    def avoidable(self) -> int:
        """Operations by which the dearest branches of its choices surpass the cheapest."""
        return sum(map(avoidable, self._traced.jaxpr.eqns))


def avoidable(equation) -> int:
    """As `Update.avoidable`, for one equation of a traced function."""
    inside = list(parts(equation.params))
    if equation.primitive.name == "cond":
        branches = [sum(map(operations, branch.eqns)) for branch in inside]
        return max(branches, default=0) - min(branches, default=0)
    turns = equation.params["length"] if equation.primitive.name == "scan" else 1
    return turns * sum(avoidable(one) for part in inside for one in part.eqns)


def whole_batches(config: Config) -> Config:
    """Without accumulation: an update of one microbatch."""
    return replace(config, optimizer=replace(config.optimizer, accumulate=1))


def vae_update(config: VAEConfig, condition_of: LDMConfig, batch: int) -> Update:
    """An update of the autoencoder."""
    config = whole_batches(config)
    return Update(make_vae_task(config), config, {}, random_batch(config, condition_of, batch))


def ldm_update(config: LDMConfig, autoencoder_config: VAEConfig, batch: int, cached: bool) -> Update:
    """An update of the diffusion model; with `cached` the batch holds latents, and nothing is encoded."""
    config = whole_batches(config)
    frozen = random_frozen(config, autoencoder_config, encoder=True)
    if cached:
        made = random_latent_batch(config, autoencoder_config, batch)
    else:
        made = random_batch(config, config, batch)
    return Update(make_ldm_task(config, autoencoder_config), config, frozen, made)


def measure_vae_step(job: Job) -> dict[str, Row]:
    """An update of the autoencoder alone, and one against the discriminator with both optimizers."""
    config = replace(job.vae, objective=replace(job.vae.objective, perceptual_weight=0.0))
    update = vae_update(config, job.ldm, job.update_batch(config))
    alone = update.measure(job.repeats)
    alone["operations"] -= update.avoidable()
    alone.pop("bytes", None)  # XLA counts the dearer branch, which is not taken
    update.skip_to(config.objective.discriminator_start)
    return {"vae step, alone": alone, "vae step, adversarial": update.measure(job.repeats)}


def measure_ldm_step(job: Job) -> dict[str, Row]:
    """An update of the diffusion model that encodes its maps."""
    update = ldm_update(job.ldm, job.vae, job.update_batch(job.ldm), cached=False)
    return {"ldm step, encoding": update.measure(job.repeats)}


def measure_ldm_step_cached(job: Job) -> dict[str, Row]:
    """An update of the diffusion model on cached latents."""
    update = ldm_update(job.ldm, job.vae, job.update_batch(job.ldm), cached=True)
    return {"ldm step, cached latents": update.measure(job.repeats)}
