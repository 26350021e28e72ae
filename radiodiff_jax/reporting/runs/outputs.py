"""What a run makes of maps: fixed validation maps over the training, and its evaluations.

A run keeps `samples/STEP.png` (simulated | prediction | error in dB). Where `samples/STEP.npz` lies beside it, with `truth`,
`output` [maps, height, width] (gain) and `buildings` [maps, height, width], the page draws them itself, light and dark, with
error maps and histograms; else it shows a copy of the picture.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole
from radiodiff_jax.images import open_png
from radiodiff_jax.reading import AnyObject, read_arrays, read_bytes, read_json
from radiodiff_jax.reporting.evaluation_verdict import OWN, has_steps
from radiodiff_jax.reporting.map_figures import (
    ERROR_MAP,
    ERROR_RANGE_DB,
    GAIN_MAP,
    draw_map,
)
from radiodiff_jax.reporting.markdown import count, counted, decibels, figure, number, plain
from radiodiff_jax.reporting.runs.curves import grid
from radiodiff_jax.reporting.runs.run import NO_CURE, RUN_FOLDER, Run, Sample, modified
from radiodiff_jax.reporting.runs.sample_sheets import save_sheet, save_thumbnail
from radiodiff_jax.reporting.style import BLUE, MUTED, save_pixel_pair, save_svg_pair
from radiodiff_jax.units import DB_PER_GAIN, gain_to_db

THUMBNAIL = "figures/newest-map.png"  # below a run's page; of a run that keeps arrays beside its sample pictures
MOST_SHOWN = 6
WIDEST = 760  # pixels
MOST_MAPS = 4  # of a sample that are drawn
MAP_INCHES, LEFT, TOP, BOTTOM, BAR = 1.45, 0.62, 0.32, 0.5, 0.85
Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def spread(samples: tuple[Sample, ...], most: int = MOST_SHOWN) -> list[Sample]:
    """At most so many, evenly over the training, the first and the newest among them."""
    if len(samples) <= most:
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, most).round().astype(int)]


def samples_section(run: Run, folder: Path) -> str:
    """Markdown of the section; writes pictures to folder/figures and drops those of samples not shown any more."""
    if not run.samples:
        return "There are no sample pictures yet." if run.origin == RUN_FOLDER else ""
    chosen, problems = spread(run.samples), []
    arrays = {sample.step: held for sample in chosen if (held := arrays_of(sample, problems)) is not None}
    parts = [figures_of_arrays([*arrays.items()], folder)]
    if arrays:
        _, output, buildings = arrays[max(arrays)]
        save_thumbnail(folder / THUMBNAIL, output[0], buildings[0])
    tabs, kept = [], set()
    for sample in reversed(chosen):
        sentence, shown, files = sample_picture(sample, arrays.get(sample.step), folder)
        if sentence:
            problems.append(sentence)
            continue
        kept.update(files)
        indented = "\n".join(f"    {line}".rstrip() for line in shown.splitlines())
        tabs.append(f'=== "step {count(sample.step)}"\n\n{indented}\n')
    for old in set((folder / "figures").glob("sample-*.png")) - kept:
        old.unlink(missing_ok=True)
    text = f"{counted(len(run.samples), 'sample')} in the run folder, {len(tabs)} shown; the newest comes first."
    if len(run.samples) == 1:
        text = "One sample is in the run folder."
    return "\n\n".join(part for part in [text, *parts[:1], "\n".join(tabs), *map(plain, problems)] if part)


def arrays_of(sample: Sample, problems: list[str]) -> Arrays | None:
    """The arrays beside a sample's picture; None, and a sentence in `problems` where they are damaged, without them."""
    try:
        return None if sample.arrays is None else read_sample(sample.arrays)
    except ValueError as error:
        problems.append(str(error))
        return None


def sample_picture(sample: Sample, arrays: Arrays | None, folder: Path) -> tuple[str, str, list[Path]]:
    """(a sentence on failure, Markdown, files): drawn from the arrays, light and dark, else a copy of the run's picture."""
    alternative = (f"Simulated map, prediction and error in dB of the fixed validation maps after {count(sample.step)} "
                   "updates")  # fmt: skip
    target = folder / "figures" / f"sample-{sample.step}.png"
    sentence = small_copy(sample.picture, target if arrays is None else None)
    if sentence:
        return sentence, "", []
    if arrays is None:
        return "", f'![{alternative}](figures/{target.name}){{ loading="lazy" }}', [target]
    files = [target.with_name(f"{target.stem}.{shade}.png") for shade in ("light", "dark")]
    if not all(is_newer(file, sample.arrays) for file in files):
        save_sheet(target.with_suffix(""), *(one[:MOST_MAPS] for one in arrays))
    return "", figure(f"figures/{target.stem}", alternative, kind="png"), files


def is_newer(target: Path, source: Path) -> bool:
    """Whether a file is there and not older than another."""
    return target.is_file() and target.stat().st_mtime >= source.stat().st_mtime


