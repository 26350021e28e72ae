"""Radio maps by generative models: scene in, path gain map out, in functional JAX."""

__version__ = "0.2.0"
