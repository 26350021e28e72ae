"""The page of one run, its sections of text and tables, and its summary for the pages over all runs."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.reporting.markdown import (
    capital,
    code,
    count,
    counted,
    decibels,
    duration,
    moment,
    note,
    number,
    page,
    plain,
    table,
    write_page,
)
from radiodiff_jax.reporting.runs import curve_sections, resumes, settings
from radiodiff_jax.reporting.runs.analysis import (
    ENDINGS,
    GAIN,
    SKIPPED,
    State,
    best,
    best_of,
    counting,
    is_loss,
    longest,
    meaning,
    of_last_phase,
    phase_name,
    phases,
    sessions,
    state,
    trend,
)
from radiodiff_jax.reporting.runs.curves import thin
from radiodiff_jax.reporting.runs.opening import opening_verdict
from radiodiff_jax.reporting.runs.outputs import Evaluation, evaluations_section, samples_section
from radiodiff_jax.reporting.runs.rules import Advice, advice
from radiodiff_jax.reporting.runs.run import RUN_FOLDER, Run
from radiodiff_jax.reporting.runs.verdict import Verdict, verdict_box

INTRODUCTIONS = {
    "vae": "This run trains the autoencoder: it learns to compress radio maps to a small latent and to restore them.",
    "ldm": "This run trains the diffusion model: it learns to predict a city's radio map, as a latent of the autoencoder, "
           "from the buildings and the transmitter's place.",
    "generator": "This run trains a generator: it learns to predict a city's radio map from the buildings and the "
                 "transmitter's place",
    "unknown": "What this run trains is not known.",
}  # fmt: skip
OBJECTIVES = {
    "decoupled": "by a diffusion that takes the map away and adds noise as two separate processes",
    "regression": "in one evaluation of its network, without noise",
    "flow_matching": "by following a flow from noise to the map",
    "residual_flow": "by a flow from the output of a regression to the map",
}
SPACES = {"pixel": "in pixel space", "latent": "as a latent of an autoencoder"}


def introduction(run: Run) -> str:
    """What the run trains: of a generator the objective and the space, where the settings name known ones."""
    text = INTRODUCTIONS[run.kind if run.kind in INTRODUCTIONS else "unknown"]
    if run.kind != "generator":
        return text
    entered = phases(run)
    objective = choice(run, "objective") or (entered[-1].name if entered else "")
    parts = [SPACES.get(choice(run, "space")), OBJECTIVES.get(objective)]
    return ", ".join([text, *(part for part in parts if part)]) + "."


def choice(run: Run, section: str) -> str:
    """The name of the run's `space`, `backbone` or `objective`; "" where the settings have none."""
    chosen = (run.settings or {}).get(section)
    return str(chosen.get("name", "")) if isinstance(chosen, dict) else ""


def write_run_page(
    run: Run, folder: Path, evaluations: list[Evaluation] = (), presets: Path | None = None, now: float | None = None
) -> Path:
    """Write folder/index.md and its figures; what cannot be made is a sentence on the page. The verdict comes first.

    `presets` holds KIND/NAME.yaml; `now` is in seconds since 1970.
    """
    now = time.time() if now is None else now
    found, judged = advice(run), opening_verdict(run, now)
    headed: list[tuple[str, Callable[[], str]]] = [
        ("Progress", lambda: progress_section(run, now)),
        ("Recommendations", lambda: recommendations(found)),
        ("Losses", lambda: curve_sections.losses_section(run, folder)),
        ("Validation", lambda: curve_sections.validation_section(run, folder)),
        ("Samples", lambda: samples_section(run, folder)),
        ("Evaluations", lambda: evaluations_section(run, evaluations)),
        ("All logged figures", lambda: metrics_section(run)),
        ("Optimizer", lambda: curve_sections.optimizer_section(run, folder)),
        ("Speed", lambda: curve_sections.speed_section(run, folder)),
        ("Resumes", lambda: resumes.continuity_section(run, folder)),
        ("Architecture", lambda: settings.architecture_section(run, folder)),
        ("Settings", lambda: settings.settings_section(run, presets)),
        ("Environment", lambda: settings.environment_section(run)),
    ]
    body = [f"## {title}\n\n{text}" for title, draw in headed if (text := section_or_note(draw))]
    text = page(
        f"Run {plain(run.name)}",
        verdict_box(judged),
        introduction(run),
        *map(plain, re.split(r"\n\s*\n", run.notes)),
        section_or_note(lambda: summary_section(run, found, now, judged)),
        *body,
        description=f"{run.name}: {state(run, now).sentence}",
    )
    path = folder / "index.md"
    write_page(path, text)
    return path


def section_or_note(draw: Callable[[], str]) -> str:
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
    """Every rule that found something: what it says, what was measured, what may be done."""
    if not found:
        return "No issues found. The rules and their thresholds are in `radiodiff_jax/reporting/runs/rules.py`."
    return "\n".join(
        f"- **{plain(capital(one.rule))}.** Found: {plain(one.found)}. {plain(one.advice)}" for one in found
    )


