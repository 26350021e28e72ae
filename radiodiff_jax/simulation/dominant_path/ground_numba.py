"""Paths along the ground: from the transmitter around convex corners, one best path kept a corner."""

from typing import NamedTuple

import numba
import numpy as np

from radiodiff_jax.simulation.dominant_path.constants import FAR, NO_TURN, WEDGE_TOLERANCE


class GroundPaths(NamedTuple):
    """The best path to each corner, before it bends there; arrays [corners], loss `FAR` where there is none."""

    loss: np.ndarray  # dB beyond the loss at one metre
    length: np.ndarray  # metres
    bend_loss: np.ndarray  # dB, summed over the bends so far
    azimuth: np.ndarray  # radians, direction of arrival


@numba.njit(cache=True)
def angle_between(azimuth, reference):
    """azimuth - reference in radians, brought into [-pi, pi]."""
    difference = azimuth - reference
    if difference > np.pi:
        return difference - 2 * np.pi
    if difference < -np.pi:
        return difference + 2 * np.pi
    return difference


@numba.njit(cache=True)
def bend_loss(angle, constants):
    """Loss in dB of one change of direction by `angle` radians (>= 0): linear in the angle up to a saturation."""
    return constants.bend_offset + constants.bend_slope * min(np.degrees(angle), constants.bend_saturation)


@numba.njit(cache=True)
def bends_around(into_building, half_opening, incoming, outgoing):
    """Tangent rule: the building's wedge lies wholly on one side of the incoming ray, the path turns to that side."""
    turn = angle_between(outgoing, incoming)
    if abs(turn) < NO_TURN:
        turn = 0.0
    wedge = angle_between(into_building, incoming)
    if wedge <= 0:
        wedge = -wedge
        turn = -turn
    return turn >= 0 and wedge >= half_opening - WEDGE_TOLERANCE and wedge + half_opening <= np.pi + WEDGE_TOLERANCE


@numba.njit(cache=True)
def ground_paths(row, column, visible, points, into_building, half_opening, mutually_visible, constants):
    """Dijkstra's algorithm from the transmitter over the corners.

    `visible` [corners]: which corners the transmitter sees; `mutually_visible` [corners, corners]. The loss of a bend
    is paid on leaving its corner. Returns the fields of `GroundPaths`.
    """
    corners = points.shape[0]
    loss = np.full(corners, FAR)
    length = np.zeros(corners)
    bends = np.zeros(corners)
    azimuth = np.zeros(corners)
    for c in range(corners):
        if visible[c]:
            rows = points[c, 0] - row
            columns = points[c, 1] - column
            length[c] = np.sqrt(rows * rows + columns * columns)
            loss[c] = constants.path_slope * np.log10(max(length[c], 1.0))
            azimuth[c] = np.arctan2(rows, columns)
    settled = np.zeros(corners, np.bool_)
    for _ in range(corners):
        here = -1
        for c in range(corners):
            if not settled[c] and loss[c] < FAR and (here < 0 or loss[c] < loss[here]):
                here = c
        if here < 0:
            break
        settled[here] = True
        for there in range(corners):
            if settled[there] or not mutually_visible[here, there]:
                continue
            rows = points[there, 0] - points[here, 0]
            columns = points[there, 1] - points[here, 1]
            outgoing = np.arctan2(rows, columns)
            if not bends_around(into_building[here], half_opening[here], azimuth[here], outgoing):
                continue
            new_length = length[here] + np.sqrt(rows * rows + columns * columns)
            new_bends = bends[here] + bend_loss(abs(angle_between(outgoing, azimuth[here])), constants)
            new_loss = constants.path_slope * np.log10(max(new_length, 1.0)) + new_bends
            if new_loss < loss[there]:
                loss[there] = new_loss
                length[there] = new_length
                bends[there] = new_bends
                azimuth[there] = outgoing
    return loss, length, bends, azimuth


@numba.njit(cache=True)
def add_ground_paths(best, last, order, paths, into_building, half_opening, views, constants):
    """Lower `best` [receivers], loss in dB, by the paths from the corners in `order` to the receivers they see.

    `last` int32 [receivers] becomes the corner of the last bend wherever `best` is lowered.
    """
    for c in order:
        if paths.loss[c] >= FAR:
            continue
        floor = paths.loss[c] + constants.bend_offset
        for e in range(views.start[c], views.start[c + 1]):
            receiver = views.receiver[e]
            if floor >= best[receiver]:
                continue
            if not bends_around(into_building[c], half_opening[c], paths.azimuth[c], views.azimuth[e]):
                continue
            length = max(paths.length[c] + views.distance[e], 1.0)
            angle = abs(angle_between(views.azimuth[e], paths.azimuth[c]))
            loss = constants.path_slope * np.log10(length) + paths.bend_loss[c] + bend_loss(angle, constants)
            if loss < best[receiver]:
                best[receiver] = loss
                last[receiver] = c
