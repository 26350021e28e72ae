"""Train the autoencoder: alone at first, against a patch discriminator later."""

from experiments.command import run_command
from experiments.training import data_arguments, parse_training, read_settings, run_training, same_data


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse_training(
        "vae",
        "vae",
        "tiny",
        __doc__,
        "python -m experiments.vae --config small --data RadioMapSeer --run runs/vae training.steps=2000",
        argv,
    )
    config = read_settings("vae", arguments)
    data = data_arguments(config, arguments.data, run=arguments.run)

    from radiodiff_jax.reporting.map_figures import save_samples
    from radiodiff_jax.training.frozen import read_perceptual
    from radiodiff_jax.training.vae_update import make_vae_update

    frozen, extras = read_perceptual(config.objective)
    inputs = data | {"frozen": frozen, "extras": extras, "draw_samples": save_samples}
    if run_training(arguments, config, lambda: make_vae_update(config), **inputs):
        words = same_data(config, arguments.data)
        print(f"next: python -m experiments.ldm --config NAME --vae {arguments.run} --run runs/ldm {words}")
    return 0


if __name__ == "__main__":
    run_command(main)
