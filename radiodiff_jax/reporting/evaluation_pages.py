"""A page about one evaluation of a run, from its JSON file, the maps beside it, and evaluations with other steps."""

import json
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.evaluation_files import (
    KINDS,
    evaluate_again,
    part_evaluated,
    read_evaluation,
    read_extremes,
)
from radiodiff_jax.metrics import PROTOCOLS
from radiodiff_jax.reporting.evaluation_figures import (
    SHOWN_DB,
    SIGHT_NAMES,
    save_bias_by_distance,
    save_distributions,
    save_error_by_distance,
    save_error_histogram,
    save_maps,
    save_steps,
)
from radiodiff_jax.reporting.evaluation_spread import spread_section
from radiodiff_jax.reporting.evaluation_verdict import (
    AUTOENCODER,
    HEADLINE,
    MODEL,
    SSIM,
    best_and_quickest,
    description,
    has_steps,
    mean,
    ordered,
    own_name,
    point,
    verdict,
    with_decibels,
)
from radiodiff_jax.reporting.markdown import code, counted, figure, note, page, plain, table, write_page
from radiodiff_jax.reporting.style import FigureCache, digest

DRAWING_CODE = [Path(__file__).with_name(f"{name}.py") for name in (
    "evaluation_figures", "evaluation_spread", "map_figures", "style",
)]  # fmt: skip
PROTOCOL_TEXTS = {
    "raw": "**raw** protocol: gain = grey / 255, one unit is 99.16 dB, from -147 dB up (RadioDiff, RadioMamba)",
    "thresholded": "**thresholded** protocol: max(gain - 0.2, 0) / 0.8, one unit is 79.33 dB, from -127 dB up (RadioUNet, "
    "RadioFlow, RMDM)",
}
COLUMNS = {"RMSE (dB)": "{}/rmse_db", "RMSE": "{}/all/rmse", "NMSE": "{}/all/nmse", "SSIM": "{}/all/ssim",
           "PSNR (dB)": "{}/all/psnr_db", "MAE (dB)": "{}/mae_db", "within 3 dB": "{}/share_within_3_db"}  # fmt: skip


def write_evaluation_page(json_path: Path, folder: Path) -> Path:
    """Write evaluation-STEM.md into `folder` and its figures into folder/figures; returns the page.

    What the file lacks (those of older versions have no errors by distance and no maps) is said on the page, with the
    command that makes it. Raises UserError if the file is damaged.
    """
    result = read_evaluation(json_path)
    stem = safe_stem(json_path)
    figures = FigureCache(folder / "figures", DRAWING_CODE)
    try:
        text = evaluation_page(json_path, result, figures, f"evaluation-{stem}")
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(f"{json_path} is damaged; make it again with `{evaluate_again(result)}`") from error
    path = folder / f"evaluation-{stem}.md"
    write_page(path, text)
    return path


def evaluation_page(json_path: Path, result: dict[str, Any], figures: FigureCache, stem: str) -> str:
    """The Markdown; figures are written on the way, as figures/STEM-*."""
    kind, title, sentences = verdict(result)
    arrays = json_path.with_suffix(".npz")
    data = digest(json_path.read_bytes(), arrays.read_bytes() if arrays.is_file() else b"")
    split = f"all maps of {result['data']}" if result["split"] == "all" else f"{result['split']} split"
    steps = f", {counted(result['steps'], 'sampling step')}" if has_steps(result) else ""
    missing = [] if has_errors(result) else [
        note("warning", "This file was written by an older version, so parts of the page are missing",
             f"{code(evaluate_again(result))} makes them: error by distance and line of sight, best and worst maps.")
    ]  # fmt: skip
    parts = [
        note(kind, title, "\n".join(f"- {one}" for one in sentences)),
        *introduction(result),
        *missing,
        "## Figures of merit",
        *figures_of_merit(result),
        "## Spread over the maps",
        *distributions(result, data, figures, stem),
        "## Best, median and worst maps",
        *example_maps(json_path, result, data, figures, stem),
        "## Error by distance and line of sight",
        *errors(result, data, figures, stem),
        *spread_section(result, data, figures, stem),
        *steps_section(json_path, result, figures),
    ]
    part = f"{part_evaluated(result['split'])} of {result['data']}"
    summary = f"Evaluation: {part}{steps}, {result['radio_maps']} radio maps."
    return page(f"Evaluation: {plain(split)}{steps}", *parts, description=summary)


