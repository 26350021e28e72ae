"""Ablations: plans read strictly, a micro plan from end to end, kills, changed plans; shipped plans can be put together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from experiments import ablate, report
from experiments.ablation.measure import training_flops, updates_of
from experiments.ablation.plan import Budget, run_words
from experiments.ablation.plan_file import plan_names, read_plan
from experiments.ablation.recipes import derive
from radiodiff_jax.errors import UserError
from radiodiff_jax.features import FEATURES
from tests.micro import write_data

ROOT = Path(__file__).resolve().parents[2]
MICRO = {
    "title": "A micro plan",
    "base": {"preset": "pixel-tiny", "settings": ["backbone.widths=[8,16]", "training.checkpoint_every=2"]},
    "settings": ["image_size=[32,32]", "training.batch_size=4", "training.validation_maps=4", "training.sample_maps=2"],
    "budget": {"updates": 12},
    "variants": {
        "plain": [],
        "flow": {"settings": ["objective.name=residual_flow", "estimate=none"], "start": "plain", "share": 0.5, "steps": [1, 2]},
        "no such maps": ["data.simulation=IRT2"],
    },
}


def write_plan(folder: Path, **changes) -> str:
    """A plan file: the micro one with changed keys; a key without a value is left out."""
    tree = {key: value for key, value in (MICRO | changes).items() if value is not None}
    (folder / "micro.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return str(folder / "micro.yaml")


# ---- plans ----


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"varaints": {}}, "no key 'varaints'; did you mean 'variants'"),
        ({"variants": None}, "the key 'variants' is missing"),
        ({"variants": {}}, "no variants to compare"),
        ({"budget": {"updates": 3, "seconds": 4}}, "exactly one of updates, seconds, flops"),
        ({"budget": {"second": 4}}, "did you mean 'seconds'"),
        ({"budget": {"updates": 0}}, "a number above 0"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"reference": "plan"}, "no variant; did you mean 'plain'"),
        ({"variants": {"a": {"setting": []}}}, "variants.a: there is no key 'setting'; did you mean 'settings'"),
        ({"variants": {"a": ["estimate"]}}, "list of words section.key=value"),
        ({"variants": {"a": ["optimiser.warmup_steps=2"]}}, "'a': .*did you mean 'optimizer'"),
        ({"variants": {"a": ["training.steps=7"]}}, "set by the budget and the seeds"),
        ({"variants": {"a": {"preset": "pixel-tny"}}}, "did you mean 'pixel-tiny'"),
        ({"variants": {"a": ["space.name=latent"]}}, "name a stage of kind vae"),
        ({"variants": {"a": {"vae": "autoencoder"}}}, "no stage of kind vae"),
        ({"variants": {"a": ["objective.name=residual_flow", "estimate=none"]}}, "name a variant or stage as start"),
        ({"variants": {"a": {"start": "a"}}}, "no other variant or stage"),
        ({"variants": {"a": [], "b": {"start": "a"}}}, "leave start out"),
        ({"variants": {"a b": [], "a-b": []}}, "one folder"),
        ({"variants": {"a": ["backbone.widths=[8,8,8,8,8,8,8]"]}}, "'a': image_size .* must be multiples"),
        ({"stages": {"plain": {}}}, "a stage has this name"),
        ({"stages": {"s": {"kind": "gan"}}}, "must be generator or vae"),
        ({"profiles": {"gpu": {"seed": [1]}}}, "did you mean 'seeds'"),
        ({"evaluation_maps": 0}, "must be a number of maps"),
        ({"variants": {"a": {"s" * 5000: []}}}, "there is no key"),
        ({"variants": {"a": {"share": {"x": "9" * 5000}}}}, "a part of the budget"),
    ],
)
def test_a_bad_plan_is_one_sentence(tmp_path, changes, says):
    with pytest.raises(UserError, match=says) as caught:
        read_plan(write_plan(tmp_path, **changes))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 1000


def test_names_of_plans_profiles_and_variants_are_checked(tmp_path):
    with pytest.raises(UserError, match="did you mean 'objectives'"):
        read_plan("objective")
    with pytest.raises(UserError, match="has no profile 'gpo'; did you mean 'gpu'"):
        read_plan("objectives", "gpo")
    with pytest.raises(UserError, match="no variant 'plan'; did you mean 'plain'"):
        read_plan(write_plan(tmp_path)).jobs(["plan"])


def test_jobs_come_after_what_they_build_on(tmp_path):
    stages = {"vae": {"kind": "vae", "share": 2}, "half": {"share": 0.5}}
    variants = {
        "flow": {"settings": ["objective.name=residual_flow", "estimate=none"], "start": "half"},
        "latent": {"settings": ["space.name=latent"], "vae": "vae"},
        "plain": [],
    }
    plan = read_plan(write_plan(tmp_path, stages=stages, variants=variants, seeds=[3, 4]))
    names = [job.name for job in plan.jobs()]
    assert names == ["vae-seed3", "half-seed3", "plain-seed3", "flow-seed3", "latent-seed3",
                     "half-seed4", "plain-seed4", "flow-seed4", "latent-seed4"]  # fmt: skip
    needs = {job.name: job.needs for job in plan.jobs()}
    assert needs["flow-seed4"] == ("half-seed4",) and needs["latent-seed4"] == ("vae-seed3",)
    assert [job.name for job in plan.jobs(["latent"])] == ["vae-seed3", "latent-seed3", "latent-seed4"]
    assert plan.items["vae"].budget == Budget("updates", 24) and plan.items["half"].budget == Budget("updates", 6)
    assert plan.items["vae"].config().image_size == (32, 32)  # the size holds for autoencoders too


def test_profile_command_line_and_budget(tmp_path):
    path = write_plan(tmp_path, profiles={"gpu": {"budget": {"seconds": 9}, "settings": []}})
    plan = read_plan(path, "gpu", ["image_size=[64,64]"])
    config = plan.items["plain"].config(updates=10, seed=5)
    assert plan.budget == Budget("seconds", 9) and config.image_size == (64, 64) and config.training.batch_size == 8
    training = config.training
    assert (training.steps, training.seed, training.validate_every, training.checkpoint_every) == (10, 5, 5, 2)
    assert "training.checkpoint_every=5" not in run_words(plan.items["plain"], 10, 5)  # the plan's own word holds
    assert read_plan(path, seeds=[7], budget=Budget("flops", 1e9)).budget == Budget("flops", 1e9)


def test_updates_are_derived_from_seconds_and_flops():
    measured = {"update_flops": 100, "update_seconds": 0.25, "timed_updates": 12}
    assert updates_of(Budget("seconds", 5), measured) == (20, "5 s / 250 ms an update, timed over 12 updates before the first run")
    assert updates_of(Budget("flops", 1000), measured)[0] == 10 and training_flops(10, measured) == 1000
    later = measured | {"later_flops": 200, "later_from": 4}  # an autoencoder whose discriminator joins after 4 updates
    assert updates_of(Budget("flops", 1000), later)[0] == 7 and training_flops(7, later) == 1000
    assert updates_of(Budget("flops", 1), measured)[0] == 1


@pytest.mark.parametrize("profile", [None, "gpu"])
@pytest.mark.parametrize("name", plan_names())
def test_every_variant_of_the_shipped_plans_can_be_put_together(name, profile):
    plan = read_plan(name, profile)  # composes each of them
    assert plan.title and plan.question and len(plan.variants) >= 5
    for item in plan.variants:
        assert item.config(updates=100).training.steps == 100
        assert item.config().optimizer.warmup_steps < 100 or profile == "gpu"


def test_the_features_plan_leaves_out_and_adds_every_feature_once():
    plan = read_plan("features")
    sets = {item.name: set(item.config().features) for item in plan.variants}
    whole, plainest = sets["all features"], sets["plain"]
    left_out = {name: whole - features for name, features in sets.items() if features < whole and "transmitter" not in features}
    added = {name: sets[name] - plainest for name in sets if name.startswith("plain,") and sets[name] > plainest}
    assert sorted(len(one) for name, one in left_out.items() if name.startswith("without")) == [1] * 8
    assert set.union(*(one for name, one in left_out.items() if name.startswith("without"))) == whole - {"buildings"}
    assert all(len(one) == 1 for one in added.values())
    assert set.union(*added.values()) >= {"in_sight", "line_of_sight", "offset", "walls", "blocked", "geodesic", "path_estimate"}
    assert set.union(*sets.values()) <= set(FEATURES)
    assert {item.config().estimate for item in plan.variants} == {"none", "line_of_sight", "path"}


# ---- from end to end ----


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablate")
    write_data(folder / "data")
    return folder


def words(folder: Path, plan: str, out: str, *more: str) -> list[str]:
    return ["--plan", plan, "--data", str(folder / "data"), "--out", str(folder / out), *more]


def read(folder: Path, out: str) -> dict:
    return json.loads((folder / out / "ablation.json").read_text())


def events(folder: Path, run: str) -> list[dict]:
    return [json.loads(line) for line in (folder / run / "events.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def made(folder):
    """The micro plan, with a variant that cannot be trained: its exit code."""
    return ablate.main(words(folder, write_plan(folder), "out", "--seeds", "0"))


def test_every_run_is_trained_and_evaluated_and_failures_are_told(folder, made):
    assert made == 1  # since a run failed
    result = read(folder, "out")
    items = {item["name"]: item for item in result["items"]}
    states = {name: [run["state"] for run in item["runs"]] for name, item in items.items()}
    assert states == {"plain": ["finished"], "flow": ["finished"], "no such maps": ["failed"]}
    assert "IRT2" in items["no such maps"]["runs"][0]["reason"]
    plain, flow = (items[name]["runs"][0] for name in ("plain", "flow"))
    assert (plain["updates"], flow["updates"]) == (12, 6) and items["flow"]["start"] == "plain"
    event = next(one for one in events(folder, "out/runs/plain-seed0") if one["event"] == "compiled")
    assert plain["flops"] == pytest.approx(12 * event["flops"], rel=1e-5) and items["plain"]["update_flops"] == event["flops"]
    assert 0 < plain["seconds"] < events(folder, "out/runs/plain-seed0")[-1]["seconds"]
    told = [(one["split"], one["steps"], one["network_evaluations"]) for one in flow["evaluations"]]
    assert told == [("validation", 1, 1), ("validation", 2, 2), ("test", 1, 1), ("test", 2, 2)]
    assert {"path estimate", "line-of-sight estimate", "distance law"} == set(result["baselines"]["test"])
    base = json.loads((folder / "out/runs/flow-seed0/base/source.json").read_text())
    assert base["source"].endswith("plain-seed0") and base["step"] == 12
    assert items["plain"]["parameters"] == json.loads((folder / "out/runs/plain-seed0/run.json").read_text())["parameters"]["total"]


def test_the_page_of_the_result_needs_no_run_folder(folder, made, capsys):
    site = folder / "site"
    assert report.main(["--ablation", str(folder / "out"), "--site", str(site)]) == 0
    text = (site / "ablations" / "micro" / "index.md").read_text()
    assert "# A micro plan" in text and "12 updates" in text and "no such maps" in text
    assert "micro/index.md" in (site / "ablations" / "index.md").read_text()
    assert json.loads((site / "ablations" / "micro.json").read_text()) == read(folder, "out")


def test_finished_runs_are_left_alone_and_a_dry_run_trains_nothing(folder, made, capsys):
    before = (folder / "out/runs/plain-seed0/events.jsonl").read_bytes()
    assert ablate.main(words(folder, write_plan(folder), "out", "--seeds", "0", "--only", "flow")) == 0
    assert "2 of 2 runs are finished" in capsys.readouterr().out
    assert ablate.main(words(folder, write_plan(folder), "out", "--only", "plain", "--seeds", "0", "1", "--dry-run")) == 0
    out = capsys.readouterr().out
    assert "plain-seed1" in out and "1 to do" in out and "a run so far" in out
    assert (folder / "out/runs/plain-seed0/events.jsonl").read_bytes() == before
    assert not (folder / "out/runs/plain-seed1").exists()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"budget": {"updates": 13}}, "budget: 12 updates -> 13 updates"),
        ({"settings": [*MICRO["settings"], "optimizer.learning_rate=0.5"]}, "optimizer.learning_rate: 0.001 -> 0.5"),
        ({"evaluation_maps": 2}, "evaluation_maps: null -> 2"),
    ],
)
def test_a_changed_plan_is_refused_for_runs_that_exist(folder, made, tmp_path, changes, says):
    with pytest.raises(UserError, match="plain-seed0 was made by another plan") as caught:
        ablate.main(words(folder, write_plan(tmp_path, **changes), "out", "--seeds", "0"))
    assert says in str(caught.value)


def test_a_changed_variant_without_a_run_is_measured_anew(folder, made, tmp_path, capsys):
    variants = MICRO["variants"] | {"no such maps": ["optimizer.learning_rate=0.5"]}
    assert ablate.main(words(folder, write_plan(tmp_path, variants=variants), "out", "--seeds", "0", "--dry-run")) == 0
    assert "counting an update of no such maps" in capsys.readouterr().out


def test_killed_and_called_again_it_ends_with_the_same_bits(folder, made):
    plan = write_plan(folder)
    command = [sys.executable, "-m", "experiments.ablate", *words(folder, plan, "broken", "--seeds", "0", "--only", "plain")]
    run = folder / "broken/runs/plain-seed0"
    with (folder / "said.txt").open("w") as said:
        process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said, env={**os.environ, "JAX_PLATFORMS": "cpu"})
        deadline = time.monotonic() + 300
        while not (run / "checkpoints" / "2").is_dir() and time.monotonic() < deadline:
            assert process.poll() is None, (folder / "said.txt").read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    while (run / "lock.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # the training itself ends in order, as its input is closed
    assert not (run / "lock.json").exists() and not (folder / "broken/ablation.json").exists()
    assert ablate.main(words(folder, plan, "broken", "--seeds", "0", "--only", "plain")) == 0
    digests = [read(folder, out)["items"][0]["runs"][0]["digest"] for out in ("out", "broken")]
    assert digests[0] == digests[1]
    rows = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines() if "loss" in json.loads(line)]
    assert rows == sorted(set(rows)) and rows[-1] == 12


def test_a_budget_in_seconds_is_timed_once_and_not_shared(folder, tmp_path):
    path = write_plan(tmp_path, budget={"seconds": 0.5}, variants={"plain": []})
    with pytest.raises(UserError, match="a budget in seconds means nothing") as caught:
        ablate.main(words(folder, path, "timed", "--parallel", "2"))
    assert caught.value.exit_code == 2
    state = {"items": {}, "jobs": {}}
    (item,) = derive(read_plan(path), folder / "data", state, ["plain"], True, lambda line: None).values()
    measured = item["measured"]
    assert item["updates"] == max(1, round(0.5 / measured["update_seconds"])) and measured["timed_updates"] >= 8
    assert not (folder / "timed").exists()
