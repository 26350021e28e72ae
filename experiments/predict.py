"""Predict radio maps: of each an 8-bit grey PNG, a labelled picture beside it, decibels if asked for.

Several transmitters, or a folder of masks, are predicted one after the other by one compiled model."""

import argparse
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.command import a_path, add_model, command_help, run_command, seed_number, whole_number
from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.limits import SAMPLES, STEPS
from radiodiff_jax.reporting.markdown import duration

if TYPE_CHECKING:
    from radiodiff_jax.inference.generator import Generator
    from radiodiff_jax.inference.radio_map import RadioMap

DEFAULT_MODEL = "dpm-regression"


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    jobs, model, begun = jobs_of(arguments), None, time.monotonic()
    for number, job in enumerate(jobs, start=1):
        model, lines = predict_one(job, model)
        if len(jobs) == 1:
            print("\n".join(lines))
            continue
        pace = (time.monotonic() - begun) / number
        left = f", about {duration(pace * (len(jobs) - number))} left" if number < len(jobs) else ""
        print(f"{number} of {len(jobs)}: {job.out} ({pace:.1f} s a map{left})", flush=True)
    return 0


def jobs_of(arguments: argparse.Namespace) -> list[argparse.Namespace]:
    """The arguments of each single map: every transmitter in every mask, named MASK_ROW_COL.png in the folder `--out`."""
    masks = [arguments.buildings]
    if arguments.buildings.is_dir():
        masks = sorted(path for path in arguments.buildings.iterdir() if path.suffix.lower() == ".png")
        if not masks:
            raise UserError(f"{arguments.buildings} holds no PNG; name a mask of buildings, or a folder of them, as --buildings")
    if not is_many(arguments):
        return [argparse.Namespace(**vars(arguments) | {"tx": arguments.tx[0]})]
    jobs = []
    for mask in masks:
        for row, column in arguments.tx:
            name = f"{mask.stem}_{row}_{column}"
            db = {} if arguments.db is None else {"db": arguments.db / f"{name}.npy"}
            one = {"buildings": mask, "tx": (row, column), "out": arguments.out / f"{name}.png"} | db
            jobs.append(argparse.Namespace(**vars(arguments) | one))
    return jobs


def is_many(arguments: argparse.Namespace) -> bool:
    """Whether more than one map is asked for, so that `--out` and `--db` are folders; a name without ending is a folder."""
    return len(arguments.tx) > 1 or not arguments.buildings.suffix or arguments.buildings.is_dir()


def predict_one(arguments: argparse.Namespace, model: "Generator | None") -> tuple["Generator", list[str]]:
    """Predict one map and write its files, all or none; returns the model, loaded once, and what to say of the files."""
    from radiodiff_jax.files import written_together
    from radiodiff_jax.inference.loading import load_generator
    from radiodiff_jax.inference.scene import read_scene

    out = arguments.out
    beside = {name: out.with_name(f"{out.stem}_{name}.png") for name in ("labelled", "interval", "spread")}
    places = [out, beside["labelled"]] + [beside["interval"]] * arguments.interval + [beside["spread"]] * (arguments.samples > 1)
    places += [arguments.db] if arguments.db is not None else []
    with written_together(places, (arguments.buildings, arguments.cars, arguments.measurements)) as temporary:
        scene = read_scene(arguments.buildings, arguments.cars, arguments.measurements)
        model = model or load_generator(arguments.run or arguments.model, arguments.checkpoint)
        if arguments.interval:
            model.check_spread(arguments.samples)
        steps = arguments.steps or model.config.objective.sampling_steps
        found = model.predict(
            transmitter=arguments.tx, **scene, steps=steps, samples=arguments.samples, symmetries=arguments.symmetries,
            seed=arguments.seed,
        )  # fmt: skip
        lines = write_all(arguments, model, found, steps, beside, temporary)
    return model, lines


def write_all(
    arguments: argparse.Namespace, model: "Generator", found: "RadioMap", steps: int, beside: dict[str, Path],
    temporary: dict[Path, Path],
) -> list[str]:  # fmt: skip
    """Write every file that was asked for to its temporary place; returns what to say of them."""
    from radiodiff_jax.reporting.map_figures import save_labelled_map, save_spread

    found.to_png(temporary[arguments.out])
    count = f", mean of {arguments.samples} samples" if arguments.samples > 1 else ""
    evaluations = model.config.objective.evaluations(steps)
    title = f"predicted path gain ({evaluations} evaluation{'s' if evaluations > 1 else ''}{count})"
    save_labelled_map(temporary[beside["labelled"]], found.gain, found.buildings, found.transmitter, title)
    lines = [f"model                                      {arguments.model}"] if arguments.run is None else []
    beyond = trained_range(model.config.image_size, found)
    lines += [beyond] if beyond else []
    lines += [
        f"radio map (8-bit grey, gain = grey / 255)  {arguments.out}",
        f"labelled picture                           {beside['labelled']}",
    ]
    if arguments.interval:
        told = write_interval(temporary[beside["interval"]], found)
        lines.append(f"half-width of the interval                 {beside['interval']} ({told})")
    if arguments.samples > 1 and not model.predicts_error:
        spread = found.deviation_db
        save_spread(temporary[beside["spread"]], spread, found.buildings, f"spread of {arguments.samples} samples")
        outdoors = spread[~found.buildings]
        lines.append(f"spread of the samples                      {beside['spread']} (mean {outdoors.mean():.2f} dB outdoors)")
    if arguments.db is not None:
        np.save(temporary[arguments.db], found.db)
        lines.append(f"path gain in dB (float32, NumPy)           {arguments.db}")
    return lines


