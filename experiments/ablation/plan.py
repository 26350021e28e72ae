"""What an ablation compares: items (variants and the stages that they build on), and a run for each of their seeds."""

from dataclasses import dataclass
from pathlib import Path

from experiments.training import CONFIGS
from radiodiff_jax.composition import compose
from radiodiff_jax.config import Config, GeneratorConfig
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError, nearest
from radiodiff_jax.reporting.markdown import slug
from radiodiff_jax.settings import VAEConfig

LONGEST_NAME = 100  # letters of a variant, of which folders and logs are named
OURS = ("training.steps", "training.seed")
"""Settings that budget and seeds decide."""


@dataclass(frozen=True)
class Budget:
    """How long is trained: `amount` updates, seconds of updates, or FLOPs of updates."""

    kind: str
    amount: float

    def times(self, share: float) -> "Budget":
        """A part of it."""
        return Budget(self.kind, self.amount * share)


@dataclass(frozen=True)
class Item:
    """A variant, or a stage that variants build on: what is trained, once a seed (an autoencoder once)."""

    name: str
    kind: str  # "generator" or "vae"
    preset: str
    words: tuple[str, ...]
    own: tuple[str, ...]
    """Those of the words that the plan gives to this item alone."""
    budget: Budget
    vae: str | None = None
    start: str | None = None
    share: float = 1.0
    steps: tuple[int, ...] = ()
    is_variant: bool = True

    @property
    def slug(self) -> str:
        """Its name for folders."""
        return slug(self.name, "variant")

    def config(self, updates: int = 1, seed: int = 0) -> Config:
        """Its settings. Raises UserError for words that are none, or do not fit together."""
        return load_config(self.kind, self.preset, run_words(self, updates, seed), CONFIGS)


@dataclass(frozen=True)
class Job:
    """One run folder: an item with a seed, and the names of the jobs that must be finished before."""

    item: Item
    seed: int
    needs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.item.slug}-seed{self.seed}"


@dataclass(frozen=True)
class Plan:
    """A plan as it was read; `items` are stages and variants by name, stages first."""

    name: str
    title: str
    question: str
    budget: Budget
    seeds: tuple[int, ...]
    reference: str
    items: dict[str, Item]
    evaluation_maps: int | None
    profile: str | None

    @property
    def variants(self) -> list[Item]:
        """What is compared."""
        return [item for item in self.items.values() if item.is_variant]

    def jobs(self, only: list[str] | None = None) -> list[Job]:
        """The runs, each after what it builds on: shared stages, then seed after seed; `only` some variants and their stages.

        Raises UserError for a variant that the plan has not.
        """
        names = [item.name for item in self.variants]
        for name in only or []:
            if name not in names:
                raise UserError(
                    f"the plan has no variant '{name}'{nearest(name, names)}; choose among {', '.join(names)}", 2
                )
        wanted = list(only or names)
        for name in wanted:  # grows
            wanted += [other for other in self.builds_on(name) if other not in wanted]
        items = [item for name, item in self.items.items() if name in wanted]
        items.sort(key=lambda item: self.depth(item.name))
        shared = [self.job(item, self.seeds[0]) for item in items if item.kind == "vae"]
        return shared + [self.job(item, seed) for seed in self.seeds for item in items if item.kind != "vae"]

    def job(self, item: Item, seed: int) -> Job:
        """The run of an item with a seed."""
        needs = (self.items[name] for name in self.builds_on(item.name))
        return Job(item, seed, tuple(Job(one, self.seeds[0] if one.kind == "vae" else seed, ()).name for one in needs))

    def builds_on(self, name: str) -> list[str]:
        """The stages and variants that an item names itself."""
        item = self.items[name]
        return [other for other in (item.vae, item.start) if other is not None]

    def depth(self, name: str) -> int:
        """How many trainings must come before."""
        return max((1 + self.depth(other) for other in self.builds_on(name)), default=0)

    def configs(self, item: Item) -> tuple[Config, VAEConfig | None, GeneratorConfig | None]:
        """Settings of an item, of its autoencoder and of the regression that it starts from."""
        start = self.items[item.start] if item.start else None
        vae = item.vae or (start.vae if start else None)
        return item.config(), self.items[vae].config() if vae else None, start.config() if start else None


