"""A plan on disk, read strictly.

    title: What are the features worth?
    base: pixel-tiny                        # a preset, or {preset: NAME, settings: [section.key=value, ...]}
    settings: [optimizer.warmup_steps=20]   # of every variant, whatever its preset
    budget: {updates: 350}                  # or {seconds: 75} or {flops: 1.0e+12}, of training, the same for all
    seeds: [0, 1, 2]
    reference: all                          # whom the others are compared with (default: the first variant)
    stages:                                 # trained first, for variants to build on
      autoencoder: {kind: vae, preset: tiny, share: 2}
    variants:
      all: []
      no walls: ["features=[buildings, transmitter]"]
      latent: {preset: tiny, settings: [...], vae: autoencoder}
      flow: {settings: [objective.name=residual_flow, estimate=none], start: all, share: 0.5}
    profiles:                               # --profile NAME puts these keys in the place of those above
      gpu: {base: pixel-small, budget: {seconds: 600}}

A variant names what it builds on: `vae`, a stage of kind vae, which is trained once; `start`, the variant or stage whose
regression a residual flow starts from, which has a run for each seed. `share` is the part of the budget that a variant
or stage has (default 1), `steps` the numbers of sampling steps that it is evaluated with (default: its setting).
"""

from pathlib import Path
from typing import Any

from experiments.ablation.plan import Budget, Item, Plan, check_plan
from radiodiff_jax.config_files import read_yaml
from radiodiff_jax.errors import UserError, nearest, shown

PLANS = Path(__file__).parents[1] / "plans"
MOST_BUDGET = 1e30  # FLOPs, seconds or updates
BUDGETS = ("updates", "seconds", "flops")
KEYS = (
    "title",
    "question",
    "base",
    "settings",
    "budget",
    "seeds",
    "reference",
    "stages",
    "variants",
    "evaluation_maps",
    "profiles",
)
VARIANT_KEYS = ("preset", "settings", "vae", "start", "share", "steps")
STAGE_KEYS = ("kind", "preset", "settings", "vae", "share")


def plan_names() -> list[str]:
    """The plans that come with the package."""
    return sorted(path.stem for path in PLANS.glob("*.yaml"))


