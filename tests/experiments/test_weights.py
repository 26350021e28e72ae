"""Weights that come from the original and go there: golden weights give golden outputs, and nothing is lost on the way."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import export
from safetensors.numpy import load_file

from experiments import weights
from experiments.training import CONFIGS
from radiodiff_jax.composition import compose
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.exported import loader, original_tensors, predictor_program
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.inference.loading import load_model, load_run
from radiodiff_jax.inference.model_file import write_model_file
from radiodiff_jax.models.autoencoder import Autoencoder
from radiodiff_jax.training.imported import no_weight
from tests.golden_files import golden
from tests.models.comparison import assert_close, nhwc, state_dict
from tests.torch_pickles import save_like_torch


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


@pytest.fixture(scope="module")
def vae_state():
    return dict(state_dict(golden("vae_small"), "sd/"))


@pytest.fixture(scope="module")
def vae_run(folder, vae_state):
    """The golden autoencoder as its trainer saves it: averaged weights beside others, and what belongs to the loss."""
    last = {name: value + 1 for name, value in vae_state.items()} | {"loss.logvar": np.zeros((), np.float32)}
    averaged = {f"ema_model.{name}": value for name, value in vae_state.items()} | {"initted": np.array(True)}
    path = folder / "model-50.pt"
    save_like_torch(path, {"step": 50_000, "model": last, "ema": averaged, "opt_ae": {"state": {}}})
    assert weights.main(["import", str(path), "--run", str(folder / "vae")]) == 0
    return folder / "vae"


@pytest.fixture(scope="module")
def ldm_state(vae_state):
    unet = dict(state_dict(golden("unet_small"), "sd/"))
    state = {f"model.{name}": value for name, value in unet.items()}
    state |= {f"first_stage_model.{name}": value for name, value in vae_state.items()}
    return state | {"scale_factor": np.array(0.3, np.float32), "betas": np.zeros(10, np.float32)}


@pytest.fixture(scope="module")
def ldm_run(folder, ldm_state):
    path = folder / "ldm.pt"
    save_like_torch(path, {"step": 7, "model": ldm_state})
    assert weights.main(["import", str(path), "--run", str(folder / "ldm")]) == 0
    return folder / "ldm"


def test_golden_weights_give_golden_outputs(vae_run):
    file, model = golden("vae_small"), load_run(vae_run)
    assert model.config.autoencoder.base_channels == 32 and not model.config.ema.use
    module = Autoencoder(model.config.autoencoder)
    moments = jax.jit(lambda params, x: module.apply({"params": params}, x, method="encode"))(model.params, nhwc(file["in/x"]))
    assert_close(moments, nhwc(file["out/moments"]), 1e-5, "moments")
    told = json.loads((vae_run / "run.json").read_text())["imported"]
    assert told["step"] == 50_000 and told["weights"] == "ema"


def test_the_last_weights_are_had_for_the_asking(folder, vae_run, vae_state):
    words = ["import", str(folder / "model-50.pt"), "--run", str(folder / "last"), "--weights", "model"]
    assert weights.main(words) == 0
    found = load_run(folder / "last").params["encoder"]["convolution_in"]["bias"]
    np.testing.assert_array_equal(found, vae_state["encoder.conv_in.bias"] + 1)


def test_the_diffusion_model_is_read_whole(ldm_run, ldm_state):
    """Everything that the shapes say is found, and the same tensors come out again under the original's names."""
    model = load_run(ldm_run)
    assert model.config.image_size == (128, 128) and model.config.backbone.swin.depths == (2, 2, 2, 2)
    assert float(model.frozen["scale"]) == np.float32(0.3)
    out = ldm_run.parent / "back.safetensors"
    assert weights.main(["export", "--run", str(ldm_run), "--out", str(out), "--names", "original"]) == 0
    back = load_file(out)
    for name, value in back.items():
        np.testing.assert_array_equal(value, ldm_state[name], err_msg=name)
    unread = [name for name in ldm_state if name not in back]
    assert all(no_weight(name.removeprefix("model.")) for name in unread), unread


