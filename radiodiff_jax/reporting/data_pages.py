"""Pages about data sets, from the folders that `dataset explore` has written: nothing else is read."""

import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_whole
from radiodiff_jax.reading import AnyObject, check_value, read_bytes, read_json, read_text
from radiodiff_jax.reporting.data_exploration import FINDINGS_KEPT, NUMBERS, VERSION
from radiodiff_jax.reporting.markdown import capital, code, counted, figure, note, page, plain, slug, table, write_page
from radiodiff_jax.reporting.schemas import NumbersRecord

AGAIN = "type `python -m experiments.dataset explore --root DIR --out FOLDER` again"
MOST_ROWS = 16
PARTS = {"train": "training", "validation": "validation", "test": "test"}


def write_data_page(explore_folder: Path, site: Path) -> Path:
    """Write site/data/NAME/index.md with its figures; NAME is the folder's. Returns the page.

    Raises UserError if the folder is not one that `dataset explore` has written completely.
    """
    numbers = read_numbers(explore_folder)
    folder = site / "data" / slug(numbers["name"], "data")
    try:
        text = data_page(numbers, explore_folder)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise _damaged(explore_folder / NUMBERS) from error
    for picture in sorted(explore_folder.glob("*.light.*")) + sorted(explore_folder.glob("*.dark.*")):
        _copy(picture, folder / "figures" / picture.name)
    write_page(folder / "index.md", text)
    return folder / "index.md"


def write_data_index(site: Path) -> Path:
    """Write site/data/index.md: a line for every data set that has a page. Returns it."""
    rows = []
    for path in sorted((site / "data").glob("*/index.md")):
        text = read_text(path, "remove it, and it is made again")
        title, about = (re.search(form, text, re.MULTILINE) for form in (r"^# (.+)$", r"^description: (['\"])(.*)\1$"))
        name = title[1].removeprefix("Data set ") if title else path.parent.name
        rows.append([f"[{name}]({path.parent.name}/index.md)", plain(html.unescape(about[2])) if about else ""])
    intro = (
        "Each page describes one folder of radio maps. A radio map says for every square metre of a city how much of the "
        "transmitted power arrives there: its path gain, in dB."
    )
    listing = table(["data set", "what it holds"], rows, numbers_from=2) if rows else note(
        "note", "No data set has been explored yet", "Type `python -m experiments.dataset explore --root DIR --site site_src`."
    )  # fmt: skip
    path = site / "data" / "index.md"
    write_page(path, page("Data sets", intro, listing, description="Data sets that were explored."))
    return path


def read_numbers(explore_folder: Path) -> dict[str, Any]:
    """numbers.json of an explore folder. Raises UserError if it is missing, damaged or of another version."""
    path = explore_folder / NUMBERS
    numbers = read_json(path, AnyObject, AGAIN)
    if numbers.get("version") != VERSION:
        raise UserError(f"{path} was written by another version of this program; {AGAIN}")
    return check_value(numbers, NumbersRecord, str(path), AGAIN)


def data_page(numbers: dict[str, Any], explore_folder: Path) -> str:
    """The Markdown of a data set's page."""
    sets = numbers["sets"]
    first = sets[0]
    facts = first["facts"]
    summary = (f"{facts['radio maps']:,} radio maps ({first['simulation']}) of {facts['maps']:,} city maps, "
               f"{facts['size (m)']} m")  # fmt: skip
    parts = [
        f"{plain(summary)}. Explored {plain(numbers['explored'][:16].replace('T', ' at '))} UTC.",
        _scope(numbers),
        "## In numbers",
        _facts(sets),
        "## Sample maps",
        "Path gain in dB: yellow is strong, violet is weak. Buildings are grey; the cross is the transmitter. One pixel is "
        "one metre.",
        *_samples(sets, explore_folder),
        "## Path gain",
        _picture(explore_folder, "levels", "Histogram of the path gain of outdoor pixels"),
        _levels(sets),
        "## Path gain over distance",
        _picture(explore_folder, "distance", "Path gain over distance from the transmitter, median and spread, with the "
                 "line-of-sight law"),
        "The dashed line is what an open field would give, -47.86 - 25 log10(distance in m) dB. Pixels that follow it see the "
        "transmitter; those below it are behind buildings. Only outdoor pixels with signal count, so a median that "
        "stops falling far out leaves out what is not heard at all.",
        "## Buildings and transmitters",
        _picture(explore_folder, "density", "Histogram of the built share of the city maps"),
        "The built share is the part of a city map that is covered by buildings. A model meets in training only densities "
        "that are in here.",
        _picture(explore_folder, "transmitters", "Histograms of the distance from transmitters to the nearest building and "
                 "of outdoor pixels to the transmitter"),
        "Left, how far transmitters stand from the nearest building pixel. Right, how far the outdoor pixels are from "
        "their transmitter: figures of merit count every pixel alike, so this says which distances weigh most.",
        "## Layouts",
        *_layouts(numbers, explore_folder),
        "## Splits",
        *_splits(numbers["splits"]),
        "## Missing and damaged files",
        *_check(numbers["check"], facts["maps"], first["faults"]),
        *_comparison(numbers, explore_folder),
    ]  # fmt: skip
    return page(f"Data set {plain(numbers['name'])}", *parts, description=summary)


