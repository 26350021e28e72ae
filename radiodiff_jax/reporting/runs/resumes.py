"""The section of a run page on its resumes: the loss either side of each, with the exact difference."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from radiodiff_jax.reporting.markdown import count, counted, figure, table
from radiodiff_jax.reporting.runs.analysis import Continuity, continuity, marked_steps, meaning
from radiodiff_jax.reporting.runs.curve_sections import stem
from radiodiff_jax.reporting.runs.curves import draw_marks, grid, legend, set_scale, set_title, thin, tidy
from radiodiff_jax.reporting.runs.run import RUN_FOLDER, Run
from radiodiff_jax.reporting.style import BLUE, VERMILION, save_svg_pair

AROUND = 25  # logged rows either side of a resume
MOST_RESUMES = 4  # in the figure


def continuity_section(run: Run, folder: Path) -> str:
    """The loss either side of each resume, with the exact difference."""
    resumes = continuity(run)
    missing = len(marked_steps(run, "resumed")) - len(resumes)
    if not resumes and not missing:
        return "This run was never interrupted and resumed." if run.origin == RUN_FOLDER else ""
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
        draw_continuity(path, run, resumes)
        parts.append(figure(link, "Total loss around the resumes", "The logged values around the newest resumes."))
    if missing:
        parts.append(f"{counted(missing, 'resume has', 'resumes have')} no logged loss on both sides yet.")
    return "\n\n".join(part for part in parts if part)


def draw_continuity(stem: Path, run: Run, resumes: list[Continuity], name: str = "loss") -> None:
    """The logged values around the newest resumes."""
    series, shown = run.metric(name), resumes[-MOST_RESUMES:]

    def draw() -> Figure:
        figure, axes = grid(len(shown), columns=2, shared=False)
        for one, resume in zip(axes, shown, strict=True):
            place = int(np.searchsorted(series.steps, resume.step, side="right"))
            near = series.where(slice(max(place - AROUND, 0), place + AROUND))
            one.plot(near.steps, near.values, color=BLUE, marker="o", markersize=3, linewidth=1.0)
            one.plot([resume.before.step, resume.after.step], [resume.before.value, resume.after.value], color=VERMILION,
                     linewidth=2.0, marker="o", markersize=5)  # fmt: skip
            set_scale(one, [thin(near)])
            draw_marks(one, {"resumed": [resume.step]})
            set_title(one, f"{meaning(name).label} around step {resume.step:,}")
            tidy(one)
        either = Line2D([], [], color=VERMILION, linewidth=2.0, marker="o", markersize=5, label="either side")
        legend(figure, [Line2D([], [], color=BLUE, label="logged value"), either], {"resumed": [0]})
        return figure

    save_svg_pair(stem, draw)
