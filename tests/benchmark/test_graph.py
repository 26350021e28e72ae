"""What updates are made of: the counts of shipped presets are held, with a tenth of slack, and the command writes them."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from experiments import benchmark
from experiments.training import CONFIGS
from radiodiff_jax.benchmark.graph import AUTOENCODER, DIFFUSION, different, graph, module_of, residuals
from radiodiff_jax.benchmark.job import Job
from radiodiff_jax.config_files import load_config

# preset: (words, {update: (operations, bytes kept for the backward pass a map)})
HELD = {
    "tiny": ([], {DIFFUSION: (8_405, 1.46e6), AUTOENCODER: (5_101, 11.6e6)}),
    "paper": (["precision.compute=bfloat16"], {DIFFUSION: (30_400, 421e6), AUTOENCODER: (6_000, 905e6)}),
}


@pytest.mark.parametrize("preset", HELD)
def test_counts_are_held(preset):
    words, held = HELD[preset]
    config = load_config("generator", preset, words, CONFIGS)
    autoencoder = replace(load_config("vae", preset, words, CONFIGS), image_size=config.image_size)
    for name, found in graph(Job(config, autoencoder)).items():
        operations, kept = held[name]
        assert found["operations"] <= 1.1 * operations
        assert found["backward_bytes_per_map"] <= 1.1 * kept
        assert sum(found["backward_modules"].values()) == found["backward_bytes_per_map"]
    assert jax.default_backend() == "cpu", "the platform is only pretended while counting"


def test_command(tmp_path, capsys):
    path = tmp_path / "graph.json"
    assert benchmark.main(["--config", "pixel-tiny", "--graph", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found.keys() == {DIFFUSION}
    wanted = {"operations", "matrix_products", "convolutions", "parameters", "leaves", "backward_bytes_per_map"}
    assert wanted <= found[DIFFUSION].keys() and all(found[DIFFUSION][name] > 0 for name in wanted)
    told = capsys.readouterr().out
    assert "kept for the backward pass (MB a map)" in told and f"{found[DIFFUSION]['parameters']:,}" in told


def test_compile_for_belongs_to_graph(capsys):
    with pytest.raises(SystemExit, match="2"):
        benchmark.main(["--compile-for", "h100"])
    assert "--compile-for belongs to --graph" in capsys.readouterr().err


def test_what_is_kept_is_counted_by_type_and_size():
    def function(x):
        with jax.named_scope("Network"), jax.named_scope("layer"):
            return jnp.sin(x).astype(jnp.bfloat16) ** 2, None

    found = residuals(function, jax.ShapeDtypeStruct((100,), jnp.float32))
    assert found["layer"] in (400 + 200, 400 + 200 + 200), "cos(x) in 32 bits, sin(x) in 16, once or twice"
    assert module_of("jvp(Network)/Network.denoise/down_0/block1/norm") == "down_0/block1"
    assert module_of("jvp(Network)") == "network"


def test_different_operations():
    lines = ["%1 = stablehlo.dot_general %2 : f32", " %4 = stablehlo.dot_general %1 : f32", "%5 = stablehlo.dot_general %1 : bf16"]
    assert different("\n".join(lines), "stablehlo.dot_general") == 2
