"""What a look over a folder finds: one sentence a fault."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One fault (`error`: training would stop or be wrong) or oddity (`warning`) of a file, told in a sentence."""

    severity: Literal["error", "warning"]
    file: str
    sentence: str

    def to_json(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)


def in_order(findings: list[Finding]) -> list[Finding]:
    """Errors first, then by file, with 2.png before 10.png."""
    return sorted(findings, key=lambda finding: (finding.severity, _natural(finding.file), finding.sentence))


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short(root: Path, path: Path) -> str:
    """The path below the root."""
    return path.relative_to(root).as_posix()


def _natural(file: str) -> list[tuple[int, str]]:
    parts = file.replace("/", "_").replace(".", "_").split("_")
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]
