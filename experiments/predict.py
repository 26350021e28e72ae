"""Predict the radio map of one scene: an 8-bit grey PNG, a labelled picture beside it, decibels if asked for."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.command import add_model, command_help, run_command, seed_number, whole_number

if TYPE_CHECKING:
    from radiodiff_jax.inference.radio_map import RadioMap

DEFAULT_MODEL = "dpm-regression"

def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)

    from radiodiff_jax.files import write_whole
    from radiodiff_jax.inference.loading import load_generator
    from radiodiff_jax.inference.scene import read_scene
    from radiodiff_jax.reporting.map_figures import save_labelled_map, save_spread

    model = load_generator(arguments.run or arguments.model, arguments.checkpoint)
    if arguments.interval:
        model.check_spread(arguments.samples)
    scene = read_scene(arguments.buildings, arguments.cars, arguments.measurements)
    steps = arguments.steps or model.config.objective.sampling_steps
    found = model.predict(
        transmitter=arguments.tx, **scene, steps=steps, samples=arguments.samples, symmetries=arguments.symmetries,
        seed=arguments.seed,
    )  # fmt: skip

    found.to_png(arguments.out)
    labelled = arguments.out.with_name(f"{arguments.out.stem}_labelled.png")
    count = f", mean of {arguments.samples} samples" if arguments.samples > 1 else ""
    evaluations = model.config.objective.evaluations(steps)
    title = f"predicted path gain ({evaluations} evaluation{'s' if evaluations > 1 else ''}{count})"
    save_labelled_map(labelled, found.gain, found.buildings, found.transmitter, title)
    if arguments.run is None:
        print(f"model                                      {arguments.model}")
    beyond = trained_range(model.config.image_size, found)
    if beyond:
        print(beyond)
    print(f"radio map (8-bit grey, gain = grey / 255)  {arguments.out}")
    print(f"labelled picture                           {labelled}")
    if arguments.interval:
        print(f"half-width of the interval                 {write_interval(arguments.out, found)}")
    if arguments.samples > 1 and not model.predicts_error:
        spread = found.deviation_db
        picture = arguments.out.with_name(f"{arguments.out.stem}_spread.png")
        save_spread(picture, spread, found.buildings, f"spread of {arguments.samples} samples")
        outdoors = spread[~found.buildings]
        print(f"spread of the samples                      {picture} (mean {outdoors.mean():.2f} dB outdoors)")
    if arguments.db is not None:
        write_whole(arguments.db, lambda path: _save_array(path, found.db))
        print(f"path gain in dB (float32, NumPy)           {arguments.db}")
    return 0


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


def write_interval(out: Path, found: "RadioMap") -> str:
    """Draw the half-width of the 90 % interval beside the map; what it says, for printing."""
    from radiodiff_jax.reporting.interval_map import LEVEL, save_interval

    picture = save_interval(out.with_name(f"{out.stem}_interval.png"), found)
    mean = np.nanmean(found.half_width_db(LEVEL)[~found.buildings])
    how = "calibrated" if found.intervals.factors else "not calibrated: `python -m experiments.evaluate --calibrate`"
    return f"{picture} ({100 * LEVEL:.0f} % interval: +-{mean:.2f} dB in the mean outdoors, {how})"


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.predict --buildings city.png --tx 128,90 --out map.png"
    parser = argparse.ArgumentParser(prog="python -m experiments.predict", **command_help(__doc__, example))
    add_model(parser, DEFAULT_MODEL)
    parser.add_argument("--buildings", type=Path, required=True, metavar="B.png", help="mask, 255 = building")
    parser.add_argument("--tx", type=row_and_column, required=True, metavar="ROW,COL", help="pixel of the transmitter")
    parser.add_argument("--cars", type=Path, metavar="C.png", help="mask, 255 = car; for models trained with cars")
    parser.add_argument("--measurements", type=Path, metavar="FILE.csv",
                        help="lines of row, column, path gain in dB; for models trained with measured pixels "
                        "(data.observed_range=[0,K] takes any number, and none without this)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="MAP.png", help="grey PNG to write")
    parser.add_argument("--steps", type=whole_number(1), metavar="N", help="sampling steps (default: as in the settings)")
    parser.add_argument("--samples", type=whole_number(1), default=1, metavar="N", help="samples to draw; --out is their mean")
    parser.add_argument("--symmetries", type=whole_number(1), default=1, metavar="N",
                        help="mean over so many turned and mirrored copies of the scene, at most 8")  # fmt: skip
    parser.add_argument("--seed", type=seed_number, default=0, help="seed of the first sample")
    parser.add_argument("--interval", action="store_true",
                        help="also draw how sure the model is: half the width of the 90 %% interval in dB")  # fmt: skip
    parser.add_argument("--db", type=Path, metavar="MAP.npy", help="also write path gain in dB")
    arguments = parser.parse_args(argv)
    if arguments.out.suffix.lower() != ".png":
        parser.error(f"--out {arguments.out} must end in .png")
    if arguments.db is not None and arguments.db.suffix != ".npy":
        parser.error(f"--db {arguments.db} must end in .npy")
    return arguments


def row_and_column(text: str) -> tuple[int, int]:
    """'ROW,COL' -> two integers."""
    try:
        row, column = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form ROW,COL, such as 128,90") from None
    return row, column


if __name__ == "__main__":
    run_command(main)
