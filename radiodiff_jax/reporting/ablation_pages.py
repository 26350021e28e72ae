"""Comparison pages, from the results of ablations alone: SITE/ablations/NAME.json becomes SITE/ablations/NAME/index.md.

The JSON files are kept in version control; pages and figures are made while the site is built (see `mkdocs_hooks.py`) and
by `experiments.report --ablation`. No run folder is needed.
"""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_text
from radiodiff_jax.reading import read_text
from radiodiff_jax.reporting.ablation_summary import (
    CONFIDENCE,
    FILE,
    HEADLINE,
    UNKNOWN,
    Row,
    baselines_of,
    evaluation_of,
    figure_by_seed,
    finished_runs,
    floor_of,
    in_decibels,
    read_ablation,
    rows_of,
    verdict,
)
from radiodiff_jax.reporting.markdown import code, counted, figure, note, number, page, plain, slug, table, write_page
from radiodiff_jax.units import DB_PER_GAIN

FOLDER = "ablations"
EMPTY = note(
    "note",
    "No comparison has been made yet",
    "Type `python -m experiments.ablate --plan objectives --data DIR --out DIR`.",
)
OTHERS = {
    "validation RMSE": ("validation", HEADLINE), "RMSE thresholded": ("test", "thresholded/all/rmse"),
    "NMSE raw": ("test", "raw/all/nmse"), "SSIM raw": ("test", "raw/all/ssim"), "MAE (dB)": ("test", "raw/mae_db"),
    "within 3 dB": ("test", "raw/share_within_3_db"),
}  # fmt: skip
UNITS = {"updates": "updates", "seconds": "s of updates", "flops": "FLOPs"}


def add_ablation(source: Path, site: Path) -> Path:
    """Copy the result of an ablation (its folder, or the file itself) to SITE/ablations/NAME.json; returns its page.

    Raises UserError for a file that is missing or damaged.
    """
    path = source / FILE if source.is_dir() or not source.suffix else source
    name = slug(read_ablation(path)["name"] if path.name == FILE else path.stem, "ablation")
    kept = site / FOLDER / f"{name}.json"
    if not (kept.exists() and kept.samefile(path)):
        write_text(kept, read_text(path, "make it again with `python -m experiments.ablate`"))
    write_ablation_pages(site)
    return site / FOLDER / name / "index.md"


def write_ablation_pages(site: Path) -> list[Path]:
    """The pages of all results in SITE/ablations, and their index; pages without a result are removed.

    Raises UserError for a damaged result.
    """
    folder = site / FOLDER
    results = {path.stem: read_ablation(path) for path in sorted(folder.glob("*.json"))}
    for old in folder.glob("*/index.md"):
        if old.parent.name not in results:
            shutil.rmtree(old.parent)
    pages = [write_ablation_page(folder / name, result) for name, result in results.items()]
    lines = [
        [f"[{plain(result['title'])}]({name}/index.md)", plain(verdict(result)[1]), budget_text(result),
         plain(", ".join(result["hardware"]["devices"]))]
        for name, result in results.items()
    ]  # fmt: skip
    intro = ("Each page compares variants of a generator that were trained under one budget with the same seeds, winners and "
             "losers alike. How they are made: [comparisons](../guide/ablations.md).")  # fmt: skip
    listing = table(["comparison", "found", "budget a run", "on"], lines, numbers_from=4) if lines else EMPTY
    text = page(
        "Comparisons", intro, listing, description="Variants under one budget, with spread over seeds and cost."
    )
    if folder.is_dir() or lines:
        write_page(folder / "index.md", text)
    return pages


def write_ablation_page(folder: Path, result: dict[str, Any]) -> Path:
    """Write FOLDER/index.md with its figures; nothing that has not changed."""
    try:
        text = ablation_page(result, folder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, StopIteration) as error:
        raise UserError(
            f"the result of {folder.name} does not fit together; make it again with `python -m experiments.ablate`"
        ) from error
    write_page(folder / "index.md", text)
    return folder / "index.md"


def ablation_page(result: dict[str, Any], folder: Path) -> str:
    """The Markdown; figures are written on the way."""
    rows = rows_of(result)
    kind, title, sentences = verdict(result)
    parts = [
        note(kind, title, "\n".join(f"- {one}" for one in sentences)),
        plain(result["question"]),
        *how_made(result),
    ]
    if rows:
        parts += [
            "## Error",
            *errors(result, rows, folder),
            "## Cost",
            *costs(result, rows, folder),
            "## Other figures of merit",
            others(rows),
            *by_steps(rows),
        ]
    parts += [
        "## Settings",
        settings(result),
        *failures(result),
        f"Every number of this page: [{folder.name}.json](../{folder.name}.json).",
    ]
    summary = f"{result['title']} {counted(len(rows), 'variant')}, {budget_text(result)}, {seeds_text(result)}."
    return page(plain(result["title"]), *parts, description=summary)


