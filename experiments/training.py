"""What the commands that train share: arguments, data, and the call of the one training loop."""

import argparse
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from experiments.command import a_path, command_help, whole_number
from experiments.starting import PRESET, add_source, adopt_source, base_settings
from radiodiff_jax.config import Config, GeneratorConfig
from radiodiff_jax.config_files import OVERLAY, load_config, settings_help, shipped_names
from radiodiff_jax.data.pipeline import evaluation_batches, training_batches
from radiodiff_jax.data.records import RecordSource
from radiodiff_jax.data.simulated_source import SimulatedData, endless_stream, open_simulated, stream_fingerprint
from radiodiff_jax.data.sources import open_varied_source, validates, varied_fingerprint
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import output_folder
from radiodiff_jax.limits import check_batch

CONFIGS = Path(__file__).parent / "configs"
NEWEST = 0  # for --resume-check without a number
SIMULATE = "simulate"  # for --mix: cities made on the fly


def parse_training(
    command: str, kind: str, preset: str, description: str, example: str, argv: list[str] | None
) -> argparse.Namespace:
    """Arguments of a training command; `--help` lists every setting of the chosen preset with its value."""
    chosen = argparse.ArgumentParser(add_help=False)
    chosen.add_argument("--config")
    chosen.add_argument("--from", dest="source")
    chosen.add_argument("--run", type=a_path, default=Path())
    first = chosen.parse_known_args(argv)[0]
    started = kind == "generator" and (first.source is not None or (first.run / "start").is_dir())
    name = first.config or (PRESET if started else preset)
    parser = argparse.ArgumentParser(prog=f"python -m experiments.{command}", **command_help(description, example))
    names = [*shipped_names(kind, CONFIGS), *(shipped_names(OVERLAY, CONFIGS) if kind == "generator" else [])]
    parser.add_argument("--config", default=name, metavar="NAME|FILE", help=f"{', '.join(names)}, or a YAML file")
    parser.add_argument("--data", type=a_path, metavar="DIR", help="RadioMapSeer folder or built TFDS folder; with "
                        "data.source=simulate it is only validated on, and may be left out")  # fmt: skip
    if kind == "generator":
        add_source(parser)
        parser.add_argument("--mix", type=lambda text: str(a_path(text)), metavar=f"DIR|{SIMULATE}",
                            help=f"second folder, or {SIMULATE}: made-up cities on the fly; data.mix_share of every batch comes "
                            "from there")  # fmt: skip
        parser.add_argument("--vae", type=a_path, metavar="RUN",
                            help="run of the autoencoder, for a latent space; not needed to go on with a run")  # fmt: skip
        parser.add_argument("--base", type=a_path, metavar="RUN",
                            help="run of the regression that a residual flow starts from; not needed to go on")  # fmt: skip
        parser.add_argument("--latents", type=a_path, metavar="DIR",
                            help="where data.latents=cached keeps them, for several runs (default: RUN/latents)")  # fmt: skip
    parser.add_argument("--run", type=a_path, required=True, metavar="RUN", help="run folder, made or gone on with")
    parser.add_argument("--distributed", metavar="auto|HOST:PORT,COUNT,INDEX",
                        help="train together with other processes, each given the same command: `auto` under Slurm, Open "
                        "MPI or Kubernetes, else the address of process 0, how many they are, and which this is")  # fmt: skip
    parser.add_argument("--profile", type=whole_number(1), metavar="STEP",
                        help="trace three updates from this one on into RUN/profile")  # fmt: skip
    parser.add_argument("--resume-check", type=whole_number(1), nargs="?", const=NEWEST, metavar="UPDATES",
                        help="train nothing: do updates after a checkpoint again and compare them with the log "
                        "(default: up to the newest checkpoint)")  # fmt: skip
    parser.add_argument("settings", nargs="*", metavar="section.key=value", help="settings to change, listed below")
    try:
        listing = settings_help(load_config(kind, name, [], CONFIGS, {} if started else None))
        parser.epilog += f"\n\nsettings, as in '{name}':\n{listing}"
    except UserError:
        pass  # said again, as an error, when the settings are really read
    return parser.parse_intermixed_args(argv)


def read_settings(kind: str, arguments: argparse.Namespace) -> Config:
    """The settings that the arguments name; the other processes of the training, if any, are joined on the way."""
    if arguments.distributed is not None:
        from radiodiff_jax.training.devices import join_processes

        join_processes(arguments.distributed)
    base = base_settings(arguments) if kind == "generator" else None
    config = load_config(kind, arguments.config, arguments.settings, CONFIGS, base)
    check_places(arguments)
    check_batch(config.training.batch_size * config.optimizer.accumulate, config.image_size)
    return config


