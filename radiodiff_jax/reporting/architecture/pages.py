"""All pages of some presets, the index that leads to them, and the section of a run's page about its networks."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from radiodiff_jax.config import Config, GeneratorConfig
from radiodiff_jax.config_files import load_config
from radiodiff_jax.objectives.regression import Regression
from radiodiff_jax.reporting.architecture import PRESETS, presets_in
from radiodiff_jax.reporting.architecture.generator_pages import choices, generator_overview, generator_pages
from radiodiff_jax.reporting.architecture.networks import VAE, Generator
from radiodiff_jax.reporting.architecture.vae_pages import vae_overview, vae_pages
from radiodiff_jax.reporting.architecture.words import count, size, work
from radiodiff_jax.reporting.markdown import mermaid, page, table
from radiodiff_jax.settings import VAEConfig

USUAL_VAES = ("base", "small", "tiny")
NETWORK_SETTINGS = {
    "vae": ("image_size", "fill", "autoencoder", "discriminator", "precision"),
    "generator": ("image_size", "space", "backbone", "features", "estimate", "precision"),
}


class Presets:
    """The shipped configurations with their networks, each traced once at most."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.known = presets_in(folder)
        self.vae, self.generator = cache(self._vae), cache(self._generator)

    def _vae(self, name: str) -> VAE:
        return VAE(load_config("vae", name, [], self.folder))

    def _generator(self, name: str) -> Generator:
        return self.over(load_config("generator", name, [], self.folder), name)

    def over(self, config: GeneratorConfig, name: str | None, autoencoder: VAE | None = None) -> Generator:
        """A generator over the autoencoder and the regression that it is taken to build on, unless they are known."""
        vae = autoencoder or self.assumed_vae(config, name)
        base = self.base_of(config)
        if not config.objective.needs_base:
            return Generator(config, vae)
        if base is not None:
            return Generator(config, vae, self.generator(base))
        regression = GeneratorConfig(config.kind, config.image_size, config.space, objective=Regression(), data=config.data)
        return Generator(config, vae, Generator(regression, vae))

    def assumed_vae(self, config: GeneratorConfig, name: str | None) -> VAE | None:
        """The autoencoder under a configuration, if it has one."""
        if not config.space.needs_autoencoder:
            return None
        found = self.vae_of(config, name)
        return self.vae(found) if found else VAE(VAEConfig(image_size=config.image_size))

    def vae_of(self, config: GeneratorConfig, name: str | None) -> str | None:
        """The autoencoder's preset of a generator: that of the same name, or the usual one for its maps."""
        if not config.space.needs_autoencoder:
            return None
        names = [other for kind, other in self.known if kind == "vae"]
        fitting = [name, *USUAL_VAES, *names]
        return next((one for one in fitting if one in names and self.vae(one).config.image_size == config.image_size), None)

    def base_of(self, config: GeneratorConfig) -> str | None:
        """The regression's preset that a residual flow may start from."""
        if config.objective.needs_base:
            for kind, name in self.known:
                if kind == "generator":
                    other = load_config(kind, name, [], self.folder)
                    same = (other.space, other.image_size, other.data.cars) == (config.space, config.image_size, config.data.cars)
                    if same and other.objective.name == "regression":
                        return name
        return None


def all_pages(kinds_and_presets: Sequence[tuple[str, str]], folder: Path) -> dict[str, str]:
    """Path below architecture/ -> Markdown."""
    presets, written = Presets(folder), {}
    for kind, name in kinds_and_presets:
        if kind == "vae":
            made = vae_pages(presets.vae(name), name)
        else:
            model = presets.generator(name)
            beside = folders("../", *built_on(model.config, name, presets, kinds_and_presets))
            made = generator_pages(model, name, *beside)
        written |= {f"{kind}-{name}/{file}": text for file, text in made.items()}
    return {"index.md": index(kinds_and_presets, presets)} | written


