"""Evaluation pages: verdicts by stated rules, what is missing is told, figures are there, nothing is drawn twice."""

import json
import re

import numpy as np
import pytest

from radiodiff_jax.data.pipeline import evaluation_batches
from radiodiff_jax.data.sources import FolderSource
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.baselines import BASELINES
from radiodiff_jax.inference.evaluation import evaluate
from radiodiff_jax.inference.evaluation_files import named, write_evaluation
from radiodiff_jax.inference.extremes import choose_extremes, extreme_maps
from radiodiff_jax.radiomapseer import RadioMapFolder
from radiodiff_jax.reporting.evaluation_figures import line_of
from radiodiff_jax.reporting.evaluation_pages import write_evaluation_page
from radiodiff_jax.reporting.evaluation_verdict import DESCRIPTIONS, comparisons, ordered, verdict
from radiodiff_jax.units import DB_PER_GAIN, grey_to_gain
from tests.data.example_folder import write_example_folder


def off_by(gain):
    """A predictor that says `gain` too much, alternately more and less by map."""
    return lambda batch: grey_to_gain(batch["gain"]) + np.float32(gain) * (1 + batch["map"][:, None, None] % 2)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """A run's evaluation folder with results of 1 and 5 steps on maps of 5 cities."""
    folder = tmp_path_factory.mktemp("evaluated")
    maps = RadioMapFolder(write_example_folder(folder / "maps", maps=5))
    source = FolderSource(maps, maps.maps, cars=False)
    quiet = {"distance law": lambda batch: BASELINES["distance law"](batch) * np.float32(0.8), "autoencoder": off_by(0.01)}
    found = evaluate({"model 1": off_by(0.02), "model 5": off_by(0.015)} | quiet, evaluation_batches(source, 4))
    for steps in (1, 5):
        model = found[f"model {steps}"] | {"ms_per_map": 3.0 * (steps + 1)}
        chosen = choose_extremes(model["maps"]["raw/all/rmse"], model["maps"]["map"])
        arrays = extreme_maps(source, chosen, off_by(0.02), batch_size=4)
        result = {
            "run": "runs/ldm", "data": "data", "split": "test", "steps": steps, "network_evaluations": steps + 1,
            "radio_maps": 10, "layouts": 5, "batch_size": 4, "devices": ["1 x cpu"], "extremes": named(arrays),
            "evaluated": "2026-01-02T03:04:05.678+00:00",
            "results": {"model": model} | {name: found[name] for name in quiet},
        }  # fmt: skip
        write_evaluation(folder / f"test_steps{steps}.json", result, arrays)
    return folder


@pytest.fixture(scope="module")
def page(evaluated, tmp_path_factory):
    return write_evaluation_page(evaluated / "test_steps1.json", tmp_path_factory.mktemp("site"))


def load(folder, steps=1):
    return json.loads((folder / f"test_steps{steps}.json").read_text())


def pictures(text):
    return re.findall(r"!\[([^\]]+)\]\((figures/[^)#]+)#only-(light|dark)\)", text)


def test_every_picture_is_there_in_both_variants_with_words(page):
    shown = pictures(page.read_text())
    assert page.name == "evaluation-test_steps1.md" and len(shown) == 2 * 9
    for words, path, variant in shown:
        assert (page.parent / path).stat().st_size > 1000 and f".{variant}." in path and len(words) > 20


def test_the_page_names_protocols_units_and_whom_it_compares(page):
    text = page.read_text()
    assert (
        text.count("| **model** |") >= 4 and text.count("| distance law |") >= 4 and text.count("| autoencoder |") >= 4
    )
    for words in ("one unit is 99.16 dB", "one unit is 79.33 dB", "**not comparable**", "city maps", "(m)", "(ms)",
                  "1 x cpu with batches of 4", "2 evaluations of its network", "2026-01-02 at 03:04 UTC"):  # fmt: skip
        assert words in text
    headings = re.findall(r"^(#+) ", text, re.MULTILINE)
    assert headings[0] == "#" and headings.count("#") == 1 and "####" not in headings


def test_steps_are_compared_by_quality_and_time(page, evaluated):
    text = page.read_text()
    section = text[text.index("## Steps, quality and time") :]
    assert "| **1** (this page) | 2 | 6 |" in section and "| [5](evaluation-test_steps5.md) | 6 | 18 |" in section
    rmse = [load(evaluated, steps)["results"]["model"]["figures"]["raw/all/rmse"]["mean"] for steps in (5, 1)]
    assert (
        f"The smallest RMSE is that of 5 steps, {DB_PER_GAIN * rmse[0]:.2f} dB ({rmse[0]:.4f})" in section
        and "at 3.0 times the time of 1 step" in section
    )


