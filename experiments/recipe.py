"""The shipped model from nothing: train on simulated cities, judge on unseen ones, write the model file and its card.

The training makes its cities while it runs and keeps them; it may be stopped at any time, and the same command goes on
with the same bits. A minute's checkpoints make several short stays on a card add up to a long one.
"""

import argparse
import time
from pathlib import Path

from experiments import evaluate, models, train
from experiments.command import a_path, command_help, run_command, whole_number
from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.files import output_folder, output_path
from radiodiff_jax.limits import MAPS, WORKERS

TEST_SEED = 4256  # of cities that no training and no validation draws
CARD = """predicts: {summary}
introduction: >-
  {summary}. Made by `python -m experiments.recipe --config {config}`.
evaluations:
{evaluations}"""


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    out, run = output_folder(arguments.out), arguments.out / "run"
    file = output_path(out / f"{arguments.name}.safetensors")
    if file.parent != out:
        raise UserError(f"--name {shown(arguments.name)} is no name of a file; leave the folders out, they belong to --out", 2)
    if arguments.real is not None:
        from radiodiff_jax.data.sources import open_source

        open_source(arguments.real, "all")  # a slip is told now, not after hours of work

    started = time.monotonic()
    say(1, "training on simulated cities, made by the processors meanwhile", started)
    train.main(["--config", arguments.config, "--run", str(run), *arguments.settings])
    say(2, f"packing the weights into {file}", started)
    summary = "dominant path maps (DPM) without cars, one evaluation a map"
    models.main(["pack", "--run", str(run), "--out", str(file), "--licence", "MIT", "--summary", summary])
    say(3, "judging it on cities that were not trained on", started)
    card = out / "card"
    unseen = simulate_test_cities(out / "test", run, arguments)
    judged = {"made-up": (unseen, "Made-up cities", "Simulated maps of unseen made-up cities.")}
    if arguments.real is not None:
        judged["real"] = (arguments.real, "Real maps", "Of which the training saw none.")
    for stem, (data, _, _) in judged.items():
        words = ["--data", str(data), "--split", "all", "--out", str(card / f"{stem}.json")]
        evaluate.main(["--model", str(file), *words])
    say(4, "drawing the example scene and writing the card", started)
    models.main(["picture", str(file), "--out", str(card / "example")])
    write_card(card / "card.yaml", arguments.config, summary, judged)
    print(f"\nDone in {(time.monotonic() - started) / 60:.1f} min. Use it: python -m experiments.predict --model {file} ...")
    print(f"To ship it: copy {file} to radiodiff_jax/pretrained/ and {card} to site_src/models/{arguments.name}/")
    return 0


def say(number: int, what: str, started: float) -> None:
    """The head of a stage."""
    print(f"\n[{number}/4] {what}  ({(time.monotonic() - started) / 60:.1f} min since the start)", flush=True)


def simulate_test_cities(folder: Path, run: Path, arguments: argparse.Namespace) -> Path:
    """Write the maps of the test cities, of the size of the training, unless they are there."""
    from radiodiff_jax.config_files import read_config
    from radiodiff_jax.simulation import write_simulated_folder

    size = read_config(run / "config.yaml").image_size
    write_simulated_folder(
        folder, maps=arguments.cities, transmitters=8, size=size, seed=TEST_SEED, workers=arguments.workers
    )
    return folder


def write_card(path: Path, config: str, summary: str, judged: dict[str, tuple[Path, str, str]]) -> Path:
    """The list of evaluations that `reporting/model_card.py` makes pages of."""
    from radiodiff_jax.files import write_text

    entries = "".join(
        f"  - file: {stem}.json\n    title: {title}\n    about: {about}\n" for stem, (_, title, about) in judged.items()
    )
    return write_text(path, CARD.format(summary=summary, config=config, evaluations=entries))


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.recipe", **command_help(__doc__, "python -m experiments.recipe --config dpm --out model")
    )
    parser.add_argument("--config", default="dpm", metavar="NAME|FILE", help="dpm for a GPU, dpm-tiny for two CPU cores")
    parser.add_argument("--out", type=a_path, default=Path("model"), metavar="DIR", help="folder of the run, the file and the card")
    parser.add_argument("--name", default="dpm-regression", metavar="NAME", help="of the model file")
    parser.add_argument("--real", type=a_path, metavar="DIR", help="RadioMapSeer folder of real maps to judge it on, too")
    parser.add_argument("--cities", type=whole_number(1, MAPS), default=24, metavar="N", help="test cities, 8 transmitters each")
    parser.add_argument("--workers", type=whole_number(1, WORKERS), default=2, metavar="N",
                        help="processes that simulate test cities")  # fmt: skip
    parser.add_argument("settings", nargs="*", metavar="section.key=value", help="settings of the training to change")
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    run_command(main)
