"""Train a latent diffusion model over the autoencoder of another run."""

from experiments.command import run_command
from experiments.training import parse_training, read_settings, train_generator
from radiodiff_jax.errors import UserError


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    example = "python -m experiments.ldm --config small --data RadioMapSeer --vae runs/vae --run runs/ldm"
    arguments = parse_training("ldm", "generator", "tiny", __doc__, example, argv)
    config = read_settings("generator", arguments)
    if not config.space.needs_autoencoder:
        raise UserError(
            f"--config {arguments.config} predicts in the space {config.space.name}, without an autoencoder; train it with "
            "`python -m experiments.train`",
            2,
        )
    if train_generator(arguments, config):
        print(f"next: python -m experiments.evaluate --run {arguments.run} --data {arguments.data or 'DIR'}")
    return 0


if __name__ == "__main__":
    run_command(main)
