"""Predict the radio map of one scene: an 8-bit grey PNG, a labelled picture beside it, decibels if asked for."""

import argparse
from pathlib import Path

import numpy as np

from experiments.command import add_checkpoint, command_help, run_command, whole_number
from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import DataConfig


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)

    from radiodiff_jax.files import write_whole
    from radiodiff_jax.inference.generator import load_generator
    from radiodiff_jax.inference.scene import read_scene
    from radiodiff_jax.reporting.map_figures import save_labelled_map, save_spread

    model = load_generator(arguments.run, arguments.checkpoint)
    check_inputs(arguments, model.config.data)
    scene = read_scene(arguments.buildings, arguments.cars, model.config.image_size, arguments.measurements)
    steps = arguments.steps or model.config.objective.sampling_steps
    found = model.predict(
        transmitter=arguments.tx, **scene, steps=steps, samples=arguments.samples, seed=arguments.seed
    )

    found.to_png(arguments.out)
    labelled = arguments.out.with_name(f"{arguments.out.stem}_labelled.png")
    count = f", mean of {arguments.samples} samples" if arguments.samples > 1 else ""
    evaluations = model.config.objective.evaluations(steps)
    title = f"predicted path gain ({evaluations} evaluation{'s' if evaluations > 1 else ''}{count})"
    save_labelled_map(labelled, found.gain, found.buildings, found.transmitter, title)
    print(f"radio map (8-bit grey, gain = grey / 255)  {arguments.out}")
    print(f"labelled picture                           {labelled}")
    if arguments.samples > 1:
        spread = found.deviation_db
        picture = arguments.out.with_name(f"{arguments.out.stem}_spread.png")
        save_spread(picture, spread, found.buildings, f"spread of {arguments.samples} samples")
        outdoors = spread[~found.buildings]
        print(f"spread of the samples                      {picture} (mean {outdoors.mean():.2f} dB outdoors)")
    if arguments.db is not None:
        write_whole(arguments.db, lambda path: _save_array(path, found.db))
        print(f"path gain in dB (float32, NumPy)           {arguments.db}")
    return 0


def check_inputs(arguments: argparse.Namespace, data: DataConfig) -> None:
    """Raise UserError unless there are cars and measurements just where the model was trained with them."""
    if data.cars and arguments.cars is None:
        raise UserError(f"{arguments.run} was trained with cars; give the scene's car mask with --cars C.png")
    if arguments.cars is not None and not data.cars:
        raise UserError(f"{arguments.run} was trained without cars, so it cannot use --cars; leave it out")
    least = data.observed and data.observed[0]
    if least and arguments.measurements is None:
        raise UserError(
            f"{arguments.run} was trained with {least} measured pixels a map or more; give the scene's with "
            "--measurements FILE.csv"
        )
    if data.observed is None and arguments.measurements is not None:
        raise UserError(f"{arguments.run} was trained without measured pixels, so it cannot use --measurements; leave it out")


def _save_array(path: Path, array: np.ndarray) -> None:
    with path.open("wb") as file:
        np.save(file, array)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.predict --run runs/ldm --buildings city.png --tx 128,90 --out map.png"
    parser = argparse.ArgumentParser(prog="python -m experiments.predict", **command_help(__doc__, example))
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="run of experiments.train or ldm")
    add_checkpoint(parser)
    parser.add_argument("--buildings", type=Path, required=True, metavar="B.png", help="mask, 255 = building")
    parser.add_argument("--tx", type=row_and_column, required=True, metavar="ROW,COL", help="pixel of the transmitter")
    parser.add_argument("--cars", type=Path, metavar="C.png", help="mask, 255 = car; for models trained with cars")
    parser.add_argument("--measurements", type=Path, metavar="FILE.csv",
                        help="lines of row, column, path gain in dB; for models trained with measured pixels "
                        "(data.observed_range=[0,K] takes any number, and none without this)")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="MAP.png", help="grey PNG to write")
    parser.add_argument("--steps", type=whole_number(1), metavar="N", help="sampling steps (default: as in the settings)")
    parser.add_argument("--samples", type=whole_number(1), default=1, metavar="N", help="samples to draw; --out is their mean")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of the first sample")
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
