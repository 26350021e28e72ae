"""The lean U-Net with the weights of its draft gives the draft's figures on real maps."""

import os
from pathlib import Path

import numpy as np
import pytest

from radiodiff_jax.composition import compose
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.data.sources import open_source
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.models.draft_weights import draft_parameters, new_path
from radiodiff_jax.units import thresholded

SHARED = Path(__file__).resolve().parents[3] / "shared"
WEIGHTS = Path(os.environ.get("RADIODIFF_DRAFT_WEIGHTS", SHARED / "weights" / "simulated.npz"))
SAMPLE = Path(os.environ.get("RADIODIFF_SAMPLE_DIR", SHARED / "radiomapseer_sample"))
FEATURES = ("buildings", "line_of_sight", "free_space", "offset", "walls", "blocked", "transmitter_gaussian")


@pytest.mark.skipif(not (WEIGHTS.is_file() and SAMPLE.is_dir()), reason=f"needs {WEIGHTS} and {SAMPLE}")
def test_the_drafts_weights_give_the_drafts_figures():
    """RMSE of 13 real maps, raw and thresholded, as the draft's own program has it."""
    composition = compose(GeneratorConfig(features=FEATURES, estimate="line_of_sight"))
    generator = Generator(composition, {"params": draft_parameters(np.load(WEIGHTS))}, {})
    source, errors = open_source(SAMPLE, "all"), []
    for index in range(len(source)):
        record = source[index]
        found = generator.predict(record["buildings"], tuple(record["position"].tolist())).gain
        found, truth = np.round(found * 255) / 255, record["gain"] / 255
        errors.append([np.sqrt(np.mean((f - t) ** 2)) for f, t in ((found, truth), map(thresholded, (found, truth)))])
    assert len(errors) == 13
    np.testing.assert_allclose(np.mean(errors, 0), [0.01689, 0.01354], atol=2e-5)


def test_what_is_no_draft_is_refused():
    with pytest.raises(UserError, match="no layer Dense_0/kernel; give a file of the draft"):
        draft_parameters({"['Dense_0']['kernel']": np.zeros((2, 2), np.uint16)})
    assert new_path(("Res_10", "Conv_2", "bias"), 5) == ("up_block_4_0", "shortcut", "bias")
    assert new_path(("Conv_5", "kernel"), 5) == ("upsample_3", "kernel")
