"""Numbers about the layout of a city, read off its mask of buildings; and how far two sets of cities are apart."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt, gaussian_filter, label, sobel
from scipy.stats import ks_2samp
from skimage.morphology import medial_axis

from radiodiff_jax.units import METRES_PER_PIXEL

SQUARE_METRES_A_HECTARE = 10_000
SMALLEST_BUILDING = 4  # pixels; less is a remnant at the border of the picture
EDGE_SMOOTHING = 1.5  # pixels, over which the stairs of an aliased edge are averaged
ALIGNED = 10.0  # degrees
NEIGHBOURS = np.ones((3, 3), bool)  # buildings that touch at a corner are one

LAYOUT_STATISTICS = (
    "built share (%)",
    "buildings a hectare",
    "area of a building (m²)",
    "edges along main directions (%)",
    "street width (m)",
    "courtyards a hectare",
    "courtyards of outdoors (%)",
    "outdoors to the nearest building (m)",
)
SAMPLES = 400  # of widths and of distances that are kept of a map


def layout_statistics(buildings: Bool[np.ndarray, "height width"]) -> dict[str, Float[np.ndarray, " values"]]:
    """Every statistic of `LAYOUT_STATISTICS` of one mask, as one or several values.

    Buildings are connected regions (also by corners); those that the picture cuts count for the number but not for the
    areas. Courtyards are outdoor regions that buildings enclose. A street's width is twice the distance to the nearest
    building on the medial axis of outdoors, away from the picture's border.
    """
    hectares = buildings.size * METRES_PER_PIXEL**2 / SQUARE_METRES_A_HECTARE
    areas, whole = _areas(buildings, NEIGHBOURS)
    yards, enclosed = _areas(~buildings, None)
    outdoors = max(int(np.count_nonzero(~buildings)), 1)
    widths, distances = _widths_and_distances(buildings)
    values = (
        [100 * buildings.mean()],
        [np.count_nonzero(areas >= SMALLEST_BUILDING) / hectares],
        areas[whole & (areas >= SMALLEST_BUILDING)] * METRES_PER_PIXEL**2,
        _aligned_share(buildings),
        widths,
        [np.count_nonzero(enclosed & (yards >= SMALLEST_BUILDING)) / hectares],
        [100 * yards[enclosed].sum() / outdoors],
        distances,
    )
    return {name: np.asarray(value, float) for name, value in zip(LAYOUT_STATISTICS, values, strict=True)}


def pooled(masks: Iterable[Bool[np.ndarray, "height width"]]) -> dict[str, Float[np.ndarray, " values"]]:
    """The statistics of several masks, all values together."""
    each = [layout_statistics(mask) for mask in masks]
    return {name: np.concatenate([one[name] for one in each]) for name in LAYOUT_STATISTICS}


def kolmogorov_smirnov(first: Float[np.ndarray, " values"], second: Float[np.ndarray, " values"]) -> float | None:
    """Largest difference of the two distribution functions, 0 to 1; None where a set is empty."""
    if not len(first) or not len(second):
        return None
    return float(ks_2samp(first, second, method="asymp").statistic)


def layout_table(sets: Sequence[dict[str, Float[np.ndarray, " values"]]]) -> list[dict[str, Any]]:
    """Pooled statistics of one or two sets as JSON: for each its name, its mean and quantiles in every set, the distance.

    `{"statistic", "sets": [{"mean", "10", "50", "90"}], "distance"}`; None where there are no values, and for the
    (Kolmogorov-Smirnov) distance of a single set.
    """
    rows = []
    for name in LAYOUT_STATISTICS:
        values = [one[name] for one in sets]
        distance = kolmogorov_smirnov(*values) if len(values) == 2 else None
        rows.append({"statistic": name, "sets": [_summary(one) for one in values], "distance": distance})
    return rows


def _summary(values: np.ndarray) -> dict[str, float | None]:
    if not len(values):
        return dict.fromkeys(("mean", "10", "50", "90"))
    quantiles = dict(zip(("10", "50", "90"), np.quantile(values, (0.1, 0.5, 0.9)).tolist(), strict=True))
    return {"mean": float(values.mean())} | quantiles


def _areas(mask: np.ndarray, structure: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Pixels of every connected region, and whether it keeps off the picture's border."""
    regions, number = label(mask, structure)
    whole = np.ones(number + 1, bool)
    whole[np.concatenate([regions[[0, -1]].ravel(), regions[:, [0, -1]].ravel()])] = False
    return np.bincount(regions.ravel(), minlength=number + 1)[1:], whole[1:]


def _aligned_share(buildings: np.ndarray) -> list[float]:
    """Per cent of edge length within 10 degrees of the main direction or of its perpendicular."""
    smooth = gaussian_filter(buildings.astype(float), EDGE_SMOOTHING, mode="nearest")
    rows, columns = sobel(smooth, axis=0), sobel(smooth, axis=1)
    strength = np.hypot(rows, columns)
    edges = strength > 0.5 * strength.max() if buildings.any() else np.zeros_like(buildings)
    if not edges.any() or buildings.all():
        return []
    angle = np.degrees(np.arctan2(rows[edges], columns[edges])) % 90
    weight = np.histogram(angle, bins=90, range=(0, 90), weights=strength[edges])[0]
    around = np.arange(-int(ALIGNED), int(ALIGNED))  # of the edge between two bins of one degree
    near = [weight[(main + around) % 90].sum() for main in range(90)]
    return [100 * max(near) / weight.sum()]


def _widths_and_distances(buildings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Street widths and distances of outdoor pixels to buildings in metres, at most `SAMPLES` of each, evenly spread."""
    if not buildings.any() or buildings.all():
        return np.zeros(0), np.zeros(0)
    distance = distance_transform_edt(~buildings) * METRES_PER_PIXEL
    axis = medial_axis(~buildings, rng=0)
    # The picture's border is no front: where it is nearer than the nearest building, the width is unknown.
    to_border = np.minimum.reduce([i for side in np.indices(buildings.shape) for i in (side, side.max() - side)])
    known = axis & (to_border * METRES_PER_PIXEL >= distance)
    return _spread(2 * distance[known]), _spread(distance[~buildings])


def _spread(values: np.ndarray) -> np.ndarray:
    return np.sort(values)[np.linspace(0, len(values) - 1, min(SAMPLES, len(values))).round().astype(int)]
