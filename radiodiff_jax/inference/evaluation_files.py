"""Results of evaluations on disk: STEM.json with every figure, and STEM.npz with the best, median and worst maps."""

import shlex
from pathlib import Path
from typing import Annotated, Any, NotRequired

import numpy as np
from pydantic import Field
from typing_extensions import TypedDict

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json, write_whole
from radiodiff_jax.reading import OPEN, AnyObject, Count, Finite, is_there, read_arrays, read_json

LARGEST = 1e300  # above are infinity and whole numbers that no float can hold
KINDS = ("best", "median", "worst")
AGAIN = "make it again with `python -m experiments.evaluate`"
ARRAYS = {"kind": 1, "map": 1, "transmitter": 1, "position": 2, "buildings": 3, "truth": 3, "output": 3}


class FigureRecord(TypedDict):
    """One figure of merit over the maps; further keys are its interval and pooled value."""

    __pydantic_config__ = OPEN
    mean: Finite | None
    median: Finite | None


class PredictorRecord(TypedDict):
    """What one predictor reached."""

    __pydantic_config__ = OPEN
    ms_per_map: Finite
    figures: dict[str, FigureRecord]
    maps: NotRequired[dict[str, list[Finite | None]] | list[AnyObject] | None]
    errors: NotRequired[AnyObject | None]
    spread: NotRequired[AnyObject]


class EvaluationRecord(TypedDict):
    """The schema of STEM.json."""

    __pydantic_config__ = OPEN
    run: str
    data: str
    split: str
    steps: Count
    network_evaluations: Count
    radio_maps: Count
    layouts: Count
    results: Annotated[dict[str, PredictorRecord], Field(min_length=1)]
    model: NotRequired[str]
    samples: NotRequired[Count]
    observed_pixels: NotRequired[Count]
    extremes: NotRequired[dict[str, list[list[int]]]]


def write_evaluation(path: Path, result: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write the maps, then the result; whoever sees the result finds its maps beside it."""
    write_whole(path.with_suffix(".npz"), lambda temporary: np.savez_compressed(temporary, **arrays))
    return write_json(path, result)


def read_evaluation(path: Path) -> dict[str, Any]:
    """The result, checked; the maps of a file of an older version (a list of rows) become columns.

    `results[name]["maps"]` is {} and `results[name]["errors"]` None where the file has none. Raises UserError if the
    file is missing or damaged.
    """
    result = read_json(path, EvaluationRecord, AGAIN, "`python -m experiments.evaluate` writes it")
    for name, one in result["results"].items():
        try:
            one["maps"] = _as_columns(one.get("maps"))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise _damaged(path, f"the maps of '{name}' are missing or wrong") from error
        one.setdefault("errors", None)
    return result


def read_extremes(path: Path, result: dict[str, Any]) -> dict[str, np.ndarray] | None:
    """The arrays beside a result (see `extremes.extreme_maps`); None if there are none, or those of another result.

    Raises UserError if the file is damaged.
    """
    path = path.with_suffix(".npz")
    if not is_there(path) or "extremes" not in result:
        return None
    cure = f"evaluate again with `{evaluate_again(result)}`"

    def read() -> dict[str, np.ndarray]:
        arrays = read_arrays(path, ARRAYS, cure)
        if any(arrays[name].ndim != axes or len(arrays[name]) != len(arrays["map"]) for name, axes in ARRAYS.items()):
            raise ValueError("shapes")
        return arrays

    try:
        arrays = read()
        same = named(arrays) == result["extremes"]
    except (UserError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path} is damaged; {cure}") from error
    return arrays if same else None


def named(arrays: dict[str, Any]) -> dict[str, list[list[int]]]:
    """{"best": [[map, transmitter], ...], ...}: what a result says of its maps, to tell that both belong together."""
    rows = zip(arrays["kind"].tolist(), arrays["map"].tolist(), arrays["transmitter"].tolist(), strict=True)
    names: dict[str, list[list[int]]] = {kind: [] for kind in KINDS}
    for kind, number, transmitter in rows:
        names[KINDS[kind]].append([number, transmitter])
    return names


def part_evaluated(split: str) -> str:
    """`test split`, or `all`: of the data."""
    return "all" if split == "all" else f"{split} split"


def evaluate_again(result: dict[str, Any]) -> str:
    """The command that makes this result."""
    who = ["--model", result["model"]] if "model" in result else ["--run", result["run"]]
    words = [*who, "--data", result["data"], "--split", result["split"]]
    words += ["--steps", str(result["steps"])] if result["steps"] else []
    words += ["--observed", str(result["observed_pixels"])] if "observed_pixels" in result else []
    words += ["--samples", str(result["samples"])] if result.get("samples", 1) > 1 else []
    return f"python -m experiments.evaluate {shlex.join(words)}"


def _as_columns(maps: Any) -> dict[str, list[Any]]:
    if not maps:
        return {}
    if isinstance(maps, list):
        maps = {name: [row[name] for row in maps] for name in maps[0]}
    lengths = {len(values) for values in maps.values()}
    if len(lengths) != 1 or not {"map", "transmitter"} <= maps.keys():
        raise ValueError("columns of unequal length")
    if not all(value is None or is_number(value) for values in maps.values() for value in values):
        raise ValueError("values that are no numbers")
    return maps


def is_number(value: Any) -> bool:
    """A finite number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged ({reason}); {AGAIN}")
