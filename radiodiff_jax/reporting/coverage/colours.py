"""The colours of coverage maps, and pictures with one pixel a metre."""

import colorsys

import matplotlib
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib.colors import Normalize, to_rgb

from radiodiff_jax.inference.coverage import Coverage
from radiodiff_jax.reporting.map_figures import BUILDINGS, GAIN_MAP
from radiodiff_jax.reporting.style import SERIES

POWER_DBM = (-110.0, -40.0)
SINR_DB = (-10.0, 30.0)
SINR_MAP = "cividis"
GOLDEN = 0.618034  # of the circle of hues, between one site and the next

Picture = UInt8[np.ndarray, "height width 4"]


def site_colours(count: int) -> Float[np.ndarray, "count 3"]:
    """A colour a site, in [0, 1]: the house's series, then hues as far apart as can be, lighter and darker in turn."""
    more = [colorsys.hls_to_rgb(0.1 + GOLDEN * number % 1, (0.45, 0.62, 0.33)[number % 3], 0.6) for number in range(count)]
    return np.array([to_rgb(colour) for colour in SERIES] + more)[:count]


def best_server_picture(coverage: Coverage) -> Picture:
    """Each pixel in the colour of its best server; buildings grey; clear where nobody is received."""
    colours = np.vstack([site_colours(len(coverage.sites)), np.zeros(3)])
    picture = np.dstack([colours[coverage.best_server], coverage.best_server >= 0])
    return _with_buildings((255 * picture).round().astype(np.uint8), coverage.area.buildings)


def values_picture(values: Float[np.ndarray, "height width"], buildings: Bool[np.ndarray, "height width"],
                   limits: tuple[float, float], colours: str = GAIN_MAP) -> Picture:  # fmt: skip
    """dB as colours; buildings grey; clear where nothing is received."""
    heard = np.isfinite(values)
    picture = matplotlib.colormaps[colours](Normalize(*limits, clip=True)(np.where(heard, values, limits[0])), bytes=True)
    picture[~heard] = 0
    return _with_buildings(picture, buildings)


def _with_buildings(picture: Picture, buildings: Int[np.ndarray, "height width"]) -> Picture:
    grey = (*(round(255 * part) for part in to_rgb(BUILDINGS)), 255)
    return np.where(buildings[..., None], np.array(grey, np.uint8), picture)