def built_on(
    config: GeneratorConfig, name: str, presets: Presets, shown: Sequence[tuple[str, str]]
) -> tuple[str | None, str | None]:
    """The presets of a generator's autoencoder and regression, where they have pages."""
    vae, base = presets.vae_of(config, name), presets.base_of(config)
    return vae if ("vae", vae) in shown else None, base if ("generator", base) in shown else None


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
    vae_rows, rows = [], []
    for kind, name in kinds_and_presets:
        link = f"[`{name}`]({kind}-{name}/index.md)"
        if kind == "vae":
            vae = presets.vae(name)
            top, discriminator = vae.autoencoder.top, vae.discriminator.top
            vae_rows.append([link, size(vae.image), size(vae.latent), count(top.parameters), count(discriminator.parameters),
                             work(vae.encoding), work(vae.decoding)])  # fmt: skip
        else:
            model = presets.generator(name)
            top = model.network.top
            rows.append([link, choices(model), size(model.coordinates), count(top.parameters), work(model.conditioning),
                         work(top.operations - model.conditioning), str(len(model.evaluations)),
                         work(model.sampling)])  # fmt: skip
    parts = []
    if rows:
        head = ("preset", "space × backbone × objective", "predicts", "parameters", "scene, once a map", "network, all answers",
                "evaluations", "scene to map")  # fmt: skip
        parts += ["## Generators", table(head, rows, 3)]
    if vae_rows:
        head = ("preset", "map", "latent", "autoencoder", "discriminator", "to encode", "to decode")
        words = "A generator in latent space stands on the autoencoder of the same name, or on one for maps of its size."
        parts += ["## Autoencoders", words, table(head, vae_rows, 3)]
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
        if kind == "vae":
            return [f"The autoencoder, `{name}`:", mermaid(vae_overview(presets.vae(name), f"vae-{name}/").source())]
        model = presets.generator(name)
        beside = folders("", *built_on(model.config, name, presets, kinds_and_presets))
        drawn = generator_overview(model, f"generator-{name}/", *beside)
        return [f"From a scene to a radio map, `{name}`:", mermaid(drawn.source())]
    return []


def folders(up: str, vae: str | None, base: str | None) -> tuple[str | None, str | None]:
    """Where the pages of an autoencoder's and a regression's preset are, None for none."""
    return vae and f"{up}vae-{vae}/", base and f"{up}generator-{base}/"


# ---- a run's page ----


def run_architecture(
    config: Config, autoencoder: VAEConfig | None = None, base: GeneratorConfig | None = None, presets: Path = PRESETS
) -> str:
    """Markdown for site/runs/NAME/index.md: the whole path as a diagram, with links where a preset has the same networks.

    `autoencoder` and `base` are those of a generator's run; without an autoencoder, that of the same preset (or the usual
    one) is taken, and the text says so.
    """
    name, up = same_preset(config, presets), "../../architecture/"
    if isinstance(config, VAEConfig):
        vae = VAE(config)
        drawn = vae_overview(vae, name and f"{up}vae-{name}/")
        told = f"{count(vae.autoencoder.top.parameters)} parameters in the autoencoder, {size(vae.latent)} numbers in the latent."
        return "\n\n".join([f"{told} {same(config, name)}", mermaid(drawn.source())])
    found = Presets(presets)
    vae = VAE(autoencoder) if autoencoder else found.assumed_vae(config, name)
    model = found.over(config, name, vae) if base is None else Generator(config, vae, Generator(base, vae))
    of_vae = same_preset(vae.config, presets) if vae else None
    if autoencoder and of_vae != (name and found.vae_of(config, name)):
        name = None  # the same network over other latents has other sizes
    of_base = same_preset(base, presets) if base else found.base_of(config)
    drawn = generator_overview(model, name and f"{up}generator-{name}/", *folders(up, of_vae, of_base))
    told = f"{count(model.network.top.parameters)} trained parameters, {work(model.sampling)} from scene to radio map."
    assumed = ""
    if vae and not autoencoder:
        assumed = f" The autoencoder is taken to be {f'that of `{of_vae}`' if of_vae else 'the usual one'}."
    return "\n\n".join([f"{told}{assumed} {same(config, name)}", mermaid(drawn.source())])


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
            same = all(getattr(config, part) == getattr(preset, part) for part in NETWORK_SETTINGS[kind])
            if same and (kind == "vae" or preset.objective.name == config.objective.name):
                return name
    return None
