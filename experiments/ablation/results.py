"""What the run folders of an ablation hold, read into one small file, OUT/ablation.json, written whole.

    {"version", "name", "title", "question", "profile", "command", "data", "budget", "seeds", "reference", "hardware",
     "baselines": {split: {predictor: {figure: mean over maps}}},
     "items": [{"name", "variant", "kind", "preset", "settings", "words", "vae", "start", "share", "parameters", "update_flops",
                "updates", "how", "runs": [{"seed", "state", "reason", "run", "updates", "seconds", "flops", "digest",
                                            "evaluations": [{"split", "steps", "network_evaluations", "radio_maps",
                                                             "layouts", "ms_per_map", "floor", "figures"}]}]}]}

`seconds` are those of updates alone, without compilation, validation and checkpoints. `floor` is the raw RMSE of the
autoencoder below a latent generator.
"""

from pathlib import Path
from typing import Any, NotRequired

from typing_extensions import TypedDict

from experiments.ablation.measure import training_flops
from experiments.ablation.plan import Job, Plan
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.inference.evaluation_files import read_evaluation
from radiodiff_jax.reading import OPEN, AnyObject, Count, Finite, is_there, read_json
from radiodiff_jax.reporting.ablation_summary import FILE, VERSION
from radiodiff_jax.reporting.evaluation_verdict import AUTOENCODER, MODEL, own_name
from radiodiff_jax.training.run_files import read_events, read_metrics

KEPT = (
    "raw/all/rmse", "raw/all/nmse", "raw/all/ssim", "raw/all/psnr_db", "raw/outdoor/rmse", "raw/mae_db", "raw/rmse_db",
    "raw/share_within_3_db", "thresholded/all/rmse", "thresholded/all/nmse", "sharpness_ratio",
)  # fmt: skip
SPLITS = ("validation", "test")


class MeasuredRecord(TypedDict):
    """What `measure.measure` found."""

    __pydantic_config__ = OPEN
    parameters: Count
    update_flops: Finite
    machine: AnyObject


class ItemRecord(TypedDict):
    """What is known of an item of the plan."""

    __pydantic_config__ = OPEN
    recipe: AnyObject
    measured: MeasuredRecord
    updates: Count | None
    how: str


class JobRecord(TypedDict):
    """What became of a run."""

    __pydantic_config__ = OPEN
    seconds: Finite
    failed: NotRequired[str]


class StateRecord(TypedDict):
    """The schema of OUT/state.json."""

    __pydantic_config__ = OPEN
    items: dict[str, ItemRecord]
    jobs: dict[str, JobRecord]


def runs_of(out: Path) -> Path:
    """Where the run folders are."""
    return out / "runs"


def is_trained(run: Path) -> bool:
    """Whether the training is at its end."""
    return any(event["event"] == "finished" for event in read_events(run))


def read_results(run: Path, split: str, steps: list[int]) -> list[dict[str, Any]] | None:
    """The evaluations of a split with all of these numbers of steps (any, without), or None if some are missing."""
    names = [f"{split}_steps{number}.json" for number in steps]
    paths = [run / "evaluation" / name for name in names] or sorted((run / "evaluation").glob(f"{split}_steps*.json"))
    try:
        return [read_evaluation(path) for path in paths] or None
    except UserError:
        return None


def is_finished(run: Path, steps: list[int]) -> bool:
    """Whether a run is trained and evaluated."""
    return is_trained(run) and all(read_results(run, split, steps) is not None for split in SPLITS)


def training_seconds(run: Path) -> float:
    """Seconds of updates alone, by the mean time of an update between two logged steps."""
    total, before = 0.0, 0
    for row in read_metrics(run):
        if "step_ms" in row:
            total += row["step_ms"] * (row["step"] - before) / 1000
            before = row["step"]
    return total


def progress_of(run: Path) -> int:
    """Updates logged so far."""
    try:
        return max((row["step"] for row in read_metrics(run)), default=0)
    except UserError:
        return 0