def _scope(numbers: dict[str, Any]) -> str:
    lines = []
    for one in numbers["sets"]:
        names = ("radio maps read for the numbers below", "radio maps that could not be read", "radio maps")
        read, faulty, there = (one["facts"][name] for name in names)
        scope = "all radio maps were read" if read + faulty == there else (
            f"{read + faulty:,} of {there:,} radio maps were read, evenly spread (`--count {numbers['most']}`)"
        )  # fmt: skip
        scope += f", but for {faulty:,} that could not be" if faulty else ""
        lines.append(f"{plain(one['label'])}: {code(one['root'])}, {scope}")
    return "\n".join(f"- {line}" for line in lines)


def _facts(sets: Sequence[dict[str, Any]]) -> str:
    names = list(dict.fromkeys(name for one in sets for name in one["facts"]))
    rows = [[plain(name), *(_value(one["facts"].get(name), "share" in name) for one in sets)] for name in names]
    return table(["", *(plain(one["label"]) for one in sets)], rows)


def _value(value: float | str | None, is_share: bool = False) -> str:
    if value is None:
        return "-"
    if is_share and isinstance(value, float):
        return f"{100 * value:.2f} %"
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else plain(value)


def _samples(sets: Sequence[dict[str, Any]], folder: Path) -> list[str]:
    parts = []
    for one, stem in zip(sets, ("samples", "samples-simulated"), strict=False):
        subject = f"Radio maps of the {one['label']} set" if len(sets) > 1 else "Radio maps of the set"
        parts += [f"### {plain(capital(one['label']))}"] if len(sets) > 1 else []
        parts.append(_picture(folder, stem, f"{subject}, path gain in dB", "png"))
    return parts


def _levels(sets: Sequence[dict[str, Any]]) -> str:
    silent = []
    for one in sets:
        share = 100 * one["facts"]["outdoor pixels without signal (grey 0), share"]
        silent.append(f"{share:.1f} %" + (f" ({one['label']})" if len(sets) > 1 else ""))
    return (
        f"Outdoor pixels with signal. Pixels without any signal (grey 0) are left out: {plain(', '.join(silent))} of outdoor "
        "pixels. The noise floor at -127 dB is where the *thresholded* protocol cuts off; what lies left of it counts as "
        "silence there, and as a value in the *raw* protocol."
    )


def _layouts(numbers: dict[str, Any], folder: Path) -> list[str]:
    labels = [plain(one["label"]) for one in numbers["sets"]]
    head = ["", *(f"{label}: {name}" for label in labels for name in ("10 % to 90 %", "median", "mean"))]
    lines = []
    for row in numbers["layouts"]:
        cells = [plain(row["statistic"])]
        for one in row["sets"]:
            cells += [f"{_value(one['10'])} to {_value(one['90'])}", _value(one["50"]), _value(one["mean"])]
        lines.append(cells + ([_value(row["distance"])] if len(labels) == 2 else []))
    about = "The *distance* (of Kolmogorov and Smirnov) is the largest gap between two curves: 0 for the same "
    about += (
        "distribution, 1 for values that do not overlap. With few maps it is large by chance: two draws of 12 and 60 "
    )
    about += "maps from one distribution differ by 0.25 on average. "
    return [
        _picture(folder, "layouts", "Distribution functions of eight statistics of the layouts"),
        (about if len(labels) == 2 else "")
        + "A building is a connected region of the mask, its area is that of buildings "
        "that the picture does not cut. A courtyard is an outdoor region that buildings enclose. A street's width is twice "
        "the distance to the nearest building, along the middle lines of outdoors. The main directions are two "
        "perpendicular ones, those of the most edges; an edge within 10° of one of them runs along it.",
        table([*head, "distance"] if len(labels) == 2 else head, lines),
    ]


