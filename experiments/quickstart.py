"""Everything once, small: simulate cities, train a regression and a latent diffusion model, evaluate, predict; and with the
model that comes with the package, what three transmitters give a city block together."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from experiments import coverage, evaluate, ldm, predict, train, vae
from experiments.command import Stages, a_path, command_help, run_command, whole_number
from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config
from radiodiff_jax.files import output_folder
from radiodiff_jax.limits import WORKERS

MAPS, TRANSMITTERS, SIZE = 160, 10, (64, 64)
BLOCK, BLOCK_SITES, SITES_SEED = (256, 256), 3, 5
UNSEEN_SEED, BLOCK_SEED = 2026, 2043  # cities that no training has seen


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    out = output_folder(arguments.out)
    data, runs = out / "data", {name: out / "runs" / name for name in ("regression", "vae", "ldm")}
    for kind, preset, words in (("generator", "pixel-tiny", arguments.regression), ("vae", "tiny", arguments.vae),
                                ("generator", "tiny", arguments.ldm)):  # fmt: skip
        load_config(kind, preset, words, CONFIGS)  # a slip is told now, not after minutes of work

    stage = Stages(8)
    stage(f"simulating {MAPS} cities of {SIZE[0]} x {SIZE[1]} m with {TRANSMITTERS} transmitters each")
    simulate(data, arguments.workers)
    stage("training a regression in pixels")
    train.main(["--config", "pixel-tiny", "--data", str(data), "--run", str(runs["regression"]), *arguments.regression])
    stage("training the autoencoder, alone and then against the discriminator")
    vae.main(["--config", "tiny", "--data", str(data), "--run", str(runs["vae"]), *arguments.vae])
    stage("training the diffusion model on its latents")
    ldm.main(
        ["--config", "tiny", "--data", str(data), "--vae", str(runs["vae"]), "--run", str(runs["ldm"]), *arguments.ldm]
    )
    stage("evaluating on cities that were not trained on")
    results = {name: evaluate_on_test(runs[name], data) for name in ("regression", "ldm")}
    stage("predicting the radio map of a new city")
    model = ["--run", str(runs["regression"])]
    picture = predict_unseen(out / "unseen", SIZE, UNSEEN_SEED, "a city that the model has not seen", model)
    stage("predicting a city block of 256 x 256 m by the model that comes with the package")
    block = predict_unseen(out / "block", BLOCK, BLOCK_SEED, f"a city that {predict.DEFAULT_MODEL} has not seen", [])
    stage(f"covering that block by {BLOCK_SITES} transmitters: best server, power, SINR")
    plan = cover_block(out / "block_buildings.png", out / "coverage")

    table = closing_table(results["regression"], results["ldm"])
    path = write_summary(out, 60 * stage.minutes(), results["regression"]["layouts"], table)
    print(f"\n{evaluate.results_table(table)}\n\n{closing_sentence(table, results['regression']['layouts'])}")
    print(f"Done in {stage.minutes():.1f} min. Look at:")
    print(f"  {picture}   simulated, predicted and their difference, for a city made just now")
    print(f"  {block}   the same by the model that comes with the package, 256 x 256 m")
    print(f"  {runs['regression'] / 'samples'}   predictions while it learned")
    print(f"  {path}   the table above, all figures")
    print(f"  {plan}   the best server of {BLOCK_SITES} transmitters, their power and SINR; maps for other tools beside it")
    return 0


def simulate(data: Path, workers: int) -> None:
    """Write the demonstration's data set, unless it is there."""
    from radiodiff_jax.simulation import write_simulated_folder

    write_simulated_folder(data, maps=MAPS, transmitters=TRANSMITTERS, size=SIZE, seed=0, workers=workers)


def evaluate_on_test(run: Path, data: Path) -> dict[str, Any]:
    """Evaluate on the test cities; returns what is written to the run's folder."""
    (result,) = evaluate.evaluate_run(run, data, "test", batch_size=16).values()
    return result


