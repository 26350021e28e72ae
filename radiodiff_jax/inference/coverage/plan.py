"""Everything about some sites of an area: powers, best server, SINR, shares, and the record of it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int16

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.coverage import powers
from radiodiff_jax.inference.coverage.area import Area
from radiodiff_jax.inference.coverage.gains import GainSource
from radiodiff_jax.inference.coverage.sites import Site
from radiodiff_jax.limits import SITE_PIXELS

THRESHOLDS = (-70.0, -80.0, -90.0, -100.0, -110.0)
"""dBm."""


@dataclass(frozen=True)
class Radio:
    """Carrier and receiver."""

    gigahertz: float = powers.MAP_GHZ
    bandwidth_hz: float = 10e6
    noise_figure_db: float = 9.0

    @property
    def noise_dbm(self) -> float:
        """Noise power of the receiver."""
        return powers.thermal_noise_dbm(self.bandwidth_hz, self.noise_figure_db)

    @property
    def shift_db(self) -> float:
        """What is added to path gains for the carrier."""
        return powers.frequency_shift_db(self.gigahertz)

    @property
    def note(self) -> str:
        """What every output says of the carrier."""
        if self.gigahertz == powers.MAP_GHZ:
            return f"path gains are of {powers.MAP_GHZ} GHz"
        return (
            f"path gains are of {powers.MAP_GHZ} GHz, shifted by {self.shift_db:+.2f} dB for free space at {self.gigahertz:g} GHz "
            "and nothing more: bends and walls are still those of 5.9 GHz"
        )


@dataclass(frozen=True)
class Coverage:
    """What the sites of an area give together; maps are [height, width]."""

    area: Area
    sites: list[Site]
    received: Float[np.ndarray, "sites height width"]
    """Power in dBm, float32; -inf where nothing is received, and in buildings."""
    estimated: Bool[np.ndarray, "sites height width"]
    """Where a site's power is not of the source's windows of pixels, but `beyond_source`."""
    source: str
    """Which model, or the simulator."""
    beyond_source: str
    """What stands beyond its windows."""
    digest: str | None = None
    """Of its weights."""
    radio: Radio = field(default_factory=Radio)
    thresholds: tuple[float, ...] = THRESHOLDS

    @cached_property
    def strongest_dbm(self) -> Float[np.ndarray, "height width"]:
        """The strongest power in dBm."""
        return powers.strongest_dbm(self.received)

    @cached_property
    def best_server(self) -> Int16[np.ndarray, "height width"]:
        """Index of the strongest site; -1 where nobody is received and in buildings."""
        return powers.best_server(self.received)

    @cached_property
    def sinr_db(self) -> Float[np.ndarray, "height width"]:
        """SINR of the best server in dB."""
        return powers.sinr_db(self.received, self.radio.noise_dbm)

    @cached_property
    def beyond(self) -> Bool[np.ndarray, "height width"]:
        """Where the best server's power lies beyond the source's windows."""
        server = np.maximum(self.best_server, 0)[None]
        return np.take_along_axis(self.estimated, server, axis=0)[0] & (self.best_server >= 0)

    def to_json(self) -> dict[str, Any]:
        """The record that is written as coverage.json."""
        outdoors = self.area.outdoors
        count = int(outdoors.sum())
        served = np.bincount(self.best_server[outdoors] + 1, minlength=len(self.sites) + 1)[1:] / max(count, 1)
        shares = {site.name: round(float(share), 6) for site, share in zip(self.sites, served, strict=True)}
        return {
            "sites": [self._site(index, shares[site.name]) for index, site in enumerate(self.sites)],
            "outdoor_pixels": count,
            "share_covered": powers.share_above(self.strongest_dbm, outdoors, self.thresholds),
            "best_server_share": shares,
            "power_dbm": powers.quantiles(self.strongest_dbm, outdoors),
            "sinr_db": powers.quantiles(self.sinr_db, outdoors),
            "noise_dbm": round(self.radio.noise_dbm, 2),
            "bandwidth_hz": self.radio.bandwidth_hz,
            "noise_figure_db": self.radio.noise_figure_db,
            "frequency": {"ghz": self.radio.gigahertz, "shift_db": round(self.radio.shift_db, 3), "note": self.radio.note},
            "source": self.source,
            "digest": self.digest,
            "beyond_windows": self.beyond_source,
            "share_beyond_windows": round(float(self.beyond[outdoors].mean()), 6),
            "area": {
                "file": self.area.source, "sha256": self.area.digest, "size": list(self.area.size), "left": self.area.left,
                "top": self.area.top, "crs": self.area.system or "local metres, no place on earth",
            },
        }  # fmt: skip

    def _site(self, index: int, share: float) -> dict[str, Any]:
        site, outdoors = self.sites[index], self.area.outdoors
        found = site.to_json()
        if self.area.system:
            longitude, latitude = self.area.degrees(site.row + 0.5, site.column + 0.5)
            found |= {"longitude": round(float(longitude), 7), "latitude": round(float(latitude), 7)}
        alone = powers.share_above(self.received[index], outdoors, self.thresholds)
        return found | {"best_server_share": share, "share_covered": alone}


def check_memory(sites: int, area: Area) -> None:
    """Raise UserError where the maps of so many sites of an area are more than `limits.SITE_PIXELS`."""
    pixels = area.outdoors.size
    if sites * pixels > SITE_PIXELS:
        raise UserError(
            f"{sites} sites on {area.size[0]} x {area.size[1]} m are too many for one plan: the most are {SITE_PIXELS // pixels} "
            "sites on this area, so plan a part of it, or fewer at a time"
        )


def cover(
    area: Area, sites: Sequence[Site], source: GainSource, radio: Radio | None = None,
    thresholds: Iterable[float] = THRESHOLDS, progress: Callable = iter,
) -> Coverage:  # fmt: skip
    """Ask `source` about every site of an area. `progress` wraps the iteration over the sites, as tqdm does.

    Raises UserError where the source refuses the area or a site.
    """
    check_memory(len(sites), area)
    radio, places = radio or Radio(), [(site.row, site.column) for site in sites]
    source.check(area.buildings, places)
    received = np.full((len(sites), *area.size), -np.inf, np.float32)
    estimated = np.ones(received.shape, bool)
    for index, found in enumerate(progress(source(area.buildings, places))):
        received[index] = powers.received_power_dbm(found.gain, sites[index], radio.shift_db)
        estimated[index][found.known] = False
    return Coverage(
        area, list(sites), received, estimated, source.name, source.beyond(area.size), source.digest, radio, tuple(thresholds)
    )
