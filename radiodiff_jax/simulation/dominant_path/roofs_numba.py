"""Paths over the roofs: transmitter, up to a roof edge U, straight to a roof edge D, down to the receiver."""

from typing import NamedTuple

import numba
import numpy as np

from radiodiff_jax.simulation.dominant_path.constants import ARRIVAL_BINS, FAR, SAMPLES_PER_PIXEL, SHORTEST_CROSSING
from radiodiff_jax.simulation.dominant_path.ground_numba import angle_between, bend_loss


class RoofPaths(NamedTuple):
    """Best paths that arrive at each roof point D, before they descend: arrays [points, ARRIVAL_BINS]."""

    loss: np.ndarray  # dB beyond the loss at one metre, FAR where there is none
    length: np.ndarray  # metres
    extra_loss: np.ndarray  # dB, all but the law of distance
    azimuth: np.ndarray  # radians


@numba.njit(cache=True)
def buildings_crossed(points, buildings):
    """Separate buildings that the straight lines between all pairs of points [n, 2] cross: uint8 [n, n]."""
    height, width = buildings.shape
    number = points.shape[0]
    crossed = np.zeros((number, number), np.uint8)
    for i in range(number):
        for j in range(i):
            rows = points[j, 0] - points[i, 0]
            columns = points[j, 1] - points[i, 1]
            samples = int(np.sqrt(rows * rows + columns * columns) * SAMPLES_PER_PIXEL) + 1
            count = 0
            was_inside = False
            for k in range(1, samples):
                row = min(int(points[i, 0] + rows * k / samples + 0.5), height - 1)
                column = min(int(points[i, 1] + columns * k / samples + 0.5), width - 1)
                is_inside = buildings[row, column]
                if is_inside and not was_inside:
                    count += 1
                was_inside = is_inside
            crossed[i, j] = crossed[j, i] = min(count, 255)
    return crossed


@numba.njit(cache=True)
def slanted_bend(turn, horizontal, slant):
    """Angle in radians between a horizontal ray and one that climbs, `turn` being the change of azimuth."""
    return np.arccos(max(-1.0, min(1.0, np.cos(turn) * horizontal / slant)))


@numba.njit(cache=True)
def roof_paths(row, column, visible, points, crossed, constants):
    """For each roof point the best path over one other that the transmitter sees, by azimuth of arrival.

    `visible` [points]: which roof edges the transmitter sees; `crossed` [points, points] from `buildings_crossed`.
    Returns the fields of `RoofPaths`.
    """
    number = points.shape[0]
    loss = np.full((number, ARRIVAL_BINS), FAR)
    length = np.zeros((number, ARRIVAL_BINS))
    extra = np.zeros((number, ARRIVAL_BINS))
    azimuth = np.zeros((number, ARRIVAL_BINS))
    for up in range(number):
        if not visible[up]:
            continue
        rows = points[up, 0] - row
        columns = points[up, 1] - column
        horizontal = max(np.sqrt(rows * rows + columns * columns), 0.5)
        slant = np.sqrt(horizontal * horizontal + constants.roof_height**2)
        incoming = np.arctan2(rows, columns)
        for down in range(number):
            rows = points[down, 0] - points[up, 0]
            columns = points[down, 1] - points[up, 1]
            along = np.sqrt(rows * rows + columns * columns)
            if along < SHORTEST_CROSSING:
                continue
            outgoing = np.arctan2(rows, columns)
            angle = slanted_bend(outgoing - incoming, horizontal, slant)
            gaps = max(crossed[up, down] - 1.0, 0.0)
            new_extra = (
                bend_loss(angle, constants) + constants.roof_loss_per_metre * along + constants.roof_gap_loss * gaps
            )
            new_loss = constants.path_slope * np.log10(slant + along) + new_extra
            arrival = int(np.floor((outgoing + np.pi) / (2 * np.pi) * ARRIVAL_BINS)) % ARRIVAL_BINS
            if new_loss < loss[down, arrival]:
                loss[down, arrival] = new_loss
                length[down, arrival] = slant + along
                extra[down, arrival] = new_extra
                azimuth[down, arrival] = outgoing
    return loss, length, extra, azimuth


@numba.njit(cache=True)
def add_roof_paths(best, last, order, paths, views, first, constants):
    """Lower `best` [receivers], loss in dB, by paths down from the roof points in `order`; bins sorted by loss.

    `last` int32 [receivers] becomes `first` plus the roof point of the last bend wherever `best` is lowered.
    """
    for d in order:
        for e in range(views.start[d], views.start[d + 1]):
            receiver = views.receiver[e]
            horizontal = max(views.distance[e], 0.3)
            slant = np.sqrt(horizontal * horizontal + constants.roof_height**2)
            for k in range(ARRIVAL_BINS):
                if paths.loss[d, k] + constants.bend_offset >= best[receiver]:
                    break
                known = constants.path_slope * np.log10(paths.length[d, k] + slant) + paths.extra_loss[d, k]
                if known + constants.bend_offset >= best[receiver]:
                    continue
                turn = angle_between(views.azimuth[e], paths.azimuth[d, k])
                loss = known + bend_loss(slanted_bend(turn, horizontal, slant), constants)
                if loss < best[receiver]:
                    best[receiver] = loss
                    last[receiver] = first + d