def test_the_golden_diffusion_model_gives_golden_outputs(ldm_run):
    """Imported by the command and read as a run, with the settings that the shapes say."""
    file, model = golden("unet_small"), load_run(ldm_run)
    z, t, condition = nhwc(file["A/z"]), file["A/t"], nhwc(file["A/cond"])
    raw = jax.jit(model.composition.network.apply)(model.variables, z, t, condition)
    found = model.composition.objective.precondition(raw, z, t, None)
    assert_close(found["attenuation"], nhwc(file["A/C_pred"]), 1e-5, "C")
    assert_close(found["noise"], nhwc(file["A/noise_pred"]), 1e-5, "noise")


def test_a_round_trip_gives_identical_arrays(vae_run, vae_state, tmp_path):
    assert weights.main(["export", "--run", str(vae_run), "--out", str(tmp_path / "a.safetensors"), "--names", "original"]) == 0
    found = load_file(tmp_path / "a.safetensors")
    assert set(found) == set(vae_state)
    save_like_torch(tmp_path / "again.pt", {"model": found})
    assert weights.main(["import", str(tmp_path / "again.pt"), "--run", str(tmp_path / "again")]) == 0
    assert weights.main(["import", str(tmp_path / "a.safetensors"), "--run", str(tmp_path / "straight")]) == 0
    ours = [load_run(run).params for run in (vae_run, tmp_path / "again", tmp_path / "straight")]
    for other in ours[1:]:
        jax.tree.map(np.testing.assert_array_equal, ours[0], other)


def test_our_names_hold_every_array(ldm_run, tmp_path):
    assert weights.main(["export", "--run", str(ldm_run), "--out", str(tmp_path / "ours.safetensors")]) == 0
    found, model = load_file(tmp_path / "ours.safetensors"), load_run(ldm_run)
    assert len(found) == len(jax.tree.leaves((model.variables, model.frozen)))
    np.testing.assert_array_equal(found["frozen/scale"], np.float32(0.3))


def test_what_does_not_fit_is_a_table(folder, ldm_state, tmp_path, capsys):
    state = {name: value for name, value in ldm_state.items() if name != "model.mid_block1.block1.proj.bias"}
    save_like_torch(tmp_path / "ldm.pt", {"model": state | {"model.other.weight": np.zeros((2, 3), np.float32)}})
    with pytest.raises(UserError) as told:
        weights.main(["import", str(tmp_path / "ldm.pt"), "--run", str(tmp_path / "run")])
    lines = str(told.value).splitlines()
    assert "lacks 1 tensors and has 1 others" in lines[0]
    assert any("mid_block1.block1.proj.bias" in line and "missing" in line for line in lines)
    assert any("other.weight" in line and "unexpected" in line and "2 x 3" in line for line in lines)
    assert not (tmp_path / "run").exists() and not list(tmp_path.glob(".writing*"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"model": {"weight": np.zeros(3, np.float32)}}, "neither RadioDiff's autoencoder"),
        ([1, 2], "holds a list, not the dictionary"),
        ({"model": {"encoder.conv_in.weight": np.zeros((8, 1, 3, 3), np.float32)}}, "does not have the layers"),
        ({"model": {"encoder.conv_in.weight": np.zeros((32, 1, 3, 3), np.float32), "post_quant_conv.weight": np.zeros((0, 0, 1, 1)),
                    "encoder.down.0.block.0.conv1.weight": np.zeros((32, 32, 3, 3), np.float32)}},
         "what the shapes in .* say: autoencoder.latent_channels is 0: it must be at least 1|latent_channels"),
    ],
)
def test_other_files_are_told(tmp_path, content, sentence):
    save_like_torch(tmp_path / "x.pt", content)
    with pytest.raises(UserError, match=sentence):
        weights.main(["import", str(tmp_path / "x.pt"), "--run", str(tmp_path / "run")])
    assert not (tmp_path / "run").exists()