def _splits(splits: dict[str, Any]) -> list[str]:
    parts = splits["parts"]
    rows = [
        [PARTS[name], f"{len(part['maps']):,}", f"{part['radio_maps']:,}",
         "-" if part["building_share"] is None else f"{100 * part['building_share']:.1f} %"]
        for name, part in parts.items()
    ]  # fmt: skip
    lists = "\n\n".join(f"**{PARTS[name]}**: {ranges(part['maps'])}" for name, part in parts.items())
    return [
        f"Rule {code(splits['rule'])}. Whole city maps are shared out, never single transmitters: the radio maps of one "
        "city resemble each other, and a model would be tested on what it has seen.",
        table(["part", "city maps", "radio maps", "mean built share"], rows),
        note("note", "Which maps are in which part", lists).replace("!!!", "???", 1),
    ]


def ranges(numbers: Sequence[int]) -> str:
    """Rising numbers as ranges: `0-3, 7`; "none" for an empty list."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in spans) or "none"


def _check(check: dict[str, Any], maps: int, faults: Sequence[str]) -> list[str]:
    opened = check["maps_opened"]
    images = "every image was opened" if opened == maps else (
        f"the images of {opened:,} of {maps:,} city maps were opened, evenly spread; "
        "`python -m experiments.dataset check --root DIR` opens all"
    )  # fmt: skip
    parts = [
        f"Names of all files were compared, and {images}. Simulations in the folder: {plain(', '.join(check['simulations']))}."
    ]
    errors, warnings = check["errors"], check["warnings"]
    if not errors + warnings:
        return [*parts, note("success", "Nothing is missing, damaged or odd")]
    kind = "danger" if errors else "warning"
    parts.append(note(kind, f"{counted(errors, 'error')}, {counted(warnings, 'warning')}"))
    rows = [[plain(one["severity"]), plain(one["file"]), plain(one["sentence"])] for one in check["findings"]]
    parts.append(table(["", "file", "what is wrong"], rows, numbers_from=3))
    if errors + warnings > len(rows):
        parts.append(f"The first {FINDINGS_KEPT} are shown; `dataset check --json FILE` writes all.")
    if faults:
        parts.append(
            f"{counted(len(faults), 'radio map')} of those chosen could not be read and had no part in the figures."
        )
    return parts


def _comparison(numbers: dict[str, Any], folder: Path) -> list[str]:
    if len(numbers["sets"]) < 2:
        return []
    found = numbers["comparison"]
    head = "## Simulated beside real, scene by scene"
    if found is None:
        return [head, "The two folders share no scene: no radio map of the same name has the same buildings and transmitter. "
                "Above, their distributions are compared. `python -m experiments.dataset simulate --scenes ROOT` simulates "
                "the scenes of the real folder itself."]  # fmt: skip
    mean, rows = found["mean"], found["maps"]
    columns = {"RMSE (gain)": "rmse", "NMSE": "nmse", "SSIM": "ssim", "PSNR (dB)": "psnr_db",
               "within 1 grey level": "within_1", "within 5": "within_5"}  # fmt: skip
    some, shown = rows, ""
    if len(rows) > MOST_ROWS:
        middle = len(rows) // 2
        some = [*rows[:4], *rows[middle - 2 : middle + 2], *rows[-4:]]
        shown = " The table shows the nearest, the middle and the farthest four."
    lines = [["**mean**", *_figures(mean, columns)]]
    lines += [[f"{row['map']}_{row['transmitter']}", *_figures(row, columns)] for row in some]
    return [
        head,
        f"{counted(len(rows), 'radio map')} of scenes that both folders have, in the raw protocol (gain = grey / 255, all "
        f"pixels).{shown} One grey level is 0.39 dB, and an RMSE of 0.01 is 0.99 dB.",
        table(["radio map", *columns], lines),
        _picture(folder, "differences", "Real map, simulated map and their difference in dB, for three scenes", "png"),
        "Orange or brown: the simulation is too weak; violet: too strong.",
    ]


def _figures(row: dict[str, Any], columns: dict[str, str]) -> list[str]:
    cells = ((key, row[key]) for key in columns.values())
    return ["-" if value is None else f"{100 * value:.1f} %" if "within" in key else f"{value:.2f}" if key == "psnr_db"
            else f"{value:.4f}" for key, value in cells]  # fmt: skip


def _picture(folder: Path, stem: str, alternative: str, kind: str = "svg") -> str:
    if not (folder / f"{stem}.light.{kind}").is_file():
        return note("warning", f"The figure {stem} is missing", f"To make it, {AGAIN}.")
    return figure(f"figures/{stem}", alternative, kind=kind)


def _copy(source: Path, target: Path) -> None:
    """Copy atomically, and only where something changed: a watching server reloads otherwise."""
    content = read_bytes(source, AGAIN)
    if not target.is_file() or target.read_bytes() != content:
        write_whole(target, lambda temporary: temporary.write_bytes(content))


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; {AGAIN}")
