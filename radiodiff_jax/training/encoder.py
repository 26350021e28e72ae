"""Weights of a Swin transformer trained elsewhere, from which RadioDiff's condition encoder starts, as the original's does.

    RUN/encoder/weights.safetensors    its parameters by our names
    RUN/encoder/source.json            {"source": file, "digest": SHA-256 of the parameters}
    RUN/encoder/digests.json           of both, verified on loading

`weights import` writes it into a new folder, before any training; the training whose `--run` that folder is begins with it.
"""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import traverse_util
from jaxtyping import PRNGKeyArray
from safetensors.numpy import load_file, save

from radiodiff_jax.composition import Composition
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_json
from radiodiff_jax.reading import is_there, read_json, read_with
from radiodiff_jax.training.digest import digest, leaves_by_path
from radiodiff_jax.training.start import check_fit
from radiodiff_jax.training.stored import COPY, SourceRecord, stored_folder, whole_folder, write_digests

Tree = Any
FOLDER = "encoder"
MODULE = "condition_encoder"
WEIGHTS = "weights.safetensors"


def write_encoder(run: Path, params: Tree, source: str) -> None:
    """Write RUN/encoder into a new folder RUN, whole or not at all. Raises UserError where RUN is there already."""
    if run.exists():
        raise UserError(f"{run} is there already; name a new folder as --run")
    with whole_folder(run) as temporary:
        folder = temporary / FOLDER
        folder.mkdir()
        named = {name: np.array(leaf, np.float32, order="C") for name, leaf in leaves_by_path(params).items()}
        (folder / WEIGHTS).write_bytes(save(named))
        write_json(folder / "source.json", {"source": source, "digest": digest(params)})
        write_digests(folder)


def has_encoder(run: Path) -> bool:
    """Whether a training in RUN begins with imported weights of its encoder."""
    return is_there(run / FOLDER)


def read_encoder(run: Path, generator: Composition) -> Tree:
    """The parameters in RUN/encoder in the data types of the generator's.

    Raises UserError where they are damaged, where the network has no such encoder, and with a table where they do not fit it.
    """
    shapes = jax.eval_shape(generator.first_variables, jax.random.key(0))["params"]
    if MODULE not in shapes:
        raise UserError(
            f"{run} was made for a network with a Swin transformer, which backbone {generator.config.backbone.name} has not; take "
            "backbone radiodiff, or name another folder as --run"
        )
    path = stored_folder(run, FOLDER) / WEIGHTS
    named = read_with(path, lambda: load_file(path), COPY)
    images, channels = np.shape(named.get("patch_embedding/kernel"))[2:3], shapes[MODULE]["patch_embedding"]["kernel"].shape[2]
    if images and images[0] != channels:
        raise UserError(
            f"the encoder in {run} was trained on images of {images[0]} channels, but features are {channels}; name {images[0]} of "
            "them, such as features=[buildings,transmitter,cars], as the original has"
        )
    check_fit(named, shapes[MODULE], str(run / FOLDER), "take a preset that has this encoder (paper has swin_b)")
    params = traverse_util.unflatten_dict(named, sep="/")
    return jax.tree.map(lambda leaf, shape: leaf.astype(shape.dtype), params, shapes[MODULE])


def first_with_encoder(generator: Composition, encoder: Tree, key: PRNGKeyArray) -> Tree:
    """A generator's first variables with these parameters in the place of the encoder's random ones."""
    variables = generator.first_variables(key)
    return variables | {"params": variables["params"] | {MODULE: encoder}}


def describe_encoder(run: Path) -> dict[str, Any]:
    """What run.json says of it: {"encoder": {"source", "digest"}}, or nothing."""
    return {FOLDER: read_json(run / FOLDER / "source.json", SourceRecord, COPY)} if has_encoder(run) else {}
