"""All files of a coverage plan, together or not at all.

    DIR/coverage.json                       the record: sites, shares, quantiles, what made it
    DIR/coverage.png, .pgw, .png.aux.xml    best server, one pixel a metre, placed
    DIR/coverage_labelled.png               best server, power, SINR and their distributions, for people
    DIR/coverage.kmz                        ground overlays with legends, and the sites
    DIR/contours.geojson                    contours of the strongest power at the thresholds
    DIR/power.tif, sinr.tif                 dBm and dB, float32                                (extra `geo`: rasterio)
    DIR/best_server.tif, beyond.tif         index of the site; 1 where that is beyond the windows
    DIR/received.tif                        a band a site, on demand
    DIR/coverage.nc                         all of these                                       (extra `geo`: xarray)
"""

import importlib.util
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from radiodiff_jax.files import output_folder, output_path, write_json, written_together
from radiodiff_jax.inference.coverage import Coverage
from radiodiff_jax.reporting.coverage.choice import CHOICE
from radiodiff_jax.reporting.coverage.colours import best_server_picture
from radiodiff_jax.reporting.coverage.figures import save_coverage
from radiodiff_jax.reporting.coverage.overlay import write_kmz
from radiodiff_jax.reporting.coverage.rasters import NODATA, tags, write_geotiff, write_placed_png
from radiodiff_jax.reporting.coverage.vectors import write_contours, write_netcdf

FILES = ("coverage.json", "contours.geojson", "coverage.kmz", "coverage.nc", "coverage.pgw", "coverage.png", "coverage.png.aux.xml",
         "coverage_labelled.png", "beyond.tif", "best_server.tif", "power.tif", "received.tif", "sinr.tif")  # fmt: skip
NEEDS = {"rasterio": "GeoTIFF (.tif)", "xarray": "NetCDF (.nc)"}
"""Library -> what is not written without it."""


def missing_formats() -> list[str]:
    """A sentence for each format that cannot be written here."""
    return [
        f"{formats} will not be written, since {library} is not installed: pip install -e '.[geo]'"
        for library, formats in NEEDS.items()
        if not _there(library)
    ]


def check_outputs(out: Path, inputs: Iterable[Path | None] = ()) -> None:
    """Raise UserError, before work begins, where one of the files cannot be written, or is one of the `inputs`."""
    inputs = list(inputs)
    for name in (*FILES, *CHOICE):
        output_path(output_folder(out) / name, inputs)


def write_outputs(coverage: Coverage, out: Path, each: bool = False) -> list[Path]:
    """Write all files that can be written here (see above) into the folder `out`; their paths, coverage.json first.

    They are moved there when all are made. `each` adds the power of every site.
    """
    with written_together([out / name for name in FILES]) as places:
        folder = next(iter(places.values())).parent
        write_json(folder / "coverage.json", coverage.to_json())
        write_placed_png(folder / "coverage.png", best_server_picture(coverage), coverage.area)
        save_coverage(folder / "coverage_labelled.png", coverage)
        write_kmz(folder / "coverage.kmz", coverage)
        write_contours(folder / "contours.geojson", coverage)
        if _there("rasterio"):
            _write_geotiffs(folder, coverage, each)
        if _there("xarray"):
            write_netcdf(folder / "coverage.nc", coverage, each)
        return [path for path, place in places.items() if place.exists()]


def _write_geotiffs(folder: Path, coverage: Coverage, each: bool) -> None:
    area, told = coverage.area, tags(coverage)
    names = {f"SITE_{index}": site.name for index, site in enumerate(coverage.sites)}
    db = told | {"UNIT": "dBm"}
    write_geotiff(folder / "power.tif", coverage.strongest_dbm[None], area, ["strongest received power (dBm)"], db, NODATA)
    write_geotiff(folder / "sinr.tif", coverage.sinr_db[None], area, ["SINR (dB)"], told | {"UNIT": "dB"}, NODATA)
    server = coverage.best_server[None]
    write_geotiff(folder / "best_server.tif", server, area, ["best server, index in coverage.json"], told | names, -1)
    beyond = np.where(area.buildings, 255, coverage.beyond).astype(np.uint8)[None]
    write_geotiff(folder / "beyond.tif", beyond, area, [f"1: beyond the windows, {coverage.beyond_source}"], told, 255)
    if each:
        bands = [f"{site.name} (dBm)" for site in coverage.sites]
        write_geotiff(folder / "received.tif", coverage.received, area, bands, db | names, NODATA)


def _there(library: str) -> bool:
    return importlib.util.find_spec(library) is not None