def test_a_scale_that_is_missing_or_odd_is_told(ldm_state, tmp_path):
    for number, scale in enumerate([None, np.array(np.nan, np.float32), np.array(-1.0, np.float32)]):
        state = {name: value for name, value in ldm_state.items() if name != "scale_factor"}
        state |= {} if scale is None else {"scale_factor": scale}
        save_like_torch(tmp_path / f"{number}.pt", {"model": state})
        with pytest.raises(UserError, match="no scale_factor that is a positive number"):
            weights.main(["import", str(tmp_path / f"{number}.pt"), "--run", str(tmp_path / "run")])


def test_a_run_that_is_there_is_left_alone(folder, vae_run):
    before = (vae_run / "config.yaml").read_bytes()
    with pytest.raises(UserError, match="is there already"):
        weights.main(["import", str(folder / "model-50.pt"), "--run", str(vae_run)])
    assert (vae_run / "config.yaml").read_bytes() == before


def test_a_model_that_the_original_does_not_have_is_told(tmp_path):
    with pytest.raises(UserError, match="pixel x unet x regression, which the original does not have"):
        original_tensors(load_model("dpm-regression"))


SMALL = ["image_size=[32,32]", "backbone.widths=[8,16]", "features=[buildings,free_space]", "estimate=none"]


WITH_JAX = ("jax", "jaxlib", "numpy", "scipy", "ml_dtypes", "opt_einsum")
"""What `pip install jax` brings."""


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    """(folder with predictor.bin, predictor.py and buildings.npy, the model that they are)."""
    folder = tmp_path_factory.mktemp("predictor")
    composition = compose(load_config("generator", "pixel-tiny", SMALL, CONFIGS))
    model = Generator(composition, composition.first_variables(jax.random.key(0)), {}, "small")
    write_model_file(folder / "small.safetensors", composition, model.variables, {}, {}, "MIT", precision="float32")
    words = ["--model", str(folder / "small.safetensors"), "--out", str(folder / "predictor.bin"), "--platforms", "cpu"]
    assert weights.main(["program", *words]) == 0
    buildings = np.zeros((32, 32), bool)
    buildings[4:12, 10:30] = True
    np.save(folder / "buildings.npy", buildings)
    return folder, model


def run_alone(folder, *words):
    """Run Python with jax and what it needs as the only packages there are."""
    packages = folder / "packages"
    packages.mkdir(exist_ok=True)
    for path in Path(jax.__file__).parents[1].iterdir():
        if path.name.removesuffix(".libs") in WITH_JAX and not (packages / path.name).exists():
            (packages / path.name).symlink_to(path)
    start = f"import runpy, sys; sys.path.append({str(packages)!r}); del sys.argv[0]; runpy.run_path(sys.argv[0], None, '__main__')"
    return subprocess.run([sys.executable, "-IS", "-c", start, *words], cwd=folder, capture_output=True, text=True)


def test_a_compiled_predictor_needs_jax_alone_and_says_what_the_model_says(predictor):
    folder, model = predictor
    done = run_alone(folder, "predictor.py", "buildings.npy", "20,5", "gain.npy")
    assert done.returncode == 0, done.stderr
    found = np.load(folder / "gain.npy")
    np.testing.assert_allclose(found, model.predict(np.load(folder / "buildings.npy"), (20, 5)).gain, atol=1e-6)
    assert found.std() > 0.01
    (folder / "other.py").write_text("import flatbuffers")
    blocked = run_alone(folder, "other.py")
    assert "No module named 'flatbuffers'" in blocked.stderr


