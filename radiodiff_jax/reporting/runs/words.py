"""Names, units and meaning of what a training logs, and how numbers, times and changes are put into words."""

import math
import re
from datetime import UTC, datetime
from typing import NamedTuple

from radiodiff_jax.units import DB_PER_GAIN


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
    "grad_norm": Meaning("gradient norm", "", "", "global norm of the gradient before clipping"),
    "learning_rate": Meaning("learning rate", "", "", "as the schedule sets it"),
    "examples_per_s": Meaning("speed", "examples/s", "higher", "maps trained on in a second, without validation"),
    "step_ms": Meaning("time of an update", "ms", "lower", "with waiting for data, without validation and saving"),
    "teraflops_per_s": Meaning("arithmetic", "TFLOP/s", "higher", "convolutions, matrix products and transforms of all "
                               "devices, as the traced update counts them"),
    "mfu": Meaning("utilisation", "share", "higher", "arithmetic relative to the limit in the device's data sheet"),
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

PHASES = {"vae": "autoencoder alone (VAE)", "vae_gan": "autoencoder against discriminator (VAE-GAN)",
          "ldm": "latent diffusion (LDM)"}  # fmt: skip
PHASE_SHORT = {"vae": "VAE", "vae_gan": "VAE-GAN", "ldm": "LDM"}
KINDS = {"vae": "autoencoder", "ldm": "diffusion model", "unknown": "other"}
SAME = 0.01  # a smaller relative change is told as none


def meaning(name: str) -> Meaning:
    """What is known of a metric; for an unknown one its own name."""
    if name in MEANINGS:
        return MEANINGS[name]
    other = re.fullmatch(r"(validation/\w+)_(\d+)_steps", name)
    if other and other[1] in MEANINGS:
        known = MEANINGS[other[1]]
        return known._replace(label=f"{known.label}, {other[2]} steps", sentence=f"{known.sentence}; by {other[2]} sampling steps")
    return Meaning(name, better="lower" if "loss" in name else "", sentence="as logged")


def is_loss(name: str) -> bool:
    """Whether a metric is a training loss."""
    return "loss" in name and not name.startswith("validation/")


def axis_label(name: str) -> str:
    """Label with unit."""
    known = meaning(name)
    return f"{known.label} ({known.unit})" if known.unit else known.label


def number(value: float | None, digits: int = 4) -> str:
    """A number to `digits` significant ones; whole numbers whole; "-" for none."""
    if value is None or not math.isfinite(value):
        return "-"
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.{digits}g}"


def code(text: object) -> str:
    """A name as Markdown code, where no character has a meaning."""
    return "`" + re.sub(r"[`|\s]+", " ", str(text)) + "`"


def capital(text: str) -> str:
    """The first letter as a capital, the rest as it is."""
    return text[:1].upper() + text[1:]


def percent(share: float) -> str:
    """A share in whole per cent."""
    return f"{100 * share:.0f} %"


def count(value: float) -> str:
    """A whole number with thousands set apart."""
    return f"{int(value):,}"


def decibels(rmse: float) -> str:
    """An error in gain as dB."""
    return f"{rmse * DB_PER_GAIN:.2f} dB"


def duration(seconds: float | None) -> str:
    """`3.2 s`, `45 s`, `12 min 5 s`, `3 h 12 min`, `2 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for size, big, small in ((60, "min", "s"), (3600, "h", "min"), (86400, "d", "h")):
        if whole < size * (60 if size == 60 else 24) or size == 86400:
            rest = (whole % size) // {60: 1, 3600: 60, 86400: 3600}[size]
            return f"{whole // size} {big}" + (f" {rest} {small}" if rest else "")
    raise AssertionError


def moment(time: str | float | None) -> str:
    """An ISO time or seconds since 1970 as `2026-11-23 09:47 UTC`."""
    if time is None:
        return "an unknown time"
    try:
        when = datetime.fromisoformat(time) if isinstance(time, str) else datetime.fromtimestamp(time, UTC)
    except (ValueError, OverflowError, OSError):
        return str(time)
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC") if when.tzinfo else when.strftime("%Y-%m-%d %H:%M")


def change(before: float, after: float) -> str:
    """`fell by 12 %`, `rose by 3.4 %`, `stayed within 1 %`."""
    if before <= 0 or after <= 0:
        return f"went from {number(before, 3)} to {number(after, 3)}"
    relative = after / before - 1
    if abs(relative) < SAME:
        return f"stayed within {percent(SAME)}"
    return f"{'rose' if relative > 0 else 'fell'} by {number(100 * abs(relative), 2)} %"
