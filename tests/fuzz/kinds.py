"""Kinds of trials: each takes a way to draw, the ground and an empty folder, and gives the command to call there."""

import json
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from experiments import (
    ablate,
    adapt,
    benchmark,
    coverage,
    dataset,
    evaluate,
    ldm,
    models,
    predict,
    quickstart,
    recipe,
    report,
    train,
    vae,
)
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.config_files import settings
from radiodiff_jax.settings import VAEConfig
from tests.fuzz import kinds_of_places, kinds_of_weights, values  # noqa: F401 (they register kinds too)
from tests.fuzz.ground import CONFIG, PLAN, Ground, copy
from tests.fuzz.registry import DRAWING, KINDS, SLOW, Draw, kind, written  # noqa: F401
from tests.fuzz.trial import Command

NAMES = {"vae": sorted(settings(VAEConfig)), "generator": sorted(settings(GeneratorConfig))}
UNKNOWN = ["--dry-run", "--only", "nobody"]  # said of a plan that is sound, before its networks are measured
MISSING = "no-data"  # where a command would begin to train, its data are not there


def setting_words(draw: Draw, tree: str, most: int = 3) -> list[str]:
    """Words `section.key=value`: known settings with odd values, and odd words."""
    known = st.tuples(st.sampled_from(NAMES[tree]), values.words).map("=".join)
    return draw(st.lists(st.one_of(known, known, known, values.words), min_size=1, max_size=most))


# ---- settings ----


