"""Apache Beam on two worker processes: simulated folders and maps of sites with the same bytes as without, faults told."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("apache_beam", reason="Apache Beam (extra `beam`) is not installed")

from experiments import coverage, dataset
from radiodiff_jax.beam_pipeline import beam_jobs
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import write_mask
from radiodiff_jax.inference.model_file import write_model_file
from radiodiff_jax.simulation import write_masks_folder
from tests.inference.test_model_file import generator  # noqa: F401 (a fixture)

HERE = ["--beam", "--beam-option", "runner=DirectRunner"]
WORKERS = [*HERE, "--beam-option", "direct_num_workers=2", "--beam-option", "direct_running_mode=multi_processing"]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def simulate(out: Path, *words: str) -> dict[str, bytes]:
    dataset.main(["simulate", "--out", str(out), *words])
    return {name: data for name, data in contents(out).items() if name != "simulation.json" or "--scenes" not in words}


def test_two_workers_simulate_what_one_process_simulates(tmp_path):
    words = ["--maps", "3", "--transmitters", "2", "--size", "64", "--seed", "5", "--cars"]
    plain = simulate(tmp_path / "plain", *words, "--workers", "1")
    assert len(plain) == 1 + 3 * 2 + 3 * 2 * 3 and simulate(tmp_path / "beam", *words, *WORKERS) == plain
    (tmp_path / "beam/gain/DPM/1_0.png").unlink()  # what is there is kept, what is missing made
    assert simulate(tmp_path / "beam", *words, *HERE) == plain
    scenes = simulate(tmp_path / "scenes", "--scenes", str(tmp_path / "plain"), *HERE)
    assert scenes == simulate(tmp_path / "scenes too", "--scenes", str(tmp_path / "plain"), "--workers", "1")


def test_given_masks_and_a_refused_one(tmp_path):
    free, full = np.zeros((32, 32), bool), np.ones((32, 32), bool)
    run = {"transmitters": 1, "seed": 0, "progress": False}
    write_masks_folder(tmp_path / "plain", [free, free], {}, **run)
    write_masks_folder(tmp_path / "beam", [free, free], {}, run_jobs=beam_jobs(["runner=DirectRunner"]), **run)
    assert contents(tmp_path / "beam") == contents(tmp_path / "plain")
    with pytest.raises(UserError, match="has only 0 pixels outside buildings"):
        write_masks_folder(tmp_path / "faulty", [full, full], {}, run_jobs=beam_jobs(["runner=DirectRunner"]), **run)
    assert not (tmp_path / "faulty").exists()
    with pytest.raises(UserError, match="Apache Beam refuses runner=NoRunner"):
        write_masks_folder(tmp_path / "faulty", [free], {}, run_jobs=beam_jobs(["runner=NoRunner"]), **run)


def test_two_workers_make_the_maps_of_sites(generator, tmp_path):  # noqa: F811
    walls = np.zeros((48, 64), bool)
    walls[8:20, 10:30] = walls[30:40, 40:55] = True
    write_mask(tmp_path / "city.png", walls)
    rows = ["a,2,2", "b,44,60", "c,2,60", "d,44,2", "e,24,32", "f,25,4"]  # two groups
    (tmp_path / "sites.csv").write_text("\n".join(["name,row,column", *rows]))
    model = tmp_path / "small.safetensors"
    write_model_file(model, generator.composition, generator.variables, {}, {"summary": "a test"}, "MIT", precision="float32")
    words = ["--buildings", str(tmp_path / "city.png"), "--sites", str(tmp_path / "sites.csv"), "--out"]
    for source, options in ((["--model", str(model)], WORKERS), (["--exact"], HERE)):
        plain, beam = (tmp_path / f"{name}{source[0]}" for name in ("plain", "beam"))
        assert coverage.main([*source, *words, str(plain), "--each"]) == 0
        assert coverage.main([*source, *words, str(beam), "--each", *options]) == 0
        assert {path.name for path in (beam / "parts").iterdir()} == {f"{site}.npz" for site in range(6)} | {"parts.json"}
        assert {name: data for name, data in contents(beam).items() if not name.startswith("parts/")} == contents(plain)
