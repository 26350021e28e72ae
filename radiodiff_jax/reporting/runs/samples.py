"""The fixed validation maps over the training: small copies of the run's pictures; maps and errors where there are arrays.

A run keeps `samples/STEP.png` (truth | output | error in dB). Where `samples/STEP.npz` lies beside it, with `truth`,
`output` [maps, height, width] (gain) and `buildings` [maps, height, width], error maps and histograms are drawn too.
"""

import zipfile
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from radiodiff_jax.files import write_whole
from radiodiff_jax.reporting.map_figures import ERROR_MAP, ERROR_RANGE_DB, GAIN_MAP, draw_map
from radiodiff_jax.reporting.markdown import counted, figure, plain
from radiodiff_jax.reporting.runs.run import Run, Sample
from radiodiff_jax.reporting.runs.run_figures import draw_error_histogram
from radiodiff_jax.reporting.runs.words import count
from radiodiff_jax.reporting.style import save_png_pair
from radiodiff_jax.units import DB_PER_GAIN, gain_to_db

SHOWN = 6
WIDEST = 760  # pixels
COLOURS = 256
MAP_INCHES, LEFT, TOP, BOTTOM, BAR = 1.45, 0.62, 0.32, 0.5, 0.85

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def spread(samples: tuple[Sample, ...], most: int = SHOWN) -> list[Sample]:
    """At most so many, evenly over the training, the first and the newest among them."""
    if len(samples) <= most:
        return list(samples)
    return [samples[i] for i in np.linspace(0, len(samples) - 1, most).round().astype(int)]


def samples_section(run: Run, folder: Path) -> str:
    """Markdown of the section; writes pictures to folder/figures and drops those of samples not shown any more."""
    if not run.samples:
        return "No sample pictures have been drawn yet." if run.origin == "run folder" else ""
    chosen, problems = spread(run.samples), []
    parts = [drawn_from_arrays(chosen, folder, problems)]
    tabs, kept = [], set()
    for sample in reversed(chosen):
        target = folder / "figures" / f"sample-{sample.step}.png"
        sentence = small_copy(sample.picture, target)
        if sentence:
            problems.append(sentence)
            continue
        kept.add(target)
        words = f"Truth, output and error in dB of the fixed validation maps after {count(sample.step)} updates"
        tabs.append(f'=== "step {count(sample.step)}"\n\n    ![{words}](figures/{target.name}){{ loading="lazy" }}\n')
    for old in set((folder / "figures").glob("sample-*.png")) - kept:
        old.unlink(missing_ok=True)
    told = f"{counted(len(run.samples), 'sample')} in the run folder, {len(tabs)} shown; the newest comes first."
    if len(run.samples) == 1:
        told = "One sample is in the run folder."
    return "\n\n".join(part for part in [told, *parts[:1], "\n".join(tabs), *map(plain, problems)] if part)


def small_copy(source: Path, target: Path) -> str:
    """Write a smaller PNG with few colours, unless one newer than the source is there; returns a sentence on failure."""
    try:
        if target.is_file() and target.stat().st_mtime >= source.stat().st_mtime:
            return ""
        with Image.open(source) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return f"The picture samples/{source.name} cannot be read ({error})."
    if picture.width > WIDEST:
        picture = picture.resize((WIDEST, round(picture.height * WIDEST / picture.width)), Image.Resampling.LANCZOS)
    small = picture.quantize(COLOURS, dither=Image.Dither.NONE)
    write_whole(target, lambda temporary: small.save(temporary, format="PNG", optimize=True))
    return ""


def read_arrays(path: Path) -> Arrays:
    """(truth, output, buildings) [maps, height, width]. Raises ValueError with a reason for anything else."""
    try:
        with np.load(path, allow_pickle=False) as held:
            truth, output, buildings = (held[name] for name in ("truth", "output", "buildings"))
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"samples/{path.name} cannot be read ({error}).") from error
    if truth.ndim != 3 or not truth.size or not truth.shape == output.shape == buildings.shape:
        raise ValueError(f"samples/{path.name} holds arrays of shapes that do not fit together.")
    return truth.astype(np.float32), output.astype(np.float32), buildings.astype(bool)


def drawn_from_arrays(chosen: list[Sample], folder: Path, problems: list[str]) -> str:
    """One map over the training with its error, and the histogram of the newest errors; nothing without arrays."""
    found: list[tuple[int, Arrays]] = []
    for sample in chosen:
        if sample.arrays is not None:
            try:
                found.append((sample.step, read_arrays(sample.arrays)))
            except ValueError as error:
                problems.append(str(error))
    if not found:
        return ""
    step, (truth, output, buildings) = found[-1]
    errors = (DB_PER_GAIN * (output - truth))[~buildings]
    same = [(at, arrays) for at, arrays in found if arrays[0].shape == truth.shape]
    save_png_pair(folder / "figures" / "samples-over-time", lambda: map_over_time(same))
    draw_error_histogram(folder / "figures" / "error-histogram", errors, step)
    within = ", ".join(f"{np.mean(np.abs(errors) <= limit):.0%} within {limit} dB" for limit in (1, 3, 10))
    told = (
        f"Newest sample (step {count(step)}), {counted(len(truth), 'map')}, buildings left out: mean error "
        f"{errors.mean():+.2f} dB, root mean square {np.sqrt(np.mean(errors**2)):.2f} dB; {within}."
    ).replace("%", " %")
    return "\n\n".join([
        figure("figures/samples-over-time", "One validation map: truth, outputs over the training, and their errors in dB",
               "Above: path gain in dB, first the truth, then the output over the training. Below: output minus truth.",
               "png"),
        told,
        figure("figures/error-histogram", "Histogram of the newest sample's errors in dB",
               "Errors beyond 40 dB are counted in the outermost bars."),
    ])  # fmt: skip


def map_over_time(found: list[tuple[int, Arrays]]) -> Figure:
    """The first map: truth and outputs above, errors below."""
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
        title = f"step {step:,}" if column else "truth"
        shown = draw_map(axes, values, buildings, title, GAIN_MAP, low, top)
        trim(axes, column == 0, not column)
        if column:
            axes = drawing.add_axes(place(1, column))
            error = DB_PER_GAIN * (arrays[1][0] - truth)
            rms = float(np.sqrt(np.mean(error[~buildings] ** 2)))
            wrong = draw_map(
                axes, error, buildings, f"error, {rms:.1f} dB rms", ERROR_MAP, -ERROR_RANGE_DB, ERROR_RANGE_DB
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
