"""The page of one run: sections in order, each made from the run's files alone."""

import time
from collections.abc import Callable
from pathlib import Path

from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.markdown import note, page, plain, write_page
from radiodiff_jax.reporting.runs import curve_sections, sections
from radiodiff_jax.reporting.runs.analysis import state
from radiodiff_jax.reporting.runs.evaluations import Evaluation, evaluations_section
from radiodiff_jax.reporting.runs.rules import Advice, advice
from radiodiff_jax.reporting.runs.run import Run
from radiodiff_jax.reporting.runs.samples import samples_section
from radiodiff_jax.reporting.runs.settings import settings_section
from radiodiff_jax.reporting.runs.words import capital

INTRODUCTIONS = {
    "vae": "This run trains the autoencoder: it learns to press radio maps into a small latent and to restore them.",
    "ldm": "This run trains the diffusion model: it learns to draw a city's radio map, as a latent of the autoencoder, "
           "from the buildings and the transmitter's place.",
    "unknown": "What this run trains is not known.",
}  # fmt: skip


def write_run_page(
    run: Run, folder: Path, evaluations: list[Evaluation] = (), presets: Path | None = None, now: float | None = None
) -> Path:
    """Write folder/index.md and its figures; whatever cannot be drawn is a sentence on the page.

    `presets` holds vae/*.yaml and ldm/*.yaml; `now` is in seconds since 1970.
    """
    now = time.time() if now is None else now
    found = advice(run)
    headed: list[tuple[str, Callable[[], str]]] = [
        ("Progress", lambda: sections.progress_section(run, now)),
        ("Recommendations", lambda: recommendations(found)),
        ("Losses", lambda: curve_sections.losses_section(run, folder)),
        ("Validation", lambda: curve_sections.validation_section(run, folder)),
        ("Samples", lambda: samples_section(run, folder)),
        ("Evaluations", lambda: evaluations_section(run, evaluations)),
        ("All logged figures", lambda: sections.metrics_section(run)),
        ("Optimizer", lambda: curve_sections.steering_section(run, folder)),
        ("Speed", lambda: curve_sections.speed_section(run, folder)),
        ("Resumes", lambda: curve_sections.continuity_section(run, folder)),
        ("Architecture", lambda: sections.architecture_section(run, folder)),
        ("Settings", lambda: settings_section(run, presets)),
        ("Environment", lambda: sections.environment_section(run)),
    ]
    body = [f"## {title}\n\n{text}" for title, draw in headed if (text := guarded(draw))]
    text = page(
        f"Run {plain(run.name)}",
        INTRODUCTIONS.get(run.kind, INTRODUCTIONS["unknown"]),
        guarded(lambda: sections.summary_section(run, found, now)),
        *body,
        description=f"{run.name}: {state(run, now).sentence}",
    )
    path = folder / "index.md"
    write_page(path, text)
    return path


def guarded(draw: Callable[[], str]) -> str:
    """A section, or a sentence why there is none: one odd file must not take the rest of the page with it."""
    try:
        return draw()
    except UserError as error:
        return note("warning", "This could not be drawn", plain(error))
    except OSError:
        raise  # a run that vanishes or a site that cannot be written is the command's business
    except Exception as error:  # noqa: BLE001
        return note("warning", "This could not be drawn", plain(f"{type(error).__name__}: {error}"))


def recommendations(found: list[Advice]) -> str:
    """Every rule that spoke: what it says, what was measured, what may be done."""
    if not found:
        return "No rule spoke. The rules and their thresholds are in `radiodiff_jax/reporting/runs/rules.py`."
    return "\n".join(
        f"- **{plain(capital(one.rule))}.** Found: {plain(one.found)}. {plain(one.advice)}" for one in found
    )