def how_made(result: dict[str, Any]) -> list[str]:
    """Budget, seeds, data, hardware, command."""
    machine = result["hardware"]
    runs = [run for item in result["items"] for run in finished_runs(item)]
    maps = ", ".join(
        f"{counted(one['radio_maps'], 'radio map')} of {counted(one['layouts'], 'city map')} ({split})"
        for split in ("validation", "test") for one in [evaluation_of(runs[0], split)]
    ) if runs else "none yet"  # fmt: skip
    parallel, versions = machine.get("parallel", 1), machine["versions"]
    software = ", ".join(f"{name} {versions[name]}" for name in ("radiodiff_jax", "jax") if name in versions)
    software = plain(software) + (f", commit {code(machine['git_commit'][:12])}" if machine.get("git_commit") else "")
    facts = [
        ["budget of a run", f"{budget_text(result)}; learning rates end with it"],
        ["seeds", ", ".join(map(str, result["seeds"]))],
        ["reference", plain(result["reference"])],
        ["evaluated on", maps],
        ["hardware", f"{plain(', '.join(machine['devices']))}; {plain(machine['processor'])}, {counted(machine['cores'], 'core')}; "
         f"{counted(parallel, 'run')} at a time"],
        ["software", software],
        ["command", code(result["command"])],
    ]  # fmt: skip
    built = [f"- {sentence}" for item in result["items"] if (sentence := builds_on(item, result))]
    return [table(["how", "it was made"], facts, numbers_from=2), "\n".join(built)]


def budget_text(result: dict[str, Any]) -> str:
    """`75 s of updates`, `350 updates`, `1.2e+12 FLOPs`."""
    budget = result["budget"]
    return f"{budget['amount']:,.4g} {UNITS[budget['kind']]}"


def seeds_text(result: dict[str, Any]) -> str:
    """`3 seeds`."""
    return counted(len(result["seeds"]), "seed")


def builds_on(item: dict[str, Any], result: dict[str, Any]) -> str:
    """What a variant needed beforehand, which its own budget does not count."""
    shares = {one["name"]: one["share"] for one in result["items"]}
    name, told = plain(item["name"]), []
    if item["vae"]:
        told.append(
            f"works on the latents of {plain(item['vae'])}, trained once with {shares[item['vae']]:g} times the budget"
        )
    if item["start"]:
        told.append(
            f"starts from the {plain(item['start'])} of the same seed, trained with {shares[item['start']]:g} times the budget"
        )
    if item["share"] != 1 and item["variant"]:
        told.append(f"has {item['share']:g} times the budget itself")
    return f"**{name}** {' and '.join(told)}." if told else ""


def errors(result: dict[str, Any], rows: list[Row], folder: Path) -> list[str]:
    """The table by error, the figure, and how to read them."""
    lines = []
    for place, row in enumerate(rows, start=1):
        paired = row.paired
        lines.append([str(place), plain(row.name), f"{DB_PER_GAIN * row.mean:.2f}", f"{row.mean:.4f}",
                      "-" if row.deviation is None else f"{DB_PER_GAIN * row.deviation:.3f}", *in_decibels(paired),
                      row.word])  # fmt: skip
    lines += [["", f"*{plain(name)}*", f"{DB_PER_GAIN * error:.2f}", f"{error:.4f}", "-", "-", "-", "no training"]
              for name, error in baselines_of(result).items()]  # fmt: skip
    floor = floor_of(rows)
    if floor is not None:
        told = f"{DB_PER_GAIN * floor:.2f}"
        lines.append(["", "*autoencoder, given the true map*", told, f"{floor:.4f}", "-", "-", "-", "floor"])
    data = json.dumps([[row.name, row.errors, row.word] for row in rows] + [baselines_of(result), floor])
    figures(folder).write("errors", data, lambda stem: drawing().save_errors(rows, baselines_of(result), floor, stem))
    compared = sum(row.word not in ("reference", UNKNOWN) for row in rows)
    by_chance = (f" Of {compared} such comparisons about {(1 - CONFIDENCE) * compared:.1f} would leave 0 by chance alone."
                 if compared > 4 else "")  # fmt: skip
    return [
        "Test split, raw protocol, all pixels: RMSE in dB and in units of gain (0.01 is 0.99 dB), mean over maps, then over seeds.",
        table(["", "variant", "RMSE (dB)", "RMSE (gain)", "± over seeds (dB)", "difference (dB)",
               f"{100 * CONFIDENCE:.0f} % interval (dB)", "is"], lines, 2),
        f"*±*: standard deviation over seeds. *Difference*: to {plain(result['reference'])}, seed by seed, so that what a seed "
        "does to both cancels; the interval is Student's over seeds. *Within noise*: it holds 0." + by_chance,
        figure("figures/errors", "RMSE on the test split by variant, with the standard deviation over seeds, beside the "
               "estimates without training", "Marks: mean over seeds; bars: standard deviation; small dots: single seeds."),
    ]  # fmt: skip


