"""The networks of one run, for its page."""

from pathlib import Path

from radiodiff_jax.config import Config, LDMConfig, VAEConfig
from radiodiff_jax.config_files import load_config, shipped_names
from radiodiff_jax.reporting.architecture.ldm_pages import ldm_overview
from radiodiff_jax.reporting.architecture.networks import LDM, VAE
from radiodiff_jax.reporting.architecture.pages import usual_vae
from radiodiff_jax.reporting.architecture.site import PRESETS, presets_in
from radiodiff_jax.reporting.architecture.vae_pages import vae_overview
from radiodiff_jax.reporting.architecture.words import count, size, work
from radiodiff_jax.reporting.markdown import mermaid

NETWORK_SETTINGS = {
    "vae": ("image_size", "autoencoder", "discriminator", "precision"),
    "ldm": ("image_size", "unet", "precision"),
}


def run_architecture(config: Config, autoencoder: VAEConfig | None = None, presets: Path = PRESETS) -> str:
    """Markdown for site/runs/NAME/index.md: the whole path as a diagram, with links where a preset has the same networks.

    `autoencoder` is that of a diffusion run; without it, the one of the same preset (or the usual one) is taken, and
    the text says so.
    """
    name = same_preset(config, presets)
    if isinstance(config, VAEConfig):
        vae = VAE(config)
        folder = None if name is None else f"../../architecture/vae-{name}/"
        told = f"{count(vae.autoencoder.top.parameters)} parameters in the autoencoder, {size(vae.latent)} numbers in the latent."
        return "\n\n".join([f"{told} {same(config, name)}", mermaid(vae_overview(vae, folder).source())])
    found = VAE(autoencoder) if autoencoder else assumed_vae(config, name, presets)
    ldm = LDM(config, found)
    of_vae = same_preset(found.config, presets)
    if autoencoder and of_vae != name:
        name = None  # the same U-Net over other latents has other sizes
    folders = [preset and f"../../architecture/{kind}-{preset}/" for kind, preset in (("ldm", name), ("vae", of_vae))]
    told = f"{count(ldm.unet.top.parameters)} trained parameters, {work(ldm.sampling)} from scene to radio map."
    guess = "" if autoencoder else f" The autoencoder is taken to be {f'that of `{of_vae}`' if of_vae else 'the usual one'}."
    return "\n\n".join([f"{told}{guess} {same(config, name)}", mermaid(ldm_overview(ldm, *folders).source())])


def same(config: Config, name: str | None) -> str:
    """A sentence about the preset with the same networks."""
    if name is None:
        return "No preset has the same networks."
    return f"The networks are those of [`{name}`](../../architecture/{config.kind}-{name}/index.md), drawn there block by block."


def same_preset(config: Config, presets: Path) -> str | None:
    """The preset that has the same networks and has pages of its own."""
    for kind, name in presets_in(presets):
        if kind == config.kind:
            preset = load_config(kind, name, [], presets)
            if all(getattr(config, part) == getattr(preset, part) for part in NETWORK_SETTINGS[kind]):
                return name
    return None


def assumed_vae(config: LDMConfig, name: str | None, presets: Path) -> VAE:
    """The autoencoder of the preset, or the usual one."""
    if name in shipped_names("vae", presets):
        return VAE(load_config("vae", name, [], presets))
    return usual_vae(config)
