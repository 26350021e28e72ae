"""Which code made a page: what older code made is made anew."""

import hashlib
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2]


@cache
def code_digest() -> str:
    """SHA-256 over the source of the whole package: diagrams come from the models, meanings from the objectives."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
