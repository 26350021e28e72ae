"""Text that others chose (names, settings, reasons, logs) stays text on the pages: nothing in it comes alive."""

import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import markdown
import pytest
import yaml
from mkdocs.config import load_config as load_site

from experiments.training import CONFIGS
from radiodiff_jax.files import write_json
from radiodiff_jax.reporting.ablation_pages import add_ablation
from radiodiff_jax.reporting.data_exploration import explore
from radiodiff_jax.reporting.data_pages import write_data_index, write_data_page
from radiodiff_jax.reporting.markdown import code, fenced, note, plain
from radiodiff_jax.reporting.runs.refresh import report
from tests.data.example_folder import write_example_folder
from tests.reporting.ablation_result import ablation_result, item
from tests.reporting.ablation_result import run as ablation_run
from tests.reporting.run_folders import write_run
from tests.site.generated_pages import write_evaluations

ROOT = Path(__file__).resolve().parents[2]
NAME = "x<img src=x onerror=alert(1)>|{{ 7*7 }}{% raw %}`b`*c*[d](javascript:alert(2))$\\frac{$ &amp; \"q\" 'r'"
TEXT = (
    f"{NAME}</code></pre><script>alert(3)</script>\n\n# head\n```\n<script>alert(4)</script>\n"
    "```mermaid\nclick A call alert(5)\n```\n-->"
)


class Elements(HTMLParser):
    """All tags and attributes of a page."""

    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def converter():
    site = load_site(str(ROOT / "mkdocs.yml"))
    return markdown.Markdown(extensions=site.markdown_extensions, extension_configs=site.mdx_configs)


def check_page(path, converter):
    """Nothing hostile came alive on a page of Markdown; every row of a table has as many cells as its head."""
    text = path.read_text()
    front = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    if front:
        assert set(yaml.safe_load(front[1])) - {"hide"} == {"description"}
        assert "<" not in yaml.safe_load(front[1])["description"]
        text = text[front.end() :]
    html = converter.reset().convert(text)
    elements = Elements(html)
    for tag, attributes in elements.found:
        assert tag not in ("script", "iframe", "object", "style", "form"), f"{path}: {tag}"
        assert not any(name.startswith("on") for name in attributes), f"{path}: {tag} {attributes}"
        address = attributes.get("href", "") + attributes.get("src", "")
        assert ":" not in address and address != "x", f"{path}: {tag} {attributes}"
    headings = sum(tag == "h1" for tag, _ in elements.found)
    assert headings == 1, f"{path}: {headings} headings"
    for rows in re.findall(r"<table>(.*?)</table>", html, re.DOTALL):
        assert len({len(re.findall(r"<t[hd]\b", row)) for row in rows.split("<tr>")[1:]}) == 1, path
    assert "7*7" in elements.text or "x" not in path.stem
    return html


