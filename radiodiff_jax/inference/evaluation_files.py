"""Results of evaluations on disk: STEM.json with every figure, and STEM.npz with the best, median and worst maps."""

import json
import math
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json, write_whole

KINDS = ("best", "median", "worst")
HEAD = {
    "run": str,
    "data": str,
    "split": str,
    "steps": int,
    "network_evaluations": int,
    "radio_maps": int,
    "layouts": int,
}
ARRAYS = {"kind": 1, "map": 1, "transmitter": 1, "position": 2, "buildings": 3, "truth": 3, "output": 3}


def write_evaluation(path: Path, result: dict[str, Any], arrays: dict[str, np.ndarray]) -> Path:
    """Write the maps, then the result; whoever sees the result finds its maps beside it."""
    write_whole(path.with_suffix(".npz"), lambda temporary: np.savez_compressed(temporary, **arrays))
    return write_json(path, result)


def read_evaluation(path: Path) -> dict[str, Any]:
    """The result, checked; the maps of a file of an older version (a list of rows) become columns.

    `results[name]["maps"]` is {} and `results[name]["errors"]` None where the file has none. Raises UserError if the
    file is missing or damaged.
    """
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; `python -m experiments.evaluate` writes it") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, "it is no JSON") from error
    if not isinstance(result, dict):
        raise _damaged(path, "it holds no result")
    for name, kind in HEAD.items():
        if not isinstance(result.get(name), kind):
            raise _damaged(path, f"'{name}' is missing or wrong")
    if not isinstance(result.get("results"), dict) or not result["results"]:
        raise _damaged(path, "'results' is missing or wrong")
    for name, one in result["results"].items():
        if not isinstance(one, dict) or not is_number(one.get("ms_per_map")) or not _are_figures(one.get("figures")):
            raise _damaged(path, f"the figures of '{name}' are missing or wrong")
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
    if not path.is_file() or "extremes" not in result:
        return None
    try:
        with np.load(path) as file:
            arrays = {name: file[name] for name in ARRAYS}
        if any(arrays[name].ndim != axes or len(arrays[name]) != len(arrays["map"]) for name, axes in ARRAYS.items()):
            raise ValueError("shapes")
        same = named(arrays) == result["extremes"]
    except Exception as error:  # zip, zlib and NumPy raise many kinds for damaged files
        raise UserError(f"{path} is damaged; evaluate again with `{evaluate_again(result)}`") from error
    return arrays if same else None


def named(arrays: dict[str, Any]) -> dict[str, list[list[int]]]:
    """{"best": [[map, transmitter], ...], ...}: what a result says of its maps, to tell that both belong together."""
    rows = zip(arrays["kind"].tolist(), arrays["map"].tolist(), arrays["transmitter"].tolist(), strict=True)
    names: dict[str, list[list[int]]] = {kind: [] for kind in KINDS}
    for kind, number, transmitter in rows:
        names[KINDS[kind]].append([number, transmitter])
    return names


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


def _are_figures(figures: Any) -> bool:
    return isinstance(figures, dict) and all(
        isinstance(one, dict) and all(one.get(key) is None or is_number(one[key]) for key in ("mean", "median"))
        for one in figures.values()
    )


def is_number(value: Any) -> bool:
    """A finite number, not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"{path} is damaged ({reason}); make it again with `python -m experiments.evaluate`")