def read_plan(
    name_or_path: str, profile: str | None = None, words: list[str] | None = None, seeds: list[int] | None = None,
    budget: Budget | None = None,
) -> Plan:  # fmt: skip
    """A shipped plan or a YAML file; `words` are settings of every variant and stage's generator, after the plan's own.

    `seeds` and `budget` take the place of the plan's. Raises UserError, naming the nearest valid key, for whatever a plan
    cannot hold and for variants that cannot be put together.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        if name_or_path not in plan_names():
            raise UserError(
                f"there is no plan {shown(name_or_path)}{nearest(name_or_path, plan_names())}; choose one of "
                f"{', '.join(plan_names())} or give the path of a YAML file", 2
            )  # fmt: skip
        path = PLANS / f"{name_or_path}.yaml"
    tree = read_yaml(path)
    check_keys(tree, KEYS, str(path), ("base", "budget", "variants"))
    tree = with_profile(tree, profile, path)
    found = budget or read_budget(tree["budget"], f"{path}: budget")
    plan = Plan(
        path.stem,
        str(tree.get("title", path.stem)),
        str(tree.get("question", "")),
        found,
        read_seeds(seeds if seeds is not None else tree.get("seeds", [0]), str(path)),
        str(tree.get("reference", next(iter(mapping(tree["variants"], f"{path}: variants")), ""))),
        read_items(tree, words or [], found, path),
        read_count(tree.get("evaluation_maps"), f"{path}: evaluation_maps"),
        profile,
    )
    check_plan(plan, path)
    return plan


def with_profile(tree: dict[str, Any], profile: str | None, path: Path) -> dict[str, Any]:
    """The plan with the keys of a profile in the place of its own."""
    profiles = mapping(tree.get("profiles", {}), f"{path}: profiles")
    for name, changes in profiles.items():
        check_keys(
            mapping(changes, f"{path}: profiles.{name}"),
            [key for key in KEYS if key != "profiles"],
            f"{path}: profiles.{name}",
        )
    if profile is None:
        return tree
    if profile not in profiles:
        there = f"choose one of {', '.join(profiles)}" if profiles else "leave --profile out"
        raise UserError(f"{path} has no profile '{profile}'{nearest(profile, profiles)}; {there}", 2)
    return tree | profiles[profile]


def read_items(tree: dict[str, Any], words: list[str], budget: Budget, path: Path) -> dict[str, Item]:
    """Stages, then variants."""
    base = tree["base"]
    if not isinstance(base, dict):
        base = {"preset": base}
    check_keys(base, ("preset", "settings"), f"{path}: base", ("preset",))
    of_base = read_words(base.get("settings"), f"{path}: base.settings")
    common = read_words(tree.get("settings"), f"{path}: settings")
    items: dict[str, Item] = {}
    for part, keys in (("stages", STAGE_KEYS), ("variants", VARIANT_KEYS)):
        for name, value in mapping(tree.get(part, {}), f"{path}: {part}").items():
            name, where = str(name), f"{path}: {part}.{name[:60]}"
            value = value if isinstance(value, dict) else {"settings": value}
            check_keys(value, keys, where)
            if name in items:
                raise UserError(f"{where}: a stage has this name already; give the variant another")
            kind = value.get("kind", "generator")
            if kind not in ("generator", "vae"):
                raise UserError(f"{where}: kind is {shown(kind)}, but it must be generator or vae")
            own = read_words(value.get("settings"), f"{where}.settings")
            if kind == "vae":
                every: tuple[str, ...] = tuple(word for word in (*common, *words) if word.startswith("image_size="))
            else:
                every = (*(() if "preset" in value else of_base), *common, *words)
            items[name] = Item(
                name, kind, str(value.get("preset", "tiny" if kind == "vae" else base["preset"])), (*every, *own), own,
                budget.times(read_share(value.get("share", 1), where)), optional(value.get("vae")), optional(value.get("start")),
                float(value.get("share", 1)), read_steps(value.get("steps"), where), part == "variants",
            )  # fmt: skip
    return items


# ---- single values ----


def check_keys(
    tree: dict[str, Any], known: tuple[str, ...] | list[str], where: str, needed: tuple[str, ...] = ()
) -> None:
    """Raise UserError for the first key that is not known, and for the first that is missing."""
    for key in tree:
        if key not in known:
            raise UserError(f"{where}: there is no key {shown(key)}{nearest(str(key), known)}; known are {', '.join(known)}")
    for key in needed:
        if key not in tree:
            raise UserError(f"{where}: the key '{key}' is missing; add it")


def mapping(value: Any, where: str) -> dict[str, Any]:
    """The value. Raises UserError if it is no mapping."""
    if not isinstance(value, dict):
        raise UserError(f"{where} is {shown(value)}, but it must be a mapping of names")
    return value


def read_words(value: Any, where: str) -> tuple[str, ...]:
    """A list of `section.key=value` words; none for nothing."""
    value = [] if value is None else value
    if not isinstance(value, list) or not all(isinstance(word, str) and "=" in word for word in value):
        raise UserError(
            f"{where} is {shown(value)}, but it must be a list of words section.key=value; quote words with brackets"
        )
    return tuple(value)


def read_budget(value: Any, where: str) -> Budget:
    """Exactly one of updates, seconds, flops."""
    value = mapping(value, where)
    check_keys(value, BUDGETS, where)
    if len(value) != 1:
        raise UserError(f"{where} has {len(value)} keys, but must have exactly one of {', '.join(BUDGETS)}")
    ((kind, amount),) = value.items()
    if isinstance(amount, bool) or not isinstance(amount, (int, float)) or not 0 < amount < MOST_BUDGET:
        raise UserError(f"{where}.{kind} is {shown(amount)}, but it must be a number above 0 and below {MOST_BUDGET:g}")
    return Budget(kind, float(amount))


def read_seeds(value: Any, where: str) -> tuple[int, ...]:
    """Different whole numbers, one at least."""
    good = (
        isinstance(value, list)
        and value
        and all(isinstance(one, int) and not isinstance(one, bool) and one >= 0 for one in value)
    )
    if not good or len(set(value)) < len(value):
        raise UserError(f"{where}: seeds is {shown(value)}, but it must be a list of different whole numbers")
    return tuple(value)


def read_share(value: Any, where: str) -> float:
    """A positive number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
        raise UserError(f"{where}: share is {shown(value)}, but it is a part of the budget, such as 0.5")
    return float(value)


def read_steps(value: Any, where: str) -> tuple[int, ...]:
    """Different numbers of sampling steps; none for the setting's."""
    value = [] if value is None else value
    if (
        not isinstance(value, list)
        or not all(isinstance(one, int) and one > 0 for one in value)
        or len(set(value)) < len(value)
    ):
        raise UserError(f"{where}: steps is {shown(value)}, but it must be a list of different numbers of sampling steps")
    return tuple(value)


def read_count(value: Any, where: str) -> int | None:
    """A positive whole number, or None."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise UserError(f"{where} is {shown(value)}, but it must be a number of maps, such as 200")
    return value


def optional(value: Any) -> str | None:
    """A name, or None."""
    return None if value is None else str(value)
