"""Pages about the networks say what the networks are: counts, work, arrows, and nothing that is older than the code."""

import os
import re
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from experiments.training import CONFIGS
from radiodiff_jax.composition import compose
from radiodiff_jax.config import CONFIG_TYPES
from radiodiff_jax.config_files import load_config, write_config
from radiodiff_jax.reporting import architecture
from radiodiff_jax.reporting.architecture import run_architecture, write_architecture_pages
from radiodiff_jax.reporting.architecture.generator_pages import generator_pages
from radiodiff_jax.reporting.architecture.graph import graph_of
from radiodiff_jax.reporting.architecture.networks import VAE, Generator
from radiodiff_jax.reporting.architecture.vae_pages import vae_pages
from radiodiff_jax.reporting.markdown import write_page
from radiodiff_jax.training.flops import equation_flops
from radiodiff_jax.training.vae_update import make_vae_update
from tests.micro import micro
from tests.reporting.micro_networks import CUT, diagrams, generator, size, vae

TINY = (("generator", "tiny"), ("vae", "tiny"))
NETWORK_BLOCKS = "layer|attention|fourier|norm"


@pytest.fixture(scope="module")
def presets(tmp_path_factory) -> Path:
    """A folder of presets that holds the micro configurations as `tiny`."""
    folder = tmp_path_factory.mktemp("presets")
    write_config(folder / "vae" / "tiny.yaml", vae().config)
    write_config(folder / "generator" / "tiny.yaml", generator().config)
    return folder


@pytest.fixture(scope="module")
def written(tmp_path_factory, presets) -> Path:
    """A site with the pages of both presets."""
    folder = tmp_path_factory.mktemp("site")
    assert len(write_architecture_pages(folder, TINY, presets)) == 12
    return folder


@pytest.fixture(scope="module")
def pages(written) -> dict[str, str]:
    """Path below architecture/ -> Markdown."""
    top = written / "architecture"
    return {str(path.relative_to(top)): path.read_text() for path in sorted(top.rglob("*.md"))}


# Numbers


def test_parameters_are_those_that_training_begins_with():
    key = jax.random.key(0)
    of_vae = jax.eval_shape(make_vae_update(vae().config).initialise, key)["params"]
    of_ldm = jax.eval_shape(compose(generator().config, vae().config).first_variables, key)["params"]
    tops = (vae().autoencoder.top, vae().discriminator.top, generator().network.top)
    for top, tree in zip(tops, (of_vae["autoencoder"], of_vae["discriminator"], of_ldm), strict=True):
        assert top.parameters == size(tree)
        for path, leaves in below(tree):
            assert top.find(*path).parameters == size(leaves), path


def below(tree: dict, path: tuple[str, ...] = ()):
    """Every module's path and parameters."""
    for name, part in tree.items():
        if isinstance(part, dict):
            yield (*path, name), part
            yield from below(part, (*path, name))


def test_paper_has_the_known_sizes():
    vae = VAE(load_config("vae", "paper", [], CONFIGS))
    assert (vae.autoencoder.top.parameters, vae.discriminator.top.parameters) == (55_307_453, 2_763_585)
    assert Generator(load_config("generator", "paper", [], CONFIGS), vae).network.top.parameters == 223_842_366
    # Known from XLA's own count of the decoder: 665 GFLOP with upsampling before its convolution, which takes 36
    # multiplications where the folded kernels take 16.
    upsampling = sum(b.operations for b in vae.autoencoder.top.find("decoder").children if b.kind == "UpsampleConvolution")
    assert vae.decoding + upsampling * (36 / 16 - 1) == pytest.approx(665e9, rel=0.005)


def work_of(function, *shapes: tuple[int, ...]) -> int:
    traced = jax.make_jaxpr(function)(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes))
    return sum(map(equation_flops, traced.jaxpr.eqns))


def convolve(stride: int, groups: int = 1):
    def run(x, kernel):
        return lax.conv_general_dilated(
            x, kernel, (stride, stride), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=groups
        )

    return run


def test_flops():
    assert work_of(jnp.matmul, (3, 4, 5), (5, 7)) == 2 * 3 * 4 * 5 * 7
    assert work_of(convolve(1), (2, 4, 4, 3), (3, 3, 3, 5)) == 2 * 2 * 3 * 5 * (4 * 3 - 2) ** 2  # without the padding
    assert work_of(convolve(2), (1, 4, 4, 3), (3, 3, 3, 5)) == 2 * 3 * 5 * (2 * 3 - 1) ** 2
    assert work_of(convolve(1, groups=3), (1, 4, 4, 3), (3, 3, 1, 6)) == 2 * 6 * (4 * 3 - 2) ** 2
    assert work_of(lambda x: jnp.fft.rfft2(x, axes=(1, 2)), (2, 8, 4, 3)) == 2 * 3 * 2.5 * 32 * 5
    assert work_of(lambda x: jnp.fft.irfft2(jnp.fft.rfft2(x)), (8, 4)) == 2 * 2.5 * 32 * 5
    assert work_of(lambda x: lax.map(lambda row: row @ row, x), (6, 4, 4)) == 6 * 2 * 4**3
    assert work_of(jax.jit(lambda x: jax.nn.silu(x @ x)), (4, 4)) == 2 * 4**3
    assert work_of(lambda x: lax.cond(x[0, 0] > 0, lambda y: y @ y, lambda y: y @ y @ y, x), (4, 4)) == 2 * 2 * 4**3


