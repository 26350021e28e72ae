"""What metrics mean, and what a run's numbers say: state, phases, sessions, best figures, trend, resumes."""

import re
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from radiodiff_jax.reporting.markdown import change, count, moment, number
from radiodiff_jax.reporting.runs.run import EMPTY, RUN_FOLDER, Row, Run, Series, is_number


class Meaning(NamedTuple):
    """What a metric is. `better`: "lower", "higher" or "" where neither is; `phase`: the only one in which it counts."""

    label: str
    unit: str = ""
    better: str = ""
    sentence: str = ""
    phase: str = ""


GAIN = "gain"
MEANINGS = {
    "loss": Meaning("total loss", "", "lower", "what the optimizer minimises"),
    "nll_loss": Meaning("likelihood loss", "", "lower", "reconstruction error summed over the pixels of a map"),
    "rec_loss": Meaning("reconstruction loss", "", "lower", "reconstruction error of a pixel, L1 + L2, maps in [-1, 1]"),
    "kl_loss": Meaning("KL divergence", "nats a map", "", "information that the latent carries beyond the prior"),
    "g_loss": Meaning("generator loss", "", "", "minus the discriminator's mean answer to reconstructions", "vae_gan"),
    "disc_loss": Meaning("discriminator loss", "", "", "hinge loss of telling truth from reconstruction", "vae_gan"),
    "d_weight": Meaning("adversarial weight", "", "", "share of the adversarial gradient, set by both gradients",
                        "vae_gan"),
    "logits_real": Meaning("answer to truth", "", "", "mean answer of the discriminator to true maps", "vae_gan"),
    "logits_fake": Meaning("answer to output", "", "", "mean answer of the discriminator to reconstructions", "vae_gan"),
    "loss_c": Meaning("loss of C", "", "lower", "error of the predicted attenuation C = -x0"),
    "loss_noise": Meaning("loss of the noise", "", "lower", "error of the predicted noise"),
    "loss_simple": Meaning("simple loss", "", "lower", "the original's unweighted diffusion loss"),
    "loss_vlb": Meaning("VLB loss", "", "lower", "the original's second diffusion loss"),
    "logvar": Meaning("log variance", "", "", "of the reconstruction likelihood"),
    "disc_factor": Meaning("adversarial factor", "", "", "0 until the discriminator takes part"),
    "loss_l1": Meaning("L1 loss", "", "lower", "mean absolute error of what the network predicts"),
    "loss_l2": Meaning("L2 loss", "", "lower", "mean squared error of what the network predicts"),
    "loss_scale": Meaning("likelihood of the error", "nats a pixel", "lower", "how well the predicted scale fits the errors; "
                          "0 is an error of nothing, foreseen"),
    "grad_norm": Meaning("gradient norm", "", "", "global norm of the gradient before clipping"),
    "learning_rate": Meaning("learning rate", "", "", "as the schedule sets it"),
    "examples_per_s": Meaning("speed", "examples/s", "higher", "maps trained on in a second, without validation"),
    "step_ms": Meaning("time of an update", "ms", "lower", "with waiting for data, without validation and saving"),
    "teraflops_per_s": Meaning("FLOP rate", "TFLOP/s", "higher", "convolutions, matrix products and transforms of all "
                               "devices, as the traced update counts them"),
    "mfu": Meaning("utilisation", "share", "higher", "FLOP rate relative to the limit in the device's data sheet"),
    "device_memory_gb": Meaning("device memory", "GB", "lower", "the most in use so far on one device"),
    "skipped_updates": Meaning("skipped updates", "", "lower", "left out because loss or gradient were not finite or a "
                               "spike, since the last logged step"),
    "input_wait_ms": Meaning("waiting for data", "ms/update", "lower", "time of an update that the loop waits for data"),
    "input_wait_share": Meaning("waiting for data", "share", "lower", "share of the time that the loop waits for data"),
    "validation/rmse": Meaning("validation RMSE", GAIN, "lower", "root mean square error, gain in [0, 1], all pixels, "
                               "mean over maps"),
    "validation/nmse": Meaning("validation NMSE", "", "lower", "squared error relative to the map's squared gain"),
    "validation/ssim": Meaning("validation SSIM", "", "higher", "structural similarity to the truth; 1 is equal"),
}  # fmt: skip
PHASES = {
    "vae": "autoencoder alone (VAE)", "vae_gan": "autoencoder against discriminator (VAE-GAN)",
    "ldm": "latent diffusion (LDM)", "decoupled": "decoupled diffusion", "regression": "regression",
    "flow_matching": "flow matching", "residual_flow": "flow of a regression's residual",
}  # fmt: skip
PHASES_SHORT = {"vae": "VAE", "vae_gan": "VAE-GAN", "ldm": "LDM", "flow_matching": "flow matching",
                "residual_flow": "residual flow"}  # fmt: skip


