"""Long curves with fewer points, so that no spike is lost: lowest, middle and highest value of every bucket."""

from typing import NamedTuple

import numpy as np

from radiodiff_jax.reporting.runs.run import Series

BUCKETS = 400  # two points each in the band: a curve of at most 800


class Thin(NamedTuple):
    """Arrays [buckets]; `low` and `high` are `middle` where nothing was thinned."""

    steps: np.ndarray
    seconds: np.ndarray
    low: np.ndarray
    middle: np.ndarray
    high: np.ndarray
    is_thinned: bool


def thin(series: Series, buckets: int = BUCKETS) -> Thin:
    """Cut a series of finite values into at most `buckets` runs of equally many; the middle is the median."""
    count = len(series)
    if count <= buckets:
        return Thin(series.steps, series.seconds, series.values, series.values, series.values, False)
    edges = np.linspace(0, count, buckets + 1).astype(int)
    starts, sizes = edges[:-1], np.diff(edges)
    bucket = np.repeat(np.arange(buckets), sizes)
    ordered = series.values[np.lexsort((series.values, bucket))]
    middle = (ordered[starts + (sizes - 1) // 2] + ordered[starts + sizes // 2]) / 2

    def mean(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts) / sizes

    return Thin(mean(series.steps), mean(series.seconds), ordered[starts], middle, ordered[edges[1:] - 1], True)
