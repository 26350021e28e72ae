"""Files that grow by one JSON object a line and survive being cut off anywhere."""

import json
import math
import os
from pathlib import Path
from typing import Any

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import write_text

Record = dict[str, Any]


def read_json_lines(path: Path) -> list[Record]:
    """The objects of a file, in order; none if there is no file. An unfinished last line is left out.

    Raises UserError for a damaged line before the last.
    """
    if not path.is_file():
        return []
    records = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], start=1):
        try:
            records.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number} is damaged; delete that line") from error
    return records


class JsonLines:
    """Appends to such a file; every line is whole and handed to the system when `append` returns."""

    def __init__(self, path: Path):
        self.path = path
        content = path.read_bytes() if path.is_file() else b""
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            os.truncate(path, whole)

    def append(self, record: Record) -> None:
        """Add one object; numbers that are not finite become null."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(_line(record))

    def cut_back(self, step: int) -> None:
        """Drop every object whose "step" is greater; the file is replaced whole."""
        kept = [record for record in read_json_lines(self.path) if record["step"] <= step]
        write_text(self.path, "".join(map(_line, kept)))


def _line(record: Record) -> str:
    return json.dumps(_finite(record), allow_nan=False, ensure_ascii=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
