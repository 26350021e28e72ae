"""A source of gains by words that other processes and machines understand too."""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.coverage.gains import ExactGains, GainSource, ModelGains
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.training.digest import digest
from radiodiff_jax.training.run_files import LATEST


@dataclass(frozen=True)
class NamedSource:
    """The simulator, or a model and how it is asked."""

    model: str | Path | None = None
    """A run, a model file or the name of a model that comes with the package; None for the simulator."""
    checkpoint: str | int = LATEST
    sides: int = 2
    """Of the window around a site, see `ModelGains`."""
    steps: int | None = None
    weights: str | None = None
    """`weights_digest` of the weights that there must be; None for any."""

    def open(self) -> GainSource:
        """The source. Raises UserError where there is no such model, or one of other weights."""
        if self.model is None:
            return ExactGains()
        source = ModelGains(load_generator(self.model, self.checkpoint), self.sides, self.steps)
        if self.weights not in (None, weights_digest(source)):
            raise UserError(f"{self.model} has other weights where the work is done than where it was given; bring the same files")
        return source

    def for_others(self, source: GainSource) -> "NamedSource":
        """The same for other processes, which must find the weights of `source`, whatever their working directory is."""
        there = self.model is not None and Path(self.model).exists()
        model = Path(self.model).absolute() if there else self.model
        return replace(self, model=model, weights=weights_digest(source))


opened = lru_cache(1)(NamedSource.open)
"""The same source, which a process that does several jobs opens once."""


def weights_digest(source: GainSource) -> str | None:
    """SHA-256 of all that a model computes with; None of the simulator."""
    return digest({"variables": source.model.variables, "frozen": source.model.frozen}) if isinstance(source, ModelGains) else None
