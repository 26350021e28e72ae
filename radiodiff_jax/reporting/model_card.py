"""Model cards: what a model that comes with the package was trained on, how well it does, and what it is not for.

    site_src/models/NAME/card.yaml     which evaluations, in which order and words; the source of everything here
    site_src/models/NAME/STEM.json     evaluations by `experiments.evaluate --model NAME`, STEM.npz their maps if they may be shown

become, when the site is built,

    site_src/models/NAME/index.md      the card
    site_src/models/NAME/evaluation-STEM.md    every figure of an evaluation
"""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from radiodiff_jax.config_files import read_yaml
from radiodiff_jax.errors import UserError
from radiodiff_jax.inference.evaluation_files import evaluate_again, read_evaluation
from radiodiff_jax.inference.generator import Generator
from radiodiff_jax.inference.loading import load_model
from radiodiff_jax.inference.model_file import shipped_models, shipped_path
from radiodiff_jax.reporting.evaluation_figures import save_error_by_distance
from radiodiff_jax.reporting.evaluation_pages import DRAWING_CODE, write_evaluation_page
from radiodiff_jax.reporting.evaluation_verdict import HEADLINE, compare, mean, own_name
from radiodiff_jax.reporting.markdown import code, count, decibels, figure, note, page, plain, table, write_page
from radiodiff_jax.reporting.style import FigureCache, digest
from radiodiff_jax.units import DB_PER_GAIN

FIGURES = {
    "RMSE (dB)": HEADLINE,
    "RMSE raw": HEADLINE,
    "NMSE raw": "raw/all/nmse",
    "SSIM raw": "raw/all/ssim",
    "RMSE thresholded": "thresholded/all/rmse",
    "MAE (dB)": "raw/mae_db",
    "within 3 dB": "raw/share_within_3_db",
}
SIGHTS = {"in_sight": "in line of sight", "out_of_sight": "out of sight"}


class Judged(NamedTuple):
    """An evaluation on a card."""

    stem: str
    title: str
    about: str
    path: Path
    result: dict[str, Any]


def write_model_pages(site: Path) -> None:
    """Write the pages of every card below SITE/models, and their index; nothing where nothing changed.

    Raises UserError for a damaged card or evaluation, and for a card of a model that does not come with the package.
    """
    cards = sorted(site.glob("models/*/card.yaml"))
    for card in cards:
        write_card(card)
    if cards:
        write_page(site / "models" / "index.md", index_page([card.parent.name for card in cards]))


def write_card(card: Path) -> Path:
    """Write index.md beside a card.yaml, and the pages of its evaluations; returns the card's page."""
    folder, name = card.parent, card.parent.name
    if name not in shipped_models():
        raise UserError(f"{card} is the card of '{name}', which does not come with the package; rename its folder")
    told = read_yaml(card)
    evaluations = [read_judged(folder, one) for one in told.get("evaluations", [])]
    if not evaluations:
        raise UserError(f"{card} lists no evaluations; name at least one as `- {{file, title, about}}`")
    for one in evaluations:
        write_evaluation_page(one.path, folder)
    figures = FigureCache(folder / "figures", DRAWING_CODE)
    write_page(folder / "index.md", card_page(name, load_model(name), told, evaluations, figures))
    return folder / "index.md"


def read_judged(folder: Path, entry: Any) -> Judged:
    """One entry of a card's list of evaluations."""
    if not isinstance(entry, dict) or set(entry) != {"file", "title", "about"}:
        raise UserError(f"{folder / 'card.yaml'}: an evaluation is {{file, title, about}}, not {entry!r}")
    path = folder / entry["file"]
    return Judged(path.stem, entry["title"], entry["about"], path, read_evaluation(path))


def card_page(name: str, model: Generator, told: dict[str, Any], judged: list[Judged], figures: FigureCache) -> str:
    """The Markdown of a card; its figures are written on the way."""
    config, record = model.config, model.record or {}
    first = judged[0].result
    kind = f"{config.space.name} x {config.backbone.name} x {config.objective.name}"
    megabytes = shipped_path(name).stat().st_size / 1e6
    parameters = record.get("parameters")
    facts = [
        ["predicts", plain(told.get("predicts", record.get("summary", "")))],
        ["generator", f"{kind} ([what that means](../../guide/models.md))"],
        ["parameters", count(parameters["total"] if isinstance(parameters, dict) else parameters) if parameters else "-"],
        ["file", f"{megabytes:.1f} MB, in the package; digest {code(record.get('digest', '')[:12])}"],
        ["licence", plain(record.get("licence", ""))],
        *([word.replace("_", " "), plain(record[word])] for word in TOLD_BY_RECORD if word in record),
        ["features", ", ".join(map(code, config.features))],
        ["starts from", code(config.estimate)],
    ]
    parts = [
        told.get("introduction", ""),
        note(*headline(judged[0])),
        "## How well it does",
        "Means over maps. *RMSE raw* is the first column in units of gain (1 is 99.16 dB), over all pixels; MAE and *within "
        "3 dB* are of outdoor pixels with signal. The two protocols are [not comparable](../../guide/figures-of-merit.md) with "
        "each other.",
        *figures_table(judged),
        *(f"**{plain(one.title)}**: {one.about} [Every figure and the worst maps](evaluation-{one.stem}.md)."
          for one in judged),
        "## Where it errs",
        *errors_of(judged[0], figures),
        *sights_table(judged),
        *sections(told),
        "## Facts",
        table(["", name], facts, numbers_from=2),
        "## The same figures again",
        "```bash\n" + "\n".join(evaluate_again(one.result) + f" --out {one.path.name}" for one in judged) + "\n```",
        f"Times are of {plain(', '.join(first.get('devices', ['an unknown device'])))}.",
    ]  # fmt: skip
    return page(f"Model card: {name}", *parts, description=f"{name}: {plain(record.get('summary', ''))}")


