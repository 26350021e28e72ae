"""Figures of merit of a run over a split, beside the distance law and the autoencoder's own reconstruction."""

import argparse
from pathlib import Path

from experiments.command import command_help, run_command, text_table, whole_number


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    from radiodiff_jax.files import write_json

    result = evaluate_run(arguments.run, arguments.data, arguments.split, arguments.steps, arguments.batch_size,
                          arguments.maps, arguments.count)  # fmt: skip
    out = arguments.out or arguments.run / "evaluation" / f"{arguments.split}_steps{result['steps']}.json"
    write_json(out, result)
    print(summary_table(result))
    print(f"{result['radio_maps']} radio maps of {result['layouts']} layouts, {arguments.split} split of {arguments.data}")
    print(f"every figure, both protocols, 90 % intervals over layouts: {out}")
    return 0


def evaluate_run(
    run: Path, data: Path, split: str, steps: int | None, batch_size: int, maps: Path | None, count: int | None
) -> dict:
    """Evaluate a run; returns what the JSON file holds. Predicted maps go to folder `maps` as grey PNGs."""
    from tqdm import tqdm

    from experiments.training import open_split
    from radiodiff_jax.data.grey_images import write_grey
    from radiodiff_jax.data.pipeline import evaluation_batches
    from radiodiff_jax.inference.evaluation import evaluate, guess_predictor, law_predictor
    from radiodiff_jax.inference.trained import RadioMapModel, load_run
    from radiodiff_jax.units import gain_to_grey

    model = load_run(run)
    source = open_split(model.config, data, split)
    predictors = {"distance law": law_predictor, "line-of-sight guess": guess_predictor}
    if isinstance(model, RadioMapModel):
        steps = steps or model.config.objective.sampling_steps
        predictors["model"] = lambda batch: model.predict(batch["condition"], steps)
        predictors["autoencoder"] = model.reconstructor
    else:
        steps = 0
        predictors["autoencoder"] = model
    shown = "model" if "model" in predictors else "autoencoder"

    def keep(name, batch, i, gain):
        if maps is not None and name == shown:
            write_grey(maps / f"{batch['map'][i]}_{batch['transmitter'][i]}.png", gain_to_grey(gain))

    batches = list(evaluation_batches(source, batch_size, count))
    progress = tqdm(batches, desc=f"evaluating {run}", unit="batch", disable=None)
    results = evaluate(predictors, progress, keep=keep)
    return {
        "run": str(run),
        "data": str(data),
        "split": split,
        "steps": steps,
        "network_evaluations": steps + 1 if steps else 0,
        "radio_maps": len(results[shown]["maps"]),
        "layouts": len(source.maps),
        "results": results,
    }


TABLE = {
    "RMSE raw": "raw/all/rmse",
    "NMSE raw": "raw/all/nmse",
    "SSIM raw": "raw/all/ssim",
    "PSNR raw (dB)": "raw/all/psnr_db",
    "RMSE thresholded": "thresholded/all/rmse",
    "MAE (dB)": "raw/mae_db",
    "within 3 dB": "raw/share_within_3_db",
}


def summary_table(result: dict) -> str:
    """Mean figures over maps, one row a predictor."""
    rows = [
        [name, *(one["figures"][key]["mean"] for key in TABLE.values()), f"{one['ms_per_map']:.1f}"]
        for name, one in result["results"].items()
    ]
    return text_table(["mean over maps", *TABLE, "ms a map"], rows)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.evaluate --run runs/ldm --data RadioMapSeer --split test --steps 1"
    parser = argparse.ArgumentParser(prog="python -m experiments.evaluate", **command_help(__doc__, example))
    parser.add_argument("--run", type=Path, required=True, metavar="RUN", help="run of experiments.ldm or experiments.vae")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="RadioMapSeer folder or built TFDS folder")
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test", help="which maps")
    parser.add_argument("--steps", type=whole_number(1), metavar="N", help="diffusion steps (default: as in the settings)")
    parser.add_argument("--batch-size", type=whole_number(1), default=8, metavar="N", help="maps at once")
    parser.add_argument("--count", type=whole_number(1), metavar="N", help="only so many maps, spread over the split")
    parser.add_argument("--maps", type=Path, metavar="DIR", help="also write the predicted maps as grey PNGs")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="result (default: in the run folder)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
