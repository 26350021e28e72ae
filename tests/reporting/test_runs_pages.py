"""Run pages, the table of runs and the comparison, as Markdown and figures."""

import json
import os
import re
import shutil
import sys
import time
from datetime import datetime
from types import SimpleNamespace

import pytest
from PIL import Image

from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.runs.analysis import phases
from radiodiff_jax.reporting.runs.page import introduction
from radiodiff_jax.reporting.runs.refresh import ReportSettings, find_runs, make_sources, refresh, report
from radiodiff_jax.reporting.runs.run import read_folder
from radiodiff_jax.reporting.runs.watching import watch
from tests.reporting.run_folders import write_run

UNDRAWN = "could not be drawn"


@pytest.fixture(scope="module", autouse=True)
def other_rooms():
    """Stand-ins for what other packages write into a run's page: the model's diagram and the evaluation's page."""

    def write_evaluation_page(path, folder):
        if path.stem.startswith("bad"):
            raise UserError(f"{path.name} is damaged")
        written = folder / f"evaluation-{path.stem}.md"
        folder.mkdir(parents=True, exist_ok=True)
        written.write_text("# an evaluation\n")
        return written

    rooms = {
        "evaluation_pages": SimpleNamespace(write_evaluation_page=write_evaluation_page),
        "architecture": SimpleNamespace(run_architecture=lambda config: f"a diagram of {config.kind}"),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, room in rooms.items():
            patch.setitem(sys.modules, f"radiodiff_jax.reporting.{name}", room)
        yield


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    write_run(folder / "one", "vae", 420, arrays=True)
    write_run(folder / "two", "vae", 40, seed=1, ending="", overrides=("optimizer.learning_rate=0.5",))
    write_run(folder / "Three_3", "ldm", 40, seed=2, ending="failed", resumes=0)
    return folder


@pytest.fixture
def short(tmp_path):
    """Runs of one logged step, which have no curves and are quickly drawn."""
    for name, ending in (("one", "finished"), ("two", ""), ("three", "failed")):
        write_run(tmp_path / "runs" / name, "ldm", 1, ending=ending, resumes=0, samples=1)
    return tmp_path / "runs"


@pytest.fixture(scope="module")
def site(made, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    report(find_runs(made), site, presets=CONFIGS)
    return site


def text_of(site, slug):
    return (site / "runs" / slug / "index.md").read_text()


@pytest.mark.parametrize("slug", ["one", "two", "three-3"])
def test_a_page_is_whole(site, slug):
    text = text_of(site, slug)
    assert UNDRAWN not in text and f"a diagram of {'generator' if slug == 'three-3' else 'vae'}" in text
    headings = re.findall(r"^(#+) ", text, re.MULTILINE)
    assert headings[0] == "#" and set(headings[1:]) == {"##"}
    for name in re.findall(r"\]\((figures/[^)#]+)", text):
        assert (site / "runs" / slug / name).stat().st_size > 0
    assert all(alternative for alternative in re.findall(r"!\[([^\]]*)\]", text))


def test_a_page_is_below_a_megabyte_and_a_half_before_samples(site):
    folder = site / "runs" / "one"
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(("sample", "error"))]
    assert sum(path.stat().st_size for path in files) < 1.5e6


def test_what_a_page_says(site):
    text = text_of(site, "one")
    assert '!!! success "Finished on' in text and "4,200 of 4,200 steps (100 %)" in text
    assert "The validation RMSE fell by" in text
    assert "autoencoder against discriminator (VAE-GAN) | 2,100 | 4,200" in text
    steps = load_config("vae", "tiny", [], CONFIGS).training.steps
    assert f"| `training.steps` | {steps} | 4200 |" in text and "the preset `tiny`:" in text
    assert "3 skipped updates" in text and "buildings left out: mean error" in text
    assert "| 1,400 |" in text  # a resume
    assert '!!! danger "Failed' in text_of(site, "three-3") and "loss of update 400 is not finite" in text_of(
        site, "three-3"
    )
    assert "This run was never interrupted and resumed." in text_of(site, "three-3")
    assert '!!! note "Running' in text_of(site, "two")


def test_figures_are_in_both_variants_and_dark_is_dark(site):
    for light in (site / "runs" / "one" / "figures").glob("*.light.svg"):
        dark = light.with_name(light.name.replace(".light.", ".dark."))
        assert "#1f2328" in light.read_text() and "#1f2328" not in dark.read_text()


def test_notes_stand_on_the_page_as_plain_text(short, tmp_path):
    (short / "one" / "notes.txt").write_text("Trained on *half* the data.\nWith a <b>new</b> loss.\n\nSecond paragraph.\n")
    (short / "three" / "notes.txt").write_bytes(b"\xff\xfe no text")
    report(find_runs(short), tmp_path)
    text = text_of(tmp_path, "one")
    assert "Trained on &#42;half&#42; the data. With a &lt;b&gt;new&lt;/b&gt; loss.\n\nSecond paragraph." in text
    assert text.index("Trained on") < text.index("## Summary")
    assert "notes.txt" in text_of(tmp_path, "three") and UNDRAWN not in text_of(tmp_path, "three")
    before = (tmp_path / "runs" / "one" / "index.md").read_text()
    (short / "one" / "notes.txt").write_text("Other words.")
    report(find_runs(short), tmp_path)
    assert "Other words." in text_of(tmp_path, "one") != before


def test_a_finished_run_was_written_when_it_ended(short):
    os.utime(short / "one" / "metrics.jsonl", (4e9, 4e9))  # as a clone or a copy leaves it
    ended = json.loads((short / "one" / "events.jsonl").read_text().splitlines()[-1])["time"]
    assert read_folder(short / "one").written == datetime.fromisoformat(ended).timestamp()
    os.utime(short / "two" / "metrics.jsonl", (4e9, 4e9))
    assert read_folder(short / "two").written == 4e9  # still running


def test_spikes_are_in_the_figure_of_a_thinned_run(site):
    assert "lowest to highest" in (site / "runs" / "one" / "figures" / "losses.light.svg").read_text()
    assert "420 logged values are drawn as 400 buckets" in text_of(site, "one")


def test_the_table_and_the_comparison(site):
    index, compare = ((site / "runs" / name).read_text() for name in ("index.md", "compare.md"))
    assert (
        "3 runs: " in index
        and "[Three&#95;3](three-3/index.md)" in index
        and '<div class="sortable" markdown>' in index
    )
    with Image.open(site / "runs" / "one" / "figures" / "newest-map.png") as thumbnail:
        assert max(thumbnail.size) == 128
    rows = {line.split("](")[0].removeprefix("| ["): line for line in index.splitlines() if line.startswith("| [")}
    assert "](one/figures/newest-map.png)" in rows["one"] and "<polyline" in rows["one"]
    assert "newest-map.png" not in rows["two"]  # which kept pictures without arrays
    assert "## Autoencoder: 2 runs" in compare and "figures/compare-vae.light.svg" in compare
    assert re.search(r"`optimizer.learning_rate` \| 0\.\d+ \| 0\.\d+", compare)
    assert "figures/compare-quality" in compare and (site / "runs" / "figures" / "compare-quality.dark.svg").is_file()


def test_only_what_changed_is_made_again(short, tmp_path):
    settings = ReportSettings(tmp_path / "site", CONFIGS)

    def again():
        sources = make_sources(find_runs(short))
        return [card["slug"] for card in refresh(sources, settings, workers=1, progress=False)]

    assert sorted(again()) == ["one", "three", "two"]
    before = (settings.folder / "index.md").stat().st_mtime_ns
    assert again() == [] and (settings.folder / "index.md").stat().st_mtime_ns == before
    with (short / "two" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 11, "phase": "vae_gan", "time_s": 101.0, "loss": 1.0}\n')
    assert again() == ["two"] and "11 of 10 steps" in text_of(settings.site, "two")
    shutil.rmtree(settings.folder / "one")
    assert again() == ["one"]
    shutil.rmtree(short / "one")
    assert again() == [] and "(folder gone)" in (settings.folder / "index.md").read_text()


def test_processes_make_the_same_pages(short, tmp_path):
    for run in short.iterdir():
        (run / "config.yaml").unlink()  # no diagram: the stand-in is not in the other processes
    texts = []
    for workers in (1, 2):
        report(find_runs(short), tmp_path / str(workers), workers=workers)
        texts.append([text_of(tmp_path / str(workers), slug) for slug in ("one", "two", "three")])
    assert texts[0] == texts[1]


def test_odd_files_cost_a_sentence_each(made, tmp_path):
    run = shutil.copytree(made / "one", tmp_path / "runs" / "one")
    (run / "samples" / "4200.png").write_bytes(b"no picture")
    (run / "samples" / "2800.npz").write_bytes(b"no arrays")
    (run / "run.json").write_text('{"kind": "vae", ')
    (run / "config.yaml").write_text("kind: vae\nobjective: {from_another_version: 1}\n")
    (run / "evaluation").mkdir()
    (run / "evaluation" / "bad.json").write_text("{")
    (run / "evaluation" / "test_steps1.json").write_text(json.dumps(EVALUATION))
    report([run], tmp_path / "site", presets=CONFIGS)
    text = text_of(tmp_path / "site", "one")
    assert "The picture samples/4200.png cannot be read" in text and "samples/2800.npz cannot be read" in text
    assert "run.json cannot be read" in text and "from&#95;another&#95;version" in text
    assert "bad: bad.json is damaged." in text
    assert "[test&#95;steps1](evaluation-test_steps1.md): model, 1 sampling step, 96 maps" in text
    assert "## Losses" in text and "figures/losses.light.svg" in text
    assert "figures/sample-1400.dark.png" in text and "figures/sample-2800.png" in text


EVALUATION = {
    "split": "test", "steps": 1, "radio_maps": 96,
    "results": {"model": {"figures": {"raw/all/rmse": {"mean": 0.02}, "raw/all/ssim": {"mean": 0.9}}, "ms_per_map": 20.0}},
}  # fmt: skip


def test_an_empty_run_has_a_page(tmp_path):
    (tmp_path / "runs" / "empty").mkdir(parents=True)
    (tmp_path / "runs" / "empty" / "metrics.jsonl").write_text("")
    report(find_runs(tmp_path / "runs"), tmp_path / "site", presets=CONFIGS)
    text = text_of(tmp_path / "site", "empty")
    assert "Nothing has been logged yet." in text and UNDRAWN not in text


def test_a_run_that_vanishes_is_passed_over(short, tmp_path):
    sources = make_sources(find_runs(short))
    shutil.rmtree(short / "two")
    made_now = refresh(sources, ReportSettings(tmp_path / "site"), workers=1, progress=False)
    assert sorted(card["slug"] for card in made_now) == ["one", "three"]


def test_watching_tells_each_refresh_once(short, tmp_path, monkeypatch, capsys):
    run, pauses = short / "one", []

    def change_then_delete(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            with (run / "metrics.jsonl").open("a") as file:
                file.write('{"step": 777, "loss": 1.0}\n')
        else:
            shutil.rmtree(run, ignore_errors=True)

    monkeypatch.setattr("radiodiff_jax.reporting.runs.watching.time.sleep", change_then_delete)
    monkeypatch.setattr("radiodiff_jax.reporting.runs.watching.REST", -1.0)
    watch(lambda: make_sources([run]), ReportSettings(tmp_path / "site", CONFIGS), polls=3)
    first, second = capsys.readouterr().out.splitlines()
    assert "one: finished, step 10 of 10, page made in" in first and "step 777 of 10" in second and len(pauses) == 2


def test_logged_steps_alone_redraw_a_page_with_curves_rarely(tmp_path, monkeypatch, capsys):
    run = write_run(tmp_path / "runs" / "one", "ldm", 4, ending="", resumes=0, samples=1)
    (run / "config.yaml").unlink()
    written = iter((
        ("metrics.jsonl", '{"step": 50, "time_s": 101.0, "loss": 1.0}'),
        ("events.jsonl", '{"step": 60, "event": "saved", "time": "2026-03-01T08:00:00+00:00"}'),
        ("metrics.jsonl", '{"step": 70, "time_s": 102.0, "loss": 1.0}'),
        ("metrics.jsonl", '{"step": 80, "time_s": 103.0, "loss": 1.0}'),
    ))  # fmt: skip
    now = iter((0.0, 1.0, 10.0, 20.0, 21.0, 30.0, 90.0, 91.0))  # seconds; two for a page that is made

    def log(_):
        name, line = next(written)
        with (run / name).open("a") as file:
            file.write(line + "\n")

    monkeypatch.setattr("radiodiff_jax.reporting.runs.watching.time.sleep", log)
    monkeypatch.setattr("radiodiff_jax.reporting.runs.watching.time.monotonic", lambda: next(now))
    monkeypatch.setattr("radiodiff_jax.reporting.runs.watching.REST", -1.0)
    watch(lambda: make_sources([run]), ReportSettings(tmp_path / "site", None), polls=5)
    told = capsys.readouterr().out.splitlines()
    # Step 50 alone is not drawn, the event is at once, step 70 not, and after a minute what there is.
    assert [re.search(r"step (\d+)", line)[1] for line in told] == ["40", "60", "80"]


def test_slugs_are_unique(tmp_path):
    folders = [tmp_path / "a" / "Run 1", tmp_path / "b" / "run-1"]
    for folder in folders:
        folder.mkdir(parents=True)
    assert [source.slug for source in make_sources(folders)] == ["run-1", "run-1-2"]


def test_runs_of_one_name_in_two_folders_keep_a_page_each(short, tmp_path):
    other = shutil.copytree(short / "one", tmp_path / "other" / "one")
    pages = tmp_path / "site" / "runs"
    report([short / "one"], tmp_path / "site")
    report([other], tmp_path / "site")
    assert [source.slug for source in make_sources([other, short / "one"], pages=pages)] == ["one-2", "one"]
    shutil.rmtree(short / "one")
    assert make_sources([tmp_path / "third" / "one"], pages=pages)[0].slug == "one"


def test_evaluations_and_diagrams_are_kept_until_their_files_change(short, tmp_path, monkeypatch):
    (short / "one" / "evaluation").mkdir()
    result = short / "one" / "evaluation" / "test.json"
    result.write_text(json.dumps(EVALUATION))
    asked = []
    for name, function in (("evaluation_pages", "write_evaluation_page"), ("architecture", "run_architecture")):
        room = sys.modules[f"radiodiff_jax.reporting.{name}"]
        original = getattr(room, function)
        monkeypatch.setattr(room, function, lambda *given, call=original: asked.append(call.__name__) or call(*given))
    for _ in range(2):
        (short / "one" / "events.jsonl").touch()
        report([short / "one"], tmp_path / "site")
    assert asked == ["write_evaluation_page", "<lambda>"]
    os.utime(result, (time.time() + 5, time.time() + 5))
    report([short / "one"], tmp_path / "site")
    assert asked[2:] == ["write_evaluation_page"]


def write_generator(folder, phase, space="pixel", **values):
    """A run of a generator, as `write_run` makes one of the diffusion model."""
    run = write_run(folder, "ldm", 40, resumes=0, **values)
    run.joinpath("config.yaml").write_text(f"kind: generator\nspace: {{name: {space}}}\nobjective: {{name: {phase}}}\n")
    for name in ("run.json", "metrics.jsonl", "events.jsonl"):
        text = (run / name).read_text()
        text = text.replace('"phase": "decoupled"', f'"phase": "{phase}"')
        (run / name).write_text(text.replace("experiments.ldm", "experiments.train"))
    return run


@pytest.mark.parametrize(
    ("phase", "space", "sentence"),
    [
        ("regression", "pixel", "place, in pixel space, in one evaluation of its network, without noise."),
        ("decoupled", "latent", "place, as a latent of an autoencoder, by a diffusion that"),
        ("flow_matching", "pixel", "place, in pixel space, by following a flow from noise to the map."),
        ("residual_flow", "latent", "place, as a latent of an autoencoder, by a flow from the output of a regression"),
        ("of_tomorrow", "of_tomorrow", "and the transmitter's place."),
    ],
)
def test_a_page_says_what_a_generator_is(tmp_path, phase, space, sentence):
    run = read_folder(write_generator(tmp_path / "run", phase, space, samples=0))
    assert run.kind == "generator" and [one.name for one in phases(run)] == [phase]
    text = introduction(run)
    assert text.startswith("This run trains a generator") and sentence in text


def test_no_sentence_calls_every_generator_a_diffusion_model(tmp_path):
    run = write_generator(tmp_path / "runs" / "pixel", "regression", arrays=True)
    (run / "config.yaml").unlink()  # the phase then says what the objective is
    (run / "evaluation").mkdir()
    (run / "evaluation" / "test.json").write_text(json.dumps(EVALUATION | {"network_evaluations": 1}))
    report([run], tmp_path / "site", presets=CONFIGS)
    text = text_of(tmp_path / "site", "pixel")
    assert "in one evaluation of its network" in text and "model, 1 network evaluation, 96 maps" in text
    assert "| regression | 0 | 400 |" in text and UNDRAWN not in text
    for absent in ("diffusion", "autoencoder", "latent", "sampling step"):
        assert absent not in text, absent


def test_generators_are_compared_with_their_objectives(tmp_path):
    runs = [write_generator(tmp_path / "runs" / phase, phase) for phase in ("regression", "flow_matching")]
    for run, evaluations in zip(runs, (1, 2), strict=True):
        (run / "evaluation").mkdir()
        (run / "evaluation" / "test.json").write_text(json.dumps(EVALUATION | {"network_evaluations": evaluations}))
    runs.append(write_run(tmp_path / "runs" / "former", "ldm", 4))  # as versions before 0.2 wrote it
    facts = runs[-1] / "run.json"
    facts.write_text(facts.read_text().replace('"kind": "generator"', '"kind": "ldm"'))
    report(runs, tmp_path / "site")
    text = (tmp_path / "site" / "runs" / "compare.md").read_text()
    assert "## Generator: 2 runs" in text and "Losses of different objectives are not comparable." in text
    assert "](regression/index.md) | regression | " in text and "| flow matching | " in text
    assert "| test | 96 | - | 1.98 | 0.02 |" in text and "| test | 96 | 1 | 1.98 | 0.02 |" in text
    assert "## Diffusion model: 1 run\n" in text and "| `objective.name` | flow&#95;matching | regression |" in text