def run_words(item: Item, updates: int, seed: int) -> list[str]:
    """The words `section.key=value` of one run; what is done now and then falls due twice unless the plan says when."""
    given = {word.partition("=")[0] for word in item.words}
    half = max(1, -(-updates // 2))
    made = {"training.log_every": max(1, updates // 50)} | dict.fromkeys(
        ("training.validate_every", "training.checkpoint_every", "training.sample_every"), half
    )
    made = {name: value for name, value in made.items() if name not in given}
    words = [f"{name}={value}" for name, value in (made | {"training.steps": updates, "training.seed": seed}).items()]
    return [*item.words, *words]


def check_plan(plan: Plan, path: Path) -> None:
    """Raise UserError unless every item can be put together, and folders and references are what they seem."""
    variants = [item.name for item in plan.variants]
    if not variants:
        raise UserError(f"{path}: there are no variants to compare; name one at least")
    if plan.reference not in variants:
        raise UserError(
            f"{path}: reference is '{plan.reference}', which is no variant{nearest(plan.reference, variants)}"
        )
    slugs: dict[str, str] = {}
    for item in plan.items.values():
        if len(item.slug) > LONGEST_NAME:
            raise UserError(f"{path}: a name of {len(item.slug)} letters is too long for a folder; take {LONGEST_NAME} at most")
        if slugs.setdefault(item.slug, item.name) != item.name:
            raise UserError(
                f"{path}: '{item.name}' and '{slugs[item.slug]}' would have one folder ({item.slug}); rename one"
            )
    for item in plan.items.values():
        where = f"{path}: '{item.name}'"
        for word in item.words:
            if word.partition("=")[0] in OURS:
                raise UserError(
                    f"{where}: {word.partition('=')[0]} is set by the budget and the seeds; leave '{word}' out"
                )
        check_references(plan, item, where)
        try:
            check_composition(*plan.configs(item))
        except UserError as error:
            raise UserError(f"{where}: {error}") from error


def check_references(plan: Plan, item: Item, where: str) -> None:
    """Raise UserError unless `vae` and `start` name what they must."""
    stages = [one.name for one in plan.items.values() if one.kind == "vae"]
    if item.vae is not None and (item.vae not in stages or item.kind == "vae"):
        raise UserError(f"{where}: vae is '{item.vae}', which is no stage of kind vae{nearest(item.vae, stages)}")
    if item.start is None:
        return
    starts = [
        one.name for one in plan.items.values() if one.kind == "generator" and one.start is None and one is not item
    ]
    if item.start not in starts:
        raise UserError(
            f"{where}: start is '{item.start}', which is no other variant or stage to start from{nearest(item.start, starts)}"
        )


def check_composition(config: Config, vae: VAEConfig | None, start: GeneratorConfig | None) -> None:
    """Raise UserError for a generator that cannot be built, or that lacks or does not need what it builds on."""
    if isinstance(config, VAEConfig):
        return
    if config.data.latents == "cached":
        raise UserError("data.latents=cached changes what an update costs, so plans do without; leave it out")
    needs = config.space.needs_autoencoder or (start is not None and start.space.needs_autoencoder)
    if needs != (vae is not None):
        told = "works on latents; name a stage of kind vae as vae" if needs else "works on pixels; leave vae out"
        raise UserError(f"its space {config.space.name} {told}")
    if config.objective.needs_base != (start is not None):
        told = (
            "starts from a regression; name a variant or stage as start"
            if start is None
            else "starts from none; leave start out"
        )
        raise UserError(f"its objective {config.objective.name} {told}")
    if start is not None and (
        start.objective.name != "regression" or start.space != config.space or start.image_size != config.image_size
    ):
        raise UserError("start must be a regression in the same space and of the same image_size")
    compose(config, vae, start)
