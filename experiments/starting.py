"""`--from`: a training that starts from the weights of a run or of a shipped model, and takes its architecture from there."""

import argparse
from functools import lru_cache
from typing import Any

from experiments.command import parse_checkpoint
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.errors import UserError

PRESET = "adapt"
"""What `--config` is with `--from`, unless it is given."""


def add_source(parser: argparse.ArgumentParser) -> None:
    """Add `--from` and `--from-checkpoint`."""
    parser.add_argument("--from", dest="source", metavar="RUN|MODEL",
                        help="trained run or shipped model to start from; its architecture is kept, and --config says only "
                        f"how to train (default then: {PRESET}); not needed to go on with a run")  # fmt: skip
    parser.add_argument("--from-checkpoint", type=parse_checkpoint, default="best", metavar="best|latest|STEP",
                        help="which checkpoint of the run named by --from")  # fmt: skip


@lru_cache(1)
def load_source(name: str, checkpoint: str | int) -> Any:
    """The `start.Source` of a run or model. Raises UserError as `load_generator` does."""
    from radiodiff_jax.inference.loading import load_generator
    from radiodiff_jax.training.start import Source

    found = load_generator(name, checkpoint)
    return Source(name, str(checkpoint), found.composition, found.variables, found.frozen)


def base_settings(arguments: argparse.Namespace) -> dict[str, Any] | None:
    """The architecture that --config is laid over: that of --from, or of what the run was started from; None for neither.

    Raises UserError where the run was started from something else.
    """
    from radiodiff_jax.training.start import architecture

    config = stored_source(arguments)
    if config is None and arguments.source is not None:
        config = load_source(arguments.source, arguments.from_checkpoint).generator.config
    return None if config is None else architecture(config)


def stored_source(arguments: argparse.Namespace) -> GeneratorConfig | None:
    """The settings of what an existing run was started from. Raises UserError where --from names something else."""
    from radiodiff_jax.training.start import describe_start, start_config

    config = start_config(arguments.run)
    if arguments.source is None:
        return config
    if config is None:
        if (arguments.run / "config.yaml").is_file():
            raise UserError(
                f"{arguments.run} is there already and was not started from given weights; name a new folder as --run, or "
                "leave --from out to go on with it"
            )
        return None
    known = describe_start(arguments.run)["start"]
    if (known["source"], known["checkpoint"]) != (arguments.source, str(arguments.from_checkpoint)):
        raise UserError(
            f"{arguments.run} was started from {known['source']} (checkpoint {known['checkpoint']}), not from "
            f"{arguments.source} (checkpoint {arguments.from_checkpoint}); leave --from out to go on, or name a new folder as --run"
        )
    return config


def adopt_source(config: GeneratorConfig, arguments: argparse.Namespace) -> bool:
    """Copy the source's weights into a new run; returns whether the run starts from given weights.

    Raises UserError where the run is to start from an imported encoder.
    """
    from radiodiff_jax.training.encoder import has_encoder
    from radiodiff_jax.training.start import store_start

    if arguments.source is not None and has_encoder(arguments.run):
        raise UserError(f"{arguments.run} starts from an imported encoder; leave --from out, or name another folder as --run", 2)
    if arguments.source is not None and stored_source(arguments) is None:
        store_start(config, arguments.run, load_source(arguments.source, arguments.from_checkpoint))
    return stored_source(arguments) is not None
