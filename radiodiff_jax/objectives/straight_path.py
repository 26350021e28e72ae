"""Straight paths x_t = (1 - t) x_0 + t x_1 from a map (t = 0) to a source x_1 = m + sigma n (t = 1), and their velocity.

The network answers the velocity v = x_1 - x_0 (Lipman et al., arXiv 2210.02747; Liu et al., arXiv 2209.03003). Of an
estimate e of x_0, whose error has the deviation s, the best linear guess of v is known beforehand. With
y = x_t - (1 - t) e - t m, whose variance is V = (1 - t)^2 s^2 + t^2 sigma^2,

    v = m - e + (t sigma^2 - (1 - t) s^2) / V  y + s sigma / sqrt(V)  F,

where F, the network's raw answer, has a target of unit variance at all times (as Karras et al., arXiv 2206.00364,
derive for diffusion). Errors are measured in units of F.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from radiodiff_jax.objectives.objective import Coordinates, NoiseAt, Predict, Times, per_example


class Path(NamedTuple):
    """Where a path begins and what is known of its end."""

    mean: Coordinates | float
    """m of the source."""
    sigma: float
    """Deviation of the source."""
    estimate: Coordinates | float
    """e of the map."""
    deviation: float
    """s of the estimate's error."""

    def source(self, noise: Coordinates) -> Coordinates:
        """x_1."""
        return self.mean + self.sigma * noise

    def variance(self, t: Float[Array, "..."]) -> Float[Array, "..."]:
        """V."""
        return jnp.square((1 - t) * self.deviation) + jnp.square(t * self.sigma)

    def at(self, x0: Coordinates, noise: Coordinates, t: Times) -> tuple[Coordinates, Coordinates]:
        """(x_t, velocity)."""
        t, x1 = per_example(t), self.source(noise)
        return (1 - t) * x0 + t * x1, x1 - x0

    def velocity(self, raw: Coordinates, x: Coordinates, t: Times) -> Coordinates:
        """v from the network's raw answer."""
        t = per_example(t)
        variance = self.variance(t)
        y = x - (1 - t) * self.estimate - t * self.mean
        known = (t * self.sigma**2 - (1 - t) * self.deviation**2) / variance
        return self.mean - self.estimate + known * y + self.deviation * self.sigma * lax.rsqrt(variance) * raw

    def error(self, predicted: Coordinates, velocity: Coordinates, t: Times) -> Coordinates:
        """Error of a velocity in units of the raw answer."""
        scale = jnp.sqrt(self.variance(per_example(t))) / (self.deviation * self.sigma)
        return scale * (predicted - velocity)


def integrate(predict: Predict, path: Path, noise_at: NoiseAt, steps: int, midpoint: bool) -> Coordinates:
    """x_0 from x_1 by `steps` equal steps of Euler's method, or of the midpoint method (two evaluations a step)."""
    start = path.source(noise_at(0))

    def velocity(x: Coordinates, t: Float[Array, ""]) -> Coordinates:
        return predict(x, jnp.full(x.shape[0], t), ("velocity",))["velocity"]

    def step(number: Array | int, x: Coordinates) -> Coordinates:
        t, size = 1 - number / steps, 1 / steps
        v = velocity(x, t)
        if midpoint:
            v = velocity(x - size / 2 * v, t - size / 2)
        return x - size * v

    return step(0, start) if steps == 1 else lax.fori_loop(0, steps, step, start)