def test_small_pieces_are_text(converter):
    row = f"| a | b |\n|---|---|\n| {plain(TEXT)} | {code(TEXT)} |"
    for piece in (plain(TEXT), code(TEXT), fenced("sh", TEXT), note("warning", TEXT, plain(TEXT)), row):
        found = Elements(converter.reset().convert(f"{piece}\n\nafter\n"))
        alive = [tag for tag, facts in found.found if tag in ("script", "img", "h1") or "script" in facts.get("href", "")]
        assert not alive, piece
        assert found.text.rstrip().endswith("after")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Pages of runs, evaluations, logs, data and an ablation whose every text is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    site, runs = folder / "site", folder / "runs"
    data = write_example_folder(folder / "maps")
    hostile = [write_run(runs / f"{NAME} {i}", "ldm", rows=12, ending="failed", samples=0) for i in range(2)]
    for run in hostile:
        (run / "config.yaml").write_text(yaml.safe_dump({"kind": "generator", "objective": {"name": TEXT}, TEXT: {TEXT: TEXT}}))
        facts = json.loads((run / "run.json").read_text())
        facts |= {"command": TEXT, "git_commit": TEXT, "devices": [TEXT], "versions": {TEXT: TEXT}, "processes": TEXT,
                  "parameters": {TEXT: 5, "b": 6}, "data_fingerprint": TEXT, TEXT: TEXT, "started": TEXT}  # fmt: skip
        (run / "run.json").write_text(json.dumps(facts))
        rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        rows = [row | {NAME: 1.5 + row["step"], f"validation/{NAME}": 0.5, "phase": NAME, TEXT: 2.0} for row in rows]
        (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
        events = [event | {"reason": TEXT, "time": TEXT} | ({"phase": NAME} if "phase" in event else {}) for event in events]
        events.insert(1, {"step": 1, "time": TEXT, "event": TEXT, TEXT: TEXT})
        (run / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    write_evaluations(hostile[1], data)
    for path in (*hostile[1].glob("evaluation/*.npz"), *hostile[1].glob("evaluation/*steps2*")):
        path.unlink(missing_ok=True)  # pictures of maps take long to draw, and hold no text
    for path in (hostile[1] / "evaluation").glob("*.json"):
        result = json.loads(path.read_text()) | {"data": TEXT, "split": NAME, "run": TEXT, "devices": [TEXT], "evaluated": TEXT}
        result["results"][NAME] = result["results"]["distance law"]
        path.write_text(json.dumps(result))
        path.rename(path.with_name(f"{NAME} {path.name}"))
    unknown = write_run(runs / "odd kind", "vae", rows=4)
    (unknown / "run.json").write_text(json.dumps({"kind": f"../../../{TEXT}"}))
    (unknown / "config.yaml").write_text(yaml.safe_dump({"kind": f"../../../{TEXT}"}))
    log = folder / f"{NAME}.txt"
    metric = f"train/{NAME.replace(' ', '_')}"
    log.write_text("\n".join(f"[Train Step] {i}/30: {metric}: {i}.5, train/total_loss: {i}.1" for i in range(1, 30)))
    report([*hostile, unknown], site, logs=[log], presets=CONFIGS)
    explore(data, "DPM", folder / "explore" / NAME)
    numbers = folder / "explore" / NAME / "numbers.json"
    content = json.loads(numbers.read_text())
    content["sets"][0]["label"] = content["sets"][0]["root"] = TEXT
    numbers.write_text(json.dumps(content))
    write_data_page(folder / "explore" / NAME, site)
    write_data_index(site)
    result = ablation_result()
    result |= {"name": NAME, "title": TEXT, "question": TEXT, "command": TEXT, "data": TEXT, "profile": TEXT, "reference": NAME}
    result["hardware"] = result["hardware"] | {"devices": [TEXT], "processor": TEXT, "versions": {"jax": TEXT}, "git_commit": TEXT}
    for one in result["items"]:
        one |= {"settings": [f"a.b={TEXT}"], "words": [f"a.b={TEXT}"], "preset": TEXT, "how": TEXT}
        one["start"] = one["start"] and NAME
        one["name"] = NAME if one["name"] == "plain" else f"{NAME} {one['name']}"
        one["vae"] = one["vae"] and f"{NAME} coder"
    result["items"].append(item(f"{TEXT} last", [ablation_run(0, 0.04, 1e12) | {"state": "failed", "reason": TEXT}]))
    write_json(folder / "ablation" / "ablation.json", result)
    add_ablation(folder / "ablation", site)
    return site


def test_a_name_that_is_no_text_is_written_as_its_escapes(tmp_path):
    run = write_run(tmp_path / os.fsdecode(b"run \xff"), "vae", rows=1, samples=0)
    (run / "config.yaml").write_text("kind: vae\n")
    report([run], tmp_path / "site", presets=CONFIGS)
    (page,) = (tmp_path / "site").glob("runs/run*/index.md")
    assert "# Run run &#92;udcff" in page.read_text()
    record = {"folder": str(run)}
    assert json.loads(write_json(tmp_path / "record.json", record).read_text()) == record


def test_nothing_comes_alive_on_any_page(site, converter):
    pages = sorted(site.rglob("*.md"))
    assert len(pages) >= 10
    for path in pages:
        check_page(path, converter)
    assert not [path for path in site.parent.rglob("*compare-*") if site not in path.parents], "outside of the site"
