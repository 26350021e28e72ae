"""The one table of limits: what is beyond them is a slip of the hand or a hostile file, and is refused at once.

Each is well above what anybody has needed; none says that this machine has the memory or the time for it.
"""

from radiodiff_jax.errors import UserError

MAPS = 1_000_000
"""Cities of a simulated folder."""
TRANSMITTERS = 10_000
"""In one city."""
SIDE = 8192
"""Pixels of an image along one side."""
BATCH = 65_536
"""Maps at once."""
BATCH_PIXELS = 2**32
"""Pixels of all maps at once: 65 536 maps of 256 x 256."""
SAMPLES = 10_000
"""Draws of one prediction."""
STEPS = 10_000
"""Sampling steps, and numbers of any such kind that a command works through in turn."""
WORKERS = 1024
"""Processes or threads at once."""
SITES = 10_000
"""Transmitters of one coverage plan, and candidates for them."""
SITE_PIXELS = 2**31
"""Pixels of the maps of all sites of a coverage plan, which are in memory at once: 5 bytes each."""
THRESHOLDS = 100
"""Powers whose share of an area is told."""
NAME_LETTERS = 100
"""Of a name that pictures and tables show."""

DOCUMENT_BYTES = 2**28
"""A JSON, CSV or PNG file: 256 MiB."""
LINES_BYTES = 2**31
"""A log that grows line by line: 2 GiB."""
ARRAYS_BYTES = 2**33
"""The unpacked arrays of an .npz file: 8 GiB."""
SETTINGS_BYTES = 2**20
"""A YAML file: 1 MiB."""
SETTINGS_DEPTH = 32
"""Levels of a YAML file, one in the other."""
NAME_BYTES = 255
"""A file's name without its folders, as file systems have it."""


def check_most(what: str, value: int, most: int) -> None:
    """Raise UserError, exit code 2, where `value` of `what` is above `most`."""
    if value > most:
        raise UserError(f"{what} is {value}, which is too large: the most is {most}", 2)


def check_batch(maps: int, size: tuple[int, int]) -> None:
    """Raise UserError, exit code 2, for a batch of so many maps of `size` (height, width) that no machine would hold it."""
    pixels = size[0] * size[1]
    if maps > BATCH or maps * pixels > BATCH_PIXELS:
        raise UserError(
            f"a batch of {maps} maps of {size[0]} x {size[1]} pixels is too large: the most are "
            f"{min(BATCH, BATCH_PIXELS // pixels)} maps of this size, so take a smaller batch or smaller maps", 2
        )  # fmt: skip