def trained_range(trained: tuple[int, int], found: "RadioMap") -> str:
    """A sentence where pixels lie farther from the transmitter than on any map of the training; else ""."""
    farthest = max(
        np.hypot(found.transmitter[0] - row, found.transmitter[1] - column)
        for row in (0, found.gain.shape[0] - 1)
        for column in (0, found.gain.shape[1] - 1)
    )
    if farthest <= np.hypot(*trained):
        return ""
    return (
        f"note: the map reaches {farthest:.0f} m from the transmitter, the maps of the training "
        f"{np.hypot(*trained):.0f} m; beyond, the model extrapolates and its error is larger"
    )


def write_interval(path: Path, found: "RadioMap") -> str:
    """Draw the half-width of the 90 % interval; what it says, for printing."""
    from radiodiff_jax.reporting.interval_map import LEVEL, save_interval

    save_interval(path, found)
    mean = np.nanmean(found.half_width_db(LEVEL)[~found.buildings])
    how = "calibrated" if found.intervals.factors else "not calibrated: `python -m experiments.evaluate --calibrate`"
    return f"{100 * LEVEL:.0f} % interval: +-{mean:.2f} dB in the mean outdoors, {how}"


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.predict --buildings city.png --tx 128,90 --out map.png"
    parser = argparse.ArgumentParser(prog="python -m experiments.predict", **command_help(__doc__, example))
    add_model(parser, DEFAULT_MODEL)
    parser.add_argument("--buildings", type=a_path, required=True, metavar="B.png|DIR",
                        help="mask, 255 = building; or a folder of masks")  # fmt: skip
    parser.add_argument("--tx", type=row_and_column, nargs="+", required=True, metavar="ROW,COL",
                        help="pixel of the transmitter; several are predicted one after the other")  # fmt: skip
    parser.add_argument("--cars", type=a_path, metavar="C.png", help="mask, 255 = car; for models trained with cars")
    parser.add_argument("--measurements", type=a_path, metavar="FILE.csv",
                        help="lines of row, column, path gain in dB; for models trained with measured pixels "
                        "(data.observed_range=[0,K] takes any number, and none without this)")  # fmt: skip
    parser.add_argument("--out", type=a_path, required=True, metavar="MAP.png|DIR",
                        help="grey PNG to write; of several maps a folder, for MASK_ROW_COL.png")  # fmt: skip
    parser.add_argument("--steps", type=whole_number(1, STEPS), metavar="N", help="sampling steps (default: as in the settings)")
    parser.add_argument("--samples", type=whole_number(1, SAMPLES), default=1, metavar="N",
                        help="samples to draw; --out is their mean")  # fmt: skip
    parser.add_argument("--symmetries", type=whole_number(1), default=1, metavar="N",
                        help="mean over so many turned and mirrored copies of the scene, at most 8")  # fmt: skip
    parser.add_argument("--seed", type=seed_number, default=0, help="seed of the first sample")
    parser.add_argument("--interval", action="store_true",
                        help="also draw how sure the model is: half the width of the 90 %% interval in dB")  # fmt: skip
    parser.add_argument("--db", type=a_path, metavar="MAP.npy|DIR", help="also write path gain in dB")
    arguments = parser.parse_args(argv)
    if is_many(arguments):
        for option in ("out", "db"):
            given = getattr(arguments, option)
            if given is not None and given.suffix.lower() in (".png", ".npy"):
                parser.error(f"--{option} {given} is one file, and several maps are asked for; name a folder")
        if len(arguments.tx) == 1 and (arguments.cars or arguments.measurements):
            parser.error("--cars and --measurements are of one scene; name one mask as --buildings with them")
        return arguments
    if arguments.out.suffix.lower() != ".png":
        parser.error(f"--out {arguments.out} must end in .png")
    if arguments.db is not None and arguments.db.suffix != ".npy":
        parser.error(f"--db {arguments.db} must end in .npy")
    return arguments


def row_and_column(text: str) -> tuple[int, int]:
    """'ROW,COL' -> two integers."""
    found = re.fullmatch(r"\s*([-+]?[0-9]{1,9})\s*,\s*([-+]?[0-9]{1,9})\s*", text, re.ASCII)
    if found is None:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not of the form ROW,COL, such as 128,90")
    return int(found[1]), int(found[2])


if __name__ == "__main__":
    run_command(main)
