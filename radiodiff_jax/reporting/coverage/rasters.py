"""GeoTIFF by rasterio (extra `geo`), and PNG with a world file, which needs nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from radiodiff_jax import __version__
from radiodiff_jax.files import write_text, write_whole
from radiodiff_jax.inference.coverage import Area, Coverage
from radiodiff_jax.inference.coverage.area import LOCAL
from radiodiff_jax.simulation.cities.footprint_windows import load_library

NODATA = -9999.0
"""Of maps in dB: buildings, and where nothing is received."""


def tags(coverage: Coverage) -> dict[str, str]:
    """What every raster says of itself."""
    return {
        "SOURCE": coverage.source,
        "DIGEST": coverage.digest or "none",
        "FREQUENCY": coverage.radio.note,
        "BEYOND_WINDOWS": f"{coverage.beyond_source}, see beyond.tif",
        "BUILDINGS": f"{coverage.area.source} (SHA-256 {coverage.area.digest})",
        "CREATED_BY": f"radiodiff_jax {__version__}",
    }


def write_geotiff(path: Path, bands: np.ndarray, area: Area, names: Sequence[str], told: dict[str, str], nodata: float) -> Path:
    """Write [bands, height, width] with `names` and tags. Values that are not finite become `nodata`.

    An area without a place on earth gets local metres as its coordinate system, which names no place. Raises UserError
    without rasterio.
    """
    rasterio = load_library("rasterio", "to write GeoTIFF", path.name, "geo")
    bands = np.where(np.isfinite(bands), bands, nodata).astype(bands.dtype)
    profile: dict[str, Any] = {
        "driver": "GTiff", "count": len(bands), "height": bands.shape[1], "width": bands.shape[2], "dtype": bands.dtype.name,
        "nodata": nodata, "compress": "deflate", "predictor": 3 if bands.dtype.kind == "f" else 2, "tiled": True, "blockxsize": 256,
        "blockysize": 256, "transform": rasterio.Affine(1, 0, area.left, 0, -1, area.top),
        "crs": rasterio.crs.CRS.from_user_input(area.system) if area.system else rasterio.crs.CRS.from_wkt(LOCAL),
    }  # fmt: skip

    # In memory first: GDAL takes no path that is no text in UTF-8, and has its own errors for a full disk.
    with rasterio.MemoryFile() as memory:
        with memory.open(**profile) as file:
            file.write(bands)
            file.update_tags(**told)
            for number, name in enumerate(names, 1):
                file.set_band_description(number, name)
        return write_whole(path, lambda temporary: temporary.write_bytes(memory.read()))


def write_placed_png(path: Path, picture: np.ndarray, area: Area) -> Path:
    """A picture of one pixel a metre, its world file (.pgw) and the name of its coordinate system (.png.aux.xml)."""
    write_text(path.with_suffix(".pgw"), f"1.0\n0.0\n0.0\n-1.0\n{area.left + 0.5!r}\n{area.top - 0.5!r}\n")
    if area.system:
        pyproj = load_library("pyproj", "to name a coordinate system", path.name, "geo")
        system = pyproj.CRS.from_user_input(area.system).to_wkt("WKT1_GDAL")
        write_text(path.with_name(f"{path.name}.aux.xml"), f"<PAMDataset>\n  <SRS>{escape(system)}</SRS>\n</PAMDataset>\n")
    return write_whole(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))
