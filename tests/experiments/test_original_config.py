"""The original's settings and LPIPS's files in our terms."""

import numpy as np
import pytest
import yaml

from experiments import weights
from experiments.training import CONFIGS
from radiodiff_jax.config_files import flatten, load_config, read_config, to_tree
from radiodiff_jax.errors import UserError
from radiodiff_jax.models.perceptual import STAGES, perceptual_weights
from radiodiff_jax.original_config import convert
from tests.torch_pickles import save_like_torch

FIRST = {
    "model": {
        "embed_dim": 3,
        "lossconfig": {"disc_start": 50001, "kl_weight": 1e-6, "disc_weight": 0.5, "disc_in_channels": 1},
        "ddconfig": {"double_z": True, "z_channels": 3, "resolution": [320, 320], "in_channels": 1, "out_ch": 1, "ch": 128,
                     "ch_mult": [1, 2, 4], "num_res_blocks": 2, "attn_resolutions": [], "dropout": 0.0},
        "ckpt_path": None,
    },
    "data": {"name": "radio", "batch_size": 2},
    "trainer": {"gradient_accumulate_every": 2, "lr": 5e-6, "min_lr": 5e-7, "train_num_steps": 150000, "amp": False,
                "save_and_sample_every": 5000, "log_freq": 100, "results_folder": "x", "fp16": False},
}  # fmt: skip
SECOND = {
    "model": {
        "model_type": "const_sde", "image_size": [320, 320], "sampling_timesteps": 1, "loss_type": "l2", "objective": "pred_KC",
        "scale_factor": 0.3, "scale_by_std": True, "default_scale": True, "eps": 1e-4, "weighting_loss": True,
        "first_stage": {"embed_dim": 3, "ckpt_path": "model-29.pt"},
        "unet": {"dim": 128, "cond_net": "swin", "dim_mults": [1, 2, 4, 4], "cond_dim": 128, "fourier_scale": 16,
                 "window_sizes1": [[8, 8], [4, 4], [2, 2], [1, 1]], "window_sizes2": [[8, 8], [4, 4], [2, 2], [1, 1]],
                 "input_size": [80, 80]},
    },
    "data": {"name": "radio", "batch_size": 66},
    "trainer": {"gradient_accumulate_every": 8, "lr": 5e-5, "min_lr": 5e-6, "train_num_steps": 50000, "novelty": 1,
                "ema_update_after_step": 10000, "ema_update_every": 10},
}  # fmt: skip
SCHEDULES = ("training.", "ema.", "optimizer.accumulate", "backbone.swin.stochastic_depth", "objective.validation_steps")


@pytest.mark.parametrize(("kind", "original"), [("vae", FIRST), ("generator", SECOND)])
def test_the_published_settings_become_our_paper_presets(kind, original, tmp_path, capsys):
    path = tmp_path / "original.yaml"
    path.write_text(yaml.safe_dump(original))
    assert weights.main(["config", str(path), "--out", str(tmp_path / "ours.yaml")]) == 0
    printed = capsys.readouterr().out
    assert "min_lr" in printed and "corrected" in printed and "ignored" in printed
    both = read_config(tmp_path / "ours.yaml"), load_config(kind, "paper", [], CONFIGS)
    ours, paper = (flatten(to_tree(config)) for config in both)
    different = {name for name in paper if ours[name] != paper[name] and not name.startswith((*SCHEDULES, "data."))}
    assert not different, {name: (ours[name], paper[name]) for name in different}
    assert ours["training.batch_size"] == original["data"]["batch_size"]
    assert ours["training.steps"] == original["trainer"]["train_num_steps"]


def test_every_key_is_told(tmp_path):
    _, rows = convert(SECOND, "x.yaml")
    told = {row.key: row for row in rows}
    assert told["model.unet.input_size"].word.startswith("corrected") and told["model.unet.input_size"].became == "image_size"
    assert told["trainer.novelty"].word == "ignored: unknown here"
    assert told["model.first_stage.ckpt_path"].word.endswith("convert its own file")
    assert all(row.word.split(":")[0] in ("kept", "corrected", "ignored") for row in rows)


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ([1], "no section model"),
        ({"model": {"x": 1}}, "neither unet nor ddconfig"),
        ({"model": {"ddconfig": {"ch": "wide"}}}, "model.ddconfig.ch is 'wide', which cannot be taken over"),
        ({"model": {"unet": {"window_sizes1": [[8, 4]]}}}, "windows that are not square"),
    ],
)
def test_other_files_are_told(tree, sentence):
    with pytest.raises(UserError, match=sentence):
        convert(tree, "x.yaml")


def test_vgg_and_lpips_become_one_file(tmp_path):
    random, channels, layer, vgg, linear = np.random.default_rng(0), 3, 0, {}, {}
    for stage, widths in enumerate(STAGES):
        for width in widths:
            vgg[f"features.{layer}.weight"] = random.random((width, channels, 3, 3), np.float32)
            vgg[f"features.{layer}.bias"] = random.random(width, np.float32)
            channels, layer = width, layer + 2  # a ReLU between
        layer += 1  # pooling
        linear[f"lin{stage}.model.1.weight"] = random.random((1, channels, 1, 1), np.float32)
    save_like_torch(tmp_path / "vgg.pth", vgg | {"classifier.0.weight": np.zeros((2, 2), np.float32)})
    save_like_torch(tmp_path / "lin.pth", linear)
    words = ["perceptual", "--vgg", str(tmp_path / "vgg.pth"), "--linear", str(tmp_path / "lin.pth"), "--out"]
    assert weights.main([*words, str(tmp_path / "lpips.npz")]) == 0
    with np.load(tmp_path / "lpips.npz") as file:
        found = perceptual_weights(file, "lpips.npz")
    np.testing.assert_array_equal(found["kernel_12"], vgg["features.28.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(found["linear_4"], linear["lin4.model.1.weight"].reshape(-1))

    save_like_torch(tmp_path / "lin.pth", {name: value for name, value in linear.items() if "lin2" not in name})
    with pytest.raises(UserError, match="no array 'linear_2.weight'"):
        weights.main([*words, str(tmp_path / "other.npz")])
    assert not (tmp_path / "other.npz").exists()
