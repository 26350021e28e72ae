"""Weights from and to other programs: the original's PyTorch checkpoints, safetensors with either's names."""

import argparse
from pathlib import Path
from typing import Any

from experiments.command import add_checkpoint, command_help, run_command
from experiments.training import CONFIGS

SAFETENSORS = ".safetensors"


def main(argv: list[str] | None = None) -> int:
    """Parse and do what the words say."""
    arguments = make_parser().parse_args(argv)
    return arguments.call(arguments)


def import_checkpoint(arguments: argparse.Namespace) -> int:
    """Make a run folder of a checkpoint of the original."""
    from radiodiff_jax.config_files import load_config
    from radiodiff_jax.training.imported import configure, find_checkpoint, write_imported

    file = arguments.file
    checkpoint = find_checkpoint(read_tensors(file), str(file), arguments.weights)
    words = {"vae": [], "generator": []} | {checkpoint.kind: arguments.settings}
    presets = {"vae": "paper", "generator": "paper"} | {checkpoint.kind: arguments.config}
    vae, generator = (load_config(kind, presets[kind], words[kind], CONFIGS) for kind in ("vae", "generator"))
    config = write_imported(arguments.run, checkpoint, *configure(checkpoint, vae, generator, str(file)), str(file))
    size = "{} x {}".format(*config.image_size)
    which = "averaged weights" if checkpoint.weights == "ema" else "weights"
    print(f"{arguments.run}: {which} of step {checkpoint.step} from {file}, images of {size}")
    if checkpoint.kind == "vae":
        print(f"next: python -m experiments.ldm --data DIR --vae {arguments.run} --run runs/ldm")
    else:
        print(f"next: python -m experiments.evaluate --run {arguments.run} --data DIR --split test")
    return 0


def export_run(arguments: argparse.Namespace) -> int:
    """Write the weights of a run as safetensors."""
    from safetensors.numpy import save_file

    from radiodiff_jax.files import write_whole
    from radiodiff_jax.inference.exported import original_tensors, our_tensors
    from radiodiff_jax.inference.loading import load_run

    model = load_run(arguments.run, arguments.checkpoint)
    tensors = original_tensors(model) if arguments.names == "original" else our_tensors(model)
    about = {"format": "pt" if arguments.names == "original" else "radiodiff_jax weights", "run": arguments.run.name}
    write_whole(arguments.out, lambda temporary: save_file(tensors, temporary, about))
    print(f"{arguments.out}: {len(tensors)} tensors, {arguments.out.stat().st_size / 1e6:.1f} MB, names of {arguments.names}")
    return 0


def read_tensors(path: Path) -> Any:
    """What a .pt or .safetensors file holds. Raises UserError where it cannot be read."""
    from radiodiff_jax.errors import UserError
    from radiodiff_jax.models.torch_file import read_torch_file

    if path.suffix != SAFETENSORS:
        return read_torch_file(path)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    if not path.is_file():
        raise UserError(f"there is no file {path}; give a .pt or .safetensors file")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        line = (str(error).splitlines() or [""])[0][:120]
        raise UserError(f"{path} is damaged or no safetensors file ({line}); copy or download it again") from None


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    command = "python -m experiments.weights"
    parser = argparse.ArgumentParser(prog=command, **command_help(__doc__, f"{command} import model-50.pt --run runs/original"))
    commands = parser.add_subparsers(required=True, metavar="import|export")

    example = f"{command} import model-50.pt --run runs/original"
    reads = commands.add_parser("import", help="make a run folder of RadioDiff's checkpoint", **command_help(
        "Make a run folder of a checkpoint of RadioDiff (PyTorch), of its autoencoder or of its diffusion model. The "
        "architecture is read off the shapes; nothing in the file can run code.", example))  # fmt: skip
    reads.add_argument("file", type=Path, metavar="FILE", help="model-*.pt as RadioDiff's trainers write, or .safetensors")
    reads.add_argument("--run", type=Path, required=True, metavar="RUN", help="new run folder, for ldm --vae, predict, evaluate, "
                       "train --from")  # fmt: skip
    reads.add_argument("--weights", choices=("auto", "ema", "model"), default="auto",
                       help="averaged weights or the last ones (default: averaged where there are any)")  # fmt: skip
    reads.add_argument("--config", default="paper", metavar="NAME|FILE", help="settings that shapes do not say (default: paper)")
    reads.add_argument("settings", nargs="*", metavar="section.key=value", help="settings to change")
    reads.set_defaults(call=import_checkpoint)

    example = f"{command} export --run runs/ldm --out ldm.safetensors --names original"
    writes = commands.add_parser("export", help="write a run's weights as safetensors", **command_help(
        "Write the weights of a run as safetensors, with our names or with those of the original, so that its PyTorch code loads "
        "them.", example))  # fmt: skip
    writes.add_argument("--run", type=Path, required=True, metavar="RUN", help="run of vae, ldm or train")
    add_checkpoint(writes)
    writes.add_argument("--names", choices=("ours", "original"), default="ours", help="whose names the tensors have")
    writes.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write")
    writes.set_defaults(call=export_run)
    return parser


if __name__ == "__main__":
    run_command(main)