def small_copy(source: Path, target: Path | None) -> str:
    """Write a smaller PNG in its own colours, unless one newer than the source is there; returns a sentence on failure.

    Without a target it is only looked whether the picture is whole."""
    try:
        if target is not None and is_newer(target, source):
            return ""
        picture = open_png(read_bytes(source, NO_CURE)).convert("RGB")
    except Exception as error:  # of a picture that is damaged, or is none
        return f"The picture samples/{source.name} cannot be read ({' '.join(str(error).split())[:200]})."
    if target is None:
        return ""
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    write_whole(target, lambda temporary: picture.save(temporary, format="PNG", optimize=True))
    return ""


def read_sample(path: Path) -> Arrays:
    """(truth, output, buildings) [maps, height, width]. Raises ValueError with a reason for anything else."""
    try:
        truth, output, buildings = read_arrays(path, ("truth", "output", "buildings"), NO_CURE).values()
    except UserError as error:
        raise ValueError(f"samples/{path.name} cannot be read ({str(error).removesuffix(f'; {NO_CURE}')}).") from error
    if any(array.dtype.kind not in "fbiu" for array in (truth, output, buildings)):
        raise ValueError(f"samples/{path.name} holds arrays that are no numbers.")
    if truth.ndim != 3 or not truth.size or not truth.shape == output.shape == buildings.shape:
        raise ValueError(f"samples/{path.name} holds arrays of shapes that do not fit together.")
    return truth.astype(np.float32), output.astype(np.float32), buildings.astype(bool)


def figures_of_arrays(found: list[tuple[int, Arrays]], folder: Path) -> str:
    """One map over the training with its error, and the histogram of the newest errors; nothing without arrays."""
    if not found:
        return ""
    step, (truth, output, buildings) = found[-1]
    errors = (DB_PER_GAIN * (output - truth))[~buildings]
    same = [(at, arrays) for at, arrays in found if arrays[0].shape == truth.shape]
    save_pixel_pair(folder / "figures" / "samples-over-time", lambda: map_over_time(same))
    draw_error_histogram(folder / "figures" / "error-histogram", errors, step)
    within = ", ".join(f"{np.mean(np.abs(errors) <= limit):.0%} within {limit} dB" for limit in (1, 3, 10))
    text = (
        f"Newest sample (step {count(step)}), {counted(len(truth), 'map')}, buildings left out: mean error "
        f"{errors.mean():+.2f} dB, root mean square {np.sqrt(np.mean(errors**2)):.2f} dB; {within}."
    ).replace("%", " %")
    return "\n\n".join([
        figure("figures/samples-over-time", "One validation map: simulated, predictions over the training, and their errors in dB",
               "Above: path gain in dB, first the simulated map, then the predictions over the training. Below: prediction - "
               "simulated.",
               "png"),
        text,
        figure("figures/error-histogram", "Histogram of the newest sample's errors in dB",
               "Errors beyond 40 dB are counted in the outermost bars."),
    ])  # fmt: skip


def map_over_time(found: list[tuple[int, Arrays]]) -> Figure:
    """The first map: simulated and predictions above, errors below."""
    truth, _, buildings = (array[0] for array in found[-1][1])
    columns, aspect = len(found) + 1, truth.shape[0] / truth.shape[1]
    high = MAP_INCHES * aspect
    width, height = LEFT + columns * (MAP_INCHES + 0.08) + BAR, BOTTOM + 2 * high + 2 * TOP
    drawing = Figure(figsize=(width, height))
    low, top = gain_to_db(0.0), gain_to_db(1.0)

    def place(row: int, column: int, wide: float = MAP_INCHES) -> tuple[float, float, float, float]:
        bottom = BOTTOM + (1 - row) * (high + TOP)
        return (LEFT + column * (MAP_INCHES + 0.08)) / width, bottom / height, wide / width, high / height

    for column in range(columns):
        step, arrays = found[column - 1] if column else (0, found[-1][1])
        axes = drawing.add_axes(place(0, column))
        values = gain_to_db(arrays[1][0] if column else truth)
        title = f"prediction, step {step:,}" if column else "simulated"
        shown = draw_map(axes, values, buildings, title, GAIN_MAP, low, top)
        trim(axes, column == 0, not column)
        if column:
            axes = drawing.add_axes(place(1, column))
            error = DB_PER_GAIN * (arrays[1][0] - truth)
            rms = float(np.sqrt(np.mean(error[~buildings] ** 2)))
            wrong = draw_map(
                axes, error, buildings, f"error, RMSE {rms:.1f} dB", ERROR_MAP, -ERROR_RANGE_DB, ERROR_RANGE_DB
            )
            trim(axes, column == 1, True)
    for row, (picture, label) in enumerate(((shown, "path gain (dB)"), (wrong, "error (dB)"))):
        bar = drawing.add_axes(place(row, columns, 0.12))
        drawing.colorbar(picture, cax=bar, label=label, extend="both" if row else "neither")
    return drawing