def check_places(arguments: argparse.Namespace) -> None:
    """Raise UserError, before anything is read, where the folders that the training writes to cannot be."""
    from radiodiff_jax.training.run_folder import check_folder

    check_folder(arguments.run)
    if getattr(arguments, "latents", None) is not None:
        output_folder(arguments.latents)


def open_split(config: Config, data: Path, split: str) -> RecordSource:
    """One split of the data; raises UserError if its images are not of the configured size."""
    source = open_varied_source(data, split, config.data)
    if tuple(source.size) != config.image_size:
        raise UserError(
            f"the maps of {data} are {source.size[0]} x {source.size[1]} pixels, but image_size is "
            f"{list(config.image_size)}; add image_size=[{source.size[0]},{source.size[1]}] to the command"
        )
    return source


def data_arguments(
    config: Config, data: Path | None, mix: str | None = None, run: Path = Path()
) -> dict[str, Any]:
    """What the training loop needs of the data: batches, fixed validation batches (if the split has any), fingerprint.

    In the folder `run` cities are kept where data.reuse asks for it. `mix` is a second source of the batches, see
    `mixed_arguments`. Raises UserError if there is no `data`, unless cities are simulated on the fly; and for early
    stopping without maps to validate on.
    """
    settings, reading = config.training, reading_arguments(config)
    if config.data.source == "simulate":
        if mix is not None:
            raise UserError(f"--mix is for a folder of maps; with data.source=simulate leave it out, or use --mix {SIMULATE}", 2)
        return simulated_arguments(config, data, run, reading)
    if data is None:
        raise UserError("--data is missing; name a folder of radio maps, or simulate them with data.source=simulate", 2)
    size = settings.batch_size * config.optimizer.accumulate
    train = open_split(config, data, "train")
    if not validates(data, config.data):
        if settings.patience is not None:
            raise UserError("training.patience needs maps to validate on; name some as data.hold_out, or set it to null")
        validation_batches = None
    else:
        validation = open_split(config, data, "validation")

        def validation_batches() -> Any:
            return evaluation_batches(validation, settings.batch_size, settings.validation_maps, **reading)

    found = varied_fingerprint(data, config.data)
    rest = {"validation_batches": validation_batches, "data_fingerprint": found}
    mixed: dict[str, Any] = {}
    if mix is not None:
        mixed, other = mixed_arguments(config, mix)
        told = {"source": mix, "share": config.data.mix_share, "fingerprint": other, "data_fingerprint": found}
        rest |= {"data_fingerprint": sha256(f"{found} {other}".encode()).hexdigest(), "extras": {"mix": told}}
    if mix == SIMULATE:  # reading threads only wait for the processes that make cities
        reading["threads"] = max(reading["threads"], config.data.simulation_workers)
    return {"batches": training_batches(train, size, settings.seed, config.data.augment, **reading, **mixed)} | rest


def mixed_arguments(config: Config, mix: str) -> tuple[dict[str, Any], str]:
    """(what `training_batches` needs to know of the folder or stream `mix`, the fingerprint of that)."""
    own = replace(config.data, split="auto", maps=(), hold_out=())
    if mix == SIMULATE:
        own = replace(own, simulation="DPM", mixture=None, buildings="complete")
        if own.computed:
            raise UserError(f"--mix {SIMULATE} makes maps that data.computed tells of already; mix a folder, or leave it out", 2)
        source, other = endless_stream(own, config.image_size), stream_fingerprint(config.image_size, own)
    else:
        source, other = open_varied_source(mix, "train", own, config.image_size), varied_fingerprint(mix, own)
    facts = {"mixed": source, "mix_share": config.data.mix_share, "mix_shuffle": mix != SIMULATE}
    return facts, other


def open_stream(config: Config, data: Path | None, run: Path) -> SimulatedData:
    """The endless stream of data.source=simulate; `data` is a folder to validate on, in place of fixed simulated cities."""
    import jax

    batch_size = config.training.batch_size * config.optimizer.accumulate
    processes = jax.process_index(), jax.process_count()
    maps, size = config.training.validation_maps, config.image_size
    return open_simulated(config.data, size, batch_size, maps, data, *processes, run / "cities")


def simulated_arguments(config: Config, data: Path | None, run: Path, reading: dict[str, int]) -> dict[str, Any]:
    """As `data_arguments`, of cities that are simulated while the training goes on."""
    settings, found = config.training, open_stream(config, data, run)
    size = settings.batch_size * config.optimizer.accumulate
    patient = reading | {"threads": max(reading["threads"], found.threads)}
    return {
        "batches": training_batches(found.stream, size, settings.seed, config.data.augment, shuffle=False, **patient),
        "validation_batches": lambda: evaluation_batches(
            found.validation, settings.batch_size, settings.validation_maps, **reading
        ),
        "data_fingerprint": found.fingerprint,
    }


