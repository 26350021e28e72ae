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
    """One training, as pure functions; `update.py` and `vae_update.py` make one each.

    - `initialise(key) -> state`
    - `step(state, frozen, batch, key) -> (state, metrics)`: one update, or a skipped one (see guard.py); adds 1 to
      state["step"]; `metrics` are float32 scalars. `frozen` is a tree of arrays that training reads and never changes
      (the autoencoder under a latent space, perceptual weights).
    - `predict(state, frozen, batch, key) -> gain`: what the model makes of a batch, [batch, height, width] in [0, 1],
      with averaged weights where the settings ask for them; for validation and sample pictures.
    - `extra_predictors`: name -> a function as `predict` with other settings, which validation measures too.
    - `pieces(state)`: its trees of which `step` and `predict` accept a `Flat` too, wherever one of the same structure stands
      in the state (moments and averages have that of the parameters).
    - `phase(step) -> name` of the part of the training that update number `step` (from 0) belongs to.
    """

    name: str
    initialise: Callable[[PRNGKeyArray], State]
    step: Callable[[State, Tree, Batch, PRNGKeyArray], tuple[State, Metrics]]
    predict: Callable[[State, Tree, Batch, PRNGKeyArray], Float[Array, "batch height width"]]
    phase: Callable[[int], str]
    extra_predictors: Mapping[str, Callable[[State, Tree, Batch, PRNGKeyArray], Float[Array, "batch height width"]]] = field(
        default_factory=dict, hash=False
    )
    pieces: Callable[[State], list[Tree]] = field(default=lambda state: [])
