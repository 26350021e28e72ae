"""Settings of every test: the CPU as two ordinary devices would be used, exact matrix products."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TQDM_MININTERVAL", "5")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")  # compiling is what tests spend their time on
# Processes of one run, and the next run, share what takes more than half a second to compile.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "xla"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "allow")
jax.config.update("jax_default_matmul_precision", "highest")
