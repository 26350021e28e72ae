"""Settings of every test: the CPU as two ordinary devices would be used, exact matrix products; which process runs what."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TQDM_MININTERVAL", "5")
# Compiling is what tests spend their time on. XLA's older emitters take half as long for it, and a fifth longer for a step.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false")
# Processes of one run, and the next run, share what takes more than half a second to compile.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax  # noqa: E402
import pytest  # noqa: E402
from xdist.scheduler import LoadFileScheduling  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "allow")
jax.config.update("jax_default_matmul_precision", "highest")

SITE = "tests/site/"
LONG = (SITE, "tests/experiments/", "tests/training/", "tests/models/")  # first, so that processes end at the same time


class ByFixtures(LoadFileScheduling):
    """A file of tests runs in one process, and all files of the site in the same one, so that the site is built once."""

    def _split_scope(self, nodeid: str) -> str:
        return SITE if nodeid.startswith(SITE) else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFixtures | None:
    """What `--dist loadfile` means here."""
    return ByFixtures(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long ones first; the order is otherwise as it was."""
    items.sort(key=lambda item: next((i for i, start in enumerate(LONG) if item.nodeid.startswith(start)), len(LONG)))
