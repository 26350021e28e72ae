"""Weights and settings from and to other programs: the original's checkpoints and YAML, safetensors, LPIPS, ONNX."""

import argparse
from pathlib import Path
from typing import Any

from experiments.command import a_path, add_checkpoint, command_help, run_command, text_table, whole_number
from experiments.dataset import image_size
from experiments.training import CONFIGS
from radiodiff_jax.errors import UserError
from radiodiff_jax.limits import BATCH, STEPS

SAFETENSORS = ".safetensors"


def main(argv: list[str] | None = None) -> int:
    """Parse and do what the words say."""
    arguments = parse(argv)
    return arguments.call(arguments)


def import_checkpoint(arguments: argparse.Namespace) -> int:
    """Make a run folder of a checkpoint of the original, or one in which a training starts from torchvision's encoder."""
    from radiodiff_jax.config_files import load_config
    from radiodiff_jax.files import output_folder
    from radiodiff_jax.training.imported import configure, find_checkpoint, write_imported, write_imported_encoder

    file = arguments.file
    output_folder(arguments.run)
    checkpoint = find_checkpoint(read_tensors(file), str(file), arguments.weights)
    if checkpoint.kind == "encoder":
        if arguments.settings:
            raise UserError(f"{file} is an encoder, which has no other settings than its shapes say; leave settings out", 2)
        found = write_imported_encoder(arguments.run, checkpoint, str(file))
        print(f"{arguments.run}: Swin transformer from {file}, {found.embedding_channels} channels, depths {list(found.depths)}")
        print(f"next: python -m experiments.ldm --config {arguments.config} --data DIR --vae RUN --run {arguments.run}")
        return 0
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


def import_config(arguments: argparse.Namespace) -> int:
    """Write our settings for a YAML file of the original, and say what became of each key."""
    from radiodiff_jax.config_files import build_config, read_yaml, write_config
    from radiodiff_jax.files import output_path
    from radiodiff_jax.original_config import convert

    output_path(arguments.out, [arguments.file])
    tree, rows = convert(read_yaml(arguments.file), str(arguments.file))
    config = build_config(tree["kind"], tree, f"what {arguments.file} says")
    write_config(arguments.out, config)
    print(text_table(["key", "value", "our setting", ""], [list(map(str, row)) for row in rows]))
    command = "vae" if tree["kind"] == "vae" else "ldm"
    print(f"{arguments.out}; next: python -m experiments.{command} --config {arguments.out} --data DIR --run RUN")
    return 0


def import_perceptual(arguments: argparse.Namespace) -> int:
    """Write the file of VGG16 and LPIPS that objective.perceptual_weights_file names."""
    import numpy as np

    from radiodiff_jax.files import output_path, write_whole
    from radiodiff_jax.models.perceptual import from_torchvision, perceptual_weights

    output_path(arguments.out, [arguments.vgg, arguments.linear])
    where = f"{arguments.vgg} and {arguments.linear}"
    arrays = from_torchvision(read_tensors(arguments.vgg), read_tensors(arguments.linear), where)
    perceptual_weights(arrays, str(arguments.vgg))  # raises UserError for other shapes

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a name, NumPy appends .npz to it
            np.savez(file, **arrays)

    write_whole(arguments.out, write)
    print(f"{arguments.out}; train with objective.perceptual_weight=1 objective.perceptual_weights_file={arguments.out}")
    return 0


def export_run(arguments: argparse.Namespace) -> int:
    """Write the weights of a run as safetensors."""
    from safetensors.numpy import save_file

    from radiodiff_jax.files import output_path, write_whole
    from radiodiff_jax.inference.exported import original_tensors, our_tensors
    from radiodiff_jax.inference.loading import load_run

    output_path(arguments.out)
    model = load_run(arguments.run, arguments.checkpoint)
    tensors = original_tensors(model) if arguments.names == "original" else our_tensors(model)
    about = {"format": "pt" if arguments.names == "original" else "radiodiff_jax weights", "run": arguments.run.name}
    write_whole(arguments.out, lambda temporary: save_file(tensors, temporary, about))
    print(f"{arguments.out}: {len(tensors)} tensors, {arguments.out.stat().st_size / 1e6:.1f} MB, names of {arguments.names}")
    return 0


