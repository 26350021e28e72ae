"""torchvision's Swin transformer as the start of the condition encoder: same outputs, same names, and a training begins with it."""

import json
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from flax import traverse_util
from safetensors.numpy import load_file, save_file

from experiments import weights
from radiodiff_jax.composition import compose
from radiodiff_jax.errors import UserError
from radiodiff_jax.models.swin import SwinEncoder
from radiodiff_jax.models.torch_file import read_torch_file
from radiodiff_jax.models.torch_weights import export_weights
from radiodiff_jax.settings import SwinConfig
from radiodiff_jax.training.encoder import describe_encoder, first_with_encoder, read_encoder
from tests.micro import micro
from tests.models.comparison import nhwc

GOLDEN = Path(__file__).parents[1] / "golden"  # by make_torchvision.py there
CONFIG = SwinConfig(4, (1, 2, 1, 2), (1, 2, 2, 4), 3)
LIKE_IT = [
    "space.name=pixel", "space.patch=4", "objective.name=regression", "estimate=none", "features=[buildings,transmitter,cars]",
    "backbone.channel_multipliers=[1,1,1,1]", "backbone.relation_windows=[1,1,1,1]", "backbone.swin.embedding_channels=4",
    "backbone.swin.depths=[1,2,1,2]", "backbone.swin.heads=[1,2,2,4]", "backbone.swin.window=3",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder in which a training starts from torchvision's weights."""
    folder = tmp_path_factory.mktemp("encoder") / "run"
    assert weights.main(["import", str(GOLDEN / "swin_tiny.pth"), "--run", str(folder)]) == 0
    return folder


def parameters(run):
    return traverse_util.unflatten_dict(load_file(run / "encoder" / "weights.safetensors"), sep="/")


def test_stages_answer_what_torchvisions_do(run):
    file = np.load(GOLDEN / "swin_tiny.npz")
    found = jax.jit(SwinEncoder(CONFIG).apply)({"params": parameters(run)}, nhwc(file["x"]))
    for stage, one in enumerate(found):
        np.testing.assert_allclose(one, file[f"stage_{stage}"], atol=1e-4, err_msg=f"stage {stage}")
        assert np.std(file[f"stage_{stage}"]) > 0.1


def test_every_tensor_but_the_classifier_is_taken(run):
    told = read_torch_file(GOLDEN / "swin_tiny.pth")
    back = export_weights("encoder", {"params": parameters(run)})
    left = {name for name in told if name not in back}
    assert all(name.startswith(("norm.", "head.")) or name.endswith("relative_position_index") for name in left)
    for name, value in back.items():
        np.testing.assert_array_equal(value, told[name].astype(np.float32), err_msg=name)


def test_a_training_starts_from_it_and_says_so(run):
    encoder = read_encoder(run, compose(micro("radiodiff", *LIKE_IT)))
    jax.tree.map(np.testing.assert_array_equal, encoder, parameters(run))
    random = SimpleNamespace(first_variables=lambda key: {"params": {"condition_encoder": key, "down_0": key}, "constants": key})
    assert first_with_encoder(random, "given", 1) == {"params": {"condition_encoder": "given", "down_0": 1}, "constants": 1}
    told = describe_encoder(run)["encoder"]
    assert told["source"].endswith("swin_tiny.pth") and len(told["digest"]) == 64


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([*LIKE_IT, "backbone.swin.window=7"], r"do not fit the network of these settings in 6 of 91 parameters; take a preset"),
        ([*LIKE_IT, "features=[buildings,transmitter]"], "trained on images of 3 channels, but features are 2"),
    ],
)
def test_networks_that_it_does_not_fit_are_told(run, words, sentence):
    with pytest.raises(UserError, match=sentence):
        read_encoder(run, compose(micro("radiodiff", *words)))


def test_a_network_without_such_an_encoder_and_damage_are_told(run, tmp_path):
    with pytest.raises(UserError, match="a Swin transformer, which backbone unet has not"):
        read_encoder(run, compose(micro("ldm", "space.name=pixel", "objective.name=regression", "estimate=none")))
    assert weights.main(["import", str(GOLDEN / "swin_tiny.pth"), "--run", str(tmp_path / "run")]) == 0
    place = tmp_path / "run" / "encoder" / "weights.safetensors"
    content = bytearray(place.read_bytes())
    content[-1] ^= 1
    place.write_bytes(content)
    generator = compose(micro("radiodiff", *LIKE_IT))
    with pytest.raises(UserError, match="weights.safetensors"):
        read_encoder(tmp_path / "run", generator)
    (place.parent / "digests.json").unlink()
    save_file({"a": np.zeros(2, np.float32), "a/b": np.zeros(2, np.float32)}, place)
    with pytest.raises(UserError, match="do not fit the network"):
        read_encoder(tmp_path / "run", generator)


def test_files_that_are_like_it_are_told(run, tmp_path):
    with pytest.raises(UserError, match="is there already"):
        weights.main(["import", str(GOLDEN / "swin_tiny.pth"), "--run", str(run)])
    tensors = {name: np.ascontiguousarray(value) for name, value in read_torch_file(GOLDEN / "swin_tiny.pth").items()}
    wrong = [
        ({"features.3.1.attn.qkv.bias": None}, "lacks 1 tensors and has 0 others"),
        ({"features.3.1.attn.logit_scale": np.zeros((1, 1), np.float32)}, "lacks 0 tensors and has 1 others"),  # version 2
        ({"features.1.0.attn.relative_position_bias_table": None}, "does not have the layers of torchvision's Swin transformer"),
        ({"features.1.0.attn.relative_position_bias_table": np.zeros((25, 0), np.float32)}, "heads"),
        ({"features.1.0.attn.relative_position_bias_table": np.zeros((25, 3), np.float32)}, "3 heads cannot share evenly"),
        ({"features.0.0.weight": np.zeros((4,), np.float32)}, "does not have the layers"),
    ]
    for number, (change, sentence) in enumerate(wrong):
        changed = {name: value for name, value in (tensors | change).items() if value is not None}
        save_file(changed, tmp_path / f"{number}.safetensors")
        with pytest.raises(UserError, match=sentence):
            weights.main(["import", str(tmp_path / f"{number}.safetensors"), "--run", str(tmp_path / "new")])
        assert not (tmp_path / "new").exists()
    assert json.loads((run / "encoder" / "source.json").read_text())["source"]