def reading_arguments(config: Config) -> dict[str, int]:
    """How batches are read, and by which of several processes."""
    import jax

    return {
        "threads": config.data.threads,
        "prefetch": config.data.prefetch,
        "process_index": jax.process_index(),
        "process_count": jax.process_count(),
    }


def run_training(arguments: argparse.Namespace, config: Config, make_task: Callable[[], Any], **inputs: Any) -> bool:
    """Train as the arguments say, or replay some updates; returns whether the training is finished now.

    `inputs` are those of `loop.train`. Raises UserError where the replay differs from the log.
    """
    from radiodiff_jax.training.loop import train
    from radiodiff_jax.training.session import SessionOptions

    if arguments.resume_check is None:
        return train(make_task(), config, arguments.run, **inputs, options=SessionOptions(profile_from=arguments.profile)).finished
    from radiodiff_jax.training.loop import replay

    with replay(arguments.run, arguments.resume_check or None) as again:
        train(make_task(), config, again.folder, **inputs | {"draw_samples": None}, options=SessionOptions(until=again.end))
        found = again.differences()
    what = f"updates {again.start + 1} to {again.end} of {arguments.run}, done again after a resume,"
    if found:
        raise UserError(f"{what} differ from the log in {len(found)} places: {'; '.join(found[:3])}")
    print(f"{what} are the same bit for bit")
    return False


def first_batch(config: Config, data: Path | None, count: int = 64, run: Path = Path()) -> Callable[[], dict[str, np.ndarray]]:
    """A function that reads some training maps: {"gain", "buildings"}."""
    if config.data.source == "simulate":
        stream = open_stream(config, data, run).stream

        def read_stream() -> dict[str, np.ndarray]:
            records = [stream[position] for position in range(count)]
            return {name: np.stack([record[name] for record in records]) for name in ("gain", "buildings")}

        return read_stream

    def read() -> dict[str, np.ndarray]:
        batches = list(evaluation_batches(open_split(config, data, "train"), 16, count))
        return {
            name: np.concatenate([batch[name][batch["mask"] > 0] for batch in batches]) for name in ("gain", "buildings")
        }

    return read


def same_data(config: Config, data: Path | None) -> str:
    """The words that give another command the same data."""
    return f"--data {data}" if config.data.source == "folder" else "data.source=simulate"


def train_generator(arguments: argparse.Namespace, config: GeneratorConfig) -> bool:
    """Train a generator as the arguments say; returns whether the training is finished now."""
    data = data_arguments(config, arguments.data, arguments.mix, arguments.run)

    from radiodiff_jax.reporting.map_figures import save_samples
    from radiodiff_jax.training.encoder import describe_encoder
    from radiodiff_jax.training.frozen import adopt, describe
    from radiodiff_jax.training.start import describe_start
    from radiodiff_jax.training.update import make_update

    given = adopt_source(config, arguments)
    first = first_batch(config, arguments.data, run=arguments.run)
    generator, frozen = adopt(config, arguments.run, arguments.vae, arguments.base, first)
    if config.data.latents == "cached":
        from radiodiff_jax.training.latent_cache import check_cacheable

        check_cacheable(config)
        if arguments.mix is not None:
            raise UserError("data.latents=cached keeps those of one folder; leave --mix out, or set it to computed")
        data["batches"] = latent_batches(arguments, generator, frozen, data["data_fingerprint"])
    extras = data.get("extras", {}) | describe(arguments.run) | describe_start(arguments.run) | describe_encoder(arguments.run)
    inputs = data | {"frozen": frozen, "extras": extras, "draw_samples": save_samples}
    first = first_of_run(arguments.run, generator, given)
    return run_training(arguments, config, lambda: make_update(generator, first), **inputs)


def first_of_run(run: Path, generator: Any, given: bool) -> Callable[[Any], Any] | None:
    """The variables that the run starts from, for `make_update`: those of RUN/start if it is `given`, RUN/encoder, or None."""
    from radiodiff_jax.training.encoder import first_with_encoder, has_encoder, read_encoder
    from radiodiff_jax.training.start import read_start

    if given:
        start = read_start(run, generator)
        return lambda key: start
    return partial(first_with_encoder, generator, read_encoder(run, generator)) if has_encoder(run) else None


def latent_batches(arguments: argparse.Namespace, generator: Any, frozen: Any, fingerprint: str) -> Any:
    """As the "batches" of `data_arguments`, with latents, which are computed first, in the place of gains."""
    from radiodiff_jax.data.latents import LatentSource
    from radiodiff_jax.training.latent_cache import cached_latents

    config = generator.config
    source = open_split(config, arguments.data, "train")
    latents = cached_latents(arguments.latents or arguments.run / "latents", generator, frozen, source, fingerprint)
    size = config.training.batch_size * config.optimizer.accumulate
    reading = reading_arguments(config)
    return training_batches(LatentSource(source, latents), size, config.training.seed, config.data.augment, **reading)