TOLD_BY_RECORD = ("trained_on", "updates", "batch_size", "precision", "schedule", "loss", "training_seconds", "hardware", "date",
                  "conventions")  # fmt: skip


def headline(one: Judged) -> tuple[str, str, str]:
    """(kind, title, text) of the box that says what the first evaluation found, against every formula without training."""
    result, own = one.result, own_name(one.result)
    error = mean(result, own, "raw/mae_db")
    lines, worse = [], False
    for other in (name for name in result["results"] if name != own):
        found = compare(result, other)
        if found is None or other == "autoencoder":
            continue
        order = "**worse**" if found.difference >= 0 else "better"
        text = f"- RMSE {decibels(abs(found.difference))} {order} than the {plain(other)}"
        if found.interval is not None:
            low, high = sorted(abs(value) for value in found.interval)
            sure = found.interval[0] * found.interval[1] > 0
            text += f" (90 % interval {decibels(low)} to {decibels(high)})" if sure else " (the 90 % interval holds 0)"
        worse |= found.difference >= 0
        lines.append(text)
    title = f"Mean error {error:.1f} dB on {result['radio_maps']:,} maps of {result['layouts']:,} unseen cities"
    return "danger" if worse else "success", title, "\n".join(lines)


def figures_table(judged: list[Judged]) -> list[str]:
    """A row a data set and predictor."""
    rows = []
    for one in judged:
        for name in one.result["results"]:
            shown = f"**{plain(name)}**" if name == own_name(one.result) else plain(name)
            cells = [mean(one.result, name, key) for key in FIGURES.values()]
            rows.append([plain(one.title), shown, *("-" if cell is None else _cell(cell, key)
                                                    for cell, key in zip(cells, FIGURES, strict=True))])  # fmt: skip
    return [table(["data", "predictor", *FIGURES], rows, numbers_from=2)]


def errors_of(one: Judged, figures: FigureCache) -> list[str]:
    """Figure of the error by distance, in and out of sight, on the first data set."""
    results = {other: found for other, found in one.result["results"].items() if found["errors"]}
    stem = "card-distance"
    figures.write(stem, digest(one.path.read_bytes()), partial(save_error_by_distance, results))
    text = "RMSE in dB by distance from the transmitter, in and out of sight, for the model and three formulas"
    return [figure(f"figures/{stem}", text, f"{plain(one.title)}. In sight a formula is exact; out of sight is what is learnt.")]


def sights_table(judged: list[Judged]) -> list[str]:
    """Errors in and out of sight, of the model on every data set."""
    rows = [
        [plain(one.title), words, f"{part['bias_db']:+.2f}", f"{part['mae_db']:.2f}", f"{part['rmse_db']:.2f}"]
        for one in judged
        for sight, words in SIGHTS.items()
        for part in [one.result["results"][own_name(one.result)]["errors"][sight]]
    ]
    return [table(["data", "pixels", "bias (dB)", "MAE (dB)", "RMSE (dB)"], rows, numbers_from=2)]


def sections(told: dict[str, Any]) -> Iterable[str]:
    """The card's own sections: title -> Markdown."""
    for title, text in told.get("sections", {}).items():
        yield f"## {title}"
        yield text.strip()


def index_page(names: list[str]) -> str:
    """The list of models."""
    rows = []
    for name in names:
        model = load_model(name)
        megabytes = shipped_path(name).stat().st_size / 1e6
        summary = plain((model.record or {}).get("summary", ""))
        rows.append([f"[{name}]({name}/index.md)", summary, f"{megabytes:.1f} MB"])
    return page(
        "Models that come with the package",
        "Each is a file in the package, with the settings it was trained with and a digest. "
        "`python -m experiments.models` lists them; [Inference](../guide/inference.md) says how they are used.",
        table(["model", "what it predicts", "file"], rows, numbers_from=2),
        description="Weights that come with the package, and how well they do.",
    )


def _cell(value: float, figure: str) -> str:
    if figure == "RMSE (dB)":
        value *= DB_PER_GAIN
    return f"{100 * value:.0f} %" if figure == "within 3 dB" else f"{value:.2f}" if "dB" in figure else f"{value:.4f}"
