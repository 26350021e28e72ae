"""Settings: presets, overrides, and one clear line for everything that is wrong."""

import dataclasses
import re
import time

import pytest

from experiments import ablate, adapt, dataset, predict
from experiments.training import CONFIGS
from radiodiff_jax.config import CONFIG_TYPES, GeneratorConfig, VAEConfig
from radiodiff_jax.config_files import (
    build_config,
    described,
    differences,
    load_config,
    read_config,
    read_yaml,
    settings_help,
    shipped_names,
    to_tree,
    write_config,
)
from radiodiff_jax.errors import UserError
from radiodiff_jax.objectives.flow_matching import FlowMatching
from radiodiff_jax.objectives.residual_flow import ResidualFlow
from radiodiff_jax.settings_tree import field_types, meanings, section_types
from radiodiff_jax.settings_words import split_word

PRESETS = ["base", "dpm-diffusion", "dpm-diffusion-tiny", "paper", "small", "tiny"]
OTHERS = [
    "flow-tiny", "pixel-base", "pixel-small", "pixel-tiny", "pixel-tiny-interval", "pmnet", "radiounet", "residual-tiny",
    "sparse-tiny", "dpm", "dpm-tiny",
]  # fmt: skip


@pytest.mark.parametrize("kind,names", [("vae", PRESETS), ("generator", sorted([*PRESETS, *OTHERS]))])
def test_presets(kind, names, tmp_path):
    assert shipped_names(kind, CONFIGS) == names
    for name in names:
        config = load_config(kind, name, [], CONFIGS)
        write_config(tmp_path / f"{name}.yaml", config)
        assert read_config(tmp_path / f"{name}.yaml") == config
        assert load_config(kind, str(tmp_path / f"{name}.yaml"), [], CONFIGS) == config
        assert hash(config) == hash(load_config(kind, name, [], CONFIGS))


def test_paper_has_the_original_hyper_parameters():
    vae, ldm = (load_config(kind, "paper", [], CONFIGS) for kind in ("vae", "generator"))
    assert isinstance(vae, VAEConfig) and isinstance(ldm, GeneratorConfig)
    assert (vae.optimizer.learning_rate, vae.optimizer.minimum, vae.optimizer.power) == (5e-6, 5e-7, 0.95)
    assert (vae.training.steps, vae.training.batch_size, vae.optimizer.clip_norm) == (150_000, 2, None)
    assert (vae.objective.discriminator_start, vae.objective.kl_weight) == (50_001, 1e-6)
    assert (vae.ema.decay, vae.ema.update_after, vae.ema.update_every, vae.data.augment) == (0.995, 100, 10, False)
    assert (ldm.optimizer.learning_rate, ldm.optimizer.minimum, ldm.optimizer.power) == (5e-5, 5e-6, 0.96)
    assert (ldm.training.steps, ldm.training.batch_size, ldm.optimizer.accumulate) == (50_000, 66, 8)
    assert (ldm.optimizer.weight_decay, ldm.optimizer.clip_norm, ldm.space.scale_factor) == (1e-4, 1.0, 0.3)
    assert (ldm.ema.decay, ldm.ema.update_after, ldm.ema.use, ldm.backbone.swin.depths) == (0.999, 10_000, False, (2, 2, 18, 2))


def test_overrides_are_typed():
    config = load_config("vae", "tiny", ["training.steps=7", "image_size=[64,96]", "optimizer.learning_rate=1e-4",
                                         "optimizer.clip_norm=null", "data.augment=false"], CONFIGS)  # fmt: skip
    assert config.training.steps == 7
    assert config.image_size == (64, 96)
    assert config.optimizer.learning_rate == 1e-4
    assert config.optimizer.clip_norm is None
    assert config.data.augment is False


