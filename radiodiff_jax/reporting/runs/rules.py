"""Advice from stated rules: each is a pure function of a run that returns what it found, with its numbers, or nothing.

A rule is silent without enough data. Thresholds are the constants beside it.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from radiodiff_jax.reporting.markdown import count, counted, number, percent
from radiodiff_jax.reporting.runs.analysis import counting, marked_steps, of_last_phase
from radiodiff_jax.reporting.runs.crashes import crash_cause, last_words
from radiodiff_jax.reporting.runs.run import Run, is_number

ENOUGH_VALIDATIONS = 8
ENOUGH_ROWS = 20


class Advice(NamedTuple):
    """What a rule found: the `rule` as a sentence, what was measured, what may be done."""

    rule: str
    found: str
    advice: str


PLATEAU_GAIN = 0.01  # relative improvement of the best validation RMSE in the last third that still counts


def plateau(run: Run) -> Advice | None:
    """The best validation RMSE has hardly improved in the last third of the validations of the newest phase."""
    series = of_last_phase(run.metric("validation/rmse"))
    if len(series) < ENOUGH_VALIDATIONS:
        return None
    cut = len(series) - len(series) // 3
    early, late = float(series.values[:cut].min()), float(series.values[cut:].min())
    gain = 1 - late / early
    if gain >= PLATEAU_GAIN:
        return None
    return Advice(
        f"plateau: the best validation RMSE of the last third improves on the best before it by less than "
        f"{percent(PLATEAU_GAIN)}",
        f"best of the first {cut} validations {number(early)}, best of the last {len(series) - cut} {number(late)} "
        f"({100 * gain:+.1f} % better)",
        "More steps at these settings will hardly help; lower the learning rate, or stop here.",
    )


OVERFITTING_RISE = 0.10  # of the validation RMSE above its best
LOSS_ROWS = 5  # logged losses whose median stands for the loss at a step
OVERFITTING_VALIDATIONS = 3  # that must lie behind the best one


def overfitting(run: Run) -> Advice | None:
    """The validation RMSE has risen from its best while the training loss went on falling, both in the newest phase."""
    series, loss = (of_last_phase(run.metric(name)) for name in ("validation/rmse", "loss"))
    if len(series) < ENOUGH_VALIDATIONS or len(loss) < ENOUGH_ROWS:
        return None
    lowest = int(np.argmin(series.values))
    after = series.values[lowest + 1 :]
    if len(after) < OVERFITTING_VALIDATIONS:
        return None
    now, then = float(np.median(series.values[-OVERFITTING_VALIDATIONS:])), float(series.values[lowest])
    since = loss.where(loss.steps > series.steps[lowest])
    around = loss.where(loss.steps <= series.steps[lowest]).values[-LOSS_ROWS:]
    if len(since) < ENOUGH_ROWS or not len(around) or now < (1 + OVERFITTING_RISE) * then:
        return None
    loss_then, loss_now = float(np.median(around)), float(np.median(since.values[-LOSS_ROWS:]))
    if loss_now >= loss_then:
        return None
    return Advice(
        f"overfitting: the validation RMSE is {percent(OVERFITTING_RISE)} or more above its best while the loss fell",
        f"validation RMSE {number(then)} at step {count(series.steps[lowest])}, now {number(now)} "
        f"({100 * (now / then - 1):+.0f} %); loss {number(loss_then)} then, {number(loss_now)} now",
        "The best checkpoint is kept: give `predict` and `evaluate` `--checkpoint best`. Train on more maps, or switch on "
        "data.augment.",
    )


KL_COLLAPSED = 1.0  # nats a map


def kl_collapse(run: Run) -> Advice | None:
    """The latent carries almost no information."""
    series = run.metric("kl_loss")
    if run.kind != "vae" or len(series) < ENOUGH_ROWS:
        return None
    size = len(series) // 4
    latest = float(np.median(series.values[-size:]))
    if latest >= KL_COLLAPSED:
        return None
    return Advice(
        f"KL collapse: the median KL divergence of the last quarter is below {number(KL_COLLAPSED)} nat a map",
        f"median {number(latest)} nats a map over the last {size} logged values",
        "The decoder ignores the latent; lower objective.kl_weight.",
    )


WINNING_LOSS = 0.1  # hinge loss of the discriminator
WINNING_GAP = 2.0  # between its answers to truth and to reconstructions: both margins of the hinge loss


def discriminator_winning(run: Run) -> Advice | None:
    """The discriminator tells truth from reconstruction with ease, so that its gradient teaches little."""
    loss, real, fake = (counting(run, name) for name in ("disc_loss", "logits_real", "logits_fake"))
    if min(map(len, (loss, real, fake))) < ENOUGH_ROWS:
        return None
    size = len(loss) // 4
    latest = float(np.median(loss.values[-size:]))
    gap = float(np.median(real.values[-size:]) - np.median(fake.values[-size:]))
    if latest >= WINNING_LOSS or gap <= WINNING_GAP:
        return None
    return Advice(
        f"discriminator winning: its median loss of the last quarter is below {number(WINNING_LOSS)} and its answers lie "
        f"more than {number(WINNING_GAP)} apart",
        f"median loss {number(latest)}, answers {number(gap)} apart over the last {size} logged values",
        "Lower objective.discriminator_weight, or let the autoencoder alone for longer (objective.discriminator_start).",
    )


WAITING = 0.9  # of the time: reading runs beside the device, so that only nearly all of it means that the device waits


def input_bound(run: Run) -> Advice | None:
    """The training waits for data."""
    series = run.metric("input_wait_share")
    if len(series) < ENOUGH_ROWS:
        return None
    share = float(np.median(series.values))
    if share < WAITING:
        return None
    return Advice(
        f"input-bound: the loop waits for data in {percent(WAITING)} of the time or more",
        f"median share {percent(share)} over {len(series)} logged values",
        "Raise data.threads and data.prefetch, or pack the data with `dataset build`.",
    )


SLOW = 0.5  # of the median speed
SLOW_SHARE = 0.1  # of the logged values


def uneven_speed(run: Run) -> Advice | None:
    """The speed often falls far below its median: something else takes the machine, or reading stalls."""
    series = run.metric("examples_per_s")
    if len(series) < ENOUGH_ROWS:
        return None
    middle = float(np.median(series.values))
    share = float(np.mean(series.values < SLOW * middle))
    if share < SLOW_SHARE:
        return None
    return Advice(
        f"uneven speed: {percent(SLOW_SHARE)} or more of the logged speeds are below {percent(SLOW)} of the median",
        f"{percent(share)} of {len(series)} logged speeds are below half of the median {number(middle)} examples/s",
        "Look at what else runs on the machine, and at the disk that the maps are read from.",
    )


CLIPPED_SHARE = 0.9  # of the logged values


def always_clipped(run: Run) -> Advice | None:
    """Nearly every update is clipped, so that the gradient's length does not matter."""
    series = run.metric("grad_norm")
    optimizer = (run.settings or {}).get("optimizer")
    limit = optimizer.get("clip_norm") if isinstance(optimizer, dict) else None
    if len(series) < ENOUGH_ROWS or not is_number(limit):
        return None
    share = float(np.mean(series.values > limit))
    if share < CLIPPED_SHARE:
        return None
    return Advice(
        f"always clipped: {percent(CLIPPED_SHARE)} or more of the logged gradient norms are above optimizer.clip_norm",
        f"{percent(share)} of {len(series)} values are above {number(limit)}; their median is "
        f"{number(float(np.median(series.values)))}",
        "Training then takes steps of one length; if that is not meant, raise optimizer.clip_norm.",
    )


