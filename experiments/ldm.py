"""Train the conditional latent diffusion model over the autoencoder of another run."""

from experiments.command import run_command
from experiments.training import data_arguments, first_gains, parse_training, read_settings, run_training


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse_training(
        "ldm",
        __doc__,
        "python -m experiments.ldm --config small --data RadioMapSeer --vae runs/vae --run runs/ldm",
        argv,
    )
    config = read_settings("ldm", arguments)
    data = data_arguments(config, arguments.data)

    from radiodiff_jax.reporting.map_figures import save_samples
    from radiodiff_jax.training.frozen_autoencoder import adopt_autoencoder, describe
    from radiodiff_jax.training.ldm_task import make_ldm_task

    gains = first_gains(config, arguments.data)
    autoencoder, frozen = adopt_autoencoder(config, arguments.run, arguments.vae, gains)
    if config.data.latents == "cached":
        from experiments.cached_latents import latent_batches

        data["batches"] = latent_batches(arguments, config, autoencoder, frozen, data["data_fingerprint"])
    inputs = data | {"frozen": frozen, "extras": describe(arguments.run), "draw_samples": save_samples}
    if run_training(arguments, config, lambda: make_ldm_task(config, autoencoder), **inputs):
        print(f"next: python -m experiments.evaluate --run {arguments.run} --data {arguments.data or 'DIR'}")
    return 0


if __name__ == "__main__":
    run_command(main)