def test_convolutions_agree_with_xla():
    shapes = (jax.ShapeDtypeStruct((1, 16, 16, 8), jnp.float32), jax.ShapeDtypeStruct((3, 3, 8, 8), jnp.float32))
    for stride in (1, 2):
        counted = jax.jit(convolve(stride)).lower(*shapes).cost_analysis()["flops"]
        assert work_of(convolve(stride), *(shape.shape for shape in shapes)) == counted


def test_decoders_that_do_not_count_are_not_counted():
    model, top = generator(), generator().network.top
    first, second = model.denoising
    assert first + top.find("noise_decoder").operations + model.conditioning == top.operations
    assert second + top.find("attenuation_decoder").operations + model.conditioning == top.operations
    assert model.sampling == model.conditioning + vae().encoding + first + second + vae().decoding


# Arrows


def arrows(root: tuple[str, ...], *opened: str) -> set[tuple[str, str]]:
    graph = graph_of(generator().network, root, lambda block: block.kind in opened)
    names = {key: node.words if node.role in ("work", "join") else key[-1] for key, node in graph.nodes.items()}
    return {(names[a], names[b]) for a, b in graph.edges}


def test_arrows_follow_the_arrays():
    assert arrows(("down_0", "block1")) >= {
        ("time_embedding", "time"), ("time", "block1"), ("block1", "block2"), ("initial_norm", "+"), ("block2", "+"),
    }  # fmt: skip
    level = arrows(("noise_decoder", "up_1"))
    assert {("down_1", "side by side"), ("side by side", "block1"), ("condition_projection_1", "relation")} <= level
    assert ("down_0", "side by side") not in level
    relation = arrows(("down_0", "relation"), "CrossAttention")
    attention = "Attention: softmax(q kᵀ) v"
    assert {("query", attention), ("key", attention), ("value", attention), ("condition_norm", "Mean over windows")} <= relation
    assert ("condition_norm", attention) not in relation


def test_fourier_layer_is_drawn_with_its_weights():
    graph = graph_of(generator().network, ("noise_decoder", "fourier"), lambda block: False)
    words = [node.words for node in graph.nodes.values() if node.role == "work"]
    assert words == ["Fourier transform", "Multiply by learned complex weights", "Inverse Fourier transform"]
    block = generator().network.top.find("noise_decoder", "fourier")
    assert sum(node.parameters for node in graph.nodes.values() if node.role == "work") == block.parameters > 0


# Diagrams and tables


def plain_text(cell: str) -> str:
    return cell.replace("&#124;", "|").replace("\u00a0", " ").partition("<br>")[0].strip()


def test_blocks_of_a_diagram_are_in_the_table_below_and_add_up(pages):
    seen = 0
    for name, text in pages.items():
        parts = CUT.split(text)
        for source, after in zip(parts[1::2], parts[2::2], strict=True):
            lines = after.lstrip().splitlines()
            if not lines or not lines[0].startswith("| block, module"):
                continue
            rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:] if line.startswith("|")]
            rows = rows[: [plain_text(row[0]) for row in rows].index("**Sum**") + 1]
            named = {plain_text(row[0]) for row in rows}
            single = {re.sub(r" × \d+$", "", words) for words in named}
            for words, style in re.findall(r"<b>(.*?)</b>.*?:::(\w+)", source):
                words = words.replace("\u00a0", " ")
                if re.fullmatch(NETWORK_BLOCKS, style):
                    assert words in named or re.sub(r" × \d+$", "", words) in single, (name, words)
                    seen += 1
            counts = [int(row[3].strip("*").replace(",", "") or 0) for row in rows]
            assert sum(counts[:-1]) == counts[-1], name
    assert seen > 80


def test_diagrams_are_sound(pages):
    count = 0
    for name, text in pages.items():
        for source in diagrams(text):
            count += 1
            lines = source.splitlines()
            assert lines[1].startswith("flowchart ")
            assert all(line.count('"') % 2 == 0 for line in lines[1:]), name
            bare = [re.sub(r'"[^"]*"', "", line) for line in lines[1:]]
            assert all(line.count(a) == line.count(b) for line in bare for a, b in ("()", "[]", "{}")), name
            made = [found[0] for line in bare if (found := re.match(r"\s*(?:subgraph )?(n_\w+)(?=[\[(])", line))]
            made = [each.split()[-1] for each in made]
            assert len(made) == len(set(made)) <= 40, name
            used = {each for line in bare if "-->" in line or "click" in line for each in re.findall(r"\bn_\w+", line)}
            assert used <= set(made), name
            assert sum("-->" in line for line in bare) >= 1
    assert count >= 20


