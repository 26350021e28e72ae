"""Maps that are computed of each scene beforehand: written beside a folder's, told to a network, made anew in predictions."""

import json
import shutil

import numpy as np
import pytest

from experiments import dataset, evaluate, predict, train
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.data.sources import computed_there, open_varied_source, varied_fingerprint
from radiodiff_jax.data.symmetries import transform_image, transform_record
from radiodiff_jax.errors import UserError
from radiodiff_jax.features import Scene, estimate_gain, feature_image
from radiodiff_jax.images import read_grey
from radiodiff_jax.inference.loading import load_generator
from radiodiff_jax.radiomapseer import COMPUTED, RadioMapFolder
from radiodiff_jax.settings import DataConfig
from radiodiff_jax.simulation import write_simulated_folder
from radiodiff_jax.simulation.scene_maps import scene_maps
from radiodiff_jax.units import gain_to_db, gain_to_grey, grey_to_gain
from tests.micro import SHORT, TRAINING, write_data

WORDS = ["image_size=[32,32]", "backbone.widths=[8,16]", f"features=[buildings,free_space,{','.join(COMPUTED)}]", "estimate=rays",
         f"data.computed=[{','.join(COMPUTED)}]", *TRAINING, *SHORT, "training.batch_size=2"]  # fmt: skip