def non_finite_steps(run: Run) -> Advice | None:
    """A loss, gradient or metric was no finite number."""
    found = non_finite(run)
    if not found:
        return None
    places = marked_steps(run, "skipped_nonfinite", "failed")
    where = f" (first at step {count(min(places))})" if places else ""
    return Advice(
        "non-finite steps: any at all",
        ", ".join(counted(times, what) for what, times in found.items()) + where,
        "Lower optimizer.learning_rate or optimizer.clip_norm; with precision.compute float16, try bfloat16.",
    )


def crashed(run: Run) -> Advice | None:
    """The training was ended by an error that no resume came after."""
    last = next((event["event"] for event in reversed(run.events) if event["event"] in ("failed", "resumed", "finished")), "")
    if last != "failed":
        return None
    cause, cure = crash_cause(last_words(run))
    return Advice(f"crashed: {cause}", f"step {count(run.last_step)}, {last_words(run)}", cure)


RULES: tuple[Callable[[Run], Advice | None], ...] = (
    crashed, non_finite_steps, overfitting, plateau, kl_collapse, discriminator_winning, input_bound, uneven_speed,
    always_clipped,
)  # fmt: skip


def advice(run: Run) -> list[Advice]:
    """What the rules found, worst first."""
    return [found for rule in RULES if (found := rule(run)) is not None]


def non_finite(run: Run) -> dict[str, int]:
    """{what: how often}: skipped updates, metrics that were no finite numbers, a training that ended by it."""
    found = {
        "skipped update": len(marked_steps(run, "skipped_nonfinite")),
        "logged value that is no finite number": sum(int(np.isnan(one.values).sum()) for one in run.series.values()),
        "failure": sum(event["event"] == "failed" and "finite" in str(event.get("reason")) for event in run.events),
    }
    return {what: times for what, times in found.items() if times}