def export_program(arguments: argparse.Namespace) -> int:
    """Write a predictor that needs jax and nothing of this package, and a program that loads it."""
    from radiodiff_jax.files import output_path, write_text, written_together
    from radiodiff_jax.inference import exported
    from radiodiff_jax.inference.loading import load_generator

    loader = output_path(arguments.out).with_suffix(".py")
    output_path(loader)
    model = load_generator(arguments.run or arguments.model, arguments.checkpoint)
    size = arguments.size or model.config.image_size
    program = exported.predictor_program(model, size, arguments.batch, arguments.steps, arguments.platforms)
    content = program.mlir_module_serialized
    with written_together([arguments.out, loader]) as places:
        places[arguments.out].write_bytes(content)
        write_text(places[loader], exported.loader(program, arguments.out.name))
    scenes = f"{arguments.batch} x {size[0]} x {size[1]}"
    print(f"{arguments.out}: {len(content) / 1e6:.1f} MB, scenes of {scenes}, for {', '.join(arguments.platforms)}")
    print(f"next: python {loader} buildings.npy ROW,COLUMN gain.npy")
    return 0


def export_onnx(arguments: argparse.Namespace) -> int:
    """Write a generator as ONNX."""
    from radiodiff_jax.files import output_path, write_whole
    from radiodiff_jax.inference.exported import onnx_model
    from radiodiff_jax.inference.loading import load_generator

    output_path(arguments.out)
    model = load_generator(arguments.run or arguments.model, arguments.checkpoint)
    size = arguments.size or model.config.image_size
    content = onnx_model(model, size, arguments.weights, arguments.steps)
    write_whole(arguments.out, lambda temporary: temporary.write_bytes(content))
    print(f"{arguments.out}: {len(content) / 1e6:.1f} MB, weights as {arguments.weights}, scenes of {size[0]} x {size[1]}")
    noise = ", noise float32 (see the guide)" if model.config.objective.noisy else ""
    print(f"inputs: buildings uint8 [1, height, width], position int32 [1, 2] (row, column){noise}; output: gain float32, 0 to 1")
    return 0


