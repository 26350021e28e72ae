"""What is thrown: odd values, odd texts, documents and bytes with damage."""

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy], Any]

HUGE = [2**31, 2**32, 2**63, 10**9, 10**30, 1e308, -1, -(10**9), 0]
TEXTS = [
    "", " ", "\n", "\t", "0", "-0", "+1", "1_0", "017", "0x_", "0x10", "0b_", "1e400", ".inf", "-.inf", ".nan", "NaN", "nan", "inf",
    "null", "~", "true", "yes", "off", "[]", "[1]", "[[1]]", "[1,", "{}", "{a: 1}", "!!int foo", "!!python/name:os.system",
    "&a [*a]", "*a", "<<", "2020-99-99", "12:30:45", "--- 1", "1\n--- 2", "# x", "a: b", "- 1", "? x", "%YAML", "@", "`", '"', "'",
    "٣", "²", "１", "é", "\u2028", "\ufeff", "🏙", "\x1b[31m", "\x7f", "../../x", "/", ".", "..", "/dev/null", "~/x", "a" * 300,
    "a" * 5000, "9" * 5000, "[" * 2000, "<script>alert(1)</script>", "{{ 7*7 }}", "{% x %}", "|", "$\\frac{$", "--help", "-1",
]  # fmt: skip
CONTENTS = [
    b"", b"\0", b"\n", b"null", b"5", b"-1e999", b'"x"', b"[]", b"{}", b"[null]", b"[[]]", b'{"": 0}', b"[" * 100_000,
    b'{"a":' * 10_000, b"9" * 5000, b"NaN", b"\xff\xfe", b"\xef\xbb\xbf{}", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"a: &a [*a]",
    b"--- 1\n--- 2", b"2020-99-99", b"!!int foo", b"kind: [1]", b"? [1]\n: 2", b"<osm>", b"<a>" * 1000, b"\x1f\x8b", b"%PDF",
    b"%!PS-Adobe", b"row,column,db\n1,2,3", b",,,",
]  # fmt: skip

numbers = st.one_of(st.sampled_from(HUGE), st.integers(-5, 5), st.integers(), st.floats())
scalars = st.one_of(st.none(), st.booleans(), numbers, st.sampled_from(TEXTS), st.text(max_size=8))
odd = st.one_of(scalars, st.lists(scalars, max_size=4), st.dictionaries(st.sampled_from(TEXTS), scalars, max_size=3))
words = st.one_of(
    st.sampled_from(TEXTS),
    numbers.map(str),
    st.lists(numbers, max_size=5).map(str),
    st.text(max_size=20),
).map(lambda text: text.replace("\0", ""))  # no argument of a process has one


@st.composite
def damaged_bytes(draw: Draw, content: bytes) -> bytes:
    """The content with a part cut off, taken out, turned, doubled or overwritten."""
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    length = draw(st.integers(1, 64))
    head, tail = content[:place], content[place + length :]
    return draw(
        st.sampled_from(
            [
                head,
                head + tail,
                head + bytes(byte ^ 0x10 for byte in content[place : place + 1]) + content[place + 1 :],
                head + b"\0" * length + tail,
                head + b"\xff" * length + tail,
                content + content,
                content[place:],
            ]
        )
    )


def places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of nested lists and mappings."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    return [place for key in keys for place in [(tree, key), *places(tree[key])]]


@st.composite
def damaged_tree(draw: Draw, document: Any) -> Any:
    """A document of which one to three values are replaced, taken out, moved to another place or given another name."""
    tree = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        known = places(tree)
        if not known:
            return draw(odd)
        container, key = draw(st.sampled_from(known))
        what = draw(st.sampled_from(["replace", "replace", "remove", "move", "rename"]))
        if what == "replace":
            container[key] = draw(odd)
        elif what == "move":
            other, place = draw(st.sampled_from(known))
            container[key] = copy.deepcopy(other[place])
        elif what == "remove":
            del container[key]
        elif isinstance(container, dict):
            container[draw(st.sampled_from(TEXTS))] = container.pop(key)
    return tree


def damaged_json(document: Any) -> st.SearchStrategy[bytes]:
    """The bytes of a JSON file: a document with damage, its bytes with damage, or something else altogether."""
    return st.one_of(
        damaged_tree(document).map(lambda tree: json.dumps(tree).encode()),
        damaged_tree(document).map(lambda tree: json.dumps(tree).encode()),
        damaged_bytes(json.dumps(document).encode()),
        st.sampled_from(CONTENTS),
    )


def damaged_lines(rows: list[Any]) -> st.SearchStrategy[bytes]:
    """The bytes of a file of JSON lines."""
    whole = "".join(json.dumps(row) + "\n" for row in rows).encode()

    def lines(tree: Any) -> bytes:
        return "".join(json.dumps(row) + "\n" for row in (tree if isinstance(tree, list) else [tree])).encode()

    mended = damaged_tree(rows).map(lines)
    return st.one_of(mended, mended, damaged_bytes(whole), st.sampled_from(CONTENTS))


def damaged_file(content: bytes) -> st.SearchStrategy[bytes]:
    """The bytes of any other file."""
    return st.one_of(damaged_bytes(content), damaged_bytes(content), st.binary(max_size=100), st.sampled_from(CONTENTS))