def introduction(result: dict[str, Any]) -> list[str]:
    """What was evaluated, and the predictors in the tables."""
    text = (f"{counted(result['radio_maps'], 'radio map')} of {counted(result['layouts'], 'city map')}, "
            f"{plain(part_evaluated(result['split']))} of {code(result['data'])}. ")  # fmt: skip
    if has_steps(result):
        text += (f"The model took {counted(result['steps'], 'sampling step')}, which is "
                 f"{counted(result['network_evaluations'], 'evaluation')} of its network. ")  # fmt: skip
        if result.get("samples", 1) > 1:
            text += f"Its output is the mean of {result['samples']} samples. "
    elif result["steps"]:
        text += "The model predicts a map by one evaluation of its network. "
    if "devices" in result:
        text += f"Times were taken on {plain(', '.join(result['devices']))} with batches of {result['batch_size']}. "
    if "evaluated" in result:
        text += f"Evaluated {plain(result['evaluated'][:16].replace('T', ' at '))} UTC."
    own = own_name(result)
    if own == AUTOENCODER:
        text += " This run is an autoencoder: it is *given* the true map and gives it back, so its errors are no prediction's."
    predictors = [f"- **{plain(name)}**: {about}" for name in ordered(result) if (about := description(name))]
    return [text.strip(), "\n".join(predictors)]


def figures_of_merit(result: dict[str, Any]) -> list[str]:
    """A table for each protocol, and one of what has no protocol."""
    parts = []
    for protocol in PROTOCOLS:
        rows = [
            [
                shown_name(result, name),
                *(cell(mean(result, name, form.format(protocol)), form) for form in COLUMNS.values()),
            ]
            for name in ordered(result)
        ]
        parts += [f"{PROTOCOL_TEXTS[protocol]}. Means over maps.", table([protocol, *COLUMNS], rows)]
    certain = [
        [shown_name(result, name), *(text for protocol in PROTOCOLS for text in (
            interval(result, name, f"{protocol}/all/rmse"),
            cell(mean(result, name, f"{protocol}/outdoor/rmse"), "rmse"),
        ))]
        for name in ordered(result)
    ]  # fmt: skip
    rows = [
        [shown_name(result, name), cell(mean(result, name, "peak_distance_m"), "peak_distance_m"),
         cell(mean(result, name, "sharpness_ratio"), ""), f"{result['results'][name]['ms_per_map']:.3g}"]
        for name in ordered(result)
    ]  # fmt: skip
    return [
        *parts,
        "RMSE and NMSE: lower is better, 0 is exact. SSIM: 1 is equal. *RMSE (dB)*, MAE (mean absolute error) and *within "
        "3 dB* count outdoor pixels with signal; RMSE, NMSE, SSIM and PSNR all pixels. The two "
        "protocols are **not comparable** with each other.",
        "How certain the mean RMSE is, and what it is over outdoor pixels alone:",
        table(
            ["RMSE", *(f"{protocol}{what}" for protocol in PROTOCOLS for what in (", 90 % interval", ", outdoors"))],
            certain,
        ),
        "The interval says between which values the mean would lie for other city maps of the same kind (bootstrap over city "
        "maps, 90 %).",
        "Without protocol:",
        table(["", "brightest pixel to transmitter (m)", "sharpness ratio", "time a map (ms)"], rows),
        "Sharpness ratio: variance of the second derivative against the truth's; below 1 the maps are blurred, above 1 they "
        "are noisy. The distance law may be above 1, because its building edges are sharp.",
    ]


def distributions(result: dict[str, Any], data: str, figures: FigureCache, stem: str) -> list[str]:
    """A figure for each protocol; a sentence where the values of single maps are missing."""
    results = {name: result["results"][name] for name in ordered(result)}
    if not any(one["maps"] for one in results.values()):
        return [absent("The values of single maps", result)]
    parts = ["A mean hides how maps differ. Bar: the middle half of the maps, with the median as an upright line. Thin line: 90 % "
             "of the maps. Dots: the best and the worst map. Left is better in the upper row, right in the lower one."]  # fmt: skip
    for protocol in PROTOCOLS:
        name = f"{stem}-{protocol}"
        figures.write(name, data, partial(save_distributions, results, protocol))
        parts.append(figure(f"figures/{name}", f"Spread of six figures of merit over the maps, {protocol} protocol, a row a "
                            "predictor", f"{protocol} protocol"))  # fmt: skip
    return parts


