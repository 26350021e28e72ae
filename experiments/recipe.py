"""A shipped model from nothing: train on simulated cities, judge on unseen ones, write the model file and its card.

A training makes its cities while it runs and keeps them; it may be stopped at any time, and the same command goes on
with the same bits. A minute's checkpoints make several short stays on a card add up to a long one. A latent model has its
autoencoder trained first, on the same cities.
"""

import argparse
from pathlib import Path

from experiments import evaluate, ldm, models, train, vae
from experiments.command import Stages, a_path, command_help, run_command, whole_number
from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.files import output_folder, output_path
from radiodiff_jax.images import Size
from radiodiff_jax.limits import MAPS, WORKERS

TEST_SEED = 4256  # of cities that no training and no validation draws


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    # Slips are told now, not after hours of work.
    config = load_config("generator", arguments.config, arguments.settings, CONFIGS)
    latent, vae_config, vae_words = config.space.needs_autoencoder, arguments.vae_config or arguments.config, arguments.vae or []
    if latent:
        load_config("vae", vae_config, vae_words, CONFIGS)
    elif vae_words or arguments.vae_config:
        raise UserError(
            f"--config {arguments.config} predicts in pixels, without an autoencoder; leave out --vae and --vae-config", 2
        )
    name = arguments.name or ("dpm-diffusion" if latent else "dpm-regression")
    out, run = output_folder(arguments.out), arguments.out / "run"
    file = output_path(out / f"{name}.safetensors")
    if file.parent != out:
        raise UserError(f"--name {shown(name)} is no name of a file; leave the folders out, they belong to --out", 2)
    if arguments.real is not None:
        from radiodiff_jax.data.sources import open_source

        open_source(arguments.real, "all")

    say = Stages(5 if latent else 4)
    if latent:
        say("training the autoencoder on simulated cities, alone and then against the discriminator")
        vae.main(["--config", vae_config, "--run", str(out / "autoencoder"), *vae_words])
        share_cities(out / "autoencoder", run)
    say("training on simulated cities, made by the processors meanwhile")
    words = ["--config", arguments.config, "--run", str(run), *arguments.settings]
    if latent:
        ldm.main(["--vae", str(out / "autoencoder"), *words])
    else:
        train.main(words)
    say(f"packing the weights into {file}")
    summary = f"dominant path maps (DPM) without cars, {'latent diffusion' if latent else 'one evaluation a map'}"
    models.main(["pack", "--run", str(run), "--out", str(file), "--licence", "MIT", "--summary", summary])
    say("judging it on cities that were not trained on")
    card = out / "card"
    judged = judge(file, card, simulate_test_cities(out / "test", config.image_size, arguments), arguments.real, latent)
    say("drawing the example scene and writing the card")
    models.main(["picture", str(file), "--out", str(card / "example")])
    write_card(card / "card.yaml", arguments.config, summary, judged)
    print(f"\nDone in {say.minutes():.1f} min. Use it: python -m experiments.predict --model {file} ...")
    print(f"To ship it: copy {file} to radiodiff_jax/pretrained/ and {card} to site_src/models/{name}/")
    return 0


def share_cities(of: Path, run: Path) -> None:
    """Let a run use the cities that another one keeps, rather than make the same ones again."""
    if not (run / "cities").exists() and (of / "cities").is_dir():
        run.mkdir(parents=True, exist_ok=True)
        (run / "cities").symlink_to(Path("..") / of.name / "cities", target_is_directory=True)


def simulate_test_cities(folder: Path, size: Size, arguments: argparse.Namespace) -> Path:
    """Write the maps of the test cities, of the size of the training, unless they are there."""
    from radiodiff_jax.simulation import write_simulated_folder

    write_simulated_folder(
        folder, maps=arguments.cities, transmitters=8, size=size, seed=TEST_SEED, workers=arguments.workers
    )
    return folder


def judge(file: Path, card: Path, unseen: Path, real: Path | None, draws: bool) -> dict[str, tuple[str, str]]:
    """Evaluate the model file into CARD/STEM.json; returns stem -> (title, about) in the order of the card.

    A model that `draws` maps is also judged with five steps, and by the spread of 16 samples.
    """
    kinds = {"made-up": (unseen, [], "Made-up cities", "Simulated maps of unseen made-up cities.")}
    if draws:
        kinds["made-up-five-steps"] = (
            unseen, ["--steps", "5"], "Made-up cities, five steps", "The same maps, sampled in five steps.",
        )  # fmt: skip
        kinds["made-up-samples"] = (
            unseen, ["--steps", "5", "--samples", "16"], "Made-up cities, 16 samples",
            "The same maps: the mean of 16 draws of five steps, and whether their spread tells the error.",
        )  # fmt: skip
    if real is not None:
        kinds["real"] = (real, [], "Real maps", "Of which the training saw none.")
    for stem, (data, words, _, _) in kinds.items():
        evaluate.main(["--model", str(file), "--data", str(data), "--split", "all", "--out", str(card / f"{stem}.json"), *words])
    return {stem: (title, about) for stem, (_, _, title, about) in kinds.items()}


def write_card(path: Path, config: str, summary: str, judged: dict[str, tuple[str, str]]) -> Path:
    """The list of evaluations that `reporting/model_card.py` makes pages of."""
    import yaml

    from radiodiff_jax.files import write_text

    told = {
        "predicts": summary,
        "introduction": f"{summary}. Made by `python -m experiments.recipe --config {config}`.",
        "evaluations": [{"file": f"{stem}.json", "title": title, "about": about} for stem, (title, about) in judged.items()],
    }
    return write_text(path, yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=110))


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.recipe", **command_help(__doc__, "python -m experiments.recipe --config dpm --out model")
    )
    parser.add_argument("--config", default="dpm", metavar="NAME|FILE",
                        help="dpm and dpm-diffusion for a GPU, dpm-tiny and dpm-diffusion-tiny for two CPU cores")  # fmt: skip
    parser.add_argument("--out", type=a_path, default=Path("model"), metavar="DIR", help="folder of the run, the file and the card")
    parser.add_argument("--name", metavar="NAME", help="of the model file (default: dpm-regression, or dpm-diffusion)")
    parser.add_argument("--real", type=a_path, metavar="DIR", help="RadioMapSeer folder of real maps to judge it on, too")
    parser.add_argument("--cities", type=whole_number(1, MAPS), default=24, metavar="N", help="test cities, 8 transmitters each")
    parser.add_argument("--workers", type=whole_number(1, WORKERS), default=2, metavar="N",
                        help="processes that simulate test cities")  # fmt: skip
    parser.add_argument("--vae-config", metavar="NAME|FILE",
                        help="of a latent model's autoencoder (default: the preset of the same name)")  # fmt: skip
    parser.add_argument("--vae", nargs="+", metavar="section.key=value", help="settings of its training to change")
    parser.add_argument("settings", nargs="*", metavar="section.key=value", help="settings of the training to change")
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    run_command(main)
