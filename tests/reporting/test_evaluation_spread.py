"""How sure the model is, on an evaluation's page: a verdict by a stated rule, a table, two figures in both variants."""

import re

import numpy as np
import pytest

from radiodiff_jax.inference.calibration import LEVELS, Intervals
from radiodiff_jax.inference.radio_map import RadioMap
from radiodiff_jax.inference.spread_profile import SpreadProfile
from radiodiff_jax.reporting.evaluation_spread import spread_section, spread_sentence, spread_word
from radiodiff_jax.reporting.interval_map import save_interval
from radiodiff_jax.reporting.style import FigureCache

SIZE = (32, 32)


def profile(claimed, factors=None, cities=4):
    """Laplace errors of deviations 0.01 (left half) and 0.04 (right half), under a model that claims `claimed` times that."""
    rng, true = np.random.default_rng(0), np.where(np.arange(32) < 16, 0.01, 0.04) * np.ones(SIZE)
    counted = SpreadProfile(Intervals("laplace", factors))
    for city in range(cities):
        truth = np.full(SIZE, 0.5)
        counted.add(truth, truth + rng.laplace(scale=true / 2**0.5), claimed * true, np.zeros(SIZE, bool), city)
    return counted.to_json()


def result(told, split="test", **more):
    return {"run": "runs/a", "data": "d", "split": split, "steps": 1, "results": {"model": {"spread": told}}, **more}


@pytest.mark.parametrize(("claimed", "word"), [(1.0, "calibrated"), (0.5, "over-confident"), (2.0, "under-confident")])
def test_the_verdict_follows_the_coverage(claimed, word):
    told = profile(claimed)
    assert spread_word(told) == word
    sentence = spread_sentence(told)
    assert sentence.startswith(f"{word.capitalize()}, without calibration: the 90 % interval (± ")
    width = claimed * np.log(10) / 2**0.5 * 0.025 * 99.16  # the mean deviation is 0.025
    assert f"(± {width:.2f} dB in the mean)" in sentence and sentence.count("% of the outdoor pixels") == 2


def test_what_other_cities_may_turn_is_no_fault():
    told = profile(1.0) | {"coverage": [0.85 if level == 0.9 else level for level in LEVELS]}
    for low, high, word in ((0.80, 0.91, "calibrated as far as these cities tell"), (0.80, 0.88, "over-confident")):
        told["coverage_interval"] = [[low, high] if level == 0.9 else [level, level] for level in LEVELS]
        assert spread_word(told) == f"calibrated at 50 %, {word} at 90 %"


def test_both_levels_are_named_where_they_differ():
    told = profile(1.0, tuple(2.0 if level == 0.5 else 0.5 for level in LEVELS))
    assert spread_word(told) == "under-confident at 50 %, over-confident at 90 %"
    assert "without calibration" not in spread_sentence(told)


def test_the_section_has_figures_numbers_and_units(tmp_path):
    told = profile(0.5, (2.0,) * len(LEVELS))
    parts = spread_section(result(told, calibration={"radio_maps": 40, "layouts": 5}), "data", FigureCache(tmp_path, []), "e")
    text = "\n\n".join(parts)
    shown = re.findall(r"!\[([^\]]+)\]\(figures/([^)#]+)#only-(light|dark)\)", text)
    assert len(shown) == 4
    for words, name, variant in shown:
        assert (tmp_path / name).stat().st_size > 2000 and f".{variant}." in name and len(words) > 20
    svg = (tmp_path / "e-spread-skill.light.svg").read_text()
    assert "predicted standard deviation (dB)" in svg and "RMSE (dB)" in svg
    svg = (tmp_path / "e-reliability.light.svg").read_text()
    assert "level of the interval (%)" in svg and "without factors" in svg
    row = next(line for line in text.splitlines() if line.startswith("| 90 % |")).split("|")
    assert abs(float(row[2].strip(" %")) - 90) < 2 and float(row[4].strip(" %")) < 75 and row[5].strip() == "2.000"
    assert "fitted on the validation split (40 maps of 5 cities)" in text and "CRPS" in text and "proves nothing" not in text


def test_what_is_not_calibrated_says_how_and_fitted_maps_prove_nothing(tmp_path):
    cache = FigureCache(tmp_path, [])
    text = "\n".join(spread_section(result(profile(1.0)), "data", cache, "e"))
    assert "`python -m experiments.evaluate --run runs/a --data d --split test --steps 1 --calibrate`" in text
    fitted = profile(1.0, (1.0,) * len(LEVELS))
    assert "proves nothing" in "\n".join(spread_section(result(fitted, "validation"), "data", cache, "e"))
    assert spread_section({"results": {"model": {}}}, "data", cache, "e") == []


def test_a_model_that_knows_where_it_is_wrong_has_a_rising_curve():
    bins = profile(1.0)["spread_skill"]
    rising = [(spread, error) for spread, error in zip(bins["deviation_db"], bins["rmse_db"], strict=True) if spread]
    assert len(rising) == 2
    for spread, error in rising:
        assert error == pytest.approx(spread, rel=0.1)


def test_the_picture_of_an_interval(tmp_path):
    walls = np.zeros(SIZE, bool)
    walls[4:8, 4:8] = True
    deviation = np.where(walls, 0, np.linspace(0.01, 0.05, 32)).astype(np.float32)
    found = RadioMap(np.full(SIZE, 0.5, np.float32), walls, (10, 10), deviation, Intervals("laplace"))
    assert save_interval(tmp_path / "m_interval.png", found).read_bytes()[:4] == b"\x89PNG"
