"""The pages themselves: formulae well formed and drawn by KaTeX, each numbered one tested, every named function there."""

import ast
import importlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "site_src" / "derivations"
PAGES = sorted(path.stem for path in FOLDER.glob("*.md") if path.stem != "index")
KATEX = ROOT / "site_src" / "assets" / "vendor" / "katex" / "katex.min.js"
DISPLAYED = re.compile(r"^\$\$\n(.*?)\n\$\$$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\\\((.+?)\\\)", re.DOTALL)
NAMED = re.compile(r"`(radiodiff_jax/[\w/]+\.py): ([^`]+)`")
RENDER = """
const katex = require(process.argv[1]);
const faults = [];
for (const [text, displayMode] of JSON.parse(require("fs").readFileSync(0, "utf8"))) {
  try { katex.renderToString(text, {displayMode, throwOnError: true, strict: "error"}); }
  catch (error) { faults.push(text + ": " + error.message); }
}
console.log(JSON.stringify(faults));
"""


def read(page: str) -> str:
    return (FOLDER / f"{page}.md").read_text()


def displayed(page: str) -> list[str]:
    return DISPLAYED.findall(read(page))


def tags(page: str) -> list[int]:
    return [int(number) for formula in displayed(page) for number in re.findall(r"\\tag\{(\d+)\}", formula)]


def names_in(path: Path) -> set[str]:
    """Functions, classes, methods and constants that a file defines."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Assign):
            found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def test_there_is_a_page_for_every_test_and_the_index_links_it():
    assert PAGES == sorted(
        path.stem.removeprefix("test_").replace("_", "-")
        for path in Path(__file__).parent.glob("test_*.py")
        if path.stem != "test_pages"
    )
    assert set(re.findall(r"\]\(([\w-]+)\.md\)", read("index"))) == set(PAGES)


@pytest.mark.parametrize("page", [*PAGES, "index"])
def test_formulae_are_balanced(page):
    text = read(page)
    lines = text.split("\n")
    fences = [i for i, line in enumerate(lines) if "$$" in line]
    assert len(fences) % 2 == 0
    for opening, closing in zip(fences[::2], fences[1::2], strict=True):
        assert lines[opening] == lines[closing] == "$$", "the signs stand on lines of their own"
        assert lines[opening - 1] == lines[closing + 1] == "", "a block needs a blank line on either side"
    without = DISPLAYED.sub("", text)
    assert without.count("\\(") == without.count("\\)") == len(INLINE.findall(without))
    for formula in [*displayed(page), *INLINE.findall(without)]:
        assert "\n\n" not in formula
        bare = formula.replace("\\{", "").replace("\\}", "")
        assert bare.count("{") == bare.count("}"), formula
        assert len(re.findall(r"\\left\b", formula)) == len(re.findall(r"\\right\b", formula)), formula
        begun, ended = (re.findall(rf"\\{word}\{{(\w+)\}}", formula) for word in ("begin", "end"))
        assert sorted(begun) == sorted(ended), formula


@pytest.mark.parametrize("page", PAGES)
def test_every_numbered_formula_has_a_test_and_a_function(page):
    numbers = tags(page)
    assert numbers and numbers == list(range(1, len(numbers) + 1))
    module = importlib.import_module(f"tests.derivations.test_{page.replace('-', '_')}")
    tested = [test.formulas for name, test in vars(module).items() if name.startswith("test_")]
    assert set().union(*tested) == set(numbers)
    table = read(page).split("## In the code\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1:3] for line in table.split("\n") if line.startswith("| (")]
    assert sorted(int(n) for first, _ in rows for n in re.findall(r"\((\d+)\)", first)) == numbers
    assert all(NAMED.search(second) for _, second in rows)


@pytest.mark.parametrize("page", PAGES)
def test_named_functions_exist(page):
    for path, name in NAMED.findall(read(page)):
        assert (ROOT / path).is_file(), path
        assert name in names_in(ROOT / path), f"{path} has no {name}"
    assert len(re.findall(r"radiodiff_jax/[\w/]+\.py", read(page))) == len(NAMED.findall(read(page)))


@pytest.mark.skipif(shutil.which("node") is None or not KATEX.is_file(), reason="needs node and the site's KaTeX")
def test_katex_draws_every_formula():
    formulae = []
    for page in [*PAGES, "index"]:
        formulae += [(text, True) for text in displayed(page)]
        formulae += [(text, False) for text in INLINE.findall(DISPLAYED.sub("", read(page)))]
    done = subprocess.run(
        ["node", "-e", RENDER, str(KATEX)], input=json.dumps(formulae), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
