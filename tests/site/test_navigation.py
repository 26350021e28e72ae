"""The navigation of generated folders follows their index pages."""

from pathlib import PurePosixPath

from radiodiff_jax.reporting import mkdocs_hooks


def section(texts: dict[str, str]) -> list:
    return mkdocs_hooks.section(PurePosixPath("runs"), texts)


def test_a_heading_is_no_element_in_the_navigation():
    texts = {"runs/index.md": "# Runs", "runs/a/index.md": "# Run &lt;script&gt;", "runs/a/b.md": "# B"}
    assert section(texts)[1] == {"Run &lt;script&gt;": ["runs/a/index.md", "runs/a/b.md"]}


def test_order_is_that_of_the_links_and_the_rest_by_name():
    texts = {
        "runs/index.md": "# Runs\n\n[second](zebra/index.md#samples) [first](ant/index.md) [side by side](compare.md)",
        "runs/ant/index.md": "# Run ant",
        "runs/ant/evaluation-test.md": "# Evaluation of ant",
        "runs/compare.md": "# Runs side by side",
        "runs/zebra/index.md": "---\ntitle: x\n---\n\n# Run `zebra` & more",
        "runs/zebra/evaluation-test.md": "# Evaluation of zebra",
        "runs/bee/index.md": "# Run bee",
        "runs/alone.md": "# Alone",
    }
    assert section(texts) == [
        "runs/index.md",
        {"Run zebra & more": ["runs/zebra/index.md", "runs/zebra/evaluation-test.md"]},
        {"Run ant": ["runs/ant/index.md", "runs/ant/evaluation-test.md"]},
        "runs/compare.md",
        "runs/alone.md",
        "runs/bee/index.md",
    ]


def test_folder_without_an_index_or_a_heading_keeps_its_name():
    assert section({"runs/index.md": "# Runs", "runs/old/b.md": "# B", "runs/old/a.md": "no heading"}) == [
        "runs/index.md", {"old": ["runs/old/a.md", "runs/old/b.md"]},
    ]  # fmt: skip


def test_index_alone_is_a_list_of_one():
    assert section({"runs/index.md": "# Runs"}) == ["runs/index.md"]


def test_hand_written_entries_stay():
    entry = {"Guide": ["guide/data.md"]}
    assert mkdocs_hooks.expanded(entry, files=None) is entry
    assert mkdocs_hooks.expanded("index.md", files=None) == "index.md"


def test_labels_of_diagrams_are_escaped():
    fence = mkdocs_hooks.fence_mermaid_custom("a[\"x<br/>y\"] --> b", "mermaid", "mermaid", {}, None, attrs={})
    assert fence == '<pre class="mermaid"><code>a[&quot;x&lt;br/&gt;y&quot;] --&gt; b</code></pre>'