def phase_name(phase: str, short: bool = False) -> str:
    """A phase in plain text, its own name if it is not a known one; "-" for none."""
    return (PHASES_SHORT if short else {}).get(phase) or PHASES.get(phase) or phase or "-"


def meaning(name: str) -> Meaning:
    """What is known of a metric; for an unknown one its own name."""
    if name in MEANINGS:
        return MEANINGS[name]
    other = re.fullmatch(r"(validation/\w+)_(\d+)_steps", name)
    if other and other[1] in MEANINGS:
        known = MEANINGS[other[1]]
        return known._replace(
            label=f"{known.label}, {other[2]} steps", sentence=f"{known.sentence}; by {other[2]} sampling steps"
        )
    return Meaning(name, better="lower" if "loss" in name else "", sentence="as logged")


def is_loss(name: str) -> bool:
    """Whether a metric is a training loss."""
    return "loss" in name and not name.startswith("validation/")


def axis_label(name: str) -> str:
    """Label with unit."""
    known = meaning(name)
    return f"{known.label} ({known.unit})" if known.unit else known.label


SILENT_AFTER_S = 1800.0  # a training that writes nothing for so long is not called running any more
ENDINGS = ("finished", "failed", "interrupted", "preempted", "followed", "broke off")
SKIPPED = ("skipped_nonfinite", "skipped_spike")  # events of updates that were left out
QUARTERS = 4
TREND_VALUES = 8  # fewer are compared first with last
DONE_WITHIN = 1.5  # log intervals before the planned end at which a log without an ending counts as finished


class State(NamedTuple):
    """`word`: running, finished, stopped, failed, silent or empty; and the same as a sentence."""

    word: str
    sentence: str

    @property
    def may_go_on(self) -> bool:
        """Whether the run may still write."""
        return self.word not in ("finished", "failed")


def state(run: Run, now: float | None = None) -> State:
    """The state at the time `now` (seconds since 1970), by the last event and the age of the newest line."""
    age = (time.time() if now is None else now) - run.written
    last = next((event for event in reversed(run.events) if event["event"] in (*ENDINGS, "started", "resumed")), None)
    word, place = last["event"] if last else None, f"after {count(run.last_step)} of {_planned(run)} steps"
    when = f" on {moment(last['time'])}" if last and last.get("time") else ""
    if word == "finished":
        early = ": stopped early, as the validation RMSE fell no more" if last.get("stopped_early") else ""
        return State("finished", f"Finished{when} {place}{early}.")
    if word == "failed":
        return State("failed", f"Failed{when} {place}: {str(last.get('reason', 'no reason given')).rstrip('.')}.")
    if word == "preempted":
        return State("stopped", f"Stopped{when} {place} by the system (SIGTERM); the same command goes on from there.")
    if word == "interrupted":
        return State("stopped", f"Stopped{when} {place} by hand (Ctrl-C); the same command goes on from there.")
    if not run.series and word is None:
        return State("empty", "Nothing has been logged yet.")
    if run.origin != RUN_FOLDER and ends_as_planned(run):
        return State("finished", f"Finished {place}.")
    if word == "followed":
        return State("stopped", f"Stopped {place}: the log goes on with another training.")
    if age < SILENT_AFTER_S:
        return State("running", f"Running: {place}; last update on {moment(run.written)}.")
    return State("silent", f"Silent: {place}; nothing was written since {moment(run.written)}, and no line says that it "
                           "ended.")  # fmt: skip


def ends_as_planned(run: Run) -> bool:
    """Whether a log's last step is the planned one, give or take one log interval (logs count from 0)."""
    steps = longest(run).steps
    return (
        bool(run.planned) and len(steps) > 1 and run.last_step + DONE_WITHIN * np.median(np.diff(steps)) >= run.planned
    )


def _planned(run: Run) -> str:
    return count(run.planned) if run.planned else "an unknown number of"


def longest(run: Run) -> Series:
    """The metric with most entries: the rows of the log."""
    return max(run.series.values(), key=len, default=EMPTY)


class Phase(NamedTuple):
    """A part of a training: updates `first` to `last`."""

    name: str
    first: int
    last: int
    seconds: float | None


def phases(run: Run) -> list[Phase]:
    """The phases that were entered, in order, from the events or, without them, from the logged rows."""
    starts: dict[str, int] = {}
    for event in run.events:
        if event["event"] == "phase" and is_number(event.get("step")):
            starts.setdefault(str(event.get("phase")), int(event["step"]))
    rows = longest(run)
    if not starts:
        for name in dict.fromkeys(rows.phases):
            if name:
                starts[name] = int(rows.steps[np.argmax(rows.phases == name)])
    if not starts:
        return []
    ordered = sorted(starts.items(), key=lambda item: item[1])
    ends = [first for _, first in ordered[1:]] + [run.last_step]
    return [
        Phase(name, first, end, _seconds_between(rows, first, end))
        for (name, first), end in zip(ordered, ends, strict=True)
    ]


