"""How sites were chosen among candidates: DIR/placement.json and DIR/placement.png."""

from collections.abc import Sequence
from pathlib import Path

from radiodiff_jax.files import write_json, written_together
from radiodiff_jax.inference.coverage import Area, Choice, Radio, Site
from radiodiff_jax.inference.coverage.placement import GREEDY_SHARE, UNHEARD_DB
from radiodiff_jax.reporting.coverage.figures import draw_choice, save_white

CHOICE = ("placement.json", "placement.png")


def write_choice(
    out: Path, area: Area, candidates: Sequence[Site], choice: Choice, goal: str, threshold_dbm: float, radio: Radio
) -> Path:
    """Write both; the path of the record. A SINR is null where more than 10 % of the pixels hear nobody."""
    unit = "%" if goal == "share" else "dB"
    heard = [step | {"value": step["value"] if step["value"] > UNHEARD_DB + 1 else None} for step in choice.steps]
    steps = [
        {name: value for name, value in step.items() if name not in ("chosen", "swapped")}
        | ({"chosen": candidates[step["chosen"]].name} if "chosen" in step
           else {"swapped": [candidates[index].name for index in step["swapped"]]})
        for step in heard
    ]  # fmt: skip
    record = {
        "goal": {"share": f"share of the outdoor pixels with at least {threshold_dbm:g} dBm",
                 "sinr": "10 % quantile of SINR (dB) over the outdoor pixels"}[goal],
        "threshold_dbm": threshold_dbm if goal == "share" else None,
        "candidates": [site.to_json() for site in candidates],
        "chosen": [candidates[index].name for index in choice.chosen],
        "value": heard[-1]["value"],
        "steps": steps,
        "bound": choice.bound,
        "bound_note": f"no choice of so many covers more; the greedy choice alone is sure of {GREEDY_SHARE:.3f} of the best share"
        if choice.bound is not None else "no bound is known for a quantile of SINR",
        "frequency": radio.note,
    }  # fmt: skip
    path, picture = (out / name for name in CHOICE)
    with written_together([path, picture]) as places:
        write_json(places[path], record)
        save_white(places[picture], lambda: draw_choice(area, candidates, choice, unit))
    return path
