"""Pages about the networks, made from the modules that training uses, so that they cannot go stale.

What JAX is needed for is imported only when something has to be drawn.
"""

from radiodiff_jax.reporting.architecture.site import write_architecture_pages

__all__ = ["run_architecture", "write_architecture_pages"]


def __getattr__(name: str):
    """Import `run_architecture` when it is asked for: it loads JAX and the models."""
    if name != "run_architecture":
        raise AttributeError(f"{__name__} has no {name}")
    from radiodiff_jax.reporting.architecture.run_section import run_architecture

    return run_architecture
