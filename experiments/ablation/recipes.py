"""Whether the runs of a folder were made by this very plan, and what it takes to make those that are missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.ablation.measure import Request, measure, probe_seconds, updates_of
from experiments.ablation.plan import Item, Job, Plan
from experiments.ablation.results import runs_of
from radiodiff_jax.config_files import differences, flatten, to_tree
from radiodiff_jax.errors import UserError
from radiodiff_jax.training.run_folder import RESUMABLE_SETTINGS, SHOWN
from radiodiff_jax.worker_processes import WorkerProcesses

FREE = (*RESUMABLE_SETTINGS, "training.steps", "training.seed", "training.sample_maps", "training.validation_maps")
"""Settings that are no part of a recipe: no update depends on them, or budget and seed decide them."""


def recipe(plan: Plan, item: Item, data: Path) -> dict[str, Any]:
    """All that the runs of an item depend on, but for their seed, as a flat mapping."""
    settings = {name: value for name, value in flatten(to_tree(item.config())).items() if name not in FREE}
    return {
        **settings, "budget": f"{item.budget.amount:g} {item.budget.kind}", "vae": item.vae, "start": item.start,
        "steps": list(item.steps), "evaluation_maps": plan.evaluation_maps, "data": str(data.resolve()),
    }  # fmt: skip


def check_recipes(plan: Plan, out: Path, data: Path, state: dict[str, Any], jobs: list[Job]) -> None:
    """Raise UserError for the first run that is there and was made by another recipe.

    What is known of items without a run is forgotten where their recipe has changed.
    """
    for name, item in plan.items.items():
        known, wanted = state["items"].get(name), recipe(plan, item, data)
        if known is None or known["recipe"] == wanted:
            continue
        made = [job.name for job in jobs if job.item.name == name and (runs_of(out) / job.name).is_dir()]
        if not made:
            del state["items"][name]
            continue
        changed = differences(known["recipe"], wanted)
        more = f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
        raise UserError(
            f"{runs_of(out) / made[0]} was made by another plan ({'; '.join(changed[:SHOWN])}{more}); undo the change, rename "
            f"the variant '{name}', or name another folder as --out"
        )


def derive(
    plan: Plan, data: Path, state: dict[str, Any], names: list[str], probe: bool, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure what is not known yet of these items, in a process of its own; returns the completed state's items.

    Without `probe` nothing is timed, and a budget in seconds gives no number of updates. An item that cannot be trained
    on the data is {"failed": why}.
    """
    items = dict(state["items"])
    missing = [name for name in names if name not in items]
    if not missing:
        return items
    worker = WorkerProcesses(
        measure, 1, death="measuring an update died, most likely for want of memory; take smaller batches"
    )
    for number, name in enumerate(missing, start=1):
        item = plan.items[name]
        seconds = probe_seconds(item.budget) if probe else None
        tell(f"[{number}/{len(missing)}] {'timing' if seconds else 'counting'} an update of {name}")
        try:
            measured = worker.submit(0, Request(*plan.configs(item), data, seconds)).result()
        except Exception as error:  # whatever it is, the other items go on
            items[name] = {"failed": str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"}
            tell(f"{name} cannot be trained: {items[name]['failed']}")
            continue
        if item.budget.kind == "seconds" and not seconds:
            updates, how = None, "timed before the first run"
        else:
            updates, how = updates_of(item.budget, measured)
        items[name] = {"recipe": recipe(plan, item, data), "measured": measured, "updates": updates, "how": how}
    return items