BOXES = {"finished": "success", "running": "note", "stopped": "warning", "silent": "warning", "failed": "danger",
         "empty": "note"}  # fmt: skip
ENDS = {"": "not known", "killed": "killed (no event of its end)", "followed": "another training follows"}
TRENDS = ("validation/rmse", "validation/ssim", "loss")
DOUBTS = ("warning", "danger")  # kinds of verdicts under which a finished training gets no green box either


def summary_section(run: Run, found: list[Advice], now: float, judged: Verdict | None = None) -> str:
    """The state, the figures that matter, where things are going, and what to look at."""
    current = state(run, now)
    kind = BOXES[current.word]
    kind = "note" if kind == "success" and judged is not None and judged.kind in DOUBTS else kind
    box = note(kind, current.sentence, eta_sentence(run) if current.word == "running" else "")
    rows = [[name, value] for name, value in summary_rows(run) if value]
    trends = [f"- {plain(sentence)}" for name in TRENDS if (sentence := trend(run, name))]
    warnings = [f"- {plain(sentence)}" for sentence in run.problems]
    warnings += [f"- {plain(capital(one.rule.split(':')[0]))}: {plain(one.found)}; see "
                 "[Recommendations](#recommendations)." for one in found]  # fmt: skip
    return "\n\n".join([
        "## Summary",
        box,
        live_line(run, current),
        table(["figure", "value"], rows, 2) if rows else "",
        "\n".join(["**Trend**", "", *trends]) if trends else "",
        "\n".join(["**To look at**", "", *warnings]) if warnings else "",
    ])  # fmt: skip


def live_line(run: Run, current: State) -> str:
    """What `live.js` fills in below the box of a run that may go on, while the page is served; else hidden."""
    return '<p class="caption" data-live hidden></p>' if run.origin == RUN_FOLDER and current.may_go_on else ""


def summary_rows(run: Run) -> list[tuple[str, str]]:
    """(name, value) of the summary's table; an empty value where nothing is known."""
    rmse, ssim, pace = best(run, "validation/rmse"), best(run, "validation/ssim"), seconds_per_step(run)
    loss, speed = counting(run, "loss"), run.metric("examples_per_s")
    devices = run.details.get("devices")
    return [
        ("best validation RMSE", f"{decibels(rmse.value)} ({number(rmse.value)} in gain) at step "
                                 f"{count(rmse.step)}" if rmse else ""),
        ("best validation SSIM", f"{number(ssim.value)} at step {count(ssim.step)}" if ssim else ""),
        ("last total loss", f"{number(float(loss.values[-1]))} at step {count(loss.steps[-1])}" if len(loss) else ""),
        ("training time", duration(run.seconds) if run.seconds is not None else ""),
        ("speed", f"{number(float(np.median(speed.values)), 3)} examples/s (median, without validation)"
                  if len(speed) else ""),
        ("time of a step", f"{duration(pace) if pace >= 1 else f'{1000 * pace:.3g} ms'} (newest rows, with validation "
                           "and saving)" if pace else ""),
        ("trained parameters", count(total) if (total := run.parameters) else ""),
        ("devices", plain(", ".join(map(str, devices))) if isinstance(devices, list) else ""),
        ("made from", plain(f"{run.origin} {shown_path(run.path)}")),
    ]  # fmt: skip


def shown_path(path: Path) -> Path:
    """A path from the working folder on, where it is below: shorter, and of no interest to others is where that folder lies."""
    here = Path.cwd().resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path


def progress_section(run: Run, now: float) -> str:
    """A bar, the phases and the sessions."""
    parts = []
    if run.planned:
        share = min(run.last_step / run.planned, 1.0)
        parts.append(f'<progress aria-label="steps done" value="{run.last_step}" max="{run.planned}">{share:.0%}</progress> '
                     f"{count(run.last_step)} of {count(run.planned)} steps ({100 * share:.0f} %). "
                     + (eta_sentence(run) if state(run, now).word == "running" else ""))  # fmt: skip
    entered = phases(run)
    if entered:
        rows = [[plain(phase_name(one.name)), count(one.first), count(one.last), duration(one.seconds)]
                for one in entered]  # fmt: skip
        parts.append(table(["phase", "from step", "to step", "training time"], rows))
    begun = sessions(run)
    if begun:
        rows = [
            [moment(one.event.get("time")), plain(one.event["event"]), plain(ENDS.get(one.end, one.end)), count(one.first),
             count(one.last)]
            for one in begun
        ]  # fmt: skip
        if begun[-1].end == "" and state(run, now).word == "running":
            rows[-1][2] = "goes on"
        parts.append(table(["session", "began by", "ended by", "from step", "to step"], rows, 3))
    others = [event for event in run.events if event["event"] not in (*ENDINGS, "started", "resumed", "phase", "saved",
                                                                     "compiled", *SKIPPED)]  # fmt: skip
    parts += [plain(f"Event {event['event']} at step {event.get('step')}: " + facts(event)) for event in others]
    changed = [line for event in run.events for line in event.get("changed") or []]
    if changed:
        parts.append("Settings changed at a resume: " + "; ".join(map(plain, changed)) + ".")
    return "\n\n".join(parts)


