"""The verdict of a run: better, worse, no difference, not evaluated; from hand-made evaluation files."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from radiodiff_jax.reporting.runs.overview import INDEX_HEAD, index_row
from radiodiff_jax.reporting.runs.page import summarise, write_run_page
from radiodiff_jax.reporting.runs.run import read_folder
from radiodiff_jax.reporting.runs.verdict import newest_result, result_verdict, run_verdict
from tests.reporting.run_folders import write_run

CITIES, EACH = 8, 2  # layouts, transmitters of each


def columns(errors_db):
    """Values of single maps of a predictor: RMSE in dB, two maps a city."""
    numbers = np.repeat(np.arange(CITIES), EACH).tolist()
    return {"map": numbers, "transmitter": [0, 1] * CITIES, "raw/rmse_db": list(errors_db)}


def predictor(errors_db, gain=None):
    figures = {"raw/rmse_db": {"mean": float(np.mean(errors_db)), "median": float(np.median(errors_db))}}
    figures["raw/all/rmse"] = {"mean": float(np.mean(errors_db)) / 99.16 if gain is None else gain, "median": 0.0}
    return {"figures": figures, "maps": columns(errors_db), "ms_per_map": 1.0}


def result(model, split="test", **others):
    """An evaluation whose predictors have these RMSE in dB, a value a map or one for all."""
    errors = {name.replace("_", " "): np.broadcast_to(values, CITIES * EACH) for name, values in others.items()}
    return {
        "run": "runs/a", "data": "data", "split": split, "steps": 1, "network_evaluations": 1, "radio_maps": CITIES * EACH,
        "layouts": CITIES, "evaluated": "2026-03-02T00:00:00+00:00",
        "results": {"model": predictor(np.broadcast_to(model, CITIES * EACH))}
        | {name: predictor(values) for name, values in errors.items()},
    }  # fmt: skip


def by_city(values):
    """A value a city -> a value a map."""
    return np.repeat(np.asarray(values, float), EACH)


def test_better_says_by_how_much_and_how_sure_it_is():
    spread = by_city([-0.5, 0.5, -0.5, 0.5, -0.5, 0.5, -0.5, 0.5])
    found = result_verdict(result(4.0 + spread, path_estimate=8.0, distance_law=20.0))
    assert found.kind == "success" and found.short == "4.0 dB better than path estimate"
    # The difference is 4 dB in the mean and +-0.5 dB by city: eight cities give its mean a deviation of 0.18 dB.
    assert found.title == "4.0 dB better than the path estimate on 8 unseen cities (90 % interval 3.8 to 4.2 dB)"
    told = " ".join(found.sentences)
    assert "RMSE 4.0 dB on 8 unseen cities" in told and "16 radio maps" in told
    assert "The distance law has 20.0 dB: 16.0 dB better than the distance law (90 % interval 15.8 to 16.2 dB)." in told


def test_worse_is_red_with_what_to_do():
    found = result_verdict(result(by_city([3.0, 3.2] * 4), path_estimate=2.6, distance_law=20.0))
    assert found.kind == "danger" and found.short == "0.50 dB worse than path estimate"
    assert found.title.startswith("0.50 dB worse than the path estimate on 8 unseen cities (90 % interval 0.4")
    assert "Do not use this run as it is" in " ".join(found.sentences)


def test_an_interval_that_holds_zero_is_no_difference():
    found = result_verdict(result(2.0 + by_city([1, -1, 0.5, -0.5, 1, -1, 0.2, 0.1]), path_estimate=2.0))
    assert found.kind == "warning" and found.short == "no measurable difference from path estimate"
    assert found.title.startswith("No measurable difference from the path estimate on 8 unseen cities (90 % interval -0.")
    assert "not known after 8 cities" in " ".join(found.sentences)


def test_transmitters_of_one_city_do_not_make_it_certain():
    one = result(2.0, path_estimate=3.0)
    for predicted in one["results"].values():
        predicted["maps"]["map"] = [0] * (CITIES * EACH)
    found = result_verdict(one | {"layouts": 1})
    assert found.kind == "warning" and "interval" not in found.title and "on 1 unseen city" in found.title
    assert "evaluate on several" in " ".join(found.sentences)


def test_trained_cities_and_no_formula_are_no_success():
    trained = result_verdict(result(1.0, "train", path_estimate=3.0))
    assert trained.kind == "note" and "on 8 trained cities" in trained.title and "(trained cities)" in trained.short
    alone = result_verdict(result(1.0))
    assert alone.kind == "warning" and alone.title == "RMSE 1.0 dB on 8 unseen cities, compared with nothing"


def test_the_autoencoder_is_named_where_it_is_the_limit():
    limited = " ".join(result_verdict(result(2.0, autoencoder=1.8, path_estimate=3.0)).sentences)
    assert "The limit is the autoencoder" in limited and "1.8 dB, which is 81 % of the model's squared error" in limited
    free = result_verdict(result(2.0, autoencoder=1.0, path_estimate=3.0))
    assert "autoencoder" not in " ".join(free.sentences)
    alone = result(2.0, path_estimate=3.0)
    alone["results"]["autoencoder"] = alone["results"].pop("model")
    assert result_verdict(alone).title.startswith("The autoencoder gives true maps back with an RMSE of 2.0 dB")


def test_how_sure_the_model_is_stands_beside_it():
    sure = result(1.0, path_estimate=2.0)
    sure["results"]["model"]["spread"] = {"levels": [0.5, 0.9], "coverage": [0.4, 0.8], "width_db": [1.0, 4.2],
                                          "calibrated": True}  # fmt: skip
    found = result_verdict(sure)
    assert found.kind == "success" and found.sentences[-1] == (
        "How sure it is. Over-confident: the 90 % interval (± 2.10 dB in the mean) holds the truth at 80.0 % of the outdoor "
        "pixels, the 50 % interval (± 0.50 dB in the mean) holds the truth at 40.0 % of the outdoor pixels."
    )


def test_a_file_without_decibels_is_judged_by_gain():
    old = result(1.0, path_estimate=2.0)
    for one in old["results"].values():
        del one["figures"]["raw/rmse_db"], one["maps"]["raw/rmse_db"]
    found = result_verdict(old)
    assert found.kind == "warning" and found.title == "1.0 dB better than the path estimate on 8 unseen cities"
    assert "no values of single maps" in " ".join(found.sentences)


@pytest.fixture
def run(tmp_path):
    folder = write_run(tmp_path / "one", "ldm", 2, resumes=0, samples=0)
    (folder / "evaluation").mkdir()
    return folder


def page(folder, tmp_path):
    return write_run_page(read_folder(folder), tmp_path / "site").read_text()


def test_a_run_page_opens_with_the_verdict(run, tmp_path):
    text = page(run, tmp_path)
    assert '# Run one\n\n!!! note "Not evaluated yet: nobody knows how good this run is"' in text
    assert f"`python -m experiments.evaluate --run {run} --data DIR`" in text and '!!! success "Finished' in text
    (run / "evaluation" / "test_steps1.json").write_text(json.dumps(result(9.0, path_estimate=3.0)))
    text = page(run, tmp_path)
    assert '# Run one\n\n!!! danger "6.0 dB worse than the path estimate on 8 unseen cities' in text
    assert '!!! note "Finished' in text and "!!! success" not in text
    row = index_row(summarise(read_folder(run), "one") | {"gone": False}, tmp_path)
    assert len(row) == len(INDEX_HEAD) and row[INDEX_HEAD.index("verdict")] == "6.0 dB worse than path estimate"


def test_the_newest_evaluation_counts_and_a_damaged_one_is_told(run, tmp_path):
    folder = run / "evaluation"
    for name, model, when in (("a", 9.0, "02"), ("b", 1.0, "04"), ("c", 5.0, "03")):
        (folder / f"{name}.json").write_text(
            json.dumps(result(model, path_estimate=3.0) | {"evaluated": f"2026-03-{when}T00:00:00+00:00"})
        )
    (folder / "d.json").write_text("{")
    found = run_verdict(read_folder(run))
    assert found.kind == "success" and found.title.startswith("2.0 dB better") and "d.json is damaged" in found.sentences[-1]


def test_of_one_command_the_runs_own_steps_count(run):
    for steps in (1, 2, 5):
        one = result(float(steps), path_estimate=9.0) | {"steps": steps}
        (run / "evaluation" / f"test_steps{steps}.json").write_text(json.dumps(one))
    read = read_folder(run)
    chosen = newest_result(SimpleNamespace(settings={"objective": {"sampling_steps": 5}}, evaluations=read.evaluations))
    assert chosen[0]["steps"] == 5
    assert newest_result(SimpleNamespace(settings=None, evaluations=read.evaluations))[0]["steps"] == 1


def test_a_log_has_no_verdict(run):
    assert run_verdict(SimpleNamespace(origin="text log")) is None
