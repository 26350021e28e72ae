"""Models in one file: list those that come with the package, show one, make one of a run, draw what one predicts."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.command import a_path, add_checkpoint, command_help, run_command, text_table
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import output_path

if TYPE_CHECKING:
    from radiodiff_jax.inference.generator import Generator

FACTS = ("started", "git_commit", "versions", "devices", "parameters", "data_fingerprint")  # of run.json


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    return {"list": list_models, "show": show, "pack": pack, "picture": picture}[arguments.what](arguments)


def list_models(arguments: argparse.Namespace) -> int:
    """Print a table of the models that come with the package."""
    from radiodiff_jax.inference.loading import load_model
    from radiodiff_jax.inference.model_file import shipped_models, shipped_path

    rows = []
    for name in shipped_models():
        model, path = load_model(name), shipped_path(name)
        rows.append([name, kind(model), size(model), f"{path.stat().st_size / 1e6:.1f} MB", model.record.get("summary", "")])
    print(text_table(["model", "space x backbone x objective", "trained at", "file", "what it is"], rows))
    return 0


def show(arguments: argparse.Namespace) -> int:
    """Print what a model file says of itself."""
    import yaml

    from radiodiff_jax.config_files import to_tree
    from radiodiff_jax.inference.loading import load_model

    model = load_model(arguments.model)
    print(yaml.safe_dump({"record": model.record, "settings": to_tree(model.config)}, sort_keys=False, width=110), end="")
    return 0


def pack(arguments: argparse.Namespace) -> int:
    """Write a run's weights as a model file."""
    from radiodiff_jax.inference.loading import load_generator
    from radiodiff_jax.inference.model_file import write_model_file

    output_path(arguments.out)
    if not (arguments.run / "config.yaml").is_file():
        raise UserError(f"{arguments.run} is no run folder (it has no config.yaml); name a run of experiments.train or ldm")
    model = load_generator(arguments.run, arguments.checkpoint)
    record = {"summary": arguments.summary, "run": arguments.run.name} | training_facts(arguments.run)
    found = write_model_file(arguments.out, model.composition, model.variables, model.frozen, record, arguments.licence,
                             precision=arguments.precision, calibration=model.calibration)  # fmt: skip
    print(f"{arguments.out}  {arguments.out.stat().st_size / 1e6:.1f} MB, digest {found[:12]}")
    print(f"next: python -m experiments.predict --model {arguments.out} --buildings B.png --tx ROW,COL --out map.png")
    return 0


def picture(arguments: argparse.Namespace) -> int:
    """Draw the example scene of the size of the training, simulated and predicted, as a light and a dark PNG."""
    from radiodiff_jax.inference.loading import load_generator
    from radiodiff_jax.inference.scene import simulated_scene
    from radiodiff_jax.reporting.map_figures import MapPair, save_map_pairs
    from radiodiff_jax.units import DB_PER_GAIN, gain_to_grey, grey_to_gain

    if not arguments.out.name:
        raise UserError("--out is empty or a folder without a name of its own; give STEM, of STEM.light.png and STEM.dark.png", 2)
    for shade in ("light", "dark"):
        output_path(arguments.out.with_name(f"{arguments.out.name}.{shade}.png"))
    model = load_generator(arguments.model)
    buildings, place, truth = simulated_scene(size=model.config.image_size)
    found = model.predict(buildings, place).gain
    error = float(np.sqrt(np.mean((found - grey_to_gain(truth)) ** 2)))
    titles = "simulated", "prediction", f"error, RMSE {DB_PER_GAIN * error:.2f} dB ({error:.4f})"
    shown = MapPair(truth, gain_to_grey(found), buildings, place, titles)
    for path in save_map_pairs([shown], "prediction - simulated (dB)", arguments.out):
        print(path)
    return 0


def training_facts(run: Path) -> dict[str, Any]:
    """What run.json and the log say of a training: data, versions, hardware, updates and seconds."""
    from radiodiff_jax.training.run_files import read_metrics, read_run_json

    details, logged = read_run_json(run), read_metrics(run)
    facts = {name: details[name] for name in FACTS if name in details}
    return facts | ({"updates": logged[-1]["step"], "training_seconds": logged[-1].get("time_s")} if logged else {})


def kind(model: "Generator") -> str:
    """Space x backbone x objective."""
    config = model.config
    return f"{config.space.name} x {config.backbone.name} x {config.objective.name}"


def size(model: "Generator") -> str:
    """Image size of the training."""
    return "{} x {} m".format(*model.config.image_size)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.models", **command_help(__doc__, "python -m experiments.models show dpm-regression")
    )
    parser.set_defaults(what="list")
    commands = parser.add_subparsers(metavar="list|show|pack|picture")
    commands.add_parser("list", help="the models that come with the package (the default)").set_defaults(what="list")
    one = commands.add_parser("show", help="settings, training record, licence and digest of a model")
    one.add_argument("model", metavar="NAME|FILE", help="a shipped model or a .safetensors file")
    one.set_defaults(what="show")
    example = "python -m experiments.models pack --run runs/pixel --checkpoint best --out pixel.safetensors"
    made = commands.add_parser("pack", help="write a run's weights as one file", **command_help(pack.__doc__, example))
    made.add_argument("--run", type=a_path, required=True, metavar="RUN", help="run of experiments.train or ldm")
    add_checkpoint(made)
    made.add_argument("--out", type=a_path, required=True, metavar="FILE.safetensors", help="file to write")
    made.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16", help="of the stored weights")
    made.add_argument("--summary", default="", metavar="TEXT", help="one line on what the model is for")
    made.add_argument("--licence", default="not stated", metavar="TEXT", help="under which the weights may be used")
    made.set_defaults(what="pack")
    drawn = commands.add_parser("picture", help="draw the example scene, simulated and predicted")
    drawn.add_argument("model", metavar="NAME|FILE", help="a shipped model or a .safetensors file")
    drawn.add_argument("--out", type=a_path, required=True, metavar="STEM", help="STEM.light.png and STEM.dark.png")
    drawn.set_defaults(what="picture")
    arguments = parser.parse_args(argv)
    if arguments.what == "pack" and arguments.out.suffix != ".safetensors":
        parser.error(f"--out {arguments.out} must end in .safetensors")
    return arguments


if __name__ == "__main__":
    run_command(main)
