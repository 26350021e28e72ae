"""Figures of merit of a run over a split, beside estimates without training and the autoencoder's own reconstruction."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.command import a_path, add_model, command_help, run_command, text_table, whole_number
from radiodiff_jax.errors import UserError
from radiodiff_jax.limits import BATCH, SAMPLES, SIDE, STEPS, check_batch
from radiodiff_jax.radiomapseer import SIMULATIONS
from radiodiff_jax.units import DB_PER_GAIN


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    model = None
    if arguments.model is not None:
        from radiodiff_jax.inference.loading import load_model

        model = load_model(arguments.model)
    from radiodiff_jax.inference.evaluation_files import part_evaluated

    results = evaluate_run(arguments.run, arguments.data, arguments.split, arguments.steps, arguments.batch_size,
                           arguments.maps, arguments.count, arguments.out, model, arguments.simulation,
                           checkpoint=arguments.checkpoint, samples=arguments.samples,
                           calibrate=arguments.calibrate, observed=arguments.observed)  # fmt: skip
    for path, result in results.items():
        print(results_table(result["results"]))
        steps = f", {result['steps']} step{'s' if result['steps'] > 1 else ''}" if result["steps"] else ""
        known = f", {result['observed_pixels']} measured pixels a map" if "observed_pixels" in result else ""
        print(f"{result['radio_maps']} radio maps of {result['layouts']} layouts, {part_evaluated(arguments.split)} of "
              f"{arguments.data}{steps}{known}")  # fmt: skip
        print_spread(result)
        print(f"every figure, both protocols, 90 % intervals over layouts: {path}")
    return 0


def evaluate_run(
    run: Path | None, data: Path, split: str, steps: list[int] | None = None, batch_size: int = 8, maps: Path | None = None,
    count: int | None = None, out: Path | None = None, model: Any = None, simulation: str | None = None,
    checkpoint: str | int = "latest", samples: int = 1, calibrate: bool = False, observed: list[int] | None = None,
) -> dict[Path, dict[str, Any]]:  # fmt: skip
    """Evaluate a run for each number of steps; writes and returns path -> result, of which the JSON file is made.

    Without `steps` the run's own setting holds, without `out` the files go to the run's folder `evaluation`, or where
    there is no run to the working folder. Predicted maps go to the folder `maps` as grey PNGs, with several numbers of
    steps to maps/stepsN. `model` is a model of no run, or the run where it is loaded already. `simulation` names other
    gains than those that the run was trained on. With `samples` the mean of so many draws is judged, and their spread;
    `calibrate` first fits the intervals on the validation split and keeps the factors in the run's folder. For each number
    in `observed` the model is told of so many measured pixels a map, always the same ones, and there is a result of its own.
    """
    from tqdm import tqdm

    from experiments.training import open_split
    from radiodiff_jax.data.sources import computed_there, open_varied_source
    from radiodiff_jax.files import output_folder, output_path
    from radiodiff_jax.images import write_grey
    from radiodiff_jax.inference.evaluation import evaluate_steps
    from radiodiff_jax.inference.evaluation_files import write_evaluation
    from radiodiff_jax.inference.generator import Generator
    from radiodiff_jax.inference.loading import load_run
    from radiodiff_jax.training.run_folder import now
    from radiodiff_jax.units import gain_to_grey

    if maps is not None:
        output_folder(maps)
    model = model or load_run(run, checkpoint)
    judged = model.config
    if simulation:
        judged = replace(judged, data=replace(judged.data, simulation=simulation, mixture=None))

    def open_maps(judged: Any) -> Any:
        if not isinstance(model, Generator):
            return open_split(judged, data, split)
        there = computed_there(data, judged.data.computed)
        source = open_varied_source(data, split, replace(judged.data, computed=there))
        model.for_size(tuple(source.size))  # raises UserError for a size that it cannot predict
        return source

    name = split if judged.data.simulation == model.config.data.simulation else f"{simulation}_{split}"
    steps = list(dict.fromkeys(steps or [model.config.objective.sampling_steps])) if isinstance(model, Generator) else [0]
    samples = samples if isinstance(model, Generator) and not model.predicts_error else 1
    if calibrate:
        model = calibrated(model, run, judged, data, steps, samples, batch_size)

    def keep(number, batch, i, gain):
        folder = maps / f"observed{known}" if len(observed or []) > 1 else maps
        folder = folder / f"steps{number}" if len(steps) > 1 else folder
        write_grey(folder / f"{batch['map'][i]}_{batch['transmitter'][i]}.png", gain_to_grey(gain))

    def progress(batches):
        chosen = min(count or len(source), len(source))
        return tqdm(batches, desc=f"evaluating {run or model.name}", unit="batch", total=-(-chosen // batch_size), disable=None)

    def path_of(number: int, known: int | None) -> Path:
        file = f"{name}{'' if known is None else f'_observed{known}'}_steps{number}{drawn}.json"
        return out or (run / "evaluation" / file if run else Path(f"{Path(model.name).stem}_{file}"))

    written = {}
    head = {"run": str(run)} if run else {"model": model.name, "run": model.name}
    head |= {"data": str(data), "split": split, "simulation": judged.data.simulation, "evaluated": now()}
    drawn = f"_samples{samples}" if samples > 1 else ""
    numbers = list(dict.fromkeys(observed or [None]))
    for path in [path_of(number, known) for known in numbers for number in steps]:
        output_path(path)
        output_path(path.with_suffix(".npz"))
    for known in numbers:
        told = {} if known is None else {"observed_pixels": known}
        source = open_maps(judged if known is None else with_observed(judged, known))
        check_batch(batch_size, source.size)
        found = evaluate_steps(model, source, steps, batch_size, count, keep if maps else None, progress, samples)
        for result, arrays in found:
            path = path_of(result["steps"], known)
            written[path] = head | told | result
            write_evaluation(path, written[path], arrays)
    return written


def with_observed(config: Any, count: int) -> Any:
    """The settings with `count` measured pixels a map. Raises UserError for a model that is told of none."""
    if config.data.observed is None:
        raise UserError("the model was trained without measured pixels, so --observed changes nothing; leave it out")
    return replace(config, data=replace(config.data, observed_pixels=0, observed_range=(count, count)))


def calibrated(model: Any, run: Path, config: Any, data: Path, steps: list[int], samples: int, batch_size: int) -> Any:
    """The model with intervals fitted on the validation split; writes them to the run's folder."""
    from tqdm import tqdm

    from experiments.training import open_split
    from radiodiff_jax.data.pipeline import evaluation_batches
    from radiodiff_jax.inference.calibration import FILE, write_calibration
    from radiodiff_jax.inference.evaluation import fit_calibration
    from radiodiff_jax.inference.generator import Generator
    from radiodiff_jax.training.run_folder import now

    if not isinstance(model, Generator):
        raise UserError(f"{run} is an autoencoder, which predicts no intervals; leave --calibrate out")
    source = open_split(config, data, "validation")
    batches = tqdm(evaluation_batches(source, batch_size), desc=f"calibrating {run}", unit="batch",
                   total=-(-len(source) // batch_size), disable=None)  # fmt: skip
    found = fit_calibration(model, batches, steps[0], samples, {"data": str(data), "split": "validation", "fitted": now()})
    write_calibration(run, found)
    told = found.fitted_on
    print(f"intervals calibrated on {told['radio_maps']} validation maps of {told['layouts']} layouts: {run / FILE}\n"
          f"half-widths are {found.intervals.factor(0.9):.3f} (90 %) and {found.intervals.factor(0.5):.3f} (50 %) times what "
          "the model says")  # fmt: skip
    return replace(model, calibration=found)


def print_spread(result: dict[str, Any]) -> None:
    """What the intervals held, in one line; nothing for a model without them."""
    told = next((one["spread"] for one in result["results"].values() if "spread" in one), None)
    if told is not None:
        from radiodiff_jax.reporting.evaluation_spread import spread_sentence

        print(spread_sentence(told))


TABLE = {
    "RMSE raw": "raw/all/rmse",
    "NMSE raw": "raw/all/nmse",
    "SSIM raw": "raw/all/ssim",
    "PSNR raw (dB)": "raw/all/psnr_db",
    "RMSE thresholded": "thresholded/all/rmse",
    "MAE (dB)": "raw/mae_db",
    "within 3 dB": "raw/share_within_3_db",
}


def results_table(results: dict[str, Any]) -> str:
    """Mean figures over maps, one row a predictor; the first column is the second in dB."""
    rows = []
    for name, one in results.items():
        means = [one["figures"][key]["mean"] for key in TABLE.values()]
        decibels = "-" if means[0] is None else f"{DB_PER_GAIN * means[0]:.2f}"
        rows.append([name, decibels, *means, f"{one['ms_per_map']:.1f}"])
    return text_table(["mean over maps", "RMSE (dB)", *TABLE, "ms a map"], rows)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.evaluate --run runs/ldm --data RadioMapSeer --split test --steps 1"
    parser = argparse.ArgumentParser(prog="python -m experiments.evaluate", **command_help(__doc__, example))
    add_model(parser)
    parser.add_argument("--data", type=a_path, required=True, metavar="DIR", help="RadioMapSeer folder or built TFDS folder")
    parser.add_argument("--split", choices=("train", "validation", "test", "all"), default="test",
                        help="which maps; all: those of an unpacked folder that the model was not trained on")  # fmt: skip
    parser.add_argument("--simulation", choices=SIMULATIONS, metavar="NAME",
                        help="folder below gain/ to judge by (default: the one that the run was trained on)")  # fmt: skip
    parser.add_argument("--steps", type=whole_number(1, STEPS), nargs="+", metavar="N",
                        help="sampling steps, or several numbers of them, each with a result of its own (default: as in "
                        "the settings)")  # fmt: skip
    parser.add_argument("--observed", type=whole_number(0, SIDE**2), nargs="+", metavar="K",
                        help="measured pixels a map, or several numbers of them, each with a result of its own (default: as in "
                        "the settings); for models trained with data.observed_range")  # fmt: skip
    parser.add_argument("--samples", type=whole_number(1, SAMPLES), default=1, metavar="K",
                        help="judge the mean of K draws, and whether their spread is the error (not for regressions)")  # fmt: skip
    parser.add_argument("--calibrate", action="store_true",
                        help="first fit the widths of the intervals on the validation split: RUN/calibration.json")  # fmt: skip
    parser.add_argument("--batch-size", type=whole_number(1, BATCH), default=8, metavar="N", help="maps at once")
    parser.add_argument("--count", type=whole_number(1), metavar="N", help="only so many maps, spread over the split")
    parser.add_argument("--maps", type=a_path, metavar="DIR", help="also write the predicted maps as grey PNGs")
    parser.add_argument("--out", type=a_path, metavar="FILE.json", help="result (default: in the run folder; of a model: here)")
    arguments = parser.parse_args(argv)
    if arguments.out is not None and len(set(arguments.observed or [1])) > 1:
        parser.error("--out takes one number of measured pixels; without it each has a file in the run folder")
    if arguments.calibrate and arguments.run is None:
        parser.error("--calibrate fits the intervals of a run; give --run, then pack the run again")
    if arguments.out is not None and len(set(arguments.steps or [1])) > 1:
        parser.error("--out takes one number of steps; without it each has a file in the run folder")
    if arguments.calibrate and len(set(arguments.steps or [1])) > 1:
        parser.error("--calibrate takes one number of steps")
    if arguments.out is not None and arguments.out.suffix != ".json":
        parser.error(f"--out {arguments.out} must end in .json")
    return arguments


if __name__ == "__main__":
    run_command(main)
