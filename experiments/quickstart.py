"""Everything once, small: simulate cities, train both stages, evaluate on unseen cities, predict one more."""

import argparse
import time
from pathlib import Path

import numpy as np

from experiments import evaluate, ldm, predict, vae
from experiments.command import command_help, run_command, whole_number

MAPS, TRANSMITTERS, SIZE = 160, 10, (64, 64)
UNSEEN_SEED = 2026  # a city that no training has seen


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    out, started = arguments.out, time.monotonic()
    data, vae_run, ldm_run = out / "data", out / "runs" / "vae", out / "runs" / "ldm"

    def stage(number: int, what: str) -> None:
        print(f"\n[{number}/5] {what}  ({(time.monotonic() - started) / 60:.1f} min since the start)", flush=True)

    stage(1, f"simulating {MAPS} cities of {SIZE[0]} x {SIZE[1]} m with {TRANSMITTERS} transmitters each")
    simulate(data, arguments.workers)
    stage(2, "training the autoencoder, alone and then against the discriminator")
    vae.main(["--config", "tiny", "--data", str(data), "--run", str(vae_run), *arguments.vae])
    stage(3, "training the diffusion model on its latents")
    ldm.main(["--config", "tiny", "--data", str(data), "--vae", str(vae_run), "--run", str(ldm_run), *arguments.ldm])
    stage(4, "evaluating on cities that were not trained on")
    result = evaluate_both(ldm_run, data)
    stage(5, "predicting the radio map of a new city")
    picture = predict_unseen(out, ldm_run)

    model, law = (result["results"][name]["figures"]["raw/all/rmse"]["mean"] for name in ("model", "distance law"))
    print(f"\n{evaluate.summary_table(result)}")
    print(f"\nThe model's error on {result['layouts']} unseen cities is {law / model:.1f} times below the distance law's.")
    print(f"Done in {(time.monotonic() - started) / 60:.1f} min. Look at:")
    print(f"  {picture}   simulated, predicted and their difference, for a city made just now")
    print(f"  {ldm_run / 'samples'}   predictions while it learned")
    print(f"  {ldm_run / 'metrics.jsonl'}   every logged number")
    return 0


def simulate(data: Path, workers: int) -> None:
    """Write the demonstration's data set, unless it is there."""
    from radiodiff_jax.simulation import write_simulated_folder

    write_simulated_folder(data, maps=MAPS, transmitters=TRANSMITTERS, size=SIZE, seed=0, workers=workers)


def evaluate_both(run: Path, data: Path) -> dict:
    """Evaluate on the validation and test cities, writing both; returns the test result."""
    from radiodiff_jax.inference.trained import load_run

    model = load_run(run)
    for split in ("validation", "test"):
        (result,) = evaluate.evaluate_run(run, data, split, batch_size=16, model=model).values()
    return result


def predict_unseen(out: Path, run: Path) -> Path:
    """Make a new city, predict its map by the command and draw it beside the simulated one."""
    from radiodiff_jax.images import read_grey, write_grey
    from radiodiff_jax.reporting.map_figures import save_comparison
    from radiodiff_jax.simulation import city, path_gain_grey, place_transmitters, prepare
    from radiodiff_jax.units import grey_to_gain

    layout = city(UNSEEN_SEED, *SIZE)
    row, column = (int(x) for x in place_transmitters(layout.buildings, 1, UNSEEN_SEED)[0])
    truth = path_gain_grey(prepare(layout.buildings, layout.polygons), row, column)
    buildings, predicted = out / "unseen_buildings.png", out / "unseen_predicted.png"
    write_grey(buildings, np.where(layout.buildings, 255, 0).astype(np.uint8))
    predict.main(["--run", str(run), "--buildings", str(buildings), "--tx", f"{row},{column}", "--out", str(predicted)])
    picture = out / "unseen_comparison.png"
    return save_comparison(
        picture, grey_to_gain(truth)[None], grey_to_gain(read_grey(predicted))[None], layout.buildings[None],
        "a city that the model has not seen",
    )  # fmt: skip


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.quickstart", **command_help(__doc__, "python -m experiments.quickstart --out demo")
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder for data, runs and pictures")
    parser.add_argument("--workers", type=whole_number(1), default=2, metavar="N", help="processes that simulate")
    parser.add_argument("--vae", nargs="+", default=[], metavar="section.key=value", help="settings of the autoencoder")
    parser.add_argument("--ldm", nargs="+", default=[], metavar="section.key=value", help="settings of the diffusion model")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
