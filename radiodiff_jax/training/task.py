"""What the training loop needs to know of a model: four pure functions and a name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Array, Float, PRNGKeyArray

Tree = Any  # a pytree of arrays
State = dict[str, Any]  # always holds "step" (int32 scalar: finished updates), "params" and "ema"; all a resume needs
Batch = dict[str, Any]  # as data/pipeline.py makes it
Metrics = dict[str, Float[Array, ""]]


@dataclass(frozen=True)
class Task:
    """One training, as pure functions. Registered trainings (VAE-GAN, latent diffusion) build one each.

    - `initialise(key) -> state`
    - `step(state, frozen, batch, key) -> (state, metrics)`: one update; adds 1 to state["step"]; `metrics` are float32
      scalars. `frozen` is a tree of arrays that training reads and never changes (the autoencoder under the diffusion
      model, perceptual weights).
    - `predict(state, frozen, batch, key) -> gain`: what the model makes of a batch, [batch, height, width, 1] in
      [0, 1], with averaged weights where the settings ask for them; for validation and sample pictures.
    - `other_ways`: name -> a function as `predict` that does the same in another way, which validation measures too.
    - `phase(step) -> name` of the part of the training that update number `step` (from 0) belongs to.
    """

    kind: str
    initialise: Callable[[PRNGKeyArray], State]
    step: Callable[[State, Tree, Batch, PRNGKeyArray], tuple[State, Metrics]]
    predict: Callable[[State, Tree, Batch, PRNGKeyArray], Float[Array, "batch height width 1"]]
    phase: Callable[[int], str]
    other_ways: Mapping[str, Callable[[State, Tree, Batch, PRNGKeyArray], Float[Array, "batch height width 1"]]] = field(
        default_factory=dict, hash=False
    )