@kind()
def words_of_training(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Settings of a training whose data are missing."""
    command, tree = draw(st.sampled_from([(train, "generator"), (ldm, "generator"), (vae, "vae")]))
    return Command(command.main, ["--data", MISSING, "--run", "run", "--", *setting_words(draw, tree)])


@kind()
def words_of_a_plan(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Settings of all variants of a plan, which are put together but not trained."""
    name = written(folder, "plan.yaml", yaml.safe_dump(PLAN | {"stages": {}, "variants": {"a": [], "b": []}}).encode())
    words = ["--plan", name, "--data", str(ground.maps), "--out", "out", *UNKNOWN, "--", *setting_words(draw, "generator")]
    return Command(ablate.main, words)


@kind()
def presets(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Names of presets and of configuration files that are none."""
    name = f"--config={draw(values.words)}"
    return draw(
        st.sampled_from(
            [
                Command(train.main, [name, "--data", MISSING, "--run", "run"]),
                Command(vae.main, [name, "--data", MISSING, "--run", "run"]),
                Command(benchmark.main, [name, "--stage", "machine"]),
                Command(recipe.main, [name, "--out", "out", "no.such=1"]),
            ]
        )
    )


@kind()
def configurations(draw: Draw, ground: Ground, folder: Path) -> Command:
    """YAML files of settings."""
    whole = yaml.safe_dump(CONFIG).encode()
    mended = values.damaged_tree(CONFIG).map(lambda tree: yaml.safe_dump(tree).encode())
    content = draw(st.one_of(mended, mended, mended, values.damaged_file(whole)))
    return Command(train.main, ["--config", written(folder, "mine.yaml", content), "--data", MISSING, "--run", "run"])


@kind()
def plans(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Plans of ablations."""
    mended = values.damaged_tree(PLAN).map(lambda tree: yaml.safe_dump(tree).encode())
    content = draw(st.one_of(mended, mended, mended, values.damaged_file(yaml.safe_dump(PLAN).encode())))
    words = ["--plan", written(folder, "plan.yaml", content), "--data", str(ground.maps), "--out", "out", *UNKNOWN]
    return Command(ablate.main, words)


# ---- arguments ----

ARGUMENTS = {
    predict: ["--model", "--buildings", "--tx", "--cars", "--measurements", "--out", "--steps", "--samples", "--symmetries",
              "--seed", "--db", "--run", "--checkpoint"],
    evaluate: ["--model", "--run", "--data", "--split", "--simulation", "--steps", "--observed", "--samples", "--batch-size",
               "--count", "--maps", "--out", "--checkpoint"],
    train: ["--config", "--data", "--from", "--from-checkpoint", "--mix", "--vae", "--base", "--latents", "--run", "--profile",
            "--resume-check"],
    adapt: ["--from", "--data", "--mix", "--out", "--counts", "--folds", "--seed", "--config", "--from-checkpoint"],
    ablate: ["--plan", "--profile", "--data", "--out", "--only", "--seeds", "--budget", "--devices", "--parallel"],
    report: ["--runs", "--site", "--workers", "--log", "--data", "--ablation"],
    recipe: ["--config", "--out", "--name", "--real", "--cities", "--workers"],
    quickstart: ["--workers", "--regression", "--vae", "--ldm"],
    coverage: ["--model", "--run", "--sites", "--bounds", "--origin", "--crs", "--power-dbm", "--frequency", "--bandwidth",
               "--noise-figure", "--windows", "--steps", "--place", "--candidates", "--goal", "--beam-option", "--out"],
    benchmark: ["--vae-config", "--only", "--batch", "--precision", "--repeats", "--minutes", "--markdown", "--stage"],
}  # fmt: skip
DATASET = {
    "simulate": ["--out", "--scenes", "--footprints", "--maps", "--transmitters", "--size", "--seed", "--workers", "--shard",
                 "--beam-option"],
    "raytrace": ["--out", "--scenes", "--size", "--seed", "--workers", "--rays", "--depth", "--noise-maps"],
    "compute": ["--root", "--maps", "--workers"],
    "compare": ["--truth", "--other", "--simulation", "--figures", "--json"],
    "build": ["--root", "--out", "--simulation", "--buildings", "--split", "--shard-megabytes", "--beam-option", "--beam-store"],
    "check": ["--root", "--workers", "--json"],
    "explore": ["--root", "--out", "--simulated", "--count", "--site"],
}  # fmt: skip
MODELS = {"show": [], "pack": ["--run", "--checkpoint", "--out", "--precision"], "picture": ["--out"]}
ENOUGH = {  # with which a command is refused for want of something that is not there, and never begins to work
    predict: ["--buildings", "none.png", "--tx", "1,1", "--out", "map.png"], evaluate: ["--model", "none", "--data", MISSING],
    train: ["--data", MISSING, "--run", "run"], adapt: ["--from", "none", "--data", MISSING, "--out", "out"],
    ablate: ["--plan", "features", "--data", MISSING, "--out", "out", *UNKNOWN], report: ["--runs", "none", "--site", "site"],
    recipe: ["--out", "out", "--config", "none"], quickstart: ["--out", "out", "--regression", "no.such=1"],
    benchmark: ["--config", "none"], coverage: ["--buildings", "none.png", "--sites", "none.csv", "--out", "plan"],
}  # fmt: skip


@kind()
def arguments(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Options with odd values, the last of which counts."""
    command = draw(st.sampled_from([*ARGUMENTS, dataset, dataset, models]))
    if command in ARGUMENTS:
        head, options = ENOUGH[command], ARGUMENTS[command]
    elif command is dataset:
        name = draw(st.sampled_from([*DATASET]))
        need = {"simulate": ["--out", "out", "--scenes", "none"], "raytrace": ["--out", "out", "--scenes", "none"],
                "compare": ["--truth", "none", "--other", "none"],
                "build": ["--root", "none", "--out", "out"]}.get(name, ["--root", "none"])  # fmt: skip
        head, options = [name, *need], DATASET[name]
    else:
        name = draw(st.sampled_from([*MODELS]))
        need = {"pack": ["--run", "none", "--out", "x.safetensors"], "picture": ["none", "--out", "x"]}.get(name, ["none"])
        head, options = [name, *need], [*MODELS[name], "--help-me"]
    pairs = draw(st.lists(st.tuples(st.sampled_from(options), values.words), min_size=1, max_size=2))
    unwanted = ("--maps=", "--transmitters=", "--out=", "--json=", "--site=", "--workers=")  # a good value would begin to work
    words = [f"{option}={value}" for option, value in pairs if not (command in (quickstart, recipe) and f"{option}=" in unwanted)]
    return Command(command.main, [*head, *words], clean=False)


# ---- data ----


@kind()
def pictures(draw: Draw, ground: Ground, folder: Path) -> Command:
    """A folder of maps with one damaged picture: checked, packed, simulated again."""
    root = copy(ground.maps, folder)
    path = draw(st.sampled_from(sorted(root.rglob("*.png"))))
    path.write_bytes(draw(values.damaged_file(path.read_bytes())))
    check = Command(dataset.main, ["check", "--root", root.name, "--workers", "1"])
    build = Command(dataset.main, ["build", "--root", root.name, "--out", "packed"])
    again = Command(dataset.main, ["simulate", "--scenes", root.name, "--out", "again", "--workers", "1"], clean=False)
    return draw(st.sampled_from([check, build, again]))


@kind()
def records_of_simulations(draw: Draw, ground: Ground, folder: Path) -> Command:
    """simulation.json of a folder that is gone on with."""
    root = copy(ground.simulated, folder, "out")
    record = root / "simulation.json"
    record.write_bytes(draw(values.damaged_json(json.loads(record.read_bytes()))))
    words = ["simulate", "--out", root.name, "--maps", "1", "--transmitters", "1", "--size", "32", "--workers", "1"]
    return Command(dataset.main, words)


@kind()
def footprints(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Ground plans of cities."""
    content = draw(st.one_of(values.damaged_json(ground.town), values.damaged_file(ground.town_osm)))
    name = written(folder, "town.geojson", content)
    words = ["simulate", "--footprints", name, "--out", "out", "--maps", "1", "--transmitters", "1", "--size", "64"]
    return Command(dataset.main, [*words, "--workers", "1"])


@kind(slow=True)
def packed_folders(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Files of a packed folder."""
    root = copy(ground.packed, folder)
    path = draw(st.sampled_from(sorted(path for path in root.rglob("*") if path.is_file())))
    content = path.read_bytes()
    damaged = values.damaged_json(json.loads(content)) if path.suffix == ".json" else values.damaged_file(content)
    path.write_bytes(draw(damaged))
    words = ["--model", str(ground.model), "--data", root.name, "--split", "test", "--count", "1", "--out", "result.json"]
    return Command(evaluate.main, words, seconds=DRAWING)


# ---- models and scenes ----


@kind(slow=True)
def model_files(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Model files, whose settings and weights are damaged one by one."""
    content = ground.model.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])

    def with_header(tree: Any) -> bytes:
        text = json.dumps(tree).encode()
        return len(text).to_bytes(8, "little") + text + content[8 + length :]

    def with_settings(tree: Any) -> bytes:
        return with_header(header | {"__metadata__": header["__metadata__"] | {"settings": json.dumps(tree)}})

    inner = json.loads(header["__metadata__"]["settings"])
    outer, inner = values.damaged_tree(header).map(with_header), values.damaged_tree(inner).map(with_settings)
    name = written(folder, "mine.safetensors", draw(st.one_of(outer, inner, values.damaged_file(content))))
    return Command(models.main, ["show", name])


@kind(slow=True)
def scenes(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Masks, places and measurements of one prediction."""
    mask = ground.maps / "png" / "buildings_complete" / "0.png"
    name = written(folder, "b.png", draw(st.one_of(st.just(mask.read_bytes()), values.damaged_file(mask.read_bytes()))))
    rows = draw(st.lists(st.lists(st.one_of(values.scalars, st.integers(0, 31)), min_size=2, max_size=4), max_size=3))
    table = "\n".join(",".join(map(str, row)) for row in [*rows, [1, 2, -80]]).encode(errors="replace")
    lines = written(folder, "m.csv", draw(st.one_of(st.just(table), values.damaged_file(table))))
    odd = st.tuples(values.numbers, values.numbers).map(lambda pair: f"{pair[0]},{pair[1]}")
    place = draw(st.one_of(st.just("1,2"), odd, values.words))
    words = ["--model", str(ground.model), "--buildings", name, f"--tx={place}", "--measurements", lines, "--out", "map.png"]
    return Command(predict.main, [*words, "--db", "map.npy"], seconds=DRAWING)


# ---- reports ----


@kind(slow=True)
def run_folders(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Files of a run, for its page."""
    run = copy(ground.run, folder)
    name = draw(st.sampled_from(["run.json", "metrics.jsonl", "events.jsonl", "config.yaml"]))
    content = (run / name).read_bytes()
    if name == "config.yaml":
        damaged = values.damaged_tree(yaml.safe_load(content)).map(lambda tree: yaml.safe_dump(tree).encode())
    elif name == "run.json":
        damaged = values.damaged_json(json.loads(content))
    else:
        damaged = values.damaged_lines([json.loads(line) for line in content.splitlines()])
    (run / name).write_bytes(draw(damaged))
    if name != "config.yaml":
        (run / "config.yaml").write_text("kind: vae\n")  # the diagram of a network takes seconds
    return Command(report.main, ["--runs", run.name, "--site", "site", "--workers", "1"], clean=False, seconds=DRAWING)


@kind(slow=True)
def evaluations(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Evaluations beside a run, for their pages."""
    run = copy(ground.run, folder)
    (run / "config.yaml").write_text("kind: vae\n")
    result = json.loads(ground.evaluation.read_bytes())
    written(run, "evaluation/test_steps1.json", draw(values.damaged_json(result)))
    return Command(report.main, ["--runs", run.name, "--site", "site", "--workers", "1"], clean=False, seconds=DRAWING)


MACHINE = {
    "device": "cpu", "cores": 2, "processor": "A Processor", "memory_gb": 8.0,
    "versions": {"radiodiff_jax": "0.2.0", "jax": "0.10"},
}  # fmt: skip


@kind(slow=True)
def comparisons(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Results of ablations, numbers of data sets and of benchmarks, for their pages."""
    what = draw(st.sampled_from(["ablation", "explored", "benchmark"]))
    if what == "ablation":
        written(folder, "abl/ablation.json", draw(values.damaged_json(ground.comparison)))
        return Command(report.main, ["--ablation", "abl", "--site", "site"], clean=False, seconds=DRAWING)
    if what == "explored":
        root = copy(ground.explored, folder)
        path = root / "numbers.json"
        path.write_bytes(draw(values.damaged_json(json.loads(path.read_bytes()))))
        return Command(report.main, ["--data", root.name, "--site", "site"], clean=False, seconds=DRAWING)
    good = {"config": "tiny", "repeats": 3, "machine": MACHINE, "stages": {"forward": "done"}, "rows": {"a": {"ms": 1.0}}}
    return Command(benchmark.main, ["--markdown", written(folder, "bench.json", draw(values.damaged_json(good)))])


@kind(slow=True)
def text_logs(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Logs of the original program."""
    whole = "\n".join(f"[Train Step] {i}/30: train/total_loss: {i}.5, train/kl_loss: 0.{i}" for i in range(1, 12)).encode()
    name = written(folder, "train.log", draw(values.damaged_file(whole)))
    return Command(report.main, ["--log", name, "--site", "site", "--workers", "1"], clean=False, seconds=DRAWING)
