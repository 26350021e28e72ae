"""The commands, one file each: parse, call, print."""

from experiments.compiled import keep_compiled

keep_compiled()
