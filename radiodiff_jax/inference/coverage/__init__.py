"""From a map to a plan: what many transmitters give together, and where to put them.

    area.py           where: a mask of buildings and its place on earth
    sites.py          who sends: positions, powers, antennas, from CSV or JSON
    antennas.py       horizontal patterns
    gains.py          path gain of every site over the area, by a model or by the simulator
    parts.py          the same, made by several processes or machines
    powers.py         received power, best server, SINR, shares, distributions
    plan.py           all of it for one area
    placement.py      which of many candidates to choose

Powers are in dBm, gains in dB, lengths in metres; one pixel is one metre and rows run south.
"""

from radiodiff_jax.inference.coverage.antennas import PATTERNS, pattern_db
from radiodiff_jax.inference.coverage.area import Area, read_area
from radiodiff_jax.inference.coverage.gains import ExactGains, ModelGains
from radiodiff_jax.inference.coverage.placement import Choice, choose_sites
from radiodiff_jax.inference.coverage.plan import Coverage, Radio, cover
from radiodiff_jax.inference.coverage.powers import (
    best_server,
    distribution,
    frequency_shift_db,
    received_power_dbm,
    share_above,
    sinr_db,
    strongest_dbm,
    thermal_noise_dbm,
)
from radiodiff_jax.inference.coverage.sites import Site, read_sites

__all__ = [
    "PATTERNS", "Area", "Choice", "Coverage", "ExactGains", "ModelGains", "Radio", "Site", "best_server", "choose_sites",
    "cover", "distribution", "frequency_shift_db", "pattern_db", "read_area", "read_sites", "received_power_dbm", "share_above",
    "sinr_db", "strongest_dbm", "thermal_noise_dbm",
]  # fmt: skip