def test_a_predictor_says_what_it_cannot_run(predictor):
    """Another calling convention than jax knows, and a place outside."""
    folder, _ = predictor
    text = (folder / "predictor.py").read_text()
    (folder / "later.py").write_text(re.sub(r"(CONVENTION = .*), \d+$", r"\1, 10000", text, flags=re.MULTILINE))
    done = run_alone(folder, "later.py", "buildings.npy", "20,5", "later.npy")
    assert done.returncode == 1 and done.stderr.startswith(f"error: jax {jax.__version__} cannot run ")
    assert done.stderr.endswith(f"which jax {jax.__version__} made: its calling convention is 10000\n")
    done = run_alone(folder, "predictor.py", "buildings.npy", "20,32", "later.npy")
    assert done.returncode == 1 and done.stderr.startswith("error: masks (1, 32, 32) at [[20, 32]]: give (1, 32, 32)")
    assert not (folder / "later.npy").exists()
    trivial = export.export(jax.jit(lambda x: x))(jax.ShapeDtypeStruct((1, 8, 8), np.uint8))
    compile(loader(trivial, 'a"""b\\'), "loader", "exec")  # a name is no program


def test_odd_words_of_a_predictor_are_told(tmp_path):
    words = ["program", "--model", "dpm-regression", "--out", str(tmp_path / "p.bin")]
    with pytest.raises(UserError, match="a batch of 60000 maps .* is too large"):
        weights.main([*words, "--batch", "60000", "--size", "512"])
    for more in (["--batch", "1000000000"], ["--steps", "1000000000"]):
        with pytest.raises(SystemExit):
            weights.main([*words, *more])
    (tmp_path / "p.py").mkdir()
    with pytest.raises(UserError, match="p.py cannot be written: it is a folder"):
        weights.main(words)
    with pytest.raises(UserError, match="to be written twice"):
        weights.main([*words[:-1], str(tmp_path / "q.py")])
    assert not (tmp_path / "p.bin").exists() and not list(tmp_path.glob(".writing*"))


def test_perceptual_weights_that_are_none_are_told(tmp_path):
    save_like_torch(tmp_path / "vgg.pth", {"features.x.weight": np.zeros(1, np.float32)})
    save_like_torch(tmp_path / "linear.pth", [1])
    words = ["perceptual", "--vgg", str(tmp_path / "vgg.pth"), "--linear", str(tmp_path / "linear.pth")]
    with pytest.raises(UserError, match="one of them is no dictionary of arrays"):
        weights.main([*words, "--out", str(tmp_path / "out.npz")])
    with pytest.raises(UserError, match="is what is read"):
        weights.main([*words, "--out", str(tmp_path / "vgg.pth")])


def test_a_model_that_is_told_of_more_has_no_such_predictor():
    config = load_config("generator", "pixel-tiny", [*SMALL, "data.computed=[reflections]"], CONFIGS)
    with pytest.raises(UserError, match="told of maps computed beforehand"):
        predictor_program(Generator(compose(config), {}, {}, "small"), (32, 32))


def test_the_table_is_printed_as_one(tmp_path):
    """A command's last words are one line, and below it the table, whose columns stay columns."""
    save_like_torch(tmp_path / "x.pt", {"model": {"encoder.conv_in.weight": np.zeros((8, 1, 3, 3), np.float32),
                                                  "encoder.down.0.block.0.conv1.weight": np.zeros((8, 8, 3, 3), np.float32),
                                                  "post_quant_conv.weight": np.zeros((3, 3, 1, 1), np.float32)}})  # fmt: skip
    command = [sys.executable, "-m", "experiments.weights", "import", str(tmp_path / "x.pt"), "--run", str(tmp_path / "run")]
    done = subprocess.run([*command, "autoencoder.normalisation_groups=8"], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 1 and lines[0].startswith("error: the vae of") and len(lines) > 20
    assert lines[1].split() == ["tensor", "is", "for,", "or", "shape"] and "Traceback" not in done.stderr
    assert len({line.index("missing") for line in lines[2:20]}) == 1
