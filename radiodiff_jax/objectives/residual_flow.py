"""Residual flow: a flow from a regression's map, plus a little noise, to the truth.

The regression gives the mean, the flow what the mean cannot show (Mardani et al., CorrDiff, arXiv 2309.15214; Ohayon et
al., posterior-mean rectified flow, arXiv 2410.00418).
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from radiodiff_jax import bounds
from radiodiff_jax.objectives.flow_matching import FlowMatching
from radiodiff_jax.objectives.objective import Coordinates
from radiodiff_jax.objectives.straight_path import Path
from radiodiff_jax.settings import STRICT


@dataclass(frozen=True)
class ResidualFlow(FlowMatching):
    """x_t = (1 - t) x_0 + t (b + sigma n), b the output of a frozen regression run; flow matching from there."""

    __pydantic_config__ = STRICT
    name: Literal["residual_flow"] = "residual_flow"  # what is learnt: a flow from a regression's output to the map
    sigma: bounds.Positive = 0.1  # deviation of the noise added to the regression's output
    deviation: bounds.Positive = 0.1  # of x_0 about the regression's output
    needs_base: ClassVar[bool] = True

    def path(self, base: Coordinates | None) -> Path:
        """From the regression's output, which is the estimate too."""
        return Path(base, self.sigma, base, self.deviation)
