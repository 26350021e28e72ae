"""A predicted radio map."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.errors import UserError
from radiodiff_jax.images import write_grey
from radiodiff_jax.inference.calibration import Intervals
from radiodiff_jax.units import DB_PER_GAIN, gain_to_db, gain_to_grey


@dataclass(frozen=True)
class RadioMap:
    """Path gain at every pixel of a scene; 1 pixel = 1 m."""

    gain: Float[np.ndarray, "height width"]
    """In [0, 1] = grey / 255; 0 is no signal or inside a building."""
    buildings: Bool[np.ndarray, "height width"]
    transmitter: tuple[int, int]
    """Row, column."""
    deviation: Float[np.ndarray, "height width"] | None = None
    """Standard deviation of the error of the gain as the model expects it (`objective.error_scale`), or of the gain over
    the samples, where there are several; not calibrated. None for a model that does not say how sure it is."""
    intervals: Intervals | None = None
    """How wide intervals are in deviations; with the run's calibration where it has one."""

    @property
    def db(self) -> Float[np.ndarray, "height width"]:
        """Path gain in dB, float32; -147 dB is no signal or inside a building."""
        return gain_to_db(self.gain).astype(np.float32)

    @property
    def deviation_db(self) -> Float[np.ndarray, "height width"] | None:
        """The deviation in dB."""
        return None if self.deviation is None else DB_PER_GAIN * self.deviation

    def to_dataset(self) -> Any:
        """The map as an `xarray.Dataset`: path_gain in dB (NaN inside buildings), buildings, and deviation in dB where
        there is one, over `row` and `column` in metres from the upper left corner. Raises UserError without xarray.
        """
        try:
            import xarray
        except ImportError as error:
            raise UserError("xarray is not installed, which `to_dataset` needs; run `pip install xarray`") from error
        axes, units = ("row", "column"), {"units": "dB"}
        fields = {"path_gain": (axes, np.where(self.buildings, np.nan, self.db), units | {"long_name": "path gain"})}
        if self.deviation is not None:
            fields["deviation"] = (axes, self.deviation_db, units | {"long_name": "standard deviation of the path gain"})
        fields["buildings"] = (axes, self.buildings, {"long_name": "inside a building"})
        places = {
            name: (name, np.arange(size), {"units": "m"}) for name, size in zip(axes, self.buildings.shape, strict=True)
        }
        return xarray.Dataset(fields, places, {"transmitter_row": self.transmitter[0], "transmitter_column": self.transmitter[1]})

    def half_width_db(self, level: float = 0.9) -> Float[np.ndarray, "height width"]:
        """Half the width of the interval in dB: the share `level` of true values should be within it of `db`.

        Calibrated where `intervals` is. 0 inside buildings. Raises UserError for a model that does not say how sure it is.
        """
        if self.deviation is None or self.intervals is None:
            raise UserError("the map has no spread, so there are no intervals; predict with a model that has one")
        return self.deviation_db * np.float32(self.intervals.half_width(level))

    def to_png(self, path: str | Path) -> Path:
        """Write an 8-bit grey PNG as RadioMapSeer has them, whole or not at all."""
        write_grey(Path(path), gain_to_grey(self.gain))
        return Path(path)
