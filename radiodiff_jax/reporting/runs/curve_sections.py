"""Sections of a run page that are curves."""

from pathlib import Path

import numpy as np

from radiodiff_jax.reporting.markdown import counted, figure, table
from radiodiff_jax.reporting.runs import run_figures
from radiodiff_jax.reporting.runs.analysis import SKIPPED, best, continuity, marked_steps
from radiodiff_jax.reporting.runs.run import Run
from radiodiff_jax.reporting.runs.thinning import BUCKETS
from radiodiff_jax.reporting.runs.words import count, decibels, duration, meaning, number, percent

TOO_SHORT = "There are fewer than two logged values, so there is no curve to draw yet."


def stem(folder: Path, name: str) -> tuple[Path, str]:
    """(where a figure is written, how the page names it)."""
    return folder / "figures" / name, f"figures/{name}"


def losses_section(run: Run, folder: Path) -> str:
    """Every loss on its own axis, and all in one picture."""
    path, link = stem(folder, "losses")
    drawn = run_figures.draw_losses(path, run)
    if not drawn:
        return TOO_SHORT if run.series else ""
    parts = [
        figure(
            link, f"Curves of {_labels(drawn)} over the training steps", f"Each loss on its own axis.{_thinned(run)}"
        )
    ]
    path, link = stem(folder, "losses-normalised")
    together, left_out = run_figures.draw_normalised(path, run)
    if together:
        without = f" Not drawn, because not all of its values are positive: {_labels(left_out)}." if left_out else ""
        parts.append(figure(link, f"{_labels(together)}, each relative to its start",
                            "All losses in one picture (medians), each divided by the median of its first "
                            f"{run_figures.FIRST} values.{without}"))  # fmt: skip
    for event, why in zip(SKIPPED, ("a loss or gradient was not finite", "the loss jumped"), strict=True):
        skipped = len(marked_steps(run, event))
        if skipped:
            parts.append(f"{counted(skipped, 'step was', 'steps were')} skipped, because {why}.")
    return "\n\n".join(parts)


def _thinned(run: Run) -> str:
    rows = max((len(series) for series in run.series.values()), default=0)
    if rows <= BUCKETS:
        return ""
    return (f" {count(rows)} logged values are drawn as {BUCKETS} buckets: the line is the median, the band goes from the "
            "lowest to the highest value, so that no spike is lost.")  # fmt: skip


def _labels(names: list[str]) -> str:
    return ", ".join(meaning(name).label for name in names)


def validation_section(run: Run, folder: Path) -> str:
    """Figures of merit on the fixed validation maps."""
    path, link = stem(folder, "validation")
    if not any(name.startswith("validation/") for name in run.series):
        return "No validation has been logged." if run.origin == "run folder" else ""
    drawn = run_figures.draw_validation(path, run)
    if not drawn:
        return "There is one validation so far; its figures are in the table below."
    top = best(run, "validation/rmse")
    told = f" Best RMSE: {number(top.value)} ({decibels(top.value)}) at step {count(top.step)}." if top else ""
    return figure(link, f"Curves of {_labels(drawn)} over the training steps",
                  f"On a fixed set of validation maps, raw protocol, all pixels; the best value is ringed.{told}")  # fmt: skip


def steering_section(run: Run, folder: Path) -> str:
    """Learning rate, gradient norm, adversarial weight."""
    path, link = stem(folder, "steering")
    drawn = run_figures.draw_steering(path, run)
    if not drawn:
        return TOO_SHORT if run.series and run.origin == "run folder" else ""
    return figure(link, f"Curves of {_labels(drawn)} over the training steps",
                  "What the optimizer is given: values are means over the steps since the last logged one.")  # fmt: skip


def speed_section(run: Run, folder: Path) -> str:
    """Examples a second and time over steps."""
    path, link = stem(folder, "speed")
    if not run_figures.draw_speed(path, run):
        return TOO_SHORT if run.series and run.origin == "run folder" else ""
    speed = run.metric("examples_per_s")
    told = ""
    if len(speed) > 1:
        low, middle, high = np.percentile(speed.values, [5, 50, 95])
        told = f"{number(middle, 3)} examples/s (median); 9 of 10 values are between {number(low, 3)} and {number(high, 3)}."
    told += _arithmetic(run)
    caption = "Speed is measured without validation, saving and compilation; the time includes them."
    if run.origin != "run folder":
        caption = "Training time as the stamps in the log add up; pauses of more than an hour do not count."
    return (f"{told}\n\n" if told else "") + figure(link, "Speed and training time over the training steps", caption)


def _arithmetic(run: Run) -> str:
    """What an update costs, in sentences; nothing for runs that do not tell."""
    compiled = [event for event in run.events if event["event"] == "compiled"]
    rate, share, memory = (run.metric(name).values for name in ("teraflops_per_s", "mfu", "device_memory_gb"))
    if not compiled or not len(rate):
        return ""
    last = compiled[-1]
    told = (
        f" An update is {number(last['operations'] / 1e9, 3)} GFLOP of convolutions, matrix products and transforms, done "
        f"at {number(1000 * float(np.median(rate)), 3)} GFLOP/s (median)"
    )
    if len(share):
        told += f", {percent(float(np.median(share)))} of the limit in the device's data sheet"
    told += f". Compiling it took {duration(last['seconds'])}."
    return told + (f" At most {number(float(memory.max()), 3)} GB of a device were in use." if len(memory) else "")


def continuity_section(run: Run, folder: Path) -> str:
    """The loss either side of each resume, with the exact difference."""
    resumes = continuity(run)
    missing = len(marked_steps(run, "resumed")) - len(resumes)
    if not resumes and not missing:
        return "This run was never interrupted and resumed." if run.origin == "run folder" else ""
    parts = []
    if resumes:
        rows = [
            [count(one.step), f"{one.before.value!r} ({count(one.before.step)})", f"{one.after.value!r} ({count(one.after.step)})",
             f"{one.difference:+.7g}", f"{one.typical:.4g}"]
            for one in resumes
        ]  # fmt: skip
        head = ["resumed after step", "last loss before (step)", "first loss after (step)", "difference",
                "usual difference"]  # fmt: skip
        parts += [
            "The total loss either side of each resume. The usual difference is the median change between neighbouring "
            "logged values of the whole run; a resume that goes on exactly stays in its order of size.",
            table(head, rows, 0),
        ]
        again = [
            f"- Step {count(one.same_step[0])} was logged by both sessions: {one.same_step[1]!r} before, "
            f"{one.same_step[2]!r} after, difference {one.same_step[2] - one.same_step[1]:+.7g}."
            for one in resumes
            if one.same_step
        ]
        parts.append("\n".join(again))
        path, link = stem(folder, "resumes")
        run_figures.draw_continuity(path, run, resumes)
        parts.append(figure(link, "Total loss around the resumes", "The logged values around the newest resumes."))
    if missing:
        parts.append(f"{counted(missing, 'resume has', 'resumes have')} no logged loss on both sides yet.")
    return "\n\n".join(part for part in parts if part)