def trim(axes, with_rows: bool, with_columns: bool) -> None:
    """Labels and numbers only at the outer maps."""
    axes.grid(False)
    axes.title.set_fontsize(9)
    axes.tick_params(labelsize=8, labelleft=with_rows, labelbottom=with_columns)
    if not with_rows:
        axes.set_ylabel("")
    if not with_columns:
        axes.set_xlabel("")


def draw_error_histogram(stem: Path, errors_db: np.ndarray, step: int) -> None:
    """Histogram of prediction minus simulated map in dB, buildings left out, clipped at 40 dB."""
    limit = 40.0
    counts, edges = np.histogram(np.clip(errors_db, -limit, limit), bins=80, range=(-limit, limit))
    share = 100 * counts / max(counts.sum(), 1)

    def draw() -> Figure:
        figure, (axes,) = grid(1, 1, height=2.2)
        axes.stairs(share, edges, fill=True, color=BLUE, alpha=0.35)
        axes.stairs(share, edges, color=BLUE, linewidth=1.2)
        axes.axvline(0.0, color=MUTED, linewidth=1.0)
        axes.set_xlabel(f"prediction - simulated (dB) at step {step:,}")
        axes.set_ylabel("pixels (%)")
        return figure

    save_svg_pair(stem, draw)


class Evaluation(NamedTuple):
    """An evaluation JSON: the name of its page, or the sentence why there is none, and its figures that fit on a line."""

    stem: str
    page: str
    problem: str
    figures: dict[str, Any] | None


def write_evaluations(run: Run, folder: Path, summary: dict[str, Any] | None = None) -> list[Evaluation]:
    """Write the page of every evaluation of the run into its page's folder.

    `summary` is the run's summary as the same code made it last: pages that it names and that are newer than all files
    of all evaluations stay (a page also shows the other evaluations).
    """
    known = {one["stem"]: one["page"] for one in (summary or {}).get("evaluations", [])}
    newest = max((modified(file) for file in (run.path / "evaluation").glob("*.*")), default=0.0)
    return [write_evaluation(path, folder, known.get(path.stem), newest) for path in run.evaluations]


def write_evaluation(path: Path, folder: Path, known: str | None, newest: float) -> Evaluation:
    """One of them; `known` is the name of the page that it has, `newest` when the evaluations' files changed last."""
    if known and modified(folder / known) > newest:
        return Evaluation(path.stem, known, "", evaluation_figures(path))
    # Imported here: it draws maps, and most runs have no evaluations.
    from radiodiff_jax.reporting.evaluation_pages import write_evaluation_page

    try:
        page = write_evaluation_page(path, folder).name
    except UserError as error:
        return Evaluation(path.stem, "", str(error), None)
    return Evaluation(path.stem, page, "", evaluation_figures(path))


def evaluation_figures(path: Path) -> dict[str, Any] | None:
    """Predictor, split, steps, maps, mean RMSE and SSIM (raw, all pixels) and ms a map; None if the file holds something else."""
    try:
        held = read_json(path, AnyObject, NO_CURE)
        results = held["results"]
        name = next(name for name in OWN if name in results)
        figures = results[name]["figures"]
        return {
            "predictor": name,
            "split": str(held["split"]),
            "steps": int(held["steps"]),
            "network_evaluations": held.get("network_evaluations"),
            "radio_maps": int(held["radio_maps"]),
            "rmse": float(figures["raw/all/rmse"]["mean"]),
            "ssim": float(figures["raw/all/ssim"]["mean"]),
            "ms_per_map": float(results[name]["ms_per_map"]),
        }
    except (UserError, ValueError, LookupError, TypeError, AttributeError, StopIteration):
        return None


def evaluations_section(run: Run, evaluations: list[Evaluation]) -> str:
    """A line for each evaluation, linking to its page."""
    if run.origin != RUN_FOLDER:
        return ""
    if not evaluations:
        return "None yet: `python -m experiments.evaluate --run RUN --data DIR` makes one."
    return "\n".join(f"- {evaluation_line(one)}" for one in evaluations)


def sampling(figures: dict[str, Any]) -> str:
    """`2 sampling steps`; `1 network evaluation` for a generator that has no steps."""
    return counted(figures["steps"], "sampling step") if has_steps(figures) else "1 network evaluation"


def evaluation_line(one: Evaluation) -> str:
    """Link, predictor, steps and the main figures."""
    if one.problem:
        return f"{plain(one.stem)}: {plain(one.problem)}."
    link, found = f"[{plain(one.stem)}]({one.page})", one.figures
    if found is None:
        return link
    steps = f"{sampling(found)}, " if found["steps"] else ""
    return (
        f"{link}: {plain(found['predictor'])}, {steps}{count(found['radio_maps'])} maps of the {plain(found['split'])} "
        f"split: RMSE {decibels(found['rmse'])} ({number(found['rmse'])}), SSIM {number(found['ssim'])}, "
        f"{number(found['ms_per_map'], 3)} ms a map"
    )
