"""Sections of a run page that are words and tables."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.config_files import TRUNKS, build_config, read_config
from radiodiff_jax.files import write_text
from radiodiff_jax.reporting.markdown import note, plain, table
from radiodiff_jax.reporting.runs.analysis import (
    ENDINGS,
    SKIPPED,
    best,
    counting,
    eta_sentence,
    phases,
    seconds_per_step,
    sessions,
    state,
    trend,
)
from radiodiff_jax.reporting.runs.card import total_parameters
from radiodiff_jax.reporting.runs.code_version import code_digest
from radiodiff_jax.reporting.runs.rules import Advice
from radiodiff_jax.reporting.runs.run import Run
from radiodiff_jax.reporting.runs.words import (
    GAIN,
    PHASES,
    capital,
    code,
    count,
    decibels,
    duration,
    meaning,
    moment,
    number,
)

BOXES = {"finished": "success", "running": "note", "stopped": "warning", "silent": "warning", "failed": "danger",
         "empty": "note"}  # fmt: skip
ENDS = {"": "no word of its end", "killed": "killed without a word", "followed": "another training follows"}
TRENDS = ("validation/rmse", "validation/ssim", "loss")


def summary_section(run: Run, found: list[Advice], now: float) -> str:
    """The state, the figures that matter, where things are going, and what to look at."""
    told = state(run, now)
    box = note(BOXES[told.word], told.sentence, eta_sentence(run) if told.word == "running" else "")
    rows = [[name, value] for name, value in summary_rows(run) if value]
    trends = [f"- {plain(sentence)}" for name in TRENDS if (sentence := trend(run, name))]
    warnings = [f"- {plain(sentence)}" for sentence in run.problems]
    warnings += [f"- {plain(capital(one.rule.split(':')[0]))}: {plain(one.found)}; see "
                 "[Recommendations](#recommendations)." for one in found]  # fmt: skip
    return "\n\n".join([
        "## Summary",
        box,
        table(["figure", "value"], rows, 2) if rows else "",
        "\n".join(["**Trend**", "", *trends]) if trends else "",
        "\n".join(["**To look at**", "", *warnings]) if warnings else "",
    ])  # fmt: skip


def summary_rows(run: Run) -> list[tuple[str, str]]:
    """(name, value) of the executive table; an empty value where nothing is known."""
    rmse, ssim, pace = best(run, "validation/rmse"), best(run, "validation/ssim"), seconds_per_step(run)
    loss, speed = counting(run, "loss"), run.metric("examples_per_s")
    devices = run.details.get("devices")
    return [
        ("best validation RMSE", f"{number(rmse.value)} in gain, which is {decibels(rmse.value)}, at step "
                                 f"{count(rmse.step)}" if rmse else ""),
        ("best validation SSIM", f"{number(ssim.value)} at step {count(ssim.step)}" if ssim else ""),
        ("last total loss", f"{number(float(loss.values[-1]))} at step {count(loss.steps[-1])}" if len(loss) else ""),
        ("training time", duration(run.seconds) if run.seconds is not None else ""),
        ("speed", f"{number(float(np.median(speed.values)), 3)} examples/s (median, without validation)"
                  if len(speed) else ""),
        ("time of a step", f"{duration(pace) if pace >= 1 else f'{1000 * pace:.3g} ms'} (newest rows, with validation "
                           "and saving)" if pace else ""),
        ("trained parameters", count(total) if (total := total_parameters(run)) else ""),
        ("devices", plain(", ".join(map(str, devices))) if isinstance(devices, list) else ""),
        ("made from", plain(f"{run.origin} {run.path}")),
    ]  # fmt: skip


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
        rows = [[PHASES.get(one.name, plain(one.name)), count(one.first), count(one.last), duration(one.seconds)]
                for one in entered]  # fmt: skip
        parts.append(table(["phase", "from step", "to step", "training time"], rows))
    begun = sessions(run)
    if begun:
        rows = [
            [moment(one.event.get("time")), one.event["event"], plain(ENDS.get(one.end, one.end)), count(one.first),
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
    """What an event says beside its name and place."""
    return ", ".join(f"{name} {value}" for name, value in event.items() if name not in ("step", "time", "event"))


def metrics_section(run: Run) -> str:
    """A row a metric: first, best, last, and what it is."""
    rows = []
    for name in run.series:
        series, known, top = counting(run, name), meaning(name), best(run, name)
        if not len(series):
            continue
        shown = f"{number(top.value)} ({count(top.step)})" if top else "-"
        sense = f"; {known.better} is better" if known.better else ""
        first, last = (number(float(series.values[place])) for place in (0, -1))
        rows.append(
            [f"{plain(known.label)} {code(name)}", known.sentence + sense, known.unit or "1", first, shown, last]
        )
    if not rows:
        return "Nothing has been logged yet."
    told = "Best is the lowest or highest value with its step in brackets; `-` where neither is better. Unit 1: a pure number."
    if any(meaning(name).unit == GAIN for name in run.series):
        told += f" A gain of 0.01 is {decibels(0.01)}."
    return f"{told}\n\n" + table(["metric", "meaning", "unit", "first", "best (step)", "last"], rows, 3)


def architecture_section(run: Run, folder: Path) -> str:
    """The model of the run's settings as a diagram. It is kept, since it takes JAX and a trace of the model to make."""
    if run.settings is None or run.kind not in TRUNKS:
        return ""
    config = build_config(run.kind, run.settings, str(run.path / "config.yaml"))
    of_vae = run.path / "autoencoder" / "config.yaml"  # a diffusion run keeps its autoencoder
    configs = [config, *([read_config(of_vae)] if of_vae.is_file() else [])]
    key = hashlib.sha256(f"{code_digest()} {configs}".encode()).hexdigest()
    kept = folder / ".architecture"
    if kept.is_file():
        before, _, text = kept.read_text(encoding="utf-8").partition("\n")
        if before == key:
            return text
    # Imported here: it loads JAX and the models.
    from radiodiff_jax.reporting.architecture import run_architecture

    text = run_architecture(*configs)
    write_text(kept, f"{key}\n{text}")
    return text