def test_links_of_diagrams_lead_to_pages_and_headings(pages):
    top = Path("/architecture")
    followed = 0
    for name, text in pages.items():
        for target in re.findall(r'click \w+ "([^"]+)"', text):
            path, _, anchor = target.partition("#")
            place = os.path.normpath(top / name if not path else (top / name).parent / path)
            there = os.path.relpath(place, top).replace(".html", ".md")
            assert there in pages, (name, target)
            slugs = [re.sub(r"[^a-z]+", "-", line[3:].lower()) for line in pages[there].splitlines() if line.startswith("## ")]
            assert not anchor or anchor in slugs, (name, target)
            followed += 1
    assert followed > 20


@pytest.mark.parametrize(
    ("kind", "setting", "page"),
    [
        ("vae", "autoencoder.base_channels=16", "encoder.md"), ("vae", "autoencoder.blocks_per_level=2", "decoder.md"),
        ("vae", "autoencoder.channel_multipliers=[1,2]", "encoder.md"), ("vae", "image_size=[64,64]", "decoder.md"),
        ("vae", "discriminator.layers=2", "discriminator.md"), ("vae", "objective.discriminator_start=7", "training.md"),
        ("vae", "autoencoder.latent_channels=4", "index.md"), ("vae", "training.batch_size=3", "training.md"),
        ("ldm", "backbone.base_channels=16", "unet.md"), ("ldm", "backbone.swin.depths=[1,2]", "condition-encoder.md"),
        ("ldm", "backbone.relation_windows=[4,2]", "relation.md"), ("ldm", "objective.sampling_steps=3", "sampling.md"),
        ("ldm", "estimate=none", "index.md"), ("ldm", "features=[buildings,transmitter]", "training.md"),
        ("vae", "data.augment=false", "training.md"),
    ],
)  # fmt: skip
def test_a_changed_setting_changes_its_diagram(kind, setting, page):
    assert diagrams(micro_pages(kind)[page]) != diagrams(micro_pages(kind, setting)[page])


@cache
def micro_pages(kind: str, *settings: str) -> dict[str, str]:
    return vae_pages(vae(*settings), "micro") if kind == "vae" else generator_pages(generator(*settings), "micro")


def test_a_game_that_never_begins_is_not_drawn():
    text = micro_pages("vae", "objective.discriminator_start=1000000")["training.md"]
    assert "VAE alone" in text and "VAE-GAN" not in text and "never joins" in text


# Files


def test_every_shipped_preset_has_pages():
    presets = {(kind, path.stem) for kind in CONFIG_TYPES for path in (CONFIGS / kind).glob("*.yaml")}
    assert set(architecture.DEFAULT) == presets
    assert architecture.DEFAULT[:4] == tuple(("generator", name) for name in architecture.FIRST)


def test_second_call_rests_and_needs_no_jax(written, presets):
    program = (
        "import sys; from pathlib import Path;"
        "from radiodiff_jax.reporting.architecture import write_architecture_pages as write;"
        f"assert write(Path({str(written)!r}), {TINY!r}, Path({str(presets)!r})) == [];"
        "assert not {'jax', 'flax', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])
    start = time.monotonic()
    assert write_architecture_pages(written, TINY, presets) == []
    assert time.monotonic() - start < 0.5


def test_what_is_gone_or_new_is_drawn_again(written, presets, pages, monkeypatch):
    asked = []

    def all_pages(kinds_and_presets, folder):
        asked.append(kinds_and_presets)
        return {name: text for name, text in pages.items() if name == "index.md" or tuple(name.split("/")[0].split("-")) in
                kinds_and_presets}  # fmt: skip

    monkeypatch.setattr("radiodiff_jax.reporting.architecture.pages.all_pages", all_pages)
    top = written / "architecture"
    (top / "vae-tiny" / "encoder.md").unlink()
    assert write_architecture_pages(written, TINY, presets) == [top / "vae-tiny" / "encoder.md"]
    (top / architecture.MARK).write_text("{")
    assert write_architecture_pages(written, TINY, presets) == []
    assert write_architecture_pages(written, TINY[:1], presets) == []
    assert not (top / "vae-tiny").exists()
    assert len(asked) == 3
    for name, text in pages.items():
        write_page(top / name, text)


def test_run_section_leads_to_the_preset_with_the_same_networks(presets):
    same = run_architecture(micro("vae", "training.steps=5"), presets=presets)
    assert 'click n_encoder "../../architecture/vae-tiny/encoder.html"' in same
    other = run_architecture(micro("vae", "autoencoder.blocks_per_level=2"), presets=presets)
    assert "click" not in other and "No preset" in other
    assumed = run_architecture(micro("radiodiff"), presets=presets)
    assert "taken to be that of `tiny`" in assumed and '"../../architecture/generator-tiny/unet.html"' in assumed
    known = run_architecture(micro("radiodiff"), micro("vae", "autoencoder.latent_channels=2"), presets=presets)
    assert "taken to be" not in known and "click" not in known and "8\u00a0×\u00a08\u00a0×\u00a02" in known
    assert len(diagrams(known)) == 1
