"""The metrics as TensorBoard files, through a resume; and what is said where the library is missing."""

import importlib.util

import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.session import SessionOptions
from tests.training.toy import make_config, run_toy

MISSING = importlib.util.find_spec("tensorboard") is None


@pytest.mark.skipif(not MISSING, reason="tensorboard is installed")
def test_missing_library_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match="training.tensorboard needs the package tensorboard; install the extra"):
        run_toy(tmp_path / "run", make_config(tensorboard=True))


@pytest.mark.skipif(MISSING, reason="tensorboard is not installed")
def test_curves_go_on_after_a_resume(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = make_config(tensorboard=True, checkpoint_every=5)
    run_toy(tmp_path / "run", config, options=SessionOptions(until=9))
    (tmp_path / "run" / "checkpoints" / "9").rename(tmp_path / "lost")  # as if killed before it was saved
    run_toy(tmp_path / "run", config)
    curves = EventAccumulator(str(tmp_path / "run" / "tensorboard"), purge_orphaned_data=True).Reload()
    assert [point.step for point in curves.Scalars("loss")] == [4, 8, 12, 16, 20]
    assert [point.step for point in curves.Scalars("validation/rmse")] == [5, 10, 15, 20]
