"""What a handful of real maps is worth: adapt a model to some of them and judge it on cities that it was not adapted to.

The layouts of the folder are dealt into folds. For each fold and each number of maps the model is adapted to that many
maps of the other folds, of which a quarter (one layout at least) only says when to stop, and judged on the fold; every
layout is judged once for each number of maps. 0 maps is the model as it is. A command that was stopped goes on when it
is given again.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from typing_extensions import TypedDict

from experiments import train
from experiments.command import (
    a_path,
    command_help,
    parse_checkpoint,
    run_command,
    seed_number,
    text_table,
    whole_number,
)
from experiments.starting import PRESET, load_source
from experiments.training import CONFIGS, SIMULATE
from radiodiff_jax.config_files import load_config
from radiodiff_jax.data.splits import folds
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import output_folder, output_path, write_json
from radiodiff_jax.limits import MAPS, STEPS, TRANSMITTERS
from radiodiff_jax.reading import OPEN, AnyObject, Count, Finite, is_there, read_json
from radiodiff_jax.settings import DataConfig

STOPPING_SHARE = 0.25  # of the layouts that an adaptation sees: they say when it stops


class ResultRecord(TypedDict):
    """The schema of results/*.json: what one fold and one number of maps gave."""

    __pydantic_config__ = OPEN
    maps: dict[str, list[Finite | None]]
    seen: Count
    updates: Count


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    rows = adapt(arguments)

    from radiodiff_jax.reporting.adaptation_curve import save_curve, table, verdict

    print(text_table(*table(rows)))
    print(verdict(rows))
    print(f"all figures, map by map: {arguments.out / 'adapt.json'}")
    print(f"picture: {save_curve(arguments.out / 'adapt', rows)[0]}")
    return 0


def adapt(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Adapt and judge for every fold and number of maps; writes OUT/adapt.json and returns its rows."""
    from radiodiff_jax.data.sources import open_varied_source
    from radiodiff_jax.inference.generator import Generator
    from radiodiff_jax.radiomapseer import RadioMapFolder
    from radiodiff_jax.reporting.adaptation_curve import summarise_curve
    from radiodiff_jax.training.start import architecture

    for name in ("plan.json", "adapt.json"):
        output_path(output_folder(arguments.out) / name)
    source = load_source(arguments.source, arguments.from_checkpoint)
    base = architecture(source.generator.config)
    config = load_config("generator", arguments.config, arguments.settings, CONFIGS, base)
    data = config.data
    if arguments.mix not in (None, SIMULATE):
        open_varied_source(arguments.mix, "train", data, config.image_size)  # a slip is told now, not after minutes of work
    folder = RadioMapFolder(arguments.data, data.simulation)
    parts = folds(folder.maps, arguments.folds, arguments.seed)
    if len(folder.maps) - max(map(len, parts)) < 2:
        raise UserError(f"{folder.root} has {len(folder.maps)} layouts, but beside a fold there must be two at least; add maps")
    plan = make_plan(arguments, source, folder, parts)
    keep_plan(arguments.out, plan)
    model = Generator(source.generator, source.variables, source.frozen, source.name)
    numbers = sorted({0, *arguments.counts})
    results: dict[int, list[dict[str, Any]]] = {number: [] for number in numbers}
    for place, part in enumerate(parts):
        order = np.random.default_rng([arguments.seed, place]).permutation(sorted(set(folder.maps) - set(part))).tolist()
        for number in numbers:
            print(f"\nfold {place + 1} of {len(parts)}, {number} maps", flush=True)
            run = arguments.out / "runs" / f"fold{place}_maps{number}"
            path = arguments.out / "results" / f"{run.name}.json"
            if not is_there(path):
                write_json(path, one_result(arguments, model, folder, data, part, order, number, run))
            results[number].append(read_json(path, ResultRecord, "remove it, and it is made again"))
    rows = summarise_curve(results)
    write_json(arguments.out / "adapt.json", plan | {"rows": rows})
    return rows


def one_result(
    arguments: argparse.Namespace, model: Any, folder: Any, data: DataConfig, part: list[int], order: list[int], number: int,
    run: Path,
) -> dict[str, Any]:  # fmt: skip
    """Adapt to `number` maps of the layouts in `order`, in the folder `run`, and judge on the layouts of `part`."""
    from radiodiff_jax.inference.loading import load_generator
    from radiodiff_jax.training.checkpoint_files import best_step, recorded_rmse, saved_steps

    if number == 0:
        return {"maps": judge(model, folder.root, data, part), "seen": 0, "updates": 0}
    layouts = layouts_of_maps(folder, order, number)
    stopping = max(1, round(STOPPING_SHARE * len(layouts)))
    words = ["--from", arguments.source, "--from-checkpoint", str(arguments.from_checkpoint), "--config", arguments.config,
             "--data", str(arguments.data), "--run", str(run), *(["--mix", arguments.mix] if arguments.mix else []),
             *arguments.settings, f"data.maps={layouts[stopping:]}", f"data.hold_out={layouts[:stopping]}"]  # fmt: skip
    train.main(words)
    kept = run / "checkpoints"
    best = [*best_step(saved_steps(kept), recorded_rmse(kept)), saved_steps(kept)[-1]][0]  # as load_generator chooses
    seen = sum(pair[0] in layouts for pair in folder.pairs)
    maps = judge(load_generator(run, "best"), folder.root, data, part)
    return {"maps": maps, "seen": seen, "updates": best, "trained_on": layouts[stopping:], "stopped_on": layouts[:stopping]}


def judge(model: Any, root: Path, data: DataConfig, layouts: list[int]) -> dict[str, list[Any]]:
    """Figures of every radio map of these layouts, as columns."""
    from radiodiff_jax.data.pipeline import evaluation_batches
    from radiodiff_jax.data.sources import open_varied_source
    from radiodiff_jax.inference.evaluation import evaluate

    source = open_varied_source(root, "test", replace(data, maps=(), hold_out=tuple(layouts)), model.config.image_size)
    return evaluate({"model": model.predict_batch}, evaluation_batches(source, 1))["model"]["maps"]


def layouts_of_maps(folder: Any, order: list[int], number: int) -> list[int]:
    """The first layouts of an order that have `number` radio maps together; two at least, and all where there are no more."""
    maps = {layout: sum(pair[0] == layout for pair in folder.pairs) for layout in order}
    for count in range(2, len(order)):
        if sum(maps[layout] for layout in order[:count]) >= number:
            return order[:count]
    return order


def make_plan(arguments: argparse.Namespace, source: Any, folder: Any, parts: list[list[int]]) -> dict[str, Any]:
    """What all results in a folder must have in common."""
    from radiodiff_jax.training.digest import digest

    return {
        "source": source.name, "checkpoint": source.checkpoint, "digest": digest(source.variables),
        "data": str(arguments.data), "data_fingerprint": folder.fingerprint(), "mix": arguments.mix,
        "config": arguments.config, "settings": arguments.settings, "seed": arguments.seed, "folds": parts,
    }  # fmt: skip


def keep_plan(out: Path, plan: dict[str, Any]) -> None:
    """Write OUT/plan.json. Raises UserError where there is another."""
    path = out / "plan.json"
    if not is_there(path):
        write_json(path, plan)
        return
    known = read_json(path, AnyObject, "name a new folder as --out")
    other = [name for name in plan if known.get(name) != plan[name]]
    if other:
        raise UserError(
            f"{out} holds results with another {' and another '.join(name.replace('_', ' ') for name in other)}; give the "
            "same command to go on, or name a new folder as --out"
        )


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = (
        f"python -m experiments.adapt --from dpm-regression --data measured --mix {SIMULATE} --out curve --counts 4 8 16 --folds 4"
    )
    parser = argparse.ArgumentParser(prog="python -m experiments.adapt", **command_help(__doc__, example))
    parser.add_argument("--from", dest="source", required=True, metavar="RUN|MODEL", help="trained run or shipped model")
    parser.add_argument("--from-checkpoint", type=parse_checkpoint, default="best", metavar="best|latest|STEP",
                        help="which checkpoint of the run named by --from")  # fmt: skip
    parser.add_argument("--data", type=a_path, required=True, metavar="DIR", help="RadioMapSeer folder of the real maps")
    parser.add_argument("--mix", type=lambda text: str(a_path(text)), metavar=f"DIR|{SIMULATE}",
                        help="what data.mix_share of every batch comes from")  # fmt: skip
    parser.add_argument("--out", type=a_path, required=True, metavar="DIR", help="runs, results, adapt.json and its picture")
    parser.add_argument("--counts", type=whole_number(0, MAPS * TRANSMITTERS), nargs="+", default=[4, 8, 16], metavar="N",
                        help="numbers of real maps to adapt to, besides 0; where there are fewer, all are taken")  # fmt: skip
    parser.add_argument("--folds", type=whole_number(2, STEPS), default=4, metavar="N",
                        help="parts that the layouts are dealt into")  # fmt: skip
    parser.add_argument("--seed", type=seed_number, default=0, help="of the folds and of the order of their layouts")
    parser.add_argument("--config", default=PRESET, metavar="NAME|FILE", help="how to train, as for experiments.train --from")
    parser.add_argument("settings", nargs="*", metavar="section.key=value", help="settings to change")
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    run_command(main)