def environment_section(run: Run) -> str:
    """Command, versions, devices, commit, parameters, data."""
    details = run.details
    if not details:
        return "" if run.origin != "run folder" else "Not known: there is no readable run.json."
    rows = [
        ("started", moment(details.get("started"))),
        ("git commit", plain(details.get("git_commit") or "not known (no repository)")),
        ("devices", plain(", ".join(map(str, details.get("devices") or [])) or "not known")),
        ("processes", plain(details.get("processes", "not known"))),
        ("data fingerprint", code(details.get("data_fingerprint"))),
    ]
    digest = next((event.get("digest") for event in reversed(run.events) if event["event"] == "finished"), None)
    if digest:
        rows.append(("parameters' digest", f"{code(digest)} (equal for two runs that ended with the same bits)"))
    versions = details.get("versions")
    if isinstance(versions, dict):
        rows += [(f"{plain(name)}", plain(version)) for name, version in versions.items()]
    known = ("kind", "command", "started", "git_commit", "versions", "devices", "processes", "parameters",
             "data_fingerprint")  # fmt: skip
    rows += [(plain(name), plain(value)) for name, value in details.items() if name not in known]
    parts = [table(["what", "value"], rows, 2)]
    if details.get("command"):
        parts.insert(0, f"```sh\n{' '.join(str(details['command']).split())}\n```")
    parameters = details.get("parameters")
    if isinstance(parameters, dict) and len(parameters) > 1:
        counts = [[code(name), plain(f"{value:,}" if isinstance(value, int) else value)]
                  for name, value in parameters.items()]  # fmt: skip
        parts.append(table(["trained module", "parameters"], counts))
    return "\n\n".join(parts)