def example_maps(json_path: Path, result: dict[str, Any], data: str, figures: FigureCache, stem: str) -> list[str]:
    """Simulated map, prediction and error of a few maps."""
    try:
        arrays = read_extremes(json_path, result)
    except UserError as error:
        return [note("warning", "The maps cannot be shown", plain(error))]
    if arrays is None:
        return [absent("The maps", result)]
    own = own_name(result)
    columns = result["results"][own]["maps"]
    place = {pair: row for row, pair in enumerate(zip(columns["map"], columns["transmitter"], strict=True))}
    parts = [
        "Chosen by raw RMSE over all pixels, of different city maps where possible. Buildings are grey, the cross is the "
        f"transmitter. Error = prediction - simulated map in dB: violet means that the {own} says too much, orange "
        "too little."
    ]
    for number, kind in enumerate(KINDS):
        rows = np.flatnonzero(arrays["kind"] == number).tolist()
        if not rows:
            continue
        pairs = [(int(arrays["map"][row]), int(arrays["transmitter"][row])) for row in rows]
        titles = [f"error, RMSE {with_decibels(columns[HEADLINE][place[pair]])}" for pair in pairs]
        name = f"{stem}-{kind}"
        figures.write(name, data, partial(save_maps, arrays, rows, titles))
        parts += [f"### {kind.capitalize()}",
                  figure(f"figures/{name}", f"The {kind} maps: simulated, prediction and error in dB", kind="png"),
                  beside(result, pairs, place)]  # fmt: skip
    return parts


def beside(result: dict[str, Any], pairs: Sequence[tuple[int, int]], place: dict[tuple[int, int], int]) -> str:
    """What every predictor does on these maps."""
    rows = []
    for pair in pairs:
        errors = (result["results"][name]["maps"].get(HEADLINE) for name in ordered(result))
        cells = ("-" if column is None else with_decibels(column[place[pair]]) for column in errors)
        rows.append([f"map {pair[0]}, transmitter {pair[1]}", *cells])
    return table(["RMSE in dB (gain)", *map(plain, ordered(result))], rows)


def errors(result: dict[str, Any], data: str, figures: FigureCache, stem: str) -> list[str]:
    """Where the errors are."""
    if not has_errors(result):
        return [absent("Errors by distance and line of sight", result)]
    results = {name: result["results"][name] for name in ordered(result) if result["results"][name]["errors"]}
    own = own_name(result)
    rows = []
    for sight, sight_name in SIGHT_NAMES.items():
        for name, one in results.items():
            part, all_pixels = one["errors"][sight], sum(one["errors"][key]["pixels"] for key in SIGHT_NAMES)
            numbers = (f"{part[key]:+.2f}" if key == "bias_db" else f"{part[key]:.2f}"
                       for key in ("bias_db", "mae_db", "rmse_db"))  # fmt: skip
            rows.append([sight_name, shown_name(result, name), f"{100 * part['pixels'] / max(all_pixels, 1):.0f} %", *numbers,
                         f"{100 * part['share_within_3_db']:.1f} %"])  # fmt: skip
    pictures = {
        "distance": "RMSE in dB by distance from the transmitter, in and out of sight, for every predictor",
        "bias": f"Median and spread of the error of the {own} by distance, in and out of sight",
        "histogram": "Histogram of the error in dB, in and out of sight, for every predictor",
    }
    figures.write(f"{stem}-distance", data, partial(save_error_by_distance, results))
    figures.write(f"{stem}-bias", data, partial(save_bias_by_distance, results[own]["errors"], own))
    figures.write(f"{stem}-histogram", data, partial(save_error_histogram, results))
    shown = {name: figure(f"figures/{stem}-{name}", alternative) for name, alternative in pictures.items()}
    return [
        "Raw protocol, outdoor pixels whose true path gain is above -147 dB, counted over all pixels of all maps. A pixel is in "
        "line of sight if the straight line from the transmitter to it crosses no building. In sight, path gain follows "
        "from the distance; out of sight it comes around corners and over roofs, which is what a model has to learn.",
        table(["pixels", "predictor", "share of pixels", "bias (dB)", "MAE (dB)", "RMSE (dB)", "within 3 dB"], rows, 2),
        "Bias: mean of prediction - truth; above 0 means too much.",
        shown["distance"],
        f"Distances are in bins of {results[own]['errors']['bin_metres']} m.",
        shown["bias"],
        "Where the band leaves 0 the prediction is wrong on one side for most pixels; where it is wide, it errs on both.",
        shown["histogram"],
        "The grey band is 3 dB to both sides. Heights are on a logarithmic scale; errors beyond "
        f"{SHOWN_DB} dB are not drawn.",
    ]


