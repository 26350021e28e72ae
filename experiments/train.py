"""Train any generator: a space, a backbone and an objective, by default a regression in pixels.

With --from it starts from trained weights: the shipped model, adapted to a handful of measured maps.
"""

from experiments.command import run_command
from experiments.training import parse_training, read_settings, train_generator


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    example = "python -m experiments.train --config pixel-small --data RadioMapSeer --run runs/pixel"
    arguments = parse_training("train", "generator", "pixel-tiny", __doc__, example, argv)
    config = read_settings("generator", arguments)
    if train_generator(arguments, config):
        best = "" if config.training.patience is None else " --checkpoint best"
        print(f"next: python -m experiments.evaluate --run {arguments.run}{best} --data {arguments.data or 'DIR'}")
    return 0


if __name__ == "__main__":
    run_command(main)
