"""The schemas of the JSON files that pages about comparisons and data sets are made of (see `reading.py`)."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from radiodiff_jax.reading import OPEN, AnyObject, Count, Finite

# ---- ablation.json, which `experiments/ablation/results.py` writes ----


class EvaluationSummary(TypedDict):
    """What is kept of an evaluation."""

    __pydantic_config__ = OPEN
    split: str
    steps: Count
    network_evaluations: Count
    radio_maps: Count
    layouts: Count
    ms_per_map: Finite
    floor: Finite | None
    figures: dict[str, Finite | None]


class RunSummary(TypedDict):
    """One run; those that are not finished have no more than its place and perhaps a reason."""

    __pydantic_config__ = OPEN
    seed: Count
    state: Literal["waiting", "failed", "finished"]
    run: str
    reason: NotRequired[str]
    updates: NotRequired[Count]
    seconds: NotRequired[Finite]
    flops: NotRequired[Finite]
    digest: NotRequired[str]
    evaluations: NotRequired[list[EvaluationSummary]]


class ItemSummary(TypedDict):
    """A variant or a stage with its runs."""

    __pydantic_config__ = OPEN
    name: str
    variant: bool
    kind: str
    preset: str
    settings: list[str]
    words: list[str]
    vae: str | None
    start: str | None
    share: Finite
    parameters: Count | None
    update_flops: Finite | None
    updates: Count | None
    how: str | None
    runs: list[RunSummary]


class BudgetRecord(TypedDict):
    """What every variant has."""

    kind: Literal["updates", "seconds", "flops"]
    amount: Finite


class HardwareRecord(TypedDict):
    """What the runs were made on."""

    __pydantic_config__ = OPEN
    devices: list[str]


class AblationRecord(TypedDict):
    """The schema of ablation.json."""

    __pydantic_config__ = OPEN
    version: Literal[1]
    name: str
    title: str
    question: str
    profile: NotRequired[str | None]
    command: str
    data: str
    budget: BudgetRecord
    seeds: list[Count]
    reference: str
    hardware: HardwareRecord
    baselines: dict[str, dict[str, dict[str, Finite | None]]]
    items: list[ItemSummary]


# ---- numbers.json, which `data_exploration.py` writes ----


class SetRecord(TypedDict):
    """What numbers.json keeps of one folder."""

    __pydantic_config__ = OPEN
    label: str
    root: str
    simulation: str
    facts: dict[str, Any]
    faults: list[Any]
    curves: AnyObject


class NumbersRecord(TypedDict):
    """The schema of numbers.json, as far as it is the same for all data sets; what is deeper is read where it is shown."""

    __pydantic_config__ = OPEN
    version: int
    name: str
    explored: str
    most: Count
    sets: Annotated[list[SetRecord], Field(min_length=1, max_length=2)]
    check: AnyObject
