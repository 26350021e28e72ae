"""Which of many candidates to choose: one after the other, each the best next to those before, then exchanges.

Two figures can be sought for: the share of outdoor pixels that some site covers, and the SINR that 90 % of them have (their
10 % quantile). The share is submodular: a further site adds no more to many than to few. So the best next choice one after
the other reaches at least 1 - 1/e = 63 % of the best possible share, and what single candidates still add bounds that from
above (Nemhauser, Wolsey and Fisher, 1978). No such bound is known for the quantile.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.inference.coverage.powers import to_milliwatts

Goal = Literal["share", "sinr"]
QUANTILE = 0.1
GREEDY_SHARE = 1 - 1 / np.e
MOST_SWAPS = 50
UNHEARD_DB = -300.0
"""The 10 % quantile of SINR, up to 1 dB more, where nobody is received at more than 10 % of the pixels."""

Powers = Float[np.ndarray, "candidates pixels"]


@dataclass(frozen=True)
class Choice:
    """Candidates that were chosen, and how."""

    chosen: list[int]
    """Indices of the candidates, in the order of their choice, exchanges made."""
    value: float
    """Share covered (0 to 1), or the 10 % quantile of SINR in dB; from -300 to -299 where it is not received at all."""
    steps: list[dict[str, Any]]
    """{"step", "chosen" or "swapped" (index, index), "value"} of every step."""
    bound: float | None
    """No choice of so many candidates covers a larger share; None for the quantile of SINR."""


def choose_sites(
    received: Powers, count: int, goal: Goal, threshold_dbm: float = -90.0, noise_dbm: float = -95.0,
    fixed: Powers | None = None, progress: Callable[[str], None] = lambda sentence: None,
) -> Choice:  # fmt: skip
    """`count` of the candidates whose powers at the outdoor pixels are `received`, in dBm, -inf for none.

    `fixed` are powers of sites that are there anyway. Of several that are equally good, the first is taken.
    """
    judge = _share_judge(received, threshold_dbm, fixed) if goal == "share" else _sinr_judge(received, noise_dbm, fixed)
    chosen: list[int] = []
    steps: list[dict[str, Any]] = []
    for number in range(min(count, len(received))):
        values = judge(chosen)
        values[chosen] = -np.inf
        chosen.append(int(values.argmax()))
        steps.append({"step": number + 1, "chosen": chosen[-1], "value": float(values.max())})
        progress(f"step {number + 1}: {steps[-1]['value']:.4f}")
    value = steps[-1]["value"]
    for _ in range(MOST_SWAPS):
        better = _best_swap(judge, chosen, value)
        if better is None:
            break
        place, new, value = better
        steps.append({"step": len(steps) + 1, "swapped": [chosen[place], new], "value": value})
        chosen[place] = new
        progress(f"step {len(steps)}, an exchange: {value:.4f}")
    bound = _share_bound(received, chosen, count, threshold_dbm, fixed) if goal == "share" else None
    return Choice(chosen, value, steps, bound)


Judge = Callable[[list[int]], Float[np.ndarray, " candidates"]]
"""What each candidate would make of the value, next to those already chosen."""


def _best_swap(judge: Judge, chosen: list[int], value: float) -> tuple[int, int, float] | None:
    found = None
    for place in range(len(chosen)):
        values = judge(chosen[:place] + chosen[place + 1 :])
        values[chosen] = -np.inf
        if values.max() > value + 1e-9:
            found, value = (place, int(values.argmax())), float(values.max())
    return None if found is None else (*found, value)


def _covered(
    received: Powers, threshold_dbm: float, fixed: Powers | None
) -> tuple[Bool[np.ndarray, "candidates pixels"], Bool[np.ndarray, " pixels"]]:
    already = np.zeros(received.shape[1], bool) if fixed is None else (fixed >= threshold_dbm).any(axis=0)
    return received >= threshold_dbm, already


def _share_judge(received: Powers, threshold_dbm: float, fixed: Powers | None) -> Judge:
    covers, already = _covered(received, threshold_dbm, fixed)

    def judge(chosen: list[int]) -> np.ndarray:
        now = already | covers[chosen].any(axis=0)
        return (now.sum() + covers[:, ~now].sum(axis=1)) / max(len(now), 1)

    return judge


def _share_bound(received: Powers, chosen: Sequence[int], count: int, threshold_dbm: float, fixed: Powers | None) -> float:
    """Submodularity: the best choice covers no more than any one, and what its own sites would each add to that."""
    covers, already = _covered(received, threshold_dbm, fixed)
    bounds = []
    for known in range(len(chosen) + 1):
        now = already | covers[list(chosen[:known])].any(axis=0)
        gains = np.sort(covers[:, ~now].sum(axis=1))[::-1]
        bounds.append((now.sum() + gains[:count].sum()) / max(len(now), 1))
    return float(min(1.0, *bounds))


def _sinr_judge(received: Powers, noise_dbm: float, fixed: Powers | None) -> Judge:
    watts = to_milliwatts(received).astype(np.float32)
    noise = np.float32(to_milliwatts(noise_dbm))
    start = np.zeros((1, received.shape[1]), np.float32) if fixed is None else to_milliwatts(fixed).astype(np.float32)

    def judge(chosen: list[int]) -> np.ndarray:
        there = np.concatenate([start, watts[chosen]])
        total, best = there.sum(axis=0), there.max(axis=0)
        values = []
        for candidate in watts:  # one at a time: candidates x pixels would not fit for large areas
            strongest = np.maximum(best, candidate)
            ratio = strongest / (np.maximum(total + candidate - strongest, 0) + noise)
            place = int(QUANTILE * (len(ratio) - 1))
            quantile = np.partition(ratio, place)[place]
            # Where more than that share of the area hears nobody, who is heard at more pixels is better.
            values.append(10 * np.log10(quantile) if quantile > 0 else UNHEARD_DB + np.mean(ratio > 0))
        return np.array(values)

    return judge
