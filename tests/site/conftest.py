"""The site, built twice in a session: as cloned, and with the pages of made-up runs, evaluations and data, deployed."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.site.generated_pages import write_generated_pages

REPOSITORY = Path(__file__).parents[2]
LINKED = ("radiodiff_jax", "experiments")
GENERATED = ("runs", "data", "architecture")


@dataclass(frozen=True)
class Site:
    """A built site: where it is, what MkDocs said, how long it took."""

    folder: Path
    log: str
    seconds: float


def mkdocs(sources: Path, *words: str) -> Site:
    """Run a MkDocs command on a copy of the sources; it fails the test that asked for it if MkDocs fails."""
    folder = sources / "site"
    environment = os.environ | {
        "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPOSITORY), "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull, "JAX_PLATFORMS": "cpu",
    }  # fmt: skip
    start = time.monotonic()
    command = [sys.executable, "-m", "mkdocs", *words, "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=sources, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - start
    assert done.returncode == 0, f"mkdocs {words[0]} failed:\n{done.stdout}{done.stderr}"
    print(f"mkdocs {words[0]}: {seconds:.1f} s")
    return Site(folder, done.stdout + done.stderr, seconds)


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    """A copy of what MkDocs reads, as a clone has it: without generated pages."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copy(REPOSITORY / "mkdocs.yml", folder)
    top = REPOSITORY / "site_src"
    shutil.copytree(top, folder / "site_src", ignore=lambda path, _: GENERATED if Path(path) == top else ())
    for name in LINKED:
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


@pytest.fixture(scope="session")
def plain_site(sources) -> Site:
    """The site without any run or data set."""
    built = mkdocs(sources, "build")
    kept = sources / "plain"
    built.folder.rename(kept)
    return Site(kept, built.log, built.seconds)


@pytest.fixture(scope="session")
def remote(tmp_path_factory) -> Path:
    """An empty bare repository to deploy to."""
    folder = tmp_path_factory.mktemp("remote")
    subprocess.run(["git", "init", "--quiet", "--bare", str(folder)], check=True)
    return folder


@pytest.fixture(scope="session")
def full_site(sources, plain_site, remote, tmp_path_factory) -> Site:
    """The site with made-up runs, an evaluation and a data set, deployed to `remote`."""
    write_generated_pages(sources / "site_src", tmp_path_factory.mktemp("made_up"))
    names = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (
        ["init", "--quiet"], ["config", "user.name", "test"], ["config", "user.email", "test@example.org"],
        ["remote", "add", "origin", str(remote)], [*names, "commit", "--quiet", "--allow-empty", "-m", "sources"],
    ):  # fmt: skip
        subprocess.run(["git", *words], cwd=sources, check=True)
    return mkdocs(sources, "gh-deploy", "--no-history", "--ignore-version")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a folder on a local HTTP server."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def address(full_site) -> Iterator[str]:
    """Where the full site is served."""
    with served(full_site.folder) as address:
        yield address
