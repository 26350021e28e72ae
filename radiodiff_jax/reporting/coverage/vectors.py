"""Contours of the strongest power as GeoJSON, and all maps as one NetCDF file (extra `geo`: xarray)."""

from pathlib import Path

import numpy as np
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.measure import approximate_polygon, find_contours

from radiodiff_jax.files import write_json, write_whole
from radiodiff_jax.inference.coverage import Coverage
from radiodiff_jax.reporting.coverage.rasters import tags
from radiodiff_jax.simulation.cities.footprint_windows import load_library

SMOOTHING = 2.0
"""Metres over which power is averaged, so that contours do not follow single pixels."""
SHORTEST = 12
"""Points; shorter contours are specks."""
TOLERANCE = 0.5
"""Metres by which a contour may be simplified."""


def write_contours(path: Path, coverage: Coverage) -> Path:
    """A line string a contour, with `power_dbm`; in degrees as GeoJSON has it, or in local metres, which it then says.

    Buildings take the power of the nearest pixel outdoors, so that contours do not run around them.
    """
    area = coverage.area
    heard = np.isfinite(coverage.strongest_dbm)
    features = []
    if heard.any() and min(heard.shape) > 1:
        nearest = distance_transform_edt(~heard, return_distances=False, return_indices=True)
        smooth = gaussian_filter(coverage.strongest_dbm[tuple(nearest)], SMOOTHING)
        features = [_feature(coverage, level, line) for level in coverage.thresholds for line in find_contours(smooth, level)
                    if len(line) >= SHORTEST]  # fmt: skip
    system = {} if area.system else {"coordinates": "local metres (east, north of the lower left corner); no place on earth"}
    return write_json(path, {"type": "FeatureCollection", **system, "frequency": coverage.radio.note, "features": features})


def _feature(coverage: Coverage, level: float, line: np.ndarray) -> dict:
    rows, columns = (approximate_polygon(line, TOLERANCE) + 0.5).T  # contours count from pixel centres
    to_place, digits = (coverage.area.degrees, 7) if coverage.area.system else (coverage.area.metres, 2)
    points = np.stack(to_place(rows, columns), axis=1).round(digits).tolist()
    return {"type": "Feature", "properties": {"power_dbm": level}, "geometry": {"type": "LineString", "coordinates": points}}


def write_netcdf(path: Path, coverage: Coverage, each: bool) -> Path:
    """power, sinr, best_server, beyond and buildings over y and x in metres (NetCDF 3); with `each` also every site's power.

    Raises UserError without xarray.
    """
    xarray = load_library("xarray", "to write NetCDF", path.name, "geo")
    area, axes = coverage.area, ("y", "x")

    def field(values: np.ndarray, unit: str, name: str) -> tuple:
        return axes, np.where(np.isfinite(values), values, np.nan).astype(np.float32), {"units": unit, "long_name": name}

    fields = {
        "power": field(coverage.strongest_dbm, "dBm", "strongest received power"),
        "sinr": field(coverage.sinr_db, "dB", "signal to interference and noise"),
        "best_server": (axes, coverage.best_server, {"long_name": "index of the strongest site, -1 for none"}),
        "beyond": (axes, coverage.beyond.astype(np.int8), {"long_name": f"beyond the windows: {coverage.beyond_source}"}),
        "buildings": (axes, area.buildings.astype(np.int8), {"long_name": "inside a building"}),
    }
    places = {
        "y": ("y", area.top - 0.5 - np.arange(area.size[0]), {"units": "m", "standard_name": "projection_y_coordinate"}),
        "x": ("x", area.left + 0.5 + np.arange(area.size[1]), {"units": "m", "standard_name": "projection_x_coordinate"}),
        "site": ("site", [site.name for site in coverage.sites]),
    }
    if each:
        received = np.where(np.isfinite(coverage.received), coverage.received, np.nan)
        fields["received_power"] = (("site", *axes), received, {"units": "dBm", "long_name": "power received of each site"})
    told = {name.lower(): value for name, value in tags(coverage).items()}
    told |= {"Conventions": "CF-1.10", "crs": area.system or "local metres, no place on earth"}
    dataset = xarray.Dataset(fields, places, told)
    return write_whole(path, lambda temporary: dataset.to_netcdf(temporary, engine="scipy"))