def closing_table(regression: dict[str, Any], diffusion: dict[str, Any]) -> dict[str, Any]:
    """Name -> result of everything that was evaluated on the test cities, the best model first."""
    named = {"regression": regression["results"]["model"], "diffusion": diffusion["results"]["model"]}
    return named | {name: one for name, one in diffusion["results"].items() if name != "model"}


def closing_sentence(table: dict[str, Any], layouts: int) -> str:
    """What the table says of both models."""
    rmse = {name: one["figures"]["raw/all/rmse"]["mean"] for name, one in table.items()}
    formula = rmse["path estimate"]

    def compared(name: str) -> str:
        share = 100 * (1 - rmse[name] / formula)
        return f"{abs(share):.0f} % {'below' if share >= 0 else 'above'}"

    return (
        f"On {layouts} unseen cities the regression's error is {compared('regression')}, the diffusion model's "
        f"{compared('diffusion')} that of the best formula without training (path estimate)."
    )


def write_summary(out: Path, seconds: float, layouts: int, table: dict[str, Any]) -> Path:
    """OUT/summary.json: {"seconds", "layouts", "test": {name: {figure: mean over the test maps}}}."""
    from radiodiff_jax.files import write_json

    means = {name: {key: one["mean"] for key, one in result["figures"].items()} for name, result in table.items()}
    return write_json(out / "summary.json", {"seconds": round(seconds, 1), "layouts": layouts, "test": means})


def predict_unseen(path: Path, size: tuple[int, int], seed: int, title: str, model: list[str]) -> Path:
    """Make a new city, predict its map by the command and draw it beside the simulated one: PATH_comparison.png.

    `model` are the words that name the model, none for the one that comes with the package.
    """
    from radiodiff_jax.images import read_grey, write_grey
    from radiodiff_jax.inference.scene import simulated_scene
    from radiodiff_jax.reporting.map_figures import save_comparison
    from radiodiff_jax.units import grey_to_gain

    walls, (row, column), truth = simulated_scene(seed, size)
    buildings, predicted, picture = (
        path.with_name(f"{path.name}_{what}.png") for what in ("buildings", "predicted", "comparison")
    )
    write_grey(buildings, np.where(walls, 255, 0).astype(np.uint8))
    predict.main([*model, "--buildings", str(buildings), "--tx", f"{row},{column}", "--out", str(predicted)])
    return save_comparison(
        picture, grey_to_gain(truth)[None], grey_to_gain(read_grey(predicted))[None], walls[None], title
    )


def cover_block(buildings: Path, out: Path) -> Path:
    """Cover a mask of buildings by the command, with `BLOCK_SITES` transmitters that stand in it; the picture."""
    from radiodiff_jax.files import write_text
    from radiodiff_jax.images import read_grey
    from radiodiff_jax.simulation import place_transmitters

    places = place_transmitters(read_grey(buildings) != 0, BLOCK_SITES, SITES_SEED).tolist()
    rows = [f"{name},{row},{column}\n" for name, (row, column) in zip("ABC", places, strict=True)]
    sites = write_text(out / "sites.csv", "".join(["name,row,column\n", *rows]))
    coverage.main(["--buildings", str(buildings), "--sites", str(sites), "--out", str(out)])
    return out / "coverage_labelled.png"


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.quickstart", **command_help(__doc__, "python -m experiments.quickstart --out demo")
    )
    parser.add_argument("--out", type=a_path, default=Path("demo"), metavar="DIR", help="folder for data, runs and pictures")
    parser.add_argument("--workers", type=whole_number(1, WORKERS), default=2, metavar="N", help="processes that simulate")
    for name, what in (("regression", "regression"), ("vae", "autoencoder"), ("ldm", "diffusion model")):
        parser.add_argument(f"--{name}", nargs="+", default=[], metavar="section.key=value", help=f"settings of the {what}")
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