def facts(event: dict[str, Any]) -> str:
    """The other fields of an event."""
    return ", ".join(f"{name} {value}" for name, value in event.items() if name not in ("step", "time", "event"))


def metrics_section(run: Run) -> str:
    """A row a metric: first, best, last, and what it is; losses of the newest phase alone."""
    rows, one_phase = [], len(phases(run)) < 2
    for name in run.series:
        series, known = counting(run, name), meaning(name)
        series = of_last_phase(series) if is_loss(name) else series
        if not len(series):
            continue
        top = best_of(series, known.better)
        shown = f"{number(top.value)} ({count(top.step)})" if top else "-"
        sense = f"; {known.better} is better" if known.better else ""
        first, last = (number(float(series.values[place])) for place in (0, -1))
        rows.append(
            [f"{plain(known.label)} {code(name)}", known.sentence + sense, known.unit or "1", first, shown, last]
        )
    if not rows:
        return "Nothing has been logged yet."
    text = "Best is the lowest or highest value with its step in brackets; `-` where neither is better. Unit 1: a pure number."
    if not one_phase:
        text += " Losses are those of the newest phase: others are not comparable with them."
    if any(meaning(name).unit == GAIN for name in run.series):
        text += f" A gain of 0.01 is {decibels(0.01)}."
    return f"{text}\n\n" + table(["metric", "meaning", "unit", "first", "best (step)", "last"], rows, 3)


RECENT_ROWS = 50  # rows that the time left is estimated from


def seconds_per_step(run: Run) -> float | None:
    """Over the newest rows, with validation and saving; a pause between sessions does not count."""
    rows = longest(run)
    recent = rows.where(np.isfinite(rows.seconds)).where(slice(-RECENT_ROWS, None))
    if len(recent) < 2 or recent.steps[-1] <= recent.steps[0] or recent.seconds[-1] <= recent.seconds[0]:
        return None
    return float((recent.seconds[-1] - recent.seconds[0]) / (recent.steps[-1] - recent.steps[0]))


def seconds_left(run: Run) -> float | None:
    """At the speed of the newest rows."""
    pace = seconds_per_step(run)
    return None if pace is None or not run.planned else max(run.planned - run.last_step, 0) * pace


def eta_sentence(run: Run) -> str:
    """How long the rest takes, if that is known."""
    left = seconds_left(run)
    if left is None:
        return ""
    return f"About {duration(left)} are left at the speed of the newest {counted(RECENT_ROWS, 'row')}."


CURVES = ("loss", "validation/rmse")  # of the comparison
POINTS = 200  # of one of these curves
Summary = dict[str, Any]


def summarise(run: Run, slug: str, evaluations: list[Evaluation] = (), now: float | None = None) -> Summary:
    """What the table of all runs and the comparison need of a run, JSON-ready: it is kept beside the run's page."""
    entered, judged = phases(run), opening_verdict(run, now)
    return {
        "slug": slug,
        "name": run.name,
        "path": str(run.path),
        "origin": run.origin,
        "kind": run.kind,
        "state": state(run, now).word,
        "verdict": judged.short,
        "verdict_kind": judged.kind,
        "written": run.written,
        "phase": entered[-1].name if entered else "",
        "step": run.last_step,
        "planned": run.planned,
        "seconds": run.seconds,
        "best": {name: best(run, f"validation/{name}") for name in ("rmse", "nmse", "ssim")},
        "last_loss": _last(run, "loss"),
        "examples_per_s": _median(run, "examples_per_s"),
        "parameters": run.parameters,
        "digest": next((event.get("digest") for event in reversed(run.events) if event["event"] == "finished"), None),
        "settings": settings.flat_settings(run.settings),
        "evaluations": [{"stem": one.stem, "page": one.page, **one.figures} for one in evaluations if one.figures],
        "curves": {name: _curve(run, name) for name in CURVES if len(run.metric(name)) > 1},
    }


def _last(run: Run, name: str) -> float | None:
    series = counting(run, name)
    return float(series.values[-1]) if len(series) else None


def _median(run: Run, name: str) -> float | None:
    series = run.metric(name)
    return float(np.median(series.values)) if len(series) else None


def _curve(run: Run, name: str) -> dict[str, list[float | None]]:
    curve = thin(run.metric(name), POINTS)
    return {
        "steps": [round(float(step), 1) for step in curve.steps],
        "seconds": [round(float(s), 1) if np.isfinite(s) else None for s in curve.seconds],
        "values": [float(f"{value:.5g}") for value in curve.middle],
    }
