"""KMZ for globes: maps as ground overlays with a legend, and a mark a site.

A globe wants pictures along meridians and parallels, so they are drawn anew on a grid of degrees, one pixel a metre; each
of its pixels is that of the map below its centre.
"""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from radiodiff_jax.files import write_whole
from radiodiff_jax.inference.coverage import Area, Coverage
from radiodiff_jax.reporting.coverage.colours import POWER_DBM, SINR_DB, SINR_MAP, best_server_picture, values_picture
from radiodiff_jax.reporting.coverage.figures import legend_png

METRES_A_DEGREE = 111_320.0
EPOCH = (1980, 1, 1, 0, 0, 0)  # of files in the archive: the same plan gives the same bytes
NO_PLACE = "The buildings have no place on earth: the map lies at longitude 0, latitude 0."


class Grid(NamedTuple):
    """A grid of degrees over an area, and the area's pixel below each of its pixels."""

    north: float
    south: float
    east: float
    west: float
    rows: np.ndarray
    columns: np.ndarray


def degrees_grid(area: Area) -> Grid:
    """The grid that just holds an area, one pixel a metre; rows and columns outside of the area are negative or too large.

    An area without a place on earth is laid at (0, 0).
    """
    height, width = area.size
    to_degrees = area.degrees if area.system else _nowhere(height)
    longitude, latitude = to_degrees(np.array([0.0, 0.0, height, height]), np.array([0.0, width, 0.0, width]))
    west, east, south, north = longitude.min(), longitude.max(), latitude.min(), latitude.max()
    down = max(1, round((north - south) * METRES_A_DEGREE))
    across = max(1, round((east - west) * METRES_A_DEGREE * np.cos(np.deg2rad((north + south) / 2))))
    parallels = north - (np.arange(down) + 0.5) / down * (north - south)
    meridians = west + (np.arange(across) + 0.5) / across * (east - west)
    if area.system:
        easts, norths = area._transformers[0].transform(*np.meshgrid(meridians, parallels))
        rows, columns = area.top - norths, easts - area.left
    else:
        columns, rows = np.meshgrid(meridians * METRES_A_DEGREE, height - parallels * METRES_A_DEGREE)
    return Grid(north, south, east, west, np.floor(rows).astype(int), np.floor(columns).astype(int))


def _nowhere(height: int) -> Callable:
    return lambda rows, columns: (columns / METRES_A_DEGREE, (height - rows) / METRES_A_DEGREE)


def on_grid(picture: np.ndarray, grid: Grid) -> np.ndarray:
    """A picture [height, width, 4] of the area on the grid, clear outside of it."""
    inside = (grid.rows >= 0) & (grid.rows < picture.shape[0]) & (grid.columns >= 0) & (grid.columns < picture.shape[1])
    found = picture[np.where(inside, grid.rows, 0), np.where(inside, grid.columns, 0)]
    found[~inside] = 0
    return found


def write_kmz(path: Path, coverage: Coverage) -> Path:
    """Best server (shown), strongest power and SINR (hidden) as overlays, each with its legend, and the sites."""
    area, grid = coverage.area, degrees_grid(coverage.area)
    pictures = {
        "best_server": ("Best server", best_server_picture(coverage)),
        "power": ("Strongest power (dBm)", values_picture(coverage.strongest_dbm, area.buildings, POWER_DBM)),
        "sinr": ("SINR (dB)", values_picture(coverage.sinr_db, area.buildings, SINR_DB, SINR_MAP)),
    }
    files: dict[str, bytes] = {}
    folders = []
    for number, (name, (title, picture)) in enumerate(pictures.items()):
        files[f"{name}.png"] = _png(on_grid(picture, grid))
        files[f"{name}_legend.png"] = legend_png(name, coverage)
        folders.append(_folder(name, title, grid, shown=number == 0))
    to_degrees = area.degrees if area.system else _nowhere(area.size[0])
    sites = "".join(_placemark(site.name, *to_degrees(site.row + 0.5, site.column + 0.5), _told(site)) for site in coverage.sites)
    said = f"{coverage.source}; {coverage.radio.note}. {'' if area.system else NO_PLACE}"
    document = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2"><Document>'
        f"<name>Coverage</name><description>{escape(said)}</description>{''.join(folders)}"
        f"<Folder><name>Sites</name>{sites}</Folder></Document></kml>\n"
    )

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in ({"doc.kml": document.encode()} | files).items():  # globes read the first .kml
                archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)

    return write_whole(path, write)


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, format="PNG")
    return buffer.getvalue()


def _told(site) -> str:
    towards = "" if site.azimuth is None else f", azimuth {site.azimuth:g} degrees"
    return f"{site.power_dbm:g} dBm, {site.gain_dbi:g} dBi, {site.pattern}{towards}"


def _placemark(name: str, longitude: float, latitude: float, description: str) -> str:
    return (
        f"<Placemark><name>{escape(name)}</name><description>{escape(description)}</description>"
        f"<Point><coordinates>{longitude:.8f},{latitude:.8f},0</coordinates></Point></Placemark>"
    )


def _folder(name: str, title: str, grid: Grid, shown: bool) -> str:
    visible = f"<visibility>{int(shown)}</visibility>"
    box = "".join(f"<{side}>{getattr(grid, side):.10f}</{side}>" for side in ("north", "south", "east", "west"))
    return (
        f"<Folder><name>{title}</name>{visible}<GroundOverlay><name>{title}</name>{visible}<color>c0ffffff</color>"
        f"<Icon><href>{name}.png</href></Icon><LatLonBox>{box}</LatLonBox></GroundOverlay>"
        f"<ScreenOverlay><name>Legend</name>{visible}<Icon><href>{name}_legend.png</href></Icon>"
        '<overlayXY x="0" y="1" xunits="fraction" yunits="fraction"/><screenXY x="0.01" y="0.98" xunits="fraction" '
        'yunits="fraction"/><size x="-1" y="-1" xunits="pixels" yunits="pixels"/></ScreenOverlay></Folder>'
    )
