"""Whether the files of a packed folder are what `builder.py` wrote, looked at before anything is made of them.

TFDS imports whatever class features.json names, so that only those that we write are let through. The records are protected
by ArrayRecord's own checksums, which are verified at every reading; where the files are small enough for it not to be felt,
they are also compared whole with the digests in radiodiff.json.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from radiodiff_jax.data.packed.contents import FORMAT, NAME, VERSION
from radiodiff_jax.errors import UserError
from radiodiff_jax.reading import OPEN, AnyObject, check_file, file_digests, read_json

MOST_HASHED = 2**28
"""Bytes of a split's files up to which they are read once more for their digests: 256 MiB, half a second."""


class FeatureRecord(TypedDict):
    """One feature: a number or an image."""

    __pydantic_config__ = OPEN
    pythonClassName: Literal[
        "tensorflow_datasets.core.features.scalar.Scalar", "tensorflow_datasets.core.features.image_feature.Image"
    ]


class FeaturesRecord(TypedDict):
    """All features by name."""

    features: dict[str, FeatureRecord]


class FeaturesFile(TypedDict):
    """The schema of features.json."""

    pythonClassName: Literal["tensorflow_datasets.core.features.features_dict.FeaturesDict"]
    featuresDict: FeaturesRecord


class SplitRecord(TypedDict):
    """One split; numbers are texts, as protocol buffers write them."""

    __pydantic_config__ = OPEN
    name: str
    shardLengths: list[Annotated[str, Field(pattern=r"^\d{1,18}$")]]


class InfoFile(TypedDict):
    """The schema of dataset_info.json."""

    __pydantic_config__ = OPEN
    name: Literal["radio_maps"]
    version: str
    moduleName: NotRequired[Annotated[str, Field(pattern=r"^radiodiff_jax\.")]]
    fileFormat: Literal["array_record"]
    splits: list[SplitRecord]
    features: NotRequired[AnyObject]


def check_metadata(folder: Path, facts: dict[str, Any]) -> None:
    """Raise UserError unless features.json and dataset_info.json are of the kind that we write and fit radiodiff.json."""
    cure = f"remove {folder} and build it again"
    read_json(folder / "features.json", FeaturesFile, cure)
    path = folder / "dataset_info.json"
    info = read_json(path, InfoFile, cure)
    counts = {one["name"]: sum(map(int, one["shardLengths"])) for one in info["splits"]}
    wanted = {name: count for name, count in facts["records"].items() if count}
    if info["version"] != VERSION or counts != wanted:
        raise UserError(f"{path} is damaged (it is of other records than radiodiff.json); {cure}")


def shard_paths(folder: Path, split: str, facts: dict[str, Any]) -> list[Path]:
    """The files of a split, in order. Raises UserError where one is no file, or not the one that was built."""
    cure = f"remove {folder} and build it again with `python -m experiments.dataset build`"
    paths = sorted(folder.glob(f"{NAME}-{split}.{FORMAT}-*-of-*"))
    for path in paths:
        check_file(path, cure)
    told = facts.get("files")
    if told is not None and sum(path.stat().st_size for path in paths) <= MOST_HASHED:
        for path, digest in file_digests(paths).items():
            if told.get(path.name) != digest:
                raise UserError(f"{folder} is damaged ({path.name} has another digest than when it was built); {cure}")
    return paths
