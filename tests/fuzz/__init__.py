"""Throws bad input at every command: settings, arguments and files of every kind, made by Hypothesis, in one process.

    python -m tests.fuzz [--seconds 60] [--seed 0] [--only KIND ...] [--keep DIR]

Whatever is thrown, a command must end within ten seconds of the processor (a minute where it draws pages) with the exit code
0, 1 or 2, in a sentence of its own (a `UserError`, or what argparse says), leave no temporary file, change none of its inputs,
and leave nothing at all where it was refused.
"""
