"""All pages of some presets, and the index that leads to them."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from radiodiff_jax.config import LDMConfig, VAEConfig
from radiodiff_jax.config_files import load_config, shipped_names
from radiodiff_jax.reporting.architecture.ldm_pages import ldm_overview, ldm_pages
from radiodiff_jax.reporting.architecture.networks import LDM, VAE
from radiodiff_jax.reporting.architecture.vae_pages import vae_overview, vae_pages
from radiodiff_jax.reporting.architecture.words import count, size, work
from radiodiff_jax.reporting.markdown import mermaid, page, table


class Presets:
    """The shipped configurations with their networks, each traced once at most."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.vae = cache(self._vae)
        self.ldm = cache(self._ldm)

    def _vae(self, name: str) -> VAE:
        return VAE(load_config("vae", name, [], self.folder))

    def _ldm(self, name: str) -> LDM:
        config = load_config("ldm", name, [], self.folder)
        return LDM(config, self.vae(name) if name in shipped_names("vae", self.folder) else usual_vae(config))


def usual_vae(config: LDMConfig) -> VAE:
    """The default autoencoder for the maps of a diffusion model."""
    return VAE(VAEConfig(image_size=config.image_size))


def all_pages(kinds_and_presets: Sequence[tuple[str, str]], folder: Path) -> dict[str, str]:
    """Path below architecture/ -> Markdown."""
    presets = Presets(folder)
    written = {}
    for kind, name in kinds_and_presets:
        made = vae_pages(presets.vae(name), name) if kind == "vae" else ldm_pages(presets.ldm(name), name)
        written |= {f"{kind}-{name}/{file}": text for file, text in made.items()}
    return {"index.md": index(kinds_and_presets, presets)} | written


READING = """## How to read the diagrams

A box is a block of the network: what it is, the size of what comes out (height × width × channels, for one map), its
parameters and its work. A box that says `× 3` stands for three equal blocks in a row, and its numbers are those of
all three. Dashed boxes lie outside of the block that is drawn; circles are sums. Green is data, blue a layer, purple
attention, orange the Fourier transform, grey a norm, ochre a step that is no network. A click on an underlined name
leads to its details.

Diagrams and numbers are read off the modules themselves: their initialisation is traced without computing anything,
arrows follow the arrays from module to module, and parameters come from the tree that training starts from.

**Work** counts the multiplications and additions (two for a multiply-add) of convolutions and matrix products, and a
real Fourier transform of N values as 2.5 N log₂ N. Norms, activations, sums, and multiplications by the zeros of a
padding are not counted. Upsampling convolutions are counted as they run here, folded into four 2 × 2 kernels: 16
multiplications where upsampling first would take 36."""


def index(kinds_and_presets: Sequence[tuple[str, str]], presets: Presets) -> str:
    """The first page: every preset with its numbers."""
    vae_rows, ldm_rows = [], []
    for kind, name in kinds_and_presets:
        link = f"[`{name}`]({kind}-{name}/index.md)"
        if kind == "vae":
            vae = presets.vae(name)
            top, judge = vae.autoencoder.top, vae.discriminator.top
            vae_rows.append([link, size(vae.image), size(vae.latent), count(top.parameters), count(judge.parameters),
                             work(vae.encoding), work(vae.decoding)])  # fmt: skip
        else:
            ldm = presets.ldm(name)
            top, scene = ldm.unet.top, ldm.unet.top.find("condition_encoder")
            evaluation = top.operations - ldm.conditioning
            ldm_rows.append([link, size(ldm.latent), count(top.parameters), count(scene.parameters), work(ldm.conditioning),
                             work(evaluation), str(len(ldm.evaluations)), work(ldm.sampling)])  # fmt: skip
    parts = []
    if ldm_rows:
        head = ("preset", "latent", "parameters", "of them Swin", "scene, once a map", "U-Net, both decoders", "evaluations",
                "scene to map")  # fmt: skip
        parts += ["## Diffusion models", table(head, ldm_rows, 2)]
    if vae_rows:
        head = ("preset", "map", "latent", "autoencoder", "discriminator", "to encode", "to decode")
        parts += ["## Autoencoders", "A diffusion model stands on the autoencoder of the same name.", table(head, vae_rows, 3)]
    return page(
        "Architecture",
        "Every network of the shipped presets, drawn from the code each time that it changes.",
        *first_picture(kinds_and_presets, presets),
        *parts,
        READING,
        description="Diagrams of every preset's networks with sizes, parameters and work, generated from the code.",
    )


def first_picture(kinds_and_presets: Sequence[tuple[str, str]], presets: Presets) -> list[str]:
    """The whole path of the first preset of the list."""
    for kind, name in kinds_and_presets:
        known = ("vae", name) in kinds_and_presets
        if kind == "ldm":
            drawn = ldm_overview(presets.ldm(name), f"ldm-{name}/", f"vae-{name}/" if known else None)
        else:
            drawn = vae_overview(presets.vae(name), f"vae-{name}/")
        words = "From a scene to a radio map" if kind == "ldm" else "The autoencoder"
        return [f"{words}, `{name}`:", mermaid(drawn.source())]
    return []
