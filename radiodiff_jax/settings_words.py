"""Words `section.key=value` of a command line: a value is one plain scalar or one short flat list, and nothing else of YAML.

No anchors, aliases, tags, mappings, blocks, several documents or dates: what is written is what is meant. The events of the
parser are looked at one by one and nothing is put together from them, so that no text can grow.
"""

import re
from collections.abc import Iterator

import yaml

from radiodiff_jax.errors import UserError, shown

MOST_LETTERS = 2000  # of a word
MOST_ENTRIES = 1000  # of a list
MOST_BRACKETS = 20  # that open, in quotes or not
NAMED = {
    **dict.fromkeys(("true", "yes", "on"), True), **dict.fromkeys(("false", "no", "off"), False),
    **dict.fromkeys(("null", "~", ""), None),
}  # fmt: skip
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9_]*)")  # 017 would be 15 to YAML 1.1, and 1:30 ninety: neither is a number here
BROKEN = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)([eE][-+]?[0-9]+)?|[-+]?\.(inf|nan)", re.IGNORECASE)

Scalar = str | int | float | bool | None


def split_word(word: str) -> tuple[list[str], Scalar | list[Scalar]]:
    """(keys, value) of a word `section.key=value`. Raises UserError, exit code 2, for what is not of this form."""
    name, equals, text = word.partition("=")
    if not equals or not name:
        raise UserError(f"{shown(word)} is not of the form section.key=value, such as training.steps=1000", exit_code=2)
    if len(word) > MOST_LETTERS:
        raise UserError(f"the setting {shown(name)} has {len(word)} letters, but {MOST_LETTERS} is the most for one word", 2)
    return name.split("."), parse_value(text, f"the value in {shown(word)}")


def parse_value(text: str, where: str) -> Scalar | list[Scalar]:
    """A scalar or a flat list of scalars. Raises UserError, exit code 2, for anything else; `where` names the value."""
    if len(re.findall(r"[\[{]", text)) > MOST_BRACKETS:  # on which the parser spends seconds
        raise UserError(f"{where} is a list in a list; give one flat list, such as [64, 96]", 2)
    try:
        value, end = _value(_events(text, where), where)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        raise UserError(f"{where} is not valid YAML: {' '.join(problem.split())}", 2) from None
    if rest := text[end:].strip():  # a comment, or another document
        raise UserError(f"{where} goes on with {shown(rest)} after its end; leave that out, or quote the whole value", 2)
    return value


def _events(text: str, where: str) -> Iterator[yaml.Event]:
    """The events that say something. Raises UserError for whatever is neither a scalar nor a list."""
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.NodeEvent):
            marked = event.anchor is not None or getattr(event, "tag", None) is not None
            block = getattr(event, "style", None) in ("|", ">")
            if isinstance(event, (yaml.ScalarEvent, yaml.SequenceStartEvent)) and not marked and not block:
                yield event
                continue
        elif isinstance(event, yaml.SequenceEndEvent):
            yield event
            continue
        elif not isinstance(event, yaml.MappingEndEvent) and not getattr(event, "explicit", False):
            continue  # begin and end of the stream and of its one document
        raise UserError(
            f"{where} is neither a plain number, word or true, false and null nor a flat list of them, such as [64, 96]; "
            "write one of these, and quote other text", 2
        )  # fmt: skip


def _value(events: Iterator[yaml.Event], where: str) -> tuple[Scalar | list[Scalar], int]:
    """The value, and where in the text it ends."""
    first = next(events, None)
    if first is None:
        return None, 0
    if isinstance(first, yaml.ScalarEvent):
        return _scalar(first), first.end_mark.index
    found: list[Scalar] = []
    for event in events:
        if isinstance(event, yaml.SequenceStartEvent):
            raise UserError(f"{where} is a list in a list; give one flat list, such as [64, 96]", 2)
        if isinstance(event, yaml.SequenceEndEvent):
            return found, event.end_mark.index
        if len(found) == MOST_ENTRIES:
            break
        found.append(_scalar(event))
    raise UserError(f"{where} is a list of more than {MOST_ENTRIES} entries; give a shorter one", 2)


def _scalar(event: yaml.ScalarEvent) -> Scalar:
    text = event.value
    if event.style is not None:  # quoted
        return text
    if text.lower() in NAMED:
        return NAMED[text.lower()]
    if WHOLE.fullmatch(text):
        return int(text)
    if not BROKEN.fullmatch(text) or re.fullmatch(r"[-+]?0[0-9]+", text):
        return text
    return float(re.sub(r"\.(?=[in])", "", text.lower()))