def read_tensors(path: Path) -> Any:
    """What a .pt or .safetensors file holds. Raises UserError where it cannot be read."""
    from radiodiff_jax.models.torch_file import read_torch_file
    from radiodiff_jax.reading import read_with

    if path.suffix != SAFETENSORS:
        return read_torch_file(path)
    from safetensors.numpy import load_file

    return read_with(path, lambda: load_file(path), "give a .pt or .safetensors file that is whole")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    command = "python -m experiments.weights"
    parser = argparse.ArgumentParser(prog=command, **command_help(__doc__, f"{command} import model-50.pt --run runs/original"))
    commands = parser.add_subparsers(required=True, metavar="import|config|perceptual|export|program|onnx")

    example = f"{command} import model-50.pt --run runs/original"
    reads = commands.add_parser("import", help="make a run folder of RadioDiff's checkpoint", **command_help(
        "Make a run folder of a checkpoint of RadioDiff (PyTorch), of its autoencoder or of its diffusion model; or, of "
        "torchvision's Swin transformer (swin_b), one in which a training starts from that encoder. The architecture is read off "
        "the shapes; nothing in the file can run code.", example))  # fmt: skip
    reads.add_argument("file", type=a_path, metavar="FILE", help="model-*.pt as RadioDiff's trainers write, torchvision's "
                       "swin_b-*.pth, or .safetensors")  # fmt: skip
    reads.add_argument("--run", type=a_path, required=True, metavar="RUN", help="new run folder, for ldm --vae, predict, evaluate, "
                       "train --from; of swin_b, for --run of ldm")  # fmt: skip
    reads.add_argument("--weights", choices=("auto", "ema", "model"), default="auto",
                       help="averaged weights or the last ones (default: averaged where there are any)")  # fmt: skip
    reads.add_argument("--config", default="paper", metavar="NAME|FILE", help="settings that shapes do not say (default: paper)")
    reads.add_argument("settings", nargs="*", metavar="section.key=value", help="settings to change")
    reads.set_defaults(call=import_checkpoint)

    example = f"{command} config radio_train.yaml --out radio_train_ours.yaml"
    settings = commands.add_parser("config", help="our settings for RadioDiff's YAML file", **command_help(
        "Write our settings for a YAML file of RadioDiff, and say of each key whether it is kept, corrected or ignored, and why.",
        example))  # fmt: skip
    settings.add_argument("file", type=a_path, metavar="FILE", help="such as configs/radio_train.yaml")
    settings.add_argument("--out", type=a_path, required=True, metavar="FILE", help="YAML file to write, for --config")
    settings.set_defaults(call=import_config)

    example = f"{command} perceptual --vgg vgg16-397923af.pth --linear vgg.pth --out lpips.npz"
    perceptual = commands.add_parser("perceptual", help="one file of VGG16's and LPIPS's weights", **command_help(
        "Join torchvision's VGG16 and the linear layers of LPIPS into the file that objective.perceptual_weights_file names.",
        example))  # fmt: skip
    perceptual.add_argument("--vgg", type=a_path, required=True, metavar="FILE", help="torchvision's VGG16, .pth or .safetensors")
    perceptual.add_argument("--linear", type=a_path, required=True, metavar="FILE", help="LPIPS's linear layers for VGG16")
    perceptual.add_argument("--out", type=a_path, required=True, metavar="FILE", help=".npz to write")
    perceptual.set_defaults(call=import_perceptual)

    example = f"{command} export --run runs/ldm --out ldm.safetensors --names original"
    writes = commands.add_parser("export", help="write a run's weights as safetensors", **command_help(
        "Write the weights of a run as safetensors, with our names or with those of the original, so that its PyTorch code loads "
        "them.", example))  # fmt: skip
    writes.add_argument("--run", type=a_path, required=True, metavar="RUN", help="run of vae, ldm or train")
    add_checkpoint(writes)
    writes.add_argument("--names", choices=("ours", "original"), default="ours", help="whose names the tensors have")
    writes.add_argument("--out", type=a_path, required=True, metavar="FILE", help="file to write")
    writes.set_defaults(call=export_run)
    example = f"{command} program --model dpm-regression --out predictor.bin"
    program = commands.add_parser("program", help="write a predictor that needs jax and none of this", **command_help(
        "Write a compiled predictor (StableHLO by jax.export) with its weights, and a short program that runs it: "
        "they need jax and nothing else.", example))  # fmt: skip
    add_model(program)
    program.add_argument("--batch", type=whole_number(1, BATCH), default=1, help="scenes a call")
    program.add_argument("--steps", type=whole_number(1, STEPS), help="sampling steps (default: the model's own)")
    program.add_argument("--platforms", nargs="+", choices=("cpu", "cuda", "rocm", "tpu"), default=["cpu", "cuda"],
                         help="what it shall run on (default: cpu cuda)")  # fmt: skip
    program.add_argument("--out", type=a_path, required=True, metavar="FILE",
                         help="file to write; the loader lies beside it, as .py")  # fmt: skip
    program.set_defaults(call=export_program)
    example = f"{command} onnx --model dpm-regression --out dpm.onnx --weights int8"
    graph = commands.add_parser("onnx", help="write an ONNX model", **command_help(
        "Write a generator as ONNX, from the mask of the buildings and the transmitter's position to the gain: for onnxruntime on "
        "any machine, in C++, C#, Java or JavaScript. Models that draw noise are given it as a third input.", example))  # fmt: skip
    add_model(graph)
    graph.add_argument("--steps", type=whole_number(1, STEPS), help="sampling steps (default: the model's own)")
    graph.add_argument("--weights", choices=("float32", "float16", "int8"), default="float32",
                       help="how kernels are stored; sums are float32 (default: float32)")  # fmt: skip
    graph.add_argument("--out", type=a_path, required=True, metavar="FILE", help=".onnx to write")
    graph.set_defaults(call=export_onnx)
    arguments, rest = parser.parse_known_args(argv)
    if rest and not (hasattr(arguments, "settings") and all("=" in word and not word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # settings after the options; argparse cannot mix them below subcommands
        arguments.settings = [*arguments.settings, *rest]
    return arguments


def add_model(parser: argparse.ArgumentParser) -> None:
    """The words that say which generator is exported, and for which size."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="NAME|FILE", help="a shipped model or a .safetensors file")
    which.add_argument("--run", type=a_path, metavar="RUN", help="run of ldm or train")
    add_checkpoint(parser)
    parser.add_argument("--size", type=image_size, metavar="SIDE|HEIGHTxWIDTH",
                        help="of the scenes (default: that of the training)")  # fmt: skip


if __name__ == "__main__":
    run_command(main)
