"""Growing files survive being cut off."""

import json

import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.run_folder import JsonLines, read_json_lines


@pytest.fixture
def lines(tmp_path):
    lines = JsonLines(tmp_path / "metrics.jsonl")
    for step in (10, 20, 30):
        lines.append({"step": step, "loss": 1 / step})
    return lines


def test_what_is_written_is_read(lines):
    assert [record["step"] for record in read_json_lines(lines.path)] == [10, 20, 30]
    assert read_json_lines(lines.path.with_name("none.jsonl")) == []


def test_numbers_that_are_not_finite_are_null(lines):
    lines.append({"step": 40, "loss": float("nan"), "more": [float("inf"), {"x": -float("inf")}]})
    text = lines.path.read_text().splitlines()[-1]
    assert json.loads(text, parse_constant=pytest.fail) == {"step": 40, "loss": None, "more": [None, {"x": None}]}


def test_unfinished_last_line_is_left_out_and_then_removed(lines):
    with lines.path.open("a") as file:
        file.write('{"step": 40, "lo')
    assert len(read_json_lines(lines.path)) == 3
    JsonLines(lines.path).append({"step": 50})
    assert [record["step"] for record in read_json_lines(lines.path)] == [10, 20, 30, 50]


def test_cut_back_drops_later_lines_and_an_unfinished_one(lines):
    with lines.path.open("a") as file:
        file.write('{"step": 5')
    lines.cut_back(20)
    assert lines.path.read_text().count("\n") == 2
    assert [record["step"] for record in read_json_lines(lines.path)] == [10, 20]
    lines.cut_back(0)
    assert lines.path.read_text() == ""


def test_damage_in_the_middle_is_told(lines):
    lines.path.write_text('{"step": 1}\n{"st\n{"step": 3}\n')
    with pytest.raises(UserError, match="line 2 is damaged"):
        read_json_lines(lines.path)