def _seconds_between(rows: Series, first: int, last: int) -> float | None:
    known = rows.where(np.isfinite(rows.seconds))
    if not len(known):
        return None
    at = np.interp([first, last], [0, *known.steps], [0.0, *known.seconds])
    return float(at[1] - at[0])


class Session(NamedTuple):
    """One start of the command: from update `first` to `last`; `event` is how it began, `end` how it ended."""

    event: Row
    first: int
    last: int
    end: str


def sessions(run: Run) -> list[Session]:
    """Start, and every resume."""
    begun = [number for number, event in enumerate(run.events) if event["event"] in ("started", "resumed")]
    found = []
    for place, following in pairwise([*begun, len(run.events)]):
        inside = run.events[place:following]
        last_word = next((event for event in reversed(inside) if event["event"] in ENDINGS), None)
        end = ": ".join(str(last_word[key]) for key in ("event", "reason") if key in last_word) if last_word else ""
        steps = [int(event["step"]) for event in inside if is_number(event.get("step"))]
        is_last = following == len(run.events)
        last = run.last_step if is_last else max(steps, default=0)
        found.append(Session(inside[0], steps[0] if steps else 0, last, end or ("" if is_last else "killed")))
    return found


def marked_steps(run: Run, *names: str) -> list[int]:
    """Steps of the events of these names."""
    return [int(event["step"]) for event in run.events if event["event"] in names and is_number(event.get("step"))]


def counting(run: Run, name: str) -> Series:
    """The finite values of a metric in the phase in which it counts."""
    series, phase = run.metric(name), meaning(name).phase
    return series.where(series.phases == phase) if phase and phase in set(series.phases) else series


def of_last_phase(series: Series) -> Series:
    """The entries of the newest phase: what was measured before it is another training's."""
    return series.where(series.phases == series.phases[-1]) if len(series) else series


class Best(NamedTuple):
    """The best value of a metric and its step."""

    value: float
    step: int


def best(run: Run, name: str) -> Best | None:
    """By the metric's own sense of better; None without values or sense."""
    return best_of(counting(run, name), meaning(name).better)


def best_of(series: Series, better: str) -> Best | None:
    """The best value where "lower" or "higher" is better; None without values or sense."""
    if not len(series) or not better:
        return None
    place = int(np.argmin(series.values) if better == "lower" else np.argmax(series.values))
    return Best(float(series.values[place]), int(series.steps[place]))


def trend(run: Run, name: str) -> str:
    """One sentence: the median of the last quarter of a metric's values against the quarter before, in the newest phase."""
    series = of_last_phase(counting(run, name))
    label, size = meaning(name).label, len(series) // QUARTERS
    if len(series) < 2:
        return ""
    if len(series) < TREND_VALUES:
        difference = change(float(series.values[0]), float(series.values[-1]))
        return f"The {label} {difference} from the first of its {len(series)} values to the last."
    before, after = (float(np.median(part)) for part in (series.values[-2 * size : -size], series.values[-size:]))
    return (
        f"The {label} {change(before, after)} over the last quarter (median {number(after)} of {size} values, steps "
        f"{count(series.steps[-size])} to {count(series.steps[-1])}, against {number(before)} in the quarter before)."
    )


@dataclass(frozen=True)
class Continuity:
    """The loss either side of a resume: the last value logged before it and the first after it."""

    step: int
    before: Best
    after: Best
    typical: float  # median |difference| of neighbouring logged values of its phase
    same_step: tuple[int, float, float] | None  # a step that was logged by both sessions: (step, old, new)

    @property
    def difference(self) -> float:
        """After minus before."""
        return self.after.value - self.before.value


def continuity(run: Run, name: str = "loss") -> list[Continuity]:
    """Every resume that has a logged value of the same phase on either side."""
    series = run.metric(name)
    same_phase = series.phases[1:] == series.phases[:-1]
    found = []
    for event in run.events:
        if event["event"] != "resumed" or not is_number(event.get("step")):
            continue
        place = int(np.searchsorted(series.steps, event["step"], side="right"))
        if 0 < place < len(series) and same_phase[place - 1]:
            changes = np.abs(np.diff(series.values))[same_phase & (series.phases[1:] == series.phases[place])]
            typical = float(np.median(changes))
            sides = (Best(float(series.values[i]), int(series.steps[i])) for i in (place - 1, place))
            again = event.get("repeated", {})
            same = (int(again["step"]), *again[name]) if name in again else None
            found.append(Continuity(int(event["step"]), *sides, typical, same))
    return found
