"""What a setting may be: numbers with their bounds, as the types of the settings' dataclasses.

Pydantic refuses what is outside, and `--help` shows the bounds (`settings_tree.py`). A number is a number: neither `true` nor
text of digits is one. Upper bounds stand far above what anybody has used; beyond them it is a slip of the hand.
"""

from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Len, Lt
from pydantic import BeforeValidator, Strict
from pydantic_core import PydanticCustomError


def _number(value: Any) -> Any:
    """The value. Raises pydantic's error for true, false and text, which it would take for numbers by itself."""
    if isinstance(value, (bool, str, bytes)):
        raise PydanticCustomError("number", "it must be a number")
    return value


NUMBER = BeforeValidator(_number)
MOST_UPDATES = 2_000_000_000  # a step's number is an int32
MOST_SEED = 2**32 - 1

Flag = Annotated[bool, Strict()]
Text = Annotated[str, Strict(), Len(1, 1000)]

Finite = Annotated[float, NUMBER, Ge(-1e6), Le(1e6)]
Positive = Annotated[float, NUMBER, Gt(0), Le(1e6)]
Weight = Annotated[float, NUMBER, Ge(0), Le(1e6)]  # of a part of a loss
Share = Annotated[float, NUMBER, Ge(0), Le(1)]
Between = Annotated[float, NUMBER, Gt(0), Lt(1)]  # a share that is neither nothing nor all
Decay = Annotated[float, NUMBER, Ge(0), Lt(1)]  # of a running mean; with 1 it would never move
Momentum = Annotated[float, NUMBER, Gt(0), Le(1)]  # weight of what is new in a running mean
Dropout = Annotated[float, NUMBER, Ge(0), Lt(1)]
LearningRate = Annotated[float, NUMBER, Gt(0), Le(10)]
Epsilon = Annotated[float, NUMBER, Gt(0), Le(1)]
Factor = Annotated[float, NUMBER, Gt(1), Le(1e6)]  # how many times the mean
Exponent = Annotated[float, NUMBER, Gt(0), Le(100)]
Width = Annotated[float, NUMBER, Gt(0), Le(64)]  # factor of all channels

Seed = Annotated[int, NUMBER, Ge(0), Le(MOST_SEED)]
Updates = Annotated[int, NUMBER, Ge(1), Le(MOST_UPDATES)]
UpdatesOrNone = Annotated[int, NUMBER, Ge(0), Le(MOST_UPDATES)]  # 0: none
Batch = Annotated[int, NUMBER, Ge(1), Le(65_536)]
Maps = Annotated[int, NUMBER, Ge(1), Le(1_000_000)]
Layout = Annotated[int, NUMBER, Ge(0), Le(1_000_000)]  # the number of a map
Observed = Annotated[int, NUMBER, Ge(0), Le(67_108_864)]  # pixels of a map of 8192 x 8192
RangeEnd = Annotated[int, NUMBER, Le(67_108_864)]  # of such a number; that both are in order is said together
Threads = Annotated[int, NUMBER, Ge(1), Le(1024)]
Workers = Annotated[int, NUMBER, Ge(0), Le(1024)]  # 0: none beside this process
PerCity = Annotated[int, NUMBER, Ge(1), Le(10_000)]
Side = Annotated[int, NUMBER, Ge(1), Le(8192)]  # of an image, in pixels
SamplingSteps = Annotated[int, NUMBER, Ge(1), Le(10_000)]

Channels = Annotated[int, NUMBER, Ge(1), Le(16_384)]
Groups = Annotated[int, NUMBER, Ge(1), Le(16_384)]
Heads = Annotated[int, NUMBER, Ge(1), Le(1024)]
Multiplier = Annotated[int, NUMBER, Ge(1), Le(64)]
Layers = Annotated[int, NUMBER, Ge(1), Le(64)]
LayersOrNone = Annotated[int, NUMBER, Ge(0), Le(64)]  # 0: none
Window = Annotated[int, NUMBER, Ge(1), Le(64)]
Patch = Annotated[int, NUMBER, Ge(1), Le(32)]
Rate = Annotated[int, NUMBER, Ge(1), Le(64)]  # of an atrous convolution
Levels = Len(1, 8)  # entries of a list that has one a level
