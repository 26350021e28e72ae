"""Trained weights that a training starts from, copied into its run folder once, so that the run is whole by itself.

    RUN/start/config.yaml     settings of the source
    RUN/start/weights/        its variables (Orbax); averaged ones where its settings ask for them
    RUN/start/source.json     {"source": run or model, "checkpoint", "digest": SHA-256 of the variables}

What the source builds on, an autoencoder or a base regression, is copied as `frozen.py` has it.
"""

from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tabulate import tabulate
from typing_extensions import TypedDict

from radiodiff_jax.composition import Composition, compose
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.config_files import read_config, to_tree
from radiodiff_jax.errors import TableError, UserError
from radiodiff_jax.reading import OPEN, is_there, read_json
from radiodiff_jax.spaces.latent import Latent
from radiodiff_jax.training.devices import any_process, barrier, is_main_process
from radiodiff_jax.training.digest import digest, leaves_by_path
from radiodiff_jax.training.stored import COPY, restore, store, stored_folder
from radiodiff_jax.training.trained import trained_names

Tree = Any
FOLDER = "start"
SHOWN = 12  # rows of the table of what does not fit
LEAVE_OUT = "leave the settings of the network out, or train from nothing, without --from"


class StartRecord(TypedDict):
    """The schema of RUN/start/source.json."""

    __pydantic_config__ = OPEN
    source: str
    checkpoint: str
    digest: str


class Source(NamedTuple):
    """A trained generator to start from; `name` and `checkpoint` are as the user gave them."""

    name: str
    checkpoint: str
    generator: Composition
    variables: Tree
    frozen: Tree


def architecture(config: GeneratorConfig) -> dict[str, Any]:
    """The settings, as a tree of YAML values, without which a model's weights mean nothing; how it was trained is left out."""
    tree = to_tree(config)
    names = ("image_size", "space", "backbone", "objective", "features", "estimate", "precision")
    data = {name: tree["data"][name] for name in ("cars", "observed_pixels", "observed_range")}
    return {name: tree[name] for name in names} | {"data": data}


def check_meaning(config: GeneratorConfig, source: GeneratorConfig, name: str) -> None:
    """Raise UserError where the same weights would be told, or would answer, something else than at the source."""
    pairs = {part: (getattr(source, part), getattr(config, part)) for part in ("space", "features", "estimate")}
    pairs["objective.name"] = (source.objective.name, config.objective.name)
    other = [part for part, (before, now) in pairs.items() if before != now]
    if other:
        raise UserError(
            f"the weights of {name} were trained with other {' and '.join(other)} than the settings now have; leave "
            f"{'them' if other[1:] else 'it'} out of the settings, or train from nothing, without --from"
        )


def check_fit(variables: Tree, shapes: Tree, name: str, cure: str = LEAVE_OUT) -> None:
    """Raise UserError, one sentence and a table, unless every parameter is there, and no other, in its shape; `cure` helps."""
    found, wanted = leaves_by_path(variables), leaves_by_path(shapes)
    rows = [
        (path, _shape(wanted.get(path)), _shape(found.get(path)))
        for path in sorted({**wanted, **found})
        if _shape(wanted.get(path)) != _shape(found.get(path))
    ]
    if rows:
        shown = [("parameter", "these settings", name), *rows[:SHOWN]]
        more = f"\n... and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
        raise TableError(
            f"the weights of {name} do not fit the network of these settings in {len(rows)} of {len(wanted)} parameters; {cure}\n"
            f"{tabulate(shown, tablefmt='plain', disable_numparse=True)}{more}"
        )


def store_start(config: GeneratorConfig, run: Path, source: Source) -> None:
    """Write RUN/start and what the source builds on, unless RUN/start is there. Raises UserError where it does not fit."""
    if not any_process(not (run / FOLDER).is_dir()):
        return
    space, base = source.generator.space, source.generator.base
    autoencoder = space.config if isinstance(space, Latent) else None
    check_meaning(config, source.generator.config, source.name)
    wanted = compose(config, autoencoder, None if base is None else base.config)
    shapes = _present(jax.eval_shape(wanted.first_variables, jax.random.key(0)))
    check_fit(source.variables, shapes, source.name)
    trained_names(leaves_by_path(shapes["params"]), config.optimizer.train_only)  # before anything is written
    if is_main_process():
        told = {"source": source.name, "checkpoint": source.checkpoint, "digest": digest(source.variables)}
        if autoencoder is not None:
            scale = {"scale": float(source.frozen["scale"])}
            _store(run / "autoencoder", autoencoder, source.frozen["autoencoder"], "latent.json", scale | told)
        if base is not None:
            _store(run / "base", base.config, source.frozen["base"], "source.json", told)
        _store(run / FOLDER, source.generator.config, source.variables, "source.json", told)
    barrier("start stored")


def read_start(run: Path, generator: Composition) -> Tree:
    """The variables of RUN/start in the data types of the generator's. Raises UserError if they cannot be read."""
    shapes = jax.eval_shape(generator.first_variables, jax.random.key(0))
    found = restore(stored_folder(run, FOLDER), _present(shapes))
    return jax.tree.map(lambda leaf, shape: jnp.asarray(leaf, shape.dtype), found, _present(shapes))


def start_config(run: Path) -> GeneratorConfig | None:
    """The settings of the source of a run that was started from given weights; None for any other run."""
    path = run / FOLDER / "config.yaml"
    return read_config(path) if path.is_file() else None


def describe_start(run: Path) -> dict[str, Any]:
    """What run.json says of it: {"start": {"source", "checkpoint", "digest"}}, or nothing."""
    path = run / FOLDER / "source.json"
    return {FOLDER: read_json(path, StartRecord, COPY)} if is_there(path) else {}


def _present(variables: Tree) -> Tree:
    return {name: part for name, part in variables.items() if part}


def _store(folder: Path, config: Any, tree: Tree, name: str, told: dict[str, Any]) -> None:
    if not folder.is_dir():
        store(folder, config, tree, name, told)


def _shape(leaf: Any) -> str:
    return "missing" if leaf is None else " x ".join(map(str, np.shape(leaf))) or "scalar"
