"""Settings of every test: the CPU as two ordinary devices would be used, exact matrix products."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TQDM_MININTERVAL", "5")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")  # compiling is what tests spend their time on

import jax  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "allow")
jax.config.update("jax_default_matmul_precision", "highest")
