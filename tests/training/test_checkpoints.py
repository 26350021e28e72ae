"""Checkpoints come back bit for bit, and damaged ones do not come back at all."""

import errno
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.checkpoint_files import load_for_inference, saved_steps
from radiodiff_jax.training.checkpoints import Checkpoints, save_error
from radiodiff_jax.training.compiled import compile_task
from radiodiff_jax.training.devices import device_mesh
from radiodiff_jax.training.digest import digest
from tests.training.toy import make_batches, make_config, make_task

STEPS = {1: 0.3, 2: 0.1, 3: None, 4: 0.2}  # step -> validation RMSE


@pytest.fixture(scope="module")
def compiled():
    return compile_task(make_task(make_config()), 0, device_mesh())


def state_of(compiled, step):
    """A state that differs from step to step."""
    state = compiled.initialise()
    return state | {
        "step": jnp.int32(step), "params": jax.tree.map(lambda x: x + step, state["params"])
    }  # fmt: skip


@pytest.fixture(scope="module")
def template(tmp_path_factory, compiled):
    """A folder with the checkpoints of STEPS, the newest two and the best kept."""
    run = tmp_path_factory.mktemp("run")
    checkpoints, batches = Checkpoints(run / "checkpoints", 2), make_batches()
    for step, rmse in STEPS.items():
        next(batches)
        checkpoints.save(step, state_of(compiled, step), batches, {"note": f"step {step}"}, rmse)
        assert checkpoints.wait() == step
    checkpoints.close()
    return run


@pytest.fixture
def run(template, tmp_path):
    return shutil.copytree(template, tmp_path / "run")


def restore(run, compiled):
    """(restored, batches, steps that are left)."""
    checkpoints, batches = Checkpoints(run / "checkpoints", 2), make_batches()
    try:
        restored = checkpoints.restore(compiled.shapes, batches)
    finally:
        checkpoints.close()
    return restored, batches, saved_steps(run / "checkpoints")


def test_newest_and_best_are_kept(run):
    assert saved_steps(run / "checkpoints") == [2, 3, 4]


def test_newest_comes_back(run, compiled):
    restored, batches, steps = restore(run, compiled)
    assert digest(restored.state) == digest(state_of(compiled, 4))
    assert jax.tree.structure(restored.state) == jax.tree.structure(compiled.shapes)
    assert jax.tree.map(lambda x: x.sharding, restored.state) == jax.tree.map(lambda x: x.sharding, compiled.shapes)
    assert (restored.meta["step"], restored.meta["note"], restored.damaged) == (4, "step 4", [])
    assert batches.get_state() == {"next_index": 4}
    assert steps == [2, 3, 4]


def test_best_is_remembered_by_the_next_session(run, compiled):
    checkpoints, batches = Checkpoints(run / "checkpoints", 1), make_batches()
    restored = checkpoints.restore(compiled.shapes, batches)
    checkpoints.save(5, restored.state, batches, {}, 0.9)
    checkpoints.wait()
    checkpoints.close()
    assert saved_steps(run / "checkpoints") == [2, 5]