def has_errors(result: dict[str, Any]) -> bool:
    """Whether the file says where the errors are."""
    return bool(result["results"][own_name(result)]["errors"])


PROPOSED_STEPS = (1, 2, 5)  # what a page with a single number of steps proposes
STEPS_HEAD = ("steps", "network evaluations", "time a map (ms)", "RMSE raw", "SSIM raw", "MAE (dB)", "sharpness ratio")


def steps_section(json_path: Path, result: dict[str, Any], figures: FigureCache) -> list[str]:
    """Evaluations of the same maps with other numbers of sampling steps; nothing where there is nothing to choose."""
    if not result["steps"]:
        return []
    head = "## Steps, quality and time"
    found = same_but_steps(json_path, result)
    if len(found) < 2:
        if not has_steps(result):
            return []
        more = " ".join(str(number) for number in PROPOSED_STEPS if number != result["steps"])
        command = code(f"{evaluate_again(result)} {more}")
        return [head, f"Only {counted(result['steps'], 'sampling step')} evaluated so far: {command} "
                "evaluates others for comparison."]  # fmt: skip
    points = [point(one) for one in found.values()]
    floor = mean(result, AUTOENCODER, HEADLINE) if AUTOENCODER in result["results"] else None
    name = f"evaluation-{safe_stem(Path(result['split']))}-steps"
    figures.write(name, json.dumps([points, floor]), partial(save_steps, points, floor))
    rows = []
    for (path, one), place in zip(found.items(), points, strict=True):
        here = (
            f"**{one['steps']}** (this page)"
            if path == json_path
            else f"[{one['steps']}](evaluation-{safe_stem(path)}.md)"
        )
        means = (cell(mean(one, MODEL, key), key) for key in (HEADLINE, SSIM, "raw/mae_db", "sharpness_ratio"))
        rows.append([here, str(one["network_evaluations"]), f"{place['ms_per_map']:.3g}", *means])
    return [
        head,
        f"The same {counted(result['radio_maps'], 'radio map')} with other numbers of sampling steps. {best_and_quickest(points)}",
        table(STEPS_HEAD, rows),
        figure(f"figures/{name}", "RMSE and SSIM against the time that a map takes, a point for each number of steps"),
        "Numbers beside the points are sampling steps. More steps need not be nearer to the truth: with one step a model "
        "tends to the mean of what it holds possible, which RMSE rewards.",
    ]


def same_but_steps(json_path: Path, result: dict[str, Any]) -> dict[Path, dict[str, Any]]:
    """The newest evaluation of each number of steps of the same run, split and maps in the folder, by rising steps."""
    alike = ("run", "data", "split", "radio_maps", "layouts")
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    others = [path for path in json_path.parent.glob("*.json") if path != json_path]
    for path in sorted(others, key=lambda path: path.stat().st_mtime):
        try:
            other = read_evaluation(path)
        except UserError:  # its own page says so
            continue
        drawn = [(one.get("samples", 1), one.get("observed_pixels")) for one in (other, result)]
        if all(other[key] == result[key] for key in alike) and drawn[0] == drawn[1]:
            found[other["steps"]] = (path, other)
    found[result["steps"]] = (json_path, result)
    return {
        path: one
        for _, (path, one) in sorted(found.items())
        if MODEL in one["results"] and None not in (mean(one, MODEL, HEADLINE), mean(one, MODEL, SSIM))
    }


def safe_stem(path: Path) -> str:
    """The stem of a file as part of the name of a page."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", path.stem).strip("-.") or "result"


def shown_name(result: dict[str, Any], name: str) -> str:
    """A predictor in a table; the run's own in bold."""
    return f"**{plain(name)}**" if name == own_name(result) else plain(name)


def interval(result: dict[str, Any], name: str, key: str) -> str:
    """The 90 % interval of a mean."""
    ends = result["results"][name]["figures"].get(key, {}).get("interval")
    return f"{ends[0]:.4f} to {ends[1]:.4f}" if ends else "-"


def cell(value: float | None, key: str) -> str:
    """A figure in a table, in the digits that its unit asks for."""
    if value is None:
        return "-"
    if "share" in key:
        return f"{100 * value:.1f} %"
    return f"{value:.2f}" if key.endswith(("_db", "_m")) or key == "" else f"{value:.4f}"


def absent(what: str, result: dict[str, Any]) -> str:
    """A sentence about a part that the file lacks."""
    return f"{what} are not in this file; {code(evaluate_again(result))} writes them."
