"""The commands, one file each: parse, call, print."""

import sys

if sys.argv[:1] == ["-m"]:  # `python -m experiments.NAME` is about to load its libraries, which takes seconds
    from experiments.ending import interrupted_while_loading

    sys.excepthook = interrupted_while_loading