def truncate(checkpoint):
    """Cut the files that hold the arrays in half."""
    for path in (checkpoint / "state").glob("**/d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip_parameter_bits(checkpoint):
    """Write a state that differs by one bit of one parameter, which Orbax cannot tell."""
    with ocp.PyTreeCheckpointer() as checkpointer:
        state = checkpointer.restore(checkpoint / "state")
        state["params"]["one"]["kernel"] = np.array(state["params"]["one"]["kernel"])
        state["params"]["one"]["kernel"].view(np.uint32)[0, 0] ^= 1
        shutil.rmtree(checkpoint / "state")
        checkpointer.save(checkpoint / "state", state)


def lose_manifest(checkpoint):
    """Delete what lists the arrays."""
    (checkpoint / "state" / "manifest.ocdbt").unlink()


def empty_meta(checkpoint):
    """Leave nothing beside the state."""
    (checkpoint / "meta" / "metadata").write_bytes(b"")


def move_iterator(checkpoint):
    """Change the place of the data iterator."""
    path = checkpoint / "data" / "process_0-of-1.json"
    path.write_text(path.read_text().replace("4", "5"))


DAMAGE = [truncate, flip_parameter_bits, lose_manifest, empty_meta, move_iterator]


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damaged_newest_falls_back_and_is_deleted(run, compiled, damage):
    damage(run / "checkpoints" / "4")
    restored, batches, steps = restore(run, compiled)
    assert restored.meta["step"] == 3
    assert digest(restored.state) == digest(state_of(compiled, 3))
    assert [step for step, _ in restored.damaged] == [4]
    assert restored.damaged[0][1]
    assert batches.get_state() == {"next_index": 3}
    assert steps == [2, 3]


def test_no_flipped_byte_goes_unnoticed(template, compiled, tmp_path):
    """Whatever byte is flipped, what comes back is either the newest state as it was, or an older one."""
    expected = {step: digest(state_of(compiled, step)) for step in STEPS}
    noticed = 0
    saved = template / "checkpoints" / "4"
    for number, file in enumerate([*saved.glob("state/d/*"), *saved.glob("data/*.json"), saved / "meta" / "metadata"]):
        run = shutil.copytree(template, tmp_path / str(number))
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        (run / file.relative_to(template)).write_bytes(content)
        restored, batches, _ = restore(run, compiled)
        step = restored.meta["step"]
        assert digest(restored.state) == expected[step]
        assert batches.get_state() == {"next_index": step}
        noticed += step != 4
    assert noticed


def test_deleted_step_can_be_saved_again(run, compiled):
    truncate(run / "checkpoints" / "4")
    checkpoints, batches = Checkpoints(run / "checkpoints", 2), make_batches()
    restored = checkpoints.restore(compiled.shapes, batches)
    next(batches)
    checkpoints.save(4, restored.state, batches, {}, None)
    assert checkpoints.wait() == 4
    checkpoints.close()
    assert restore(run, compiled)[0].meta["step"] == 4


def test_nothing_is_deleted_when_no_checkpoint_fits(run):
    other = compile_task(make_task(make_config()), 0, device_mesh())
    other.shapes["params"]["three"] = jax.ShapeDtypeStruct((7,), jnp.float32)
    with pytest.raises(UserError, match="no checkpoint in .* can be restored"):
        restore(run, other)
    assert saved_steps(run / "checkpoints") == [2, 3, 4]


def test_interrupted_save_is_ignored(run, compiled):
    left = run / "checkpoints" / "5.orbax-checkpoint-tmp-123"
    shutil.copytree(run / "checkpoints" / "4" / "state", left / "state")
    assert restore(run, compiled)[0].meta["step"] == 4
    assert load_for_inference(run)[1] == 4


def test_no_checkpoint(tmp_path, compiled):
    assert restore(tmp_path, compiled)[0] is None
    with pytest.raises(UserError, match="has no checkpoint yet; train it first with `python -m experiments"):
        load_for_inference(tmp_path)


@pytest.mark.parametrize(("which", "step"), [("latest", 4), ("best", 2)])
def test_load_for_inference(run, compiled, which, step):
    state, found = load_for_inference(run, which)
    assert found == step
    expected = {name: part for name, part in state_of(compiled, step).items() if name != "optimizer"}
    assert digest(state) == digest(expected)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))


def test_load_for_inference_avoids_damage_and_deletes_nothing(run, capsys):
    truncate(run / "checkpoints" / "4")
    flip_parameter_bits(run / "checkpoints" / "3")
    assert load_for_inference(run)[1] == 2
    told = capsys.readouterr().err
    assert "checkpoint 4 of" in told and "checkpoint 3 of" in told
    assert saved_steps(run / "checkpoints") == [2, 3, 4]
    truncate(run / "checkpoints" / "2")
    with pytest.raises(UserError, match="every checkpoint of .* is damaged"):
        load_for_inference(run)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full: step 7 could not be saved"),
        (ValueError("RESOURCE_EXHAUSTED: write failed"), "the disk is full"),
        (ValueError("odd\nthing"), r"\(odd thing\)"),
    ],
)
def test_save_errors_are_one_sentence(tmp_path, error, sentence):
    with pytest.raises(UserError, match=sentence):
        raise save_error(tmp_path, 7, error)
