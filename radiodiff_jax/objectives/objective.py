"""What an objective is: what a generator's network learns, and how a map is sampled with it.

An objective is a frozen dataclass of settings with pure functions; `config.py` lists them. All randomness comes from
outside, drawn for the whole batch, so that it does not matter into how many microbatches a batch is cut.
"""

from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, Protocol

from jaxtyping import Array, Float

Coordinates = Float[Array, "batch h w channels"]
Times = Float[Array, " batch"]
PerMap = Float[Array, " batch"]
Metrics = dict[str, PerMap]
Answers = dict[str, Coordinates]
"""One answer a head."""
Predict = Callable[[Coordinates | None, Times | None, Sequence[str]], Answers]
"""(x, t, wanted heads) -> predictions, preconditioned."""
NoiseAt = Callable[[Array | int], Coordinates]
"""Number of a draw -> N(0, 1): 0 is where sampling starts."""


class Noised(NamedTuple):
    """What the network is shown and what it is to answer."""

    x: Coordinates | None
    t: Times | None
    targets: Answers


class Objective(Protocol):
    """Settings and pure functions of one way to learn and to sample."""

    name: str
    heads: tuple[str, ...]
    """What the backbone answers; of the class, or of its settings."""
    noisy: ClassVar[bool]
    """Whether the network sees x and t."""
    needs_base: ClassVar[bool]
    """Whether it starts from the output of a frozen regression run in the place of an estimate."""
    sampling_steps: int
    validation_steps: tuple[int, ...]

    def corrupt(self, x0: Coordinates, u: Times, noise: Coordinates, estimate: Coordinates | None) -> Noised:
        """Draw the network's input for a map x0, from u ~ U[0, 1) and noise ~ N(0, 1)."""

    def precondition(self, raw: Answers, x: Coordinates | None, t: Times | None, estimate: Coordinates | None) -> Answers:
        """Raw answers -> predictions; a head that was not asked is taken as zero."""

    def loss(self, predicted: Answers, noised: Noised, outdoors: Coordinates | None) -> tuple[PerMap, Metrics]:
        """(loss of each map, parts of it), weighted by `outdoors` where the space has such weights."""

    def sample(self, predict: Predict, noise_at: NoiseAt, steps: int, estimate: Coordinates | None) -> Coordinates:
        """x0 in `steps` steps; a `lax` loop, so that compile time does not grow with them."""

    def evaluations(self, steps: int) -> int:
        """Network evaluations of `steps` steps."""


def mean_of_map(error: Coordinates, outdoors: Coordinates | None = None) -> PerMap:
    """Mean over the positions and channels of each map, or over its outdoor pixels."""
    axes = (1, 2, 3)
    if outdoors is None:
        return error.mean(axes)
    return (error * outdoors).sum(axes) / outdoors.sum(axes).clip(1.0)


def per_example(t: Times) -> Float[Array, "batch 1 1 1"]:
    """[batch] -> [batch, 1, 1, 1]."""
    return t[:, None, None, None]


def times_from_uniform(u: Times, smallest: float) -> Times:
    """t = u (1 - smallest) + smallest."""
    return u * (1 - smallest) + smallest
