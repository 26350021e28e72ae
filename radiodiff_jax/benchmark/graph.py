"""What an update is made of, counted without running it: operations, parameters, what is kept for the backward pass.

The update is traced on shapes alone and lowered for NVIDIA cards, which needs none; `cards.py` compiles it for one.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from radiodiff_jax.benchmark.cards import PLATFORM, card_mesh, compiled_counts
from radiodiff_jax.benchmark.job import Job, random_autoencoder
from radiodiff_jax.composition import Composition
from radiodiff_jax.features import feature_channels
from radiodiff_jax.models.autoencoder import posterior_sample
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import device_mesh
from radiodiff_jax.training.flat import host_shapes
from radiodiff_jax.training.task import Batch, Task, Tree
from radiodiff_jax.training.vae_update import Networks

Counts = dict[str, Any]
DIFFUSION, AUTOENCODER = "diffusion", "autoencoder"


@dataclass(frozen=True)
class Traceable:
    """An update on shapes alone, and the function whose backward pass it runs, `kept(maps) -> (function, parameters)`."""

    task: Task
    frozen: Tree
    batch: Batch
    kept: Callable[[int], tuple[Callable, Tree]]


def generator_update(job: Job) -> Traceable:
    """That of the generator, as it trains: on cached latents where its settings say so."""
    task, _, batch = job.generator_task(job.config.data.latents == "cached")
    return Traceable(task, jax.eval_shape(job.first_frozen), shapes_of(batch), partial(network_alone, job.composition))


def network_alone(generator: Composition, maps: int) -> tuple[Callable, Tree]:
    """The network in training on so many maps, as a function of its parameters, and their shapes."""
    variables = jax.eval_shape(generator.first_variables, jax.random.key(0))
    rows, columns, channels = generator.shape
    noised = None, None
    if generator.objective.noisy:
        channels *= 2 if generator.starts_at_estimate else 1
        noised = jnp.zeros((maps, rows, columns, channels)), jnp.ones(maps)
    features = jnp.zeros((maps, *generator.config.image_size, feature_channels(generator.config.features)))
    rest = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), {k: v for k, v in variables.items() if k != "params"})

    def answer(params: Tree) -> tuple[Tree, Tree]:
        return generator.network.apply(
            {"params": params} | rest, *noised, features, True, rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )  # fmt: skip

    return answer, variables["params"]


def autoencoder_update(job: Job) -> Traceable:
    """That of the autoencoder in its second phase, without the perceptual loss."""
    task, config, batch = job.vae_task()
    return Traceable(task, {}, shapes_of(batch), partial(autoencoder_alone, config))


def autoencoder_alone(config: VAEConfig, maps: int) -> tuple[Callable, Tree]:
    """Map to reconstruction as a function of the autoencoder's parameters, and their shapes."""
    module = Networks(config).autoencoder

    def answer(params: Tree) -> tuple[Any, None]:
        rngs = {"dropout": jax.random.key(0)}
        moments = module.apply({"params": params}, jnp.zeros((maps, *config.image_size, 1)), True, method="encode", rngs=rngs)
        z = posterior_sample(moments, jnp.zeros((*moments.shape[:-1], moments.shape[-1] // 2)))
        hidden = module.apply({"params": params}, z, True, method="hidden", rngs=rngs)
        return module.apply({"params": params}, hidden, method="last_layer"), None

    return answer, jax.eval_shape(lambda: random_autoencoder(config))


def shapes_of(batch: Batch) -> Batch:
    """Arrays that are not there in the place of a batch's."""
    return {name: jax.ShapeDtypeStruct(part.shape, part.dtype) for name, part in batch.items()}


def graph(job: Job, card: str | None = None) -> dict[str, Counts]:
    """{"diffusion": counts, "autoencoder": counts}; the latter only where there is an autoencoder.

    Counts are "batch", "operations" of StableHLO, different "matrix_products" and "convolutions", "parameters", "leaves"
    (named arrays of them), "backward_bytes_per_map" and "backward_modules" (module -> its bytes a map). With the
    name of a card (see `cards.CARDS`) also "kernels", "kernel_kinds", "compile_seconds" and "planned_bytes".
    """
    updates = {DIFFUSION: generator_update} | ({AUTOENCODER: autoencoder_update} if job.autoencoder is not None else {})
    return {name: counts(make(job), card) for name, make in updates.items()}


def counts(update: Traceable, card: str | None) -> Counts:
    """Of one update."""
    with as_on_a_gpu():
        mesh = device_mesh() if card is None else card_mesh(card)
        compiled = compile_task(update.task, 0, mesh)
        lowered = compiled.step.trace(compiled.shapes, update.frozen, update.batch).lower(lowering_platforms=(PLATFORM,))
        text = lowered.as_text()
        modules = kept_by_module(update.kept)
    named = jax.tree.leaves(host_shapes(compiled.shapes["params"]))
    found = {
        "batch": update.batch["position"].shape[0],
        "operations": text.count("stablehlo."),
        "matrix_products": different(text, "stablehlo.dot_general"),
        "convolutions": different(text, "stablehlo.convolution"),
        "parameters": sum(leaf.size for leaf in named),
        "leaves": len(named),
        "backward_bytes_per_map": sum(modules.values()),
        "backward_modules": dict(modules.most_common()),
    }
    return found if card is None else found | compiled_counts(lowered)


@contextmanager
def as_on_a_gpu() -> Iterator[None]:
    """What asks for the platform is told that it is a GPU: some layers choose their form by it."""
    before = jax.default_backend
    jax.default_backend = lambda: "gpu"
    try:
        yield
    finally:
        jax.default_backend = before


def different(text: str, operation: str) -> int:
    """How many operations of a kind differ in more than the names of their operands."""
    return len({re.sub(r"%[\w#:]+", "%", line.strip()) for line in text.splitlines() if operation in line})


def kept_by_module(alone: Callable[[int], tuple[Callable, Tree]]) -> Counter[str]:
    """Module (two names deep) -> bytes that the forward pass keeps for the backward pass, for each further map."""
    one, two = (residuals(*alone(maps)) for maps in (1, 2))
    two.subtract(one)
    return Counter({module: size for module, size in two.items() if size > 0})


def residuals(function: Callable, params: Tree) -> Counter[str]:
    """Module -> bytes of what `jax.vjp` keeps, the parameters themselves aside."""

    def kept(params: Tree) -> list:
        return jax.tree.leaves(jax.vjp(function, params, has_aux=True)[1])

    closed = jax.make_jaxpr(kept)(params)
    makers = {id(out): equation for equation in closed.jaxpr.eqns for out in equation.outvars}
    found: Counter[str] = Counter()
    for leaf in {id(out): out for out in closed.jaxpr.outvars}.values():
        maker = makers.get(id(leaf))
        if maker is not None:
            found[module_of(str(maker.source_info.name_stack))] += int(np.prod(leaf.aval.shape)) * leaf.aval.dtype.itemsize
    return found


def module_of(stack: str) -> str:
    """ "jvp(Network)/Network.denoise/down_0/block1" -> "down_0/block1"; for the network's own operations its name."""
    names = [name for name in stack.split("/") if not re.search(r"[().]|^$", name)]
    return "/".join(names[:2]) or "network"
