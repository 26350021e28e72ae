"""Pages of ablations: means, spread and paired differences as computed by hand, verdicts, nothing drawn twice."""

import copy
import json
import re

import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.ablation_pages import add_ablation, write_ablation_pages
from radiodiff_jax.reporting.ablation_summary import paired_difference, rank_lines, read_ablation, rows_of, verdict
from tests.reporting.ablation_result import ablation_result


@pytest.fixture
def result():
    return ablation_result()


def row(result, name):
    return next(one for one in rows_of(result) if one.name == name)


def test_means_deviations_and_paired_differences_are_those_by_hand(result):
    # wide - plain: -0.002, -0.001, -0.003: mean -0.002, deviation 0.001; Student's 95 % point of 2 degrees is 2.91999
    wide = row(result, "wide")
    assert wide.mean == pytest.approx(0.02) and wide.deviation == pytest.approx(0.0017320508)
    assert wide.paired.mean == pytest.approx(-0.002)
    assert wide.paired.interval == pytest.approx((-0.002 - 0.00168585, -0.002 + 0.00168585), abs=1e-8)
    assert row(result, "plain").paired is None and row(result, "plain").mean == pytest.approx(0.022)
    assert [(one.name, one.word) for one in rows_of(result)] == [
        ("wide", "better"), ("noisy", "within noise"), ("plain", "reference"), ("flow", "worse"), ("single", "one seed"),
    ]  # fmt: skip


def test_two_seeds_have_an_interval_and_one_has_none():
    # differences 0.001 and 0.003: mean 0.002, half width 6.31375 * 0.00141421 / sqrt(2) = 0.00631375
    two = paired_difference({0: 0.021, 1: 0.023, 9: 0.5}, {0: 0.02, 1: 0.02})
    assert two.mean == pytest.approx(0.002) and two.seeds == 2 and two.word == "within noise"
    assert two.interval == pytest.approx((0.002 - 0.00631375, 0.002 + 0.00631375), abs=1e-7)
    one = paired_difference({0: 0.021}, {0: 0.02})
    assert one.interval is None and one.word == "one seed" and paired_difference({1: 0.1}, {0: 0.1}) is None


def test_cost_counts_what_a_variant_builds_on(result):
    flow, noisy = row(result, "flow"), row(result, "noisy")
    assert flow.flops_before == pytest.approx(1e12) and flow.flops == pytest.approx(1.5e12)
    assert noisy.flops_before == pytest.approx(4e12) and noisy.floor == pytest.approx(0.012)
    assert row(result, "wide").ms_per_map == 4.0  # the median of 3, 4, 9


def test_the_verdict_names_winner_losers_and_noise(result):
    kind, title, sentences = verdict(result)
    text = " ".join(sentences)
    assert (kind, title) == ("success", "wide has 9.1 % less error than plain")
    assert "Better than **plain**: wide (-9.1 %, 90 % interval -16.8 to -1.4 %)" in text
    assert "Worse than **plain**: flow" in text and "Not to be told from **plain**: noisy" in text
    assert "path estimate, which needs no training, has 2.28 dB (0.0230); no better than that: flow, single" in text
    assert "1.19 dB (0.0120): latent variants can hardly be better" in text
    assert "One seed, so not certain, beside **plain**: single" in text


def test_without_a_winner_nothing_is_praised(result):
    result["items"] = [item for item in result["items"] if item["name"] not in ("wide", "single")]
    assert verdict(result)[:2] == ("note", "No variant is measurably better than plain")
    for item in result["items"]:
        item["runs"] = item["runs"][:1] if item["variant"] else item["runs"]
    assert verdict(result)[0] == "warning" and "another seed may turn the order" in verdict(result)[1]
    for item in result["items"]:
        item["runs"] = [{"seed": 0, "state": "waiting", "run": "runs/x"}]
    assert verdict(result)[1] == "No run is finished yet"


def write(site, result, name="micro"):
    (site / "ablations").mkdir(parents=True, exist_ok=True)
    (site / "ablations" / f"{name}.json").write_text(json.dumps(result))


def test_the_page_says_how_it_was_made_and_shows_all_figures(result, tmp_path):
    write(tmp_path, result)
    (page,) = write_ablation_pages(tmp_path)
    text = page.read_text()
    assert text.index("9.1 % less error") < text.index("## Error")
    for said in ("350 updates", "2 x cpu", "A Processor, 2 cores", "python -m experiments.ablate --plan micro", "0, 1, 2",
                 "-0.365 to -0.031", "4 radio maps of 2 city maps (test)", "starts from the plain of the same seed",
                 "trained once with 2 times the budget", "it blew up", "(../micro.json)"):  # fmt: skip
        assert said in text, said
    shown = re.findall(r"\((figures/[^)#]+)#only-(light|dark)\)", text)
    assert len(shown) == 6
    for path, variant in shown:
        picture = (page.parent / path).read_text()
        assert "<svg" in picture and f".{variant}." in path
    drawn = (page.parent / "figures/errors.light.svg").read_text()
    for said in ("RMSE raw (gain), test split", "path estimate", "line-of-sight estimate", "autoencoder (floor)"):
        assert said in drawn, said
    assert "time a map (ms)" in (page.parent / "figures/time.light.svg").read_text()
    assert "training (TFLOP)" in (page.parent / "figures/flops.light.svg").read_text()


def test_sampling_steps_have_a_table_of_their_own(result, tmp_path):
    write(tmp_path, result)
    text = write_ablation_pages(tmp_path)[0].read_text()
    assert "| flow | 1 | 1 | 0.0250 |" in text and "| flow | 5 | 5 | 0.0260 |" in text


def test_nothing_is_written_twice_and_pages_without_a_result_go(result, tmp_path):
    write(tmp_path, result)
    write(tmp_path, copy.deepcopy(result) | {"title": "Other"}, "other")
    pages = write_ablation_pages(tmp_path)
    files = [file for page in pages for file in page.parent.rglob("*") if file.is_file()]
    before = {file: file.stat().st_mtime_ns for file in files}
    assert len(pages) == 2 and len(before) > 10
    write_ablation_pages(tmp_path)
    assert {file: file.stat().st_mtime_ns for file in files} == before
    (tmp_path / "ablations/other.json").unlink()
    write_ablation_pages(tmp_path)
    assert not (tmp_path / "ablations/other").exists() and "Other" not in (tmp_path / "ablations/index.md").read_text()


def test_a_result_is_taken_into_the_site(result, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ablation.json").write_text(json.dumps(result))
    page = add_ablation(tmp_path / "out", tmp_path / "site")
    assert page.is_file() and (tmp_path / "site/ablations/micro.json").is_file()
    assert "wide has 9.1 %" in (tmp_path / "site/ablations/index.md").read_text()


def test_a_table_for_the_terminal(result):
    head, rows = rank_lines(result)
    assert len(head) == len(rows[0]) and rows[0][0] == "wide" and rows[-1][6] == "no training"


def test_damaged_results_are_one_sentence(result, tmp_path):
    path = tmp_path / "ablation.json"
    for content, says in (
        (None, "missing"), ("{", "no JSON"), ("[]", "version"), (json.dumps(result | {"version": 0}), "version"),
        (json.dumps({key: value for key, value in result.items() if key != "items"}), "'items' is missing"),
    ):  # fmt: skip
        if content is not None:
            path.write_text(content)
        with pytest.raises(UserError, match=says):
            read_ablation(path)
