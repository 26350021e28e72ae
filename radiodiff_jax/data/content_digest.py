"""What files a data set is made of, as one number that another copy of them has too."""

import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

from tqdm import tqdm

from radiodiff_jax.errors import UserError


def content_digest(root: Path, paths: Iterable[Path]) -> str:
    """SHA-256 over the names (below `root`), sizes and CRC-32 of files. Reads each once; UserError if one cannot be."""
    paths = list(paths)

    def line(path: Path) -> str:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}); restore it") from error
        return f"{path.relative_to(root).as_posix()} {len(content)} {zlib.crc32(content):08x}\n"

    with ThreadPoolExecutor(4) as pool:
        lines = sorted(tqdm(pool.map(line, paths), total=len(paths), desc="fingerprint", unit="file", delay=2))
    return sha256("".join(lines).encode()).hexdigest()