ALL_COMPUTED = DataConfig(computed=COMPUTED)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = write_data(tmp_path_factory.mktemp("computed") / "data")
    assert dataset.main(["compute", "--root", str(folder), "--workers", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def run(data):
    run = data.parent / "run"
    assert train.main(["--config", "pixel-tiny", "--data", str(data), "--run", str(run), *WORDS]) == 0
    return run


def test_the_dominant_path_map_is_the_simulators_own(data):
    source = open_varied_source(data, "train", ALL_COMPUTED)
    record = source[1]
    # The simulator had the city's polygons, the map is made of those traced from the mask.
    near = np.abs(record["dominant_path"].astype(int) - record["gain"]) <= 10
    assert near.mean() > 0.9
    assert (record["reflections"] > 0).any() and not (record["reflections"][record["buildings"]]).any()
    assert not (record["diffraction"][record["buildings"]]).any()
    found = scene_maps(COMPUTED, record["buildings"], tuple(record["position"].tolist()))
    assert all((found[name] == record[name]).all() for name in COMPUTED)


def test_what_is_in_the_place_of_a_map_is_told(tmp_path):
    write_simulated_folder(tmp_path / "data", maps=1, transmitters=1, size=(32, 32), seed=0, progress=False)
    words = ["compute", "--root", str(tmp_path / "data"), "--workers", "1"]
    for name in ("gain/reflections", "gain/diffraction/0_0.png"):
        path = tmp_path / "data" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x") if path.suffix == "" else path.mkdir()
        with pytest.raises(UserError, match=f"{name} (cannot be written: it is a file|should be a file)"):
            dataset.main(words)
        assert not (tmp_path / "data/gain/dominant_path").exists()
        path.unlink() if path.is_file() else path.rmdir()


def test_what_is_there_is_left_alone_and_the_rest_is_computed(data):
    first, second = (data / f"gain/reflections/{name}.png" for name in ("0_0", "3_2"))
    before, content = first.stat().st_mtime_ns, second.read_bytes()
    second.unlink()
    assert dataset.main(["compute", "--root", str(data), "--maps", "reflections", "--workers", "1"]) == 0
    assert first.stat().st_mtime_ns == before and second.read_bytes() == content
    assert dataset.main(["check", "--root", str(data)]) == 0


def test_maps_turn_with_the_scene_and_count_as_data(data):
    record = open_varied_source(data, "train", ALL_COMPUTED)[0]
    turned = transform_record(record, 5)
    assert all((turned[name] == transform_image(record[name], 5)).all() for name in COMPUTED)
    assert varied_fingerprint(data, ALL_COMPUTED) != varied_fingerprint(data, DataConfig())


def test_the_estimate_by_rays_adds_the_powers(data):
    gains = {"reflections": np.full((1, 2, 2), 0.5, np.float32), "diffraction": np.array([[[0.5, 0], [0, 0]]], np.float32)}
    gains["reflections"][0, 1] = 0
    scene = Scene(np.zeros((1, 2, 2), bool), np.zeros((1, 2), np.int32), computed=gains)
    found = np.asarray(estimate_gain("rays", scene))[0, ..., 0]
    assert np.allclose(found[1], 0) and np.isclose(found[0, 1], 0.5)
    assert np.isclose(gain_to_db(found[0, 0]), gain_to_db(np.float32(0.5)) + 10 * np.log10(2), atol=1e-3)
    assert np.allclose(feature_image(["reflections"], scene)[0, ..., 0], 2 * gains["reflections"][0] - 1)
    for what in (lambda: estimate_gain("dominant_path", scene), lambda: feature_image(["dominant_path"], scene)):
        with pytest.raises(UserError, match="'dominant_path' of this scene was not computed; add it to data.computed"):
            what()


def test_a_model_predicts_the_same_of_maps_that_are_there_and_of_its_own(run, data, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(data, bare, ignore=shutil.ignore_patterns(*COMPUTED))
    assert computed_there(data, COMPUTED) == COMPUTED and computed_there(bare, COMPUTED) == ()
    for root in (data, bare):
        words = ["--run", str(run), "--data", str(root), "--split", "test", "--out", str(tmp_path / f"{root.name}.json")]
        assert evaluate.main(words) == 0
    results = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("data", "bare")]
    models = [result["results"]["model"]["figures"] for result in results]
    assert models[0] == models[1]

    record = RadioMapFolder(data).record(5, 1, cars=False)
    row, column = record["position"].tolist()
    found = load_generator(run).predict(record["buildings"], (row, column))
    out = tmp_path / "map.png"
    words = ["--run", str(run), "--buildings", str(data / "png/buildings_complete/5.png"), "--out", str(out)]
    assert predict.main([*words, "--tx", f"{row},{column}"]) == 0
    assert (read_grey(out) == gain_to_grey(found.gain)).all()
    # Four updates are too few to lead far from the estimate that it starts from.
    maps = scene_maps(COMPUTED, record["buildings"], (row, column))
    scene = Scene(record["buildings"][None], record["position"][None], computed={k: grey_to_gain(v)[None] for k, v in maps.items()})
    assert np.abs(found.gain - np.asarray(estimate_gain("rays", scene))[0, ..., 0] * ~record["buildings"]).mean() < 0.1


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"features": ("buildings", "reflections")}, r"data.computed lacks 'reflections'.*data.computed=\[reflections\]"),
        ({"estimate": "rays", "data": DataConfig(computed=("reflections",))}, "lacks 'diffraction'"),
        ({"data": DataConfig(computed=("reflections",), source="simulate")}, "nothing to learn"),
        ({"data": DataConfig(computed=("reflections",), buildings="missing1")}, "knows all buildings"),
    ],
)
def test_settings_that_do_not_fit_are_told(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        GeneratorConfig(**settings)


def test_missing_maps_are_told_with_the_remedy(data, tmp_path):
    bare = tmp_path / "bare"
    shutil.copytree(data, bare, ignore=shutil.ignore_patterns("reflections"))
    with pytest.raises(UserError, match=f"no maps reflections.*dataset compute --root {bare}"):
        open_varied_source(bare, "train", ALL_COMPUTED)
    (data / "gain/diffraction/0_0.png").rename(tmp_path / "kept.png")
    try:
        with pytest.raises(UserError, match="maps diffraction of them; compute them"):
            open_varied_source(data, "train", ALL_COMPUTED)
    finally:
        (tmp_path / "kept.png").rename(data / "gain/diffraction/0_0.png")
    with pytest.raises(UserError, match="--mix simulate makes maps that data.computed tells"):
        train.main(["--config", "pixel-tiny", "--data", str(data), "--run", str(tmp_path / "run"), "--mix", "simulate", *WORDS])
