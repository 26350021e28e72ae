"""What a stage of the benchmark is asked for, and what it hands back."""

from dataclasses import dataclass
from typing import Any

from radiodiff_jax.config import LDMConfig, VAEConfig

Row = dict[str, Any]
"""One line of the tables: "median_s", "best_s", "spread_s" (between the quartiles), "calls", and where they make sense
"batch", "compile_s", "operations", "bytes", "planned_gb", "examples_per_s", "peak_gb"."""


@dataclass(frozen=True)
class Job:
    """The settings of both trainings, the batch (None: what suits the stage and the device), how many timed calls."""

    ldm: LDMConfig
    vae: VAEConfig
    batch: int | None = None
    repeats: int = 10
    heavy: bool = False  # a preset of full size: on a CPU updates are measured with single maps

    def forward_batch(self) -> int:
        """Maps of a forward pass."""
        return self.batch or 1

    def update_batch(self, config: LDMConfig | VAEConfig) -> int:
        """Maps of an update: the preset's, or one where the preset is of full size and the device a CPU."""
        import jax  # not for the command that only starts stages

        on_cpu = jax.default_backend() == "cpu"
        return self.batch or (1 if self.heavy and on_cpu else config.training.batch_size)
