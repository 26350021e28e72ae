"""Surveys of folders: known distances, the law that made the maps, and what cannot be read."""

import numpy as np
import pytest

from radiodiff_jax.data.checks.compare import compare_shared, shared_pairs
from radiodiff_jax.data.checks.survey import nearest_building, row_quantile, survey_curves, survey_folder, survey_splits
from radiodiff_jax.errors import UserError
from radiodiff_jax.propagation import line_of_sight_db
from radiodiff_jax.radiomapseer import RadioMapFolder
from tests.data.example_folder import write_example_folder


def test_nearest_building():
    buildings = np.zeros((8, 8), bool)
    assert np.isnan(nearest_building(buildings, 1, 1))
    buildings[4, 5] = buildings[7, 7] = True
    assert nearest_building(buildings, 1, 1) == 5
    assert nearest_building(buildings, 4, 5) == 0


def test_quantiles_of_counts():
    counts = np.array([[4, 0, 4, 2], [0, 0, 0, 1]])
    assert row_quantile(counts, 0.5).tolist() == [2, 3]
    assert row_quantile(counts, 0.1).tolist() == [0, 3]


def test_curves_of_maps_that_the_law_made(tmp_path):
    survey = survey_folder(RadioMapFolder(write_example_folder(tmp_path / "maps", maps=5)))
    curves = survey_curves(survey)
    distance = curves["gain_by_distance"]
    assert len(distance["metres"]) > 20
    law = line_of_sight_db(np.array(distance["metres"]) ** 2)
    assert np.abs(np.array(distance["50"]) - law)[5:].max() < 1.0  # bins of 1 m: the law falls 1 dB over the first ones
    outdoors = sum((survey.folder.buildings(number) == 0).sum() * 2 for number in range(5))
    assert sum(curves["grey_counts"]) == sum(curves["pixels_by_distance"]) == outdoors
    assert len(curves["transmitter_distance"]) == 10 and len(curves["building_share"]) == 5


def test_at_most_so_many_maps_are_read_and_splits_are_of_all(tmp_path):
    survey = survey_folder(RadioMapFolder(write_example_folder(tmp_path / "maps", maps=5)), most=3)
    assert survey.pairs == [(0, 0), (2, 0), (4, 1)]
    splits = survey_splits(survey)
    assert splits["rule"] == "by_map"
    assert sorted(sum((part["maps"] for part in splits["parts"].values()), [])) == [0, 1, 2, 3, 4]
    assert sum(part["radio_maps"] for part in splits["parts"].values()) == 10


def test_what_cannot_be_read_is_left_out_and_told(tmp_path):
    root = write_example_folder(tmp_path / "maps", maps=3)
    (root / "png/antennas/1_1.png").unlink()
    (root / "gain/DPM/2_0.png").write_bytes(b"no picture")
    survey = survey_folder(RadioMapFolder(root))
    assert survey.pairs == [(0, 0), (0, 1), (1, 0), (2, 1)]
    assert [fault.split(" ")[0].rsplit("/", 1)[1] for fault in survey.faults] == ["1_1.png", "2_0.png"]
    for path in (root / "png/antennas").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no radio map of .* can be used: .*is missing"):
        survey_folder(RadioMapFolder(root))


def test_scenes_are_shared_where_buildings_and_transmitter_are_equal(tmp_path):
    first = write_example_folder(tmp_path / "first", maps=3)
    second = write_example_folder(tmp_path / "second", maps=3)
    swapped = second / "png/antennas"
    (swapped / "1_0.png").rename(tmp_path / "kept.png")
    (swapped / "1_1.png").rename(swapped / "1_0.png")
    (tmp_path / "kept.png").rename(swapped / "1_1.png")
    (second / "png/buildings_complete/2.png").write_bytes((second / "png/buildings_complete/0.png").read_bytes())
    folders = RadioMapFolder(first), RadioMapFolder(second)
    assert shared_pairs(*folders) == ([(0, 0), (0, 1)], 6)
    found = compare_shared(*folders)
    assert [row["rmse"] for row in found["maps"]] == [0, 0] and found["mean"]["ssim"] == pytest.approx(1)
    wide = RadioMapFolder(write_example_folder(tmp_path / "wide", maps=3, size=(32, 64)))
    assert compare_shared(folders[0], wide) is None
