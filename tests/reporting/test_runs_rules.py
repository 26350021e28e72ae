"""Each rule speaks on data made to break it, is silent on healthy data, and on too little data."""

import numpy as np
import pytest

from radiodiff_jax.reporting.runs import rules
from radiodiff_jax.reporting.runs.run import Run, columns


def run_of(count=40, kind="vae", events=(), settings=None, **metrics) -> Run:
    """A run with these metrics, each an array or a constant, over `count` logged steps."""
    arrays = {name.replace("__", "/"): np.broadcast_to(values, count) for name, values in metrics.items()}
    rows = [
        {"step": 10 * (n + 1), "phase": "vae_gan"} | {name: float(values[n]) for name, values in arrays.items()}
        for n in range(count)
    ]
    return Run("x", None, "run folder", kind, columns(rows)[0], tuple(events), settings, last_step=10 * count)


FALLING = np.linspace(1.0, 0.1, 40)
DOWN_AND_UP = np.concatenate([np.linspace(1.0, 0.1, 20), np.linspace(0.1, 0.3, 20)])
ADVERSARIAL = {"disc_loss": 0.02, "logits_real": 2.0, "logits_fake": -2.0}
BROKEN = {
    "plateau": (rules.plateau, {"validation__rmse": np.maximum(FALLING, 0.5)}),
    "overfitting": (rules.overfitting, {"validation__rmse": DOWN_AND_UP, "loss": FALLING}),
    "KL collapse": (rules.kl_collapse, {"kl_loss": 0.2}),
    "discriminator winning": (rules.discriminator_winning, ADVERSARIAL),
    "input-bound": (rules.input_bound, {"input_wait_share": 0.97}),
    "uneven speed": (rules.uneven_speed, {"examples_per_s": np.where(np.arange(40) % 5, 50.0, 10.0)}),
    "always clipped": (rules.always_clipped, {"grad_norm": 9.0, "settings": {"optimizer": {"clip_norm": 1.0}}}),
    "crashed": (rules.crashed, {"events": [{"event": "failed", "step": 400, "reason": "CUDA out of memory"}]}),
    "non-finite steps": (rules.non_finite_steps, {"events": [{"event": "skipped_nonfinite", "step": 7}]}),
}
HEALTHY = {
    "validation__rmse": FALLING, "loss": FALLING, "kl_loss": 50.0, "disc_loss": 0.8, "logits_real": 0.3,
    "logits_fake": -0.3, "input_wait_share": 0.1, "examples_per_s": 50.0, "grad_norm": 0.5,
    "settings": {"optimizer": {"clip_norm": 1.0}},
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_speaks_with_its_numbers(name):
    rule, metrics = BROKEN[name]
    found = rule(run_of(**metrics))
    assert found is not None and found.rule.startswith(name) and any(sign.isdigit() for sign in found.found)


@pytest.mark.parametrize("name", BROKEN)
def test_a_rule_is_silent_without_enough_data(name):
    rule, metrics = BROKEN[name]
    few = {key: values[:5] if isinstance(values, np.ndarray) else values for key, values in metrics.items()}
    if name not in ("non-finite steps", "crashed"):  # one is enough
        assert rule(run_of(count=5, **few)) is None
    assert rule(Run("x", None, "run folder")) is None


def test_a_healthy_run_gets_no_advice():
    assert rules.advice(run_of(**HEALTHY)) == []


def test_every_rule_is_asked():
    assert {rule for rule, _ in BROKEN.values()} == set(rules.RULES)


@pytest.mark.parametrize(
    ("rule", "metric", "silent", "speaks"),
    [
        (rules.kl_collapse, "kl_loss", 1.0, 0.999),
        (rules.input_bound, "input_wait_share", 0.89, 0.9),
    ],
)
def test_thresholds_are_the_ones_stated(rule, metric, silent, speaks):
    assert rule(run_of(**{metric: silent})) is None
    assert rule(run_of(**{metric: speaks})) is not None


def test_no_overfitting_while_the_loss_rises_too():
    assert rules.overfitting(run_of(validation__rmse=DOWN_AND_UP, loss=DOWN_AND_UP)) is None


def test_a_diffusion_model_has_no_latent_to_collapse():
    assert rules.kl_collapse(run_of(kind="ldm", kl_loss=0.0)) is None
