"""The command `experiments.dataset`, and the shell that all commands share."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments import dataset
from experiments.command import run_command, text_table, whole_number
from radiodiff_jax.data.checks.compare import difference_counts
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import read_grey, write_grey
from radiodiff_jax.radiomapseer import RadioMapFolder
from tests.data.example_folder import write_example_folder, write_missing_buildings

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path):
    return write_example_folder(tmp_path / "maps", maps=4)


READ = "read 8 radio maps of 4 layouts; --complete tells what it lacks of the whole RadioMapSeer"


def call(*words):
    """Exit code of `python -m experiments.dataset words...`, within this process."""
    with pytest.raises(SystemExit) as left:
        run_command(lambda: dataset.main([str(word) for word in words]))
    return left.value.code


def test_runs_as_a_module_from_the_repository_root(root):
    words = [sys.executable, "-m", "experiments.dataset", "check", "--root", str(root)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == f"{root} (DPM): 0 errors, 0 warnings; {READ}\n"


def test_check_fails_on_errors_and_writes_all_findings(root, tmp_path, capsys):
    (root / "gain/DPM/1_1.png").unlink()
    assert call("check", "--root", root, "--json", tmp_path / "found.json") == 1
    sentence = "gain/DPM/1_1.png is missing, but needed by png/antennas/1_1.png"
    told = f"{root} (DPM): 1 error, 0 warnings; {READ.replace('8', '7')}"
    assert capsys.readouterr().out.splitlines() == [f"error: {sentence}", told]
    found = json.loads((tmp_path / "found.json").read_text())
    assert found == [{"severity": "error", "file": sentence.split()[0], "sentence": sentence.split(" ", 1)[1]}]


def test_check_passes_on_warnings_and_shortens_long_lists(root, capsys):
    for number in range(60):
        (root / f"gain/DPM/stray{number}.png").write_bytes(b"x")
    assert call("check", "--root", root) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 52 and lines[50] == "... and 10 more (all of them with --json FILE)"


def test_check_may_look_at_names_only_and_hold_a_folder_against_the_whole_set(root, capsys):
    (root / "gain/DPM/1_1.png").write_bytes(b"")
    assert call("check", "--root", root, "--quick") == 0
    assert call("check", "--root", root, "--quick", "--complete") == 1
    lines = capsys.readouterr().out.splitlines()
    assert "error: gain/DPM lacks 697 of 701 maps: 4-700" in lines
    assert "error: gain/DPM/3_*.png lacks transmitters 2-79" in lines
    assert lines[-2].split() == ["gain/DPM", "8", "56080", "56072"]
    assert lines[-1].endswith("; looked at the names of 8 radio maps of 4 layouts")


def test_build_tells_what_it_packed(root, tmp_path, capsys):
    write_missing_buildings(root, "missing2", maps=4)
    out = tmp_path / "tfds"
    assert call("build", "--root", root, "--out", out, "--buildings", "missing2") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in (lines[1], lines[6])] == [["train", "2", "4"], ["train", "2", "2"]]
    assert lines[4] == f"{out}/radio_maps/DPM/1.0.0: 3 files, split rule by_map"
    assert lines[-1] == f"train with --data {out}"
    assert call("build", "--root", root, "--out", out, "--beam-option", "runner=DirectRunner") == 2
    assert "--beam-option has a meaning with --beam only" in capsys.readouterr().err
    assert call("simulate", "--out", out, "--beam", "--workers", 2) == 2
    assert "--workers has no meaning with --beam" in capsys.readouterr().err


def test_compare(root, tmp_path, capsys):
    other = write_example_folder(tmp_path / "other", maps=3)
    changed = read_grey(other / "gain/DPM/2_0.png")
    write_grey(other / "gain/DPM/2_0.png", np.where(changed < 253, changed + 2, changed).astype(np.uint8))
    written = ["--json", tmp_path / "compare.json", "--figures", tmp_path / "figures"]
    assert call("compare", "--truth", root, "--other", other, *written) == 0
    printed = capsys.readouterr().out
    for variant in ("light", "dark"):
        assert f"figure: {tmp_path}/figures/differences.{variant}.png\n" in printed
        assert (tmp_path / "figures" / f"differences.{variant}.png").read_bytes().startswith(b"\x89PNG")
        drawn = (tmp_path / "figures" / f"errors.{variant}.svg").read_text()
        assert all(words in drawn for words in ("outdoor pixels (%)", "one map", "too bright", "too dark"))
    assert "6 radio maps, raw protocol" in printed and "left out: 2 radio maps that only" in printed
    result = json.loads((tmp_path / "compare.json").read_text())
    rows = {(row["map"], row["transmitter"]): row for row in result["maps"]}
    assert rows[0, 0]["rmse"] == 0 and rows[0, 0]["psnr_db"] == 100 and rows[0, 0]["within_1"] == 1
    row = rows[2, 0]
    assert row["rmse"] == pytest.approx(2 / 255, rel=0.01) and row["within_1"] < 0.01 and row["within_2"] == 1
    assert result["mean"]["rmse"] == pytest.approx(row["rmse"] / 6) and result["median"]["rmse"] == 0


def test_differences_are_counted_outdoors_with_their_sign(root, tmp_path):
    other = write_example_folder(tmp_path / "other", maps=3)
    grey, outdoors = read_grey(other / "gain/DPM/2_0.png").astype(int), read_grey(other / "png/buildings_complete/2.png") == 0
    changed = grey - 3 * ((grey >= 3) & outdoors) + 9 * ((grey < 246) & ~outdoors)
    write_grey(other / "gain/DPM/2_0.png", changed.astype(np.uint8))
    counts = difference_counts(RadioMapFolder(root), RadioMapFolder(other), [(0, 0), (2, 0)])
    assert counts.shape == (2, 511) and counts[0, 255] == counts[0].sum()
    assert counts[1, 255 - 3] == ((grey >= 3) & outdoors).sum() > 0
    assert counts[1, 255 - 3] + counts[1, 255] == counts[1].sum() == outdoors.sum()


def test_compare_needs_common_maps_of_one_size(root, tmp_path, capsys):
    other = write_example_folder(tmp_path / "wide", maps=1, size=(32, 64))
    assert call("compare", "--truth", root, "--other", other) == 1
    assert "are 32 x 32 and 32 x 64 pixels; only equal sizes" in capsys.readouterr().err
    for path in (other / "gain/DPM").iterdir():
        path.rename(path.with_name(f"9{path.name}"))
    assert call("compare", "--truth", root, "--other", other) == 1
    assert "have no radio map of the same name" in capsys.readouterr().err


def test_explore_writes_numbers_figures_and_the_page(root, tmp_path, capsys):
    out, site = tmp_path / "explore" / "maps", tmp_path / "site"
    assert call("explore", "--root", root, "--out", out, "--site", site, "--count", 6) == 0
    printed = capsys.readouterr().out
    assert "built share of a map, mean" in printed and "check: 0 errors, 0 warnings" in printed
    facts = json.loads((out / "numbers.json").read_text())["sets"][0]["facts"]
    assert facts["radio maps"] == 8 and facts["size (m)"] == "32 x 32"
    assert facts["radio maps read for the numbers below"] == 6
    assert facts["raw RMSE of the distance law with buildings blanked, mean"] < 0.002  # they are made by that law
    assert (out / "samples.dark.png").read_bytes().startswith(b"\x89PNG")
    assert "maps/index.md" in (site / "data/index.md").read_text() and (site / "data/maps/index.md").is_file()


def test_explore_sets_simulated_maps_beside(root, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    other = write_example_folder(tmp_path / "simulated", maps=4)
    assert call("explore", "--root", root, "--simulated", other) == 0
    assert "real  simulated" in capsys.readouterr().out
    assert (tmp_path / "explore/maps/differences.light.png").is_file()  # named after the root
    assert call("explore", "--root", root, "--simulated", tmp_path / "none") == 1
    assert "has no radio maps below gain/" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, size",
    [(["--size", "128x192"], (128, 192)), (["--size", "64"], (64, 64)), ([], (256, 256))],
)
def test_simulate_hands_its_settings_over(words, size, monkeypatch, tmp_path):
    from radiodiff_jax import simulation

    def write(out, **settings):
        assert settings == {"maps": 3, "transmitters": 1, "size": size, "seed": 5, "workers": 2, "cars": False}
        write_example_folder(out, maps=3, transmitters=1)

    monkeypatch.setattr(simulation, "write_simulated_folder", write, raising=False)
    given = ["--out", tmp_path / "new", "--maps", 3, "--transmitters", 1, "--seed", 5, "--workers", 2]
    assert call("simulate", *given, *words) == 0


@pytest.mark.parametrize(
    "words",
    [
        ["simulate", "--out", "x", "--size", "100"],
        ["simulate", "--out", "x", "--size", "64x64x64"],
        ["simulate", "--out", "x", "--maps", "0"],
        ["simulate", "--out", "x", "--seed", "-1"],
        ["build", "--root", "x"],
        ["build", "--root", "x", "--out", "y", "--simulation", "rays"],
        ["paint"],
        [],
    ],
)
def test_wrong_usage_leaves_with_2_and_no_traceback(words, capsys):
    assert call(*words) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("usage: python -m experiments.dataset") and "Traceback" not in printed


@pytest.mark.parametrize("command", ["simulate", "compare", "build", "check", "explore"])
def test_help_has_an_example_and_defaults(command, capsys):
    assert call(command, "--help") == 0
    printed = capsys.readouterr().out
    assert f"example:\n  python -m experiments.dataset {command} --" in printed
    assert "None" not in printed and "False" not in printed
    assert command == "check" or "(default: " in printed


def leave(main):
    with pytest.raises(SystemExit) as left:
        run_command(main)
    return left.value.code


def raising(error):
    def main():
        raise error

    return main


def test_faults_are_one_line_and_an_exit_code(capsys):
    assert leave(raising(UserError("the sea is missing; add water"))) == 1
    assert leave(raising(UserError("that is no word", exit_code=2))) == 2
    assert leave(raising(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "error: the sea is missing; add water\nerror: that is no word\ninterrupted\n"
    assert leave(lambda: None) == 0 and leave(lambda: 1) == 1
    assert leave(raising(ZeroDivisionError())) == 1  # the traceback of our own faults is in a file
    told = capsys.readouterr().err
    assert "this is a fault of the program (ZeroDivisionError)" in told and "Traceback" not in told


def test_a_reader_that_goes_away_is_no_fault():
    program = "from experiments.command import run_command\nrun_command(lambda: print(*['x' * 99] * 9999, sep='\\n'))"
    done = subprocess.run(
        f'"{sys.executable}" -c "{program}" | head -n 1', shell=True, cwd=REPOSITORY, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.stdout == "x" * 99 + "\n" and done.stderr == ""


def test_tables_align_text_left_and_numbers_right():
    table = text_table(["name", "value"], [["a", 0.5], ["long name", None], ["b", 12345]])
    assert table == "name        value\na          0.5000\nlong name       -\nb           12345"


def test_whole_numbers():
    assert whole_number(1)("12") == 12
