"""Pages of every kind of generator: its way, its network, its update, and how often the network runs."""

import re
from functools import cache

import jax
import pytest

from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config
from radiodiff_jax.reporting.architecture.generator_pages import generator_overview, generator_pages
from radiodiff_jax.reporting.architecture.networks import Generator
from radiodiff_jax.reporting.architecture.update_pages import loss_words
from tests.reporting.micro_networks import diagrams, size, vae


@cache
def of_preset(name: str, *settings: str) -> Generator:
    """A preset at the size of the micro maps, over the micro autoencoder and a regression where it needs them."""
    config = load_config("generator", name, ["image_size=[64,64]", *settings], CONFIGS)
    autoencoder = vae("image_size=[64,64]") if config.space.needs_autoencoder else None
    base = of_preset("pixel-tiny") if config.objective.needs_base else None
    return Generator(config, autoencoder, base)


SMALL = {
    "tiny": [], "flow-tiny": ["backbone.widths=[8,16]", "objective.sampling_steps=3"],
    "pixel-tiny": ["backbone.widths=[8,16]"], "residual-tiny": ["backbone.widths=[8,16]", "objective.solver=midpoint"],
    "radiounet": ["backbone.width=0.1"], "pmnet": ["backbone.width=0.1", "backbone.blocks=[1,1,2,3]"],
}  # fmt: skip
EVALUATIONS = {"tiny": 2, "flow-tiny": 3, "pixel-tiny": 1, "residual-tiny": 4, "radiounet": 1, "pmnet": 1}


@pytest.fixture(scope="module", params=SMALL)
def any_generator(request) -> tuple[str, Generator, dict[str, str]]:
    model = of_preset(request.param, *SMALL[request.param])
    return request.param, model, generator_pages(model, request.param)


def test_any_generator_has_its_way_its_network_and_its_update(any_generator):
    _, model, made = any_generator
    config = model.config
    names = ["index.md", "unet.md" if config.backbone.name == "radiodiff" else "network.md", "training.md"]
    assert {*names, *(["sampling.md"] if config.objective.noisy else [])} <= set(made)
    for name in names:
        assert all(re.search(r"-->", source) for source in diagrams(made[name])), name
    first = made["index.md"]
    assert all(part in first for part in (config.space.name, config.backbone.name, config.objective.name))
    assert all(f"`{feature}`" in first for feature in config.features)
    assert f"| trained parameters | {model.network.top.parameters:,} |" in first
    order = ["Features", "x₀", "Preconditioning", "Error of", "Gradient", "AdamW", "Moving average", "Guard"]
    update = diagrams(made["training.md"].split("## One update")[1])[0]
    assert [update.index(word) for word in order] == sorted(update.index(word) for word in order)


def test_everything_on_the_way_leads_to_the_map(any_generator):
    _, model, _ = any_generator
    drawn = generator_overview(model, None, None, None)
    reached, before = set(), {"map"}
    while before - reached:
        reached |= before
        before = {a for a, b, _ in drawn.arrows if b in reached}
    assert reached == set(drawn.boxes)
    assert ("sum" in drawn.boxes) == (model.config.estimate != "none" and not model.config.objective.noisy)


def test_any_generator_says_how_often_its_network_runs(any_generator):
    preset, model, made = any_generator
    many = model.config.objective.evaluations(model.config.objective.sampling_steps)
    assert len(model.evaluations) == many == EVALUATIONS[preset]
    assert re.search(rf"\| evaluations for \d+ steps? \| {many} \|", made["index.md"])
    if model.config.objective.noisy:
        rows = re.findall(r"^\| (\d+) \| (\S+) \| (\S+) \|", made["sampling.md"], re.MULTILINE)
        assert [int(row[0]) for row in rows] == list(range(1, many + 1))
        assert float(rows[0][1]) == 1
        solver = getattr(model.config.objective, "solver", None)
        left = 1 - sum(float(row[2]) for row in (rows[1::2] if solver == "midpoint" else rows))
        assert left == pytest.approx(0, abs=1e-5)  # as rounded for the table


def test_any_network_has_the_parameters_of_its_training(any_generator):
    _, model, _ = any_generator
    variables = jax.eval_shape(model.composition.first_variables, jax.random.key(0))
    assert model.network.top.parameters == size(variables["params"])
    assert model.sampling >= sum(model.denoising) > 0


def test_the_scale_of_the_error_is_a_head_and_a_part_of_the_loss():
    model = of_preset("pixel-tiny-interval", "backbone.widths=[8,16]")
    assert loss_words(model)[0] == "Error of the map" and "0.01 × likelihood of the error's scale" in loss_words(model)[-1]
    text = "\n".join(generator_pages(model, "pixel-tiny-interval").values())
    assert "map and scale of its error" in text