def write_results(
    out: Path, plan: Plan, state: dict[str, Any], head: dict[str, Any], jobs: list[Job]
) -> dict[str, Any]:
    """Write and return OUT/ablation.json of what is there; `jobs` are all runs of the plan, `state` that of `state.py`."""
    baselines: dict[str, dict[str, Any]] = {}
    items = [item_record(out, plan, name, state, jobs, baselines) for name in plan.items]
    result = {
        "version": VERSION, "name": plan.name, "title": plan.title, "question": plan.question, "profile": plan.profile,
        **head, "budget": {"kind": plan.budget.kind, "amount": plan.budget.amount}, "seeds": list(plan.seeds),
        "reference": plan.reference, "baselines": baselines, "items": items,
    }  # fmt: skip
    write_json(out / FILE, result)
    return result


def item_record(
    out: Path, plan: Plan, name: str, state: dict[str, Any], jobs: list[Job], baselines: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """An item with its runs; estimates without training go into `baselines` on the way."""
    item, known = plan.items[name], state["items"].get(name, {})
    measured = known.get("measured", {})
    runs = [
        run_record(out, job, known, state["jobs"].get(job.name, {}), baselines) for job in jobs if job.item.name == name
    ]
    return {
        "name": name, "variant": item.is_variant, "kind": item.kind, "preset": item.preset, "settings": list(item.own),
        "words": list(item.words), "vae": item.vae, "start": item.start, "share": item.share,
        "parameters": measured.get("parameters"), "update_flops": measured.get("update_flops"),
        "updates": known.get("updates"), "how": known.get("how"), "runs": runs,
    }  # fmt: skip


def run_record(
    out: Path, job: Job, known: dict[str, Any], fate: dict[str, Any], baselines: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """One run: `waiting`, `failed` or `finished` with its figures."""
    run = runs_of(out) / job.name
    record: dict[str, Any] = {"seed": job.seed, "state": "waiting", "run": f"runs/{job.name}"}
    if not is_finished(run, list(job.item.steps)):
        return record | ({"state": "failed", "reason": fate["failed"]} if "failed" in fate else {})
    event = [one for one in read_events(run) if one["event"] == "finished"][-1]
    found = [one for split in SPLITS for one in read_results(run, split, list(job.item.steps))]
    order = {number: place for place, number in enumerate(job.item.steps)}
    found.sort(key=lambda one: (SPLITS.index(one["split"]), order.get(one["steps"], 0)))
    for one in found:
        means = {name: figures(result) for name, result in one["results"].items() if name not in (MODEL, AUTOENCODER)}
        baselines.setdefault(one["split"], means)
    return record | {
        "state": "finished", "updates": event["step"], "seconds": six(training_seconds(run)),
        "flops": six(training_flops(event["step"], known["measured"])), "digest": event["digest"],
        "evaluations": [evaluation_record(one) for one in found],
    }  # fmt: skip


def evaluation_record(result: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an evaluation."""
    own = own_name(result)
    floor = result["results"].get(AUTOENCODER) if own == MODEL else None
    return {
        **{key: result[key] for key in ("split", "steps", "network_evaluations", "radio_maps", "layouts")},
        "ms_per_map": six(result["results"][own]["ms_per_map"]),
        "floor": None if floor is None else figures(floor)["raw/all/rmse"],
        "figures": figures(result["results"][own]),
    }


def figures(result: dict[str, Any]) -> dict[str, float | None]:
    """Means over maps of the figures that are kept."""
    return {name: six(result["figures"][name]["mean"]) for name in KEPT if name in result["figures"]}


def six(value: float | None) -> float | None:
    """To six digits."""
    return None if value is None else float(f"{value:.6g}")


def last_words(log: Path) -> str:
    """Why a process failed, by the last line of what it said."""
    try:
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        return "it left no log"
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it said nothing"])[-1].removeprefix("error: ")[-400:]


def write_state(out: Path, state: dict[str, Any]) -> None:
    """Write OUT/state.json; items that cannot be trained are tried again the next time."""
    items = {name: one for name, one in state["items"].items() if "failed" not in one}
    write_json(out / "state.json", {"items": items, "jobs": state["jobs"]})


def read_state(out: Path) -> dict[str, Any]:
    """OUT/state.json: {"items": {name: {"recipe", "measured", "updates", "how"}}, "jobs": {name: {"seconds", "failed"}}}.

    Empty where there is none. Raises UserError for a damaged file.
    """
    path = out / "state.json"
    if not is_there(path):
        return {"items": {}, "jobs": {}}
    state = read_json(path, StateRecord, "name another folder as --out")
    return {"items": state["items"], "jobs": state["jobs"]}
