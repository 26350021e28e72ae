"""The smallest networks that architecture pages are made of, and what their tests read off the pages."""

import re
from functools import cache

import jax

from radiodiff_jax.reporting.architecture.networks import VAE, Generator
from tests.micro import micro

CUT = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)


@cache
def vae(*settings: str) -> VAE:
    """A micro autoencoder."""
    return VAE(micro("vae", *settings))


@cache
def generator(*settings: str) -> Generator:
    """A micro diffusion model."""
    return Generator(micro("radiodiff", *settings), vae())


def diagrams(text: str) -> list[str]:
    return CUT.findall(text)


def size(tree) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))