def costs(result: dict[str, Any], rows: list[Row], folder: Path) -> list[str]:
    """What each variant costs, and error against cost."""
    lines = [
        [str(place), plain(row.name), f"{row.item['parameters'] / 1e6:.2f}", number(row.item["updates"]), plain(row.item["how"]),
         f"{row.item['update_flops'] / 1e9:.3g}", f"{row.seconds:.0f}", f"{row.flops / 1e12:.3g}",
         f"{row.flops_before / 1e12:.3g}" if row.flops_before else "-",
         str(evaluation_of(finished_runs(row.item)[0], "test")["network_evaluations"]), f"{row.ms_per_map:.3g}"]
        for place, row in enumerate(rows, start=1)
    ]  # fmt: skip
    baselines, floor, cache = baselines_of(result), floor_of(rows), figures(folder)
    shown = []
    for name, label, values in (
        ("time", "time a map (ms)", [row.ms_per_map for row in rows]),
        ("flops", "training (TFLOP), with what the variant builds on", [row.flops / 1e12 for row in rows]),
    ):
        data = json.dumps([[row.name, row.errors, row.word] for row in rows] + [values, baselines, floor])
        cache.write(name, data, partial(drawing().save_against, rows, values, label, baselines, floor))
        shown.append(figure(f"figures/{name}", f"RMSE on the test split against {label}, a numbered mark for each variant",
                            "Numbers are the places in the tables."))  # fmt: skip
    return [
        table(["", "variant", "parameters (M)", "updates", "updates found by", "GFLOP an update", "trained (s)", "training (TFLOP)",
               "of it before", "network evaluations", "time a map (ms)"], lines, 2),
        "*Trained*: seconds of updates, without compilation, validation and checkpoints. *Of it before*: what went into the "
        "autoencoder or the regression that the variant builds on. FLOPs count convolutions, matrix products and Fourier "
        "transforms, not features. *Time a map*: evaluation on the test split, the scene's features among it.",
        *shown,
    ]  # fmt: skip


def others(rows: list[Row]) -> str:
    """Means of further figures."""
    lines = []
    for place, row in enumerate(rows, start=1):
        cells = []
        for split, name in OTHERS.values():
            values = list(figure_by_seed(row.item, name, split).values())
            mean = float(np.mean(values)) if values else None
            cells.append("-" if mean is None else f"{100 * mean:.1f} %" if "share" in name else f"{mean:.4f}")
        lines.append([str(place), plain(row.name), *cells])
    return table(["", "variant", *OTHERS], lines, 2)


def by_steps(rows: list[Row]) -> list[str]:
    """Variants that were evaluated with several numbers of sampling steps."""
    lines = []
    for row in rows:
        runs = finished_runs(row.item)
        numbers = [one["steps"] for one in runs[0]["evaluations"] if one["split"] == "test"]
        for steps in numbers if len(numbers) > 1 else []:
            found = [evaluation_of(run, "test", steps) for run in runs]
            error = np.mean(list(figure_by_seed(row.item, HEADLINE, "test", steps).values()))
            lines.append([plain(row.name), str(steps), str(found[0]["network_evaluations"]), f"{error:.4f}",
                          f"{np.median([one['ms_per_map'] for one in found]):.3g}"])  # fmt: skip
    if not lines:
        return []
    return ["## Sampling steps", table(["variant", "steps", "network evaluations", "RMSE", "time a map (ms)"], lines),
            "The first number of each variant is the one in the tables above."]  # fmt: skip


def settings(result: dict[str, Any]) -> str:
    """What each variant and stage changes."""
    lines = [
        [plain(item["name"]), "variant" if item["variant"] else "stage", code(item["preset"]),
         " ".join(map(code, item["settings"])) or "-"]
        for item in result["items"]
    ]  # fmt: skip
    first = next(item for item in result["items"] if item["variant"])
    common = [word for word in first["words"] if word not in first["settings"]]
    told = f"Settings of all: {' '.join(map(code, common))}." if common else ""
    return table(["name", "is a", "preset", "settings over it"], lines, 4) + (f"\n{told}" if told else "")


def failures(result: dict[str, Any]) -> list[str]:
    """The runs that failed, and how many are still to be made."""
    lines = [
        [plain(item["name"]), str(run["seed"]), plain(run.get("reason", ""))]
        for item in result["items"] for run in item["runs"] if run["state"] == "failed"
    ]  # fmt: skip
    return ["## Failed runs", table(["variant", "seed", "why"], lines, 3)] if lines else []


def drawing() -> Any:
    """The module that draws, imported only when there is a result: it loads matplotlib."""
    from radiodiff_jax.reporting import ablation_figures

    return ablation_figures


def figures(folder: Path) -> Any:
    """The cache of a page's figures."""
    from radiodiff_jax.reporting.style import FigureCache

    here = Path(__file__).parent
    return FigureCache(folder / "figures", [here / "ablation_figures.py", here / "style.py"])