def test_what_is_unchanged_is_not_drawn_again(page, evaluated):
    figures = sorted((page.parent / "figures").glob("*.light.*"))
    before = [path.stat().st_mtime_ns for path in (page, *figures)]
    write_evaluation_page(evaluated / "test_steps1.json", page.parent)
    assert [path.stat().st_mtime_ns for path in (page, *figures)] == before
    figures[0].unlink()
    write_evaluation_page(evaluated / "test_steps1.json", page.parent)
    assert figures[0].is_file() and [path.stat().st_mtime_ns for path in figures[1:]] == before[2:]


def test_an_older_file_gives_a_page_that_says_what_is_missing(evaluated, tmp_path):
    result = load(evaluated)
    result = {key: result[key] for key in ("run", "data", "split", "steps", "network_evaluations", "radio_maps", "layouts",
                                           "results")}  # fmt: skip
    for one in result["results"].values():
        del one["errors"], one["maps"]
    path = tmp_path / "my old.json"
    path.write_text(json.dumps(result))
    made = write_evaluation_page(path, tmp_path / "site")
    text = made.read_text()
    assert made.name == "evaluation-my-old.md" and not pictures(text)
    again = "`python -m experiments.evaluate --run runs/ldm --data data --split test --steps 1`"
    for what in ("The values of single maps", "The maps", "Errors by distance and line of sight"):
        assert f"{what} are not in this file; {again} writes them." in text
    assert "written by an older version" in text and "the model is" in text and again[:-1] + " 2 5`" in text


def test_a_damaged_file_is_one_sentence_and_no_page(evaluated, tmp_path):
    text = (evaluated / "test_steps1.json").read_text()
    for content in ("", text[:-200], text.replace('"by_distance"', '"near"'), text.replace('"histogram"', '"h"')):
        (tmp_path / "bad.json").write_text(content)
        with pytest.raises(UserError, match="bad.json is damaged") as caught:
            write_evaluation_page(tmp_path / "bad.json", tmp_path / "site")
        assert "\n" not in str(caught.value)
    assert not list((tmp_path / "site").glob("*.md"))


def test_damaged_maps_are_told_and_the_rest_is_shown(evaluated, tmp_path):
    (tmp_path / "x.json").write_text((evaluated / "test_steps1.json").read_text())
    (tmp_path / "x.npz").write_bytes(b"no zip")
    text = write_evaluation_page(tmp_path / "x.json", tmp_path / "site").read_text()
    assert "The maps cannot be shown" in text and "evaluation-x-distance.light.svg" in text


def scaled(result, name, figure, factor):
    """The result with one figure of a predictor changed, mean and values alike."""
    changed = json.loads(json.dumps(result))
    one = changed["results"][name]
    one["figures"][figure]["mean"] *= factor
    one["maps"][figure] = [factor * value for value in one["maps"][figure]]
    return changed


def test_verdict_better(evaluated):
    kind, title, sentences = verdict(load(evaluated))
    assert kind == "success" and title == "The model is better than the baselines"
    told = " ".join(sentences)
    assert "nearer to the truth on 10 of 10 maps" in told and "**worse**" not in told
    assert "25 % of the model's squared error would remain" in told  # half its error


def test_verdict_worse_than_a_baseline(evaluated):
    kind, title, sentences = verdict(scaled(load(evaluated), "model", "raw/all/rmse", 100))
    assert kind == "danger" and title == "The model is worse than the distance law, which needs no training"
    assert "times **worse**, and nearer to the truth on 0 of 10 maps" in " ".join(sentences)


def test_verdict_better_but_not_in_everything(evaluated):
    kind, _, sentences = verdict(scaled(load(evaluated), "distance law", "raw/all/ssim", 2))
    assert kind == "warning" and "The distance law is better in SSIM raw." in " ".join(sentences)


def test_verdict_uncertain(evaluated):
    result = load(evaluated)
    law, model = (result["results"][name] for name in ("distance law", "model"))
    law["figures"] = json.loads(json.dumps(model["figures"]))
    law["figures"]["raw/all/rmse"]["mean"] += 1e-6
    wobble = [-0.02, -0.02, 0.02, 0.02, -0.02, -0.02, 0.02, 0.02, 0.001, 0.001]
    law["maps"]["raw/all/rmse"] = [a + b for a, b in zip(model["maps"]["raw/all/rmse"], wobble, strict=True)]
    kind, title, sentences = verdict(result)
    assert kind == "warning" and "not certain" in title and "which holds 0" in " ".join(sentences)
    (one,) = comparisons(result)
    assert one.won == 6 and one.interval[0] < 0 < one.interval[1]


def test_verdict_on_the_floor(evaluated):
    result = load(evaluated)
    told = " ".join(verdict(scaled(result, "autoencoder", "raw/all/rmse", 1.8))[2])
    assert "81 % of the model's" in told and "a better autoencoder would help most" in told
    told = " ".join(verdict(scaled(result, "autoencoder", "raw/all/rmse", 3))[2])
    assert "no less than the model" in told
    told = " ".join(verdict(scaled(scaled(result, "autoencoder", "raw/all/rmse", 50), "model", "raw/all/rmse", 100))[2])
    assert "The floor itself is not below the distance law" in told