@pytest.mark.parametrize(
    "word,says",
    [
        ("trainig.steps=3", "did you mean 'training'?"),
        ("training.step=3", "did you mean 'training.steps'?"),
        ("steps=3", "did you mean 'training.steps'?"),
        ("optimizer.lerning_rate=3", "did you mean 'optimizer.learning_rate'?"),
        ("training=3", "is a section"),
        ("training.steps.more=3", "is a single setting"),
        ("training.steps", "not of the form section.key=value"),
        ("training.steps=many", "training.steps is 'many'"),
        ("training.steps=0", "must be at least 1"),
        ("objective.discriminator_loss=hing", "'hinge' or 'vanilla'"),
        ("image_size=[33,64]", "multiples of 32"),
        ("autoencoder.base_channels=20", "cannot be split into 8 groups"),
        ("training.steps=[", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(word, says):
    with pytest.raises(UserError) as caught:
        load_config("vae", "tiny", [word], CONFIGS)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


WORDS = {
    "1": 1, "-7": -7, "1_000": 1000, "1e-4": 1e-4, ".5": 0.5, "true": True, "off": False, "": None, "~": None, "[]": [],
    "[1,2]": [1, 2],
    "'5'": "5", "[a, 'b, c']": ["a", "b, c"], "017": "017", "1:30": "1:30", "0x10": "0x10", "2020-01-01": "2020-01-01",
    "/a b": "/a b",
}  # fmt: skip


@pytest.mark.parametrize("text", WORDS)
def test_a_value_is_what_is_written(text):
    found = split_word(f"a.b={text}")
    assert found == (["a", "b"], WORDS[text]) and type(found[1]) is type(WORDS[text])


DOUBLED = ",".join(f"&{b} [{','.join(9 * [f'*{a}'])}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))
BOMB = f"[&a [x,x,x,x,x,x,x,x,x],{DOUBLED}]"


@pytest.mark.parametrize(
    "text",
    [BOMB, "[[1]]", "{a: 1}", "&a 1", "*a", "!!int foo", "!!python/object/apply:os.system [ls]", "! x", "a: b", "? a",
    "--- 1", "1\n--- 2",
     "|\n x", "x # y", "[1", "@", "\0", "[" * 1000, "9" * 5000, f"[{'1,' * 999}1]", "%YAML 1.1"],
)  # fmt: skip
def test_a_value_is_a_scalar_or_a_flat_list_and_nothing_else(text):
    """A bomb of aliases took a gigabyte, `!!int foo` and thousands of brackets ended in a traceback."""
    begin = time.monotonic()
    with pytest.raises(UserError) as caught:
        split_word(f"features={text}")
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert time.monotonic() - begin < 1


NONSENSE = {
    "optimizer.learning_rate": ["-1", "0", "11", ".nan", ".inf", "true", "'1'"], "optimizer.epsilon": ["0", "-1e-8"],
    "optimizer.betas": ["[2,0.9]", "[0.9,1]", "[-1,0.9]", "[0.9]"], "optimizer.weight_decay": ["2", "-1"],
    "optimizer.power": ["0"],
    "optimizer.minimum": ["1.5"], "optimizer.clip_norm": ["0", "-1", "true"], "optimizer.warmup_steps": ["-1"],
    "optimizer.accumulate": ["0", "1000000000"], "ema.decay": ["2", "1", "-0.1"], "ema.update_every": ["0"], "ema.use": ["1",
    "'true'"],
    "data.threads": ["0", "-1", "1000000"], "data.prefetch": ["0"], "data.simulation_workers": ["-1", "5000"],
    "data.reuse": ["0"],
    "data.transmitters_per_city": ["0"], "data.cities_at_once": ["-3"], "data.simulation_seed": ["-1", "4294967296", "1.5"],
    "data.maps": ["[-1]"], "data.mix_share": ["0", "1"], "data.cars": ["1"], "training.steps": ["0", "1e30", "1.5", "true",
    "'7'"],
    "training.batch_size": ["0", "100000000"], "training.seed": ["-1", "4294967296", "x", "true"],
    "training.validation_maps": ["0"],
    "training.sample_maps": ["-1"], "training.spike_factor": ["1", "-3"], "training.most_skipped_in_a_row": ["-1"],
    "precision.parameters": ["float16"], "precision.remat": ["0"], "image_size": ["[320000,320000]", "[-32,32]", "[32]"],
    "features": ["[]", "[1]", "[true]"], "objective.l1_weight": ["-1", ".nan"], "objective.validation_steps": ["[0]",
    "[1000000]"],
    "backbone.widths": ["[]", "[0]", "[-8]", "[8,8,8,8,8,8,8,8,8]", "[1000000]"], "backbone.blocks_per_level": ["0", "-1",
    "100000"],
    "backbone.attention_levels": ["-1"], "backbone.normalisation_groups": ["0", "-8"], "backbone.fourier_scale": ["0"],
    "space.patch": ["0", "-2", "1000"],
}  # fmt: skip


@pytest.mark.parametrize("name", NONSENSE)
def test_settings_that_make_no_sense_are_refused(name):
    for value in NONSENSE[name]:
        with pytest.raises(UserError) as caught:
            load_config("generator", "pixel-tiny", [f"{name}={value}"], CONFIGS)
        assert f"{name}" in str(caught.value) and "\n" not in str(caught.value), value


MORE = [
    ("vae", "tiny", "autoencoder.base_channels=0"), ("vae", "tiny", "autoencoder.dropout=1.5"), ("vae", "tiny",
    "discriminator.layers=-1"),
    ("vae", "tiny", "discriminator.layers=20"), ("vae", "tiny", "objective.kl_weight=-1"), ("vae", "tiny",
    "autoencoder.latent_channels=0"),
    ("vae", "tiny", "autoencoder.channel_multipliers=[1,1,1,1,1,1,1,1]"), ("vae", "tiny", "objective.discriminator_start=-1"),
    ("generator", "small", "backbone.relation_dropout=1.5"), ("generator", "small", "backbone.relation_heads=0"),
    ("generator", "small", "backbone.attention_heads=-1"), ("generator", "small", "backbone.swin.window=0"),
    ("generator", "small", "backbone.swin.depths=[-1,1,1,1]"), ("generator", "small", "backbone.swin.stochastic_depth=1"),
    ("generator", "small", "space.scale_factor=0"), ("generator", "small", "space.scale_factor=true"),
    ("generator", "small", "objective.sampling_steps=0"), ("generator", "small", "objective.smallest_time=1"),
    ("generator", "flow-tiny", "objective.deviation=0"), ("generator", "pmnet", "backbone.width=1e9"),
    ("generator", "pmnet", "backbone.rates=[0,1,1]"), ("generator", "radiounet", "backbone.width=-1"),
    ("generator", "small", "backbone.base_channels=33 backbone.normalisation_groups=1 backbone.relation_heads=1"),
    ("generator", "pixel-tiny", "objective.l1_weight=0 objective.l2_weight=0"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "preset", "word"), MORE)
def test_other_sections_and_combinations_have_bounds_too(kind, preset, word):
    with pytest.raises(UserError) as caught:
        load_config(kind, preset, word.split(), CONFIGS)
    assert word.partition("=")[0] in str(caught.value) or "channel_multipliers" in str(caught.value)


def test_help_shows_bounds():
    listing = settings_help(load_config("generator", "pixel-tiny", [], CONFIGS))
    words = " ".join(listing.split())
    for said in (
        r"optimizer.learning_rate=0.001 [^()]+ \(number above 0, at most 10\)",
        r"optimizer.clip_norm=1.0 [^()]+ \(number above 0, at most 1,000,000 or null\)",
        r"optimizer.betas=\[0.9, 0.99\] [^()]+ \(list of numbers at least 0, below 1\)",
        r"training.seed=0 [^()]+ \(whole number from 0 to 4,294,967,295\)",
        r"backbone.name=unet [^()]+ \(unet \| radiodiff \| radiounet \| pmnet\)",
        r"kind=generator what is trained image_size",  # nothing to choose
    ):
        assert re.search(said, words), said
    assert max(map(len, listing.splitlines())) <= 130  # of the list of features


def test_every_setting_has_a_word_of_meaning():
    owners = {owner for root in CONFIG_TYPES.values() for *_, owner in described(root)}
    assert {"UNetBackbone", "ResidualFlow", "SwinConfig", "VAEConfig"} <= {owner.__name__ for owner in owners}
    for owner in owners:
        words = meanings(owner)
        fields = [item.name for item in dataclasses.fields(owner) if not section_types(field_types(owner)[item.name])]
        assert [name for name in fields if len(words.get(name, "")) < 8] == [], owner
    assert meanings(ResidualFlow)["deviation"] != meanings(FlowMatching)["deviation"]  # its own before that of its base


def test_seeds_are_the_same_numbers_in_every_command():
    for command in (
        lambda seed: predict.parse(["--buildings", "b.png", "--tx", "1,1", "--out", "m.png", "--seed", seed]),
        lambda seed: adapt.parse(["--from", "x", "--data", "d", "--out", "o", "--seed", seed]),
        lambda seed: ablate.parse(["--plan", "features", "--data", "d", "--out", "o", "--seeds", seed]),
        lambda seed: dataset.make_parser().parse_args(["simulate", "--out", "o", "--seed", seed]),
        lambda seed: dataset.make_parser().parse_args(["raytrace", "--out", "o", "--seed", seed]),
    ):
        command("4294967295")
        for bad in ("4294967296", "-1", "1.0", "x", "9" * 5000, "1_0", "٣"):
            with pytest.raises(SystemExit) as caught:
                command(bad)
            assert caught.value.code == 2


def test_unknown_keys_in_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("training: {steps: 5, batchsize: 3}\n")
    with pytest.raises(UserError, match=r"mine.yaml: there is no setting 'training.batchsize'; did you mean 'training.batch_size'"):
        load_config("vae", str(path), [], CONFIGS)
    path.write_text("training: 5\n")
    with pytest.raises(UserError, match="training is a section"):
        load_config("vae", str(path), [], CONFIGS)
    path.write_text("kind: ldm\n")
    with pytest.raises(UserError, match="kind 'ldm', but this command needs 'vae'"):
        load_config("vae", str(path), [], CONFIGS)
    path.write_text("- 1\n")
    with pytest.raises(UserError, match="holds a list"):
        load_config("vae", str(path), [], CONFIGS)
    with pytest.raises(UserError, match="cannot read"):
        load_config("vae", str(tmp_path / "nothing.yaml"), [], CONFIGS)
    with pytest.raises(UserError, match="did you mean 'tiny'"):
        load_config("vae", "tyni", [], CONFIGS)


def test_ldm_sizes_must_fit():
    with pytest.raises(UserError, match="same length"):
        load_config("generator", "small", ["backbone.relation_windows=[4,2]"], CONFIGS)
    with pytest.raises(UserError, match="heads cannot share evenly"):
        load_config("generator", "small", ["backbone.swin.heads=[3,3,3,3]"], CONFIGS)


def test_help_lists_every_setting_with_its_value():
    config = load_config("generator", "small", [], CONFIGS)
    listing = settings_help(config)
    assert "backbone.swin.window=7" in listing
    assert "space.scale_factor=auto" in listing
    assert "constant | cosine | polynomial" in listing


def test_differences():
    old, new = (load_config("vae", "tiny", words, CONFIGS) for words in ([], ["training.steps=9"]))
    assert differences(to_tree(old), to_tree(new)) == [f"training.steps: {old.training.steps} -> 9"]


@pytest.mark.parametrize(
    "settings, says",
    [
        (["data.observed_pixels=100"], "data.observed_pixels is 100, but features lack 'observed'; set both or neither"),
        (["features=[buildings,observed]"], "data.observed_pixels is 0, but features have 'observed'; set both or neither"),
        (["data.observed_pixels=-1"], "data.observed_pixels is -1: it must be at least 0"),
        (["data.mixture=DPM"], "data.mixture is DPM, as data.simulation is already"),
    ],
)
def test_data_that_cannot_be_varied_so(settings, says):
    with pytest.raises(UserError, match=says):
        load_config("generator", "tiny", settings, CONFIGS)


def test_varied_data():
    words = [
        "data.observed_pixels=100", "features=[buildings,transmitter,observed]", "data.mixture=IRT2",
        "data.buildings=missing3",
    ]  # fmt: skip
    data = load_config("generator", "tiny", words, CONFIGS).data
    assert (data.observed_pixels, data.mixture, data.buildings) == (100, "IRT2", "missing3")
    assert load_config("generator", "tiny", [*words, "data.mixture=null"], CONFIGS).data.mixture is None


def test_a_choice_is_made_by_its_name():
    config = load_config("generator", "pixel-tiny", ["objective.name=flow_matching", "objective.solver=midpoint"], CONFIGS)
    assert (config.objective.name, config.objective.solver, config.backbone.name) == ("flow_matching", "midpoint", "unet")
    assert load_config("generator", "pixel-tiny", [], CONFIGS).backbone.widths == (16, 24, 32, 32, 32)
    other = load_config("generator", "pixel-tiny", ["backbone.name=radiodiff"], CONFIGS)
    assert other.backbone == type(other.backbone)(), "another choice has its defaults"


@pytest.mark.parametrize(
    "word,says",
    [
        ("objective.name=flowmatching", "there is no objective 'flowmatching'; did you mean 'flow_matching'?"),
        ("objective.solver=euler", "no setting 'objective.solver'"),
        ("objective.sampling_steps=2", "objective.sampling_steps is 2"),
        ("features=[buildings,walks]", "walls"),
        ("estimate=paths", "'none', 'line_of_sight' or 'path'"),
        ("backbone.widths=[12]", "cannot be split into 8 groups"),
        ("space.patch=many", "space.patch is 'many'"),
        ("backbone.name=radiounet space.name=pixel objective.name=decoupled", "radiounet"),
        ("objective.name=residual_flow", "takes no estimate; set estimate=none"),
    ],
)
def test_what_is_wrong_with_a_choice_is_said_in_one_line(word, says):
    with pytest.raises(UserError) as caught:
        load_config("generator", "pixel-tiny", word.split(), CONFIGS)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_widths_that_were_refused_too_late():
    """36 channels in 4 groups died in a reshape, where 8 groups were taken for granted."""
    words = ["backbone.base_channels=36", "backbone.normalisation_groups=4", "backbone.relation_heads=4"]
    assert load_config("generator", "small", words, CONFIGS).backbone.base_channels == 36


def test_a_file_is_laid_over_settings(tmp_path):
    base = to_tree(load_config("generator", "pixel-tiny", ["objective.l1_weight=3"], CONFIGS))
    config = load_config("generator", "adapt", ["training.steps=7"], CONFIGS, base)
    alone = build_config("generator", read_yaml(CONFIGS / "overlay" / "adapt.yaml"), "adapt")
    assert (config.backbone, config.features, config.objective.l1_weight) == (
        load_config("generator", "pixel-tiny", [], CONFIGS).backbone, tuple(base["features"]), 3.0
    )  # fmt: skip
    assert (config.optimizer.learning_rate, config.training.patience) == (
        alone.optimizer.learning_rate, alone.training.patience
    )  # fmt: skip
    assert config.training.steps == 7 and config.optimizer.warmup_steps == alone.optimizer.warmup_steps
    path = tmp_path / "mine.yaml"
    path.write_text("objective: {name: flow_matching}\n")
    other = load_config("generator", str(path), [], CONFIGS, base).objective
    assert other == FlowMatching(), "another choice has its own defaults"
    path.write_text("training: 5\n")
    with pytest.raises(UserError, match="training is a section"):
        load_config("generator", str(path), [], CONFIGS, base)
    with pytest.raises(UserError, match="the preset 'adapt' is laid over a trained model; name that with --from"):
        load_config("generator", "adapt", [], CONFIGS)


@pytest.mark.parametrize(
    "settings, says",
    [
        (["training.patience=0"], "training.patience is 0: it must be at least 1, or null"),
        (["data.observed_range=[-1,4]"], "give the least number, from 0 on"),
        (["data.source=simulate", "data.hold_out=[1]"], "choose layouts of a folder; leave them out with data.source=simulate"),
    ],
)
def test_settings_of_adaptations(settings, says):
    with pytest.raises(UserError, match=says):
        load_config("generator", "pixel-tiny", settings, CONFIGS)
    with pytest.raises(UserError, match="an autoencoder is trained whole"):
        load_config("vae", "tiny", ["optimizer.train_only=[encoder]"], CONFIGS)