def test_an_autoencoder_alone(evaluated, tmp_path):
    result = load(evaluated) | {"steps": 0, "network_evaluations": 0}
    del result["results"]["model"], result["extremes"]
    (tmp_path / "test_steps0.json").write_text(json.dumps(result))
    text = write_evaluation_page(tmp_path / "test_steps0.json", tmp_path).read_text()
    assert "This run is an autoencoder" in text and "# Evaluation: test split\n" in text
    assert "Steps, quality and time" not in text and "Floor:" not in text and "| **autoencoder** |" in text


def with_baselines(result, **errors):
    """The result with copies of the distance law under other names (`_` for a space), their RMSE scaled."""
    result = json.loads(json.dumps(result))
    law = result["results"].pop("distance law")
    for name, factor in errors.items():
        result["results"][name.replace("_", " ")] = json.loads(json.dumps(law))
        result = scaled(result, name.replace("_", " "), "raw/all/rmse", factor)
    return result


def test_baselines_have_one_order_whatever_the_order_in_the_file(evaluated):
    names = {"other": 1, "path_estimate": 1, "distance_law": 1, "line-of-sight_estimate": 1}
    known = ["distance law", "line-of-sight estimate", "path estimate"]
    result = with_baselines(load(evaluated), **names)
    assert ordered(result) == ["model", "autoencoder", *known, "other"]
    assert [one.other for one in comparisons(result)] == known
    former = with_baselines(load(evaluated), **{"line-of-sight_guess": 1, "distance_law": 1})
    assert ordered(former)[2:] == ["distance law", "line-of-sight guess"] and len(comparisons(former)) == 2


def test_a_baseline_looks_the_same_under_its_former_name():
    assert line_of("line-of-sight guess") == line_of("line-of-sight estimate")
    lines = [line_of(name) for name in DESCRIPTIONS] + [line_of("another")]
    assert len(set(lines)) == len(lines)


def test_a_page_lists_former_and_present_names(evaluated, tmp_path):
    for name in ("line-of-sight guess", "line-of-sight estimate", "path estimate"):
        result = with_baselines(load(evaluated), **{name: 1})
        (tmp_path / "x.json").write_text(json.dumps(result))
        text = write_evaluation_page(tmp_path / "x.json", tmp_path / "site").read_text()
        assert f"- **{name}**: " in text and text.count(f"| {name} |") >= 4


def test_verdict_names_every_better_baseline(evaluated):
    worse = with_baselines(load(evaluated), **{"path_estimate": 0.01, "line-of-sight_guess": 0.02, "distance_law": 0.03})
    kind, title, _ = verdict(worse)
    assert kind == "danger"
    assert title == (
        "The model is worse than the distance law, the line-of-sight guess and the path estimate, which need no training"
    )


def regression_in_pixels(result):
    """What the evaluation of a generator without autoencoder and without steps holds."""
    result = with_baselines(result, **{"distance_law": 1, "line-of-sight_estimate": 1, "path_estimate": 1})
    del result["results"]["autoencoder"], result["extremes"]
    return result | {"steps": 1, "network_evaluations": 1, "run": "runs/pixel"}


def test_a_generator_without_autoencoder_and_steps(evaluated, tmp_path):
    (tmp_path / "test.json").write_text(json.dumps(regression_in_pixels(load(evaluated))))
    text = write_evaluation_page(tmp_path / "test.json", tmp_path / "site").read_text()
    assert "# Evaluation: test split\n" in text and "by one evaluation of its network" in text
    for absent in ("diffusion", "autoencoder", "latent", "sampling step", "Steps, quality and time", "Floor"):
        assert absent not in text, absent


def test_one_step_of_two_evaluations_is_a_step(evaluated, tmp_path):
    (tmp_path / "test.json").write_text(json.dumps(regression_in_pixels(load(evaluated)) | {"network_evaluations": 2}))
    text = write_evaluation_page(tmp_path / "test.json", tmp_path / "site").read_text()
    assert "took 1 sampling step, which is 2 evaluations" in text and "Only 1 sampling step evaluated so far" in text


def test_one_evaluation_is_compared_with_more_steps_where_there_are_some(evaluated, tmp_path):
    for steps in (1, 2):
        result = regression_in_pixels(load(evaluated)) | {"steps": steps, "network_evaluations": steps}
        (tmp_path / f"steps{steps}.json").write_text(json.dumps(result))
    text = write_evaluation_page(tmp_path / "steps1.json", tmp_path / "site").read_text()
    assert "| **1** (this page) | 1 |" in text and "| [2](evaluation-steps2.md) | 2 |" in text
