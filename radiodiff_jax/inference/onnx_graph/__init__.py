"""A traced JAX function as an ONNX graph.

Converters that there are did not fit: jax2onnx (Apache-2.0) wants an Orbax older than ours. The functions of this package
need some fifty primitives of JAX, each of which is one to five ONNX nodes.

    translate.py   a jaxpr, equation by equation: what is known is computed at once, the rest becomes nodes
    operations.py  primitive -> nodes, for what works pixel by pixel or moves, joins and sums arrays
    products.py    convolutions, matrix products, look-ups
    layers.py      layers that ONNX has itself, each of which is traced as one primitive
    spectra.py     Fourier transforms
    rays.py        straight lines to every pixel, in the form that ONNX computes fast
    loops.py       scan and while -> Loop
    writer.py      nodes and constants, weights as int8 or float16, the finished model
"""

from radiodiff_jax.inference.onnx_graph.layers import as_onnx_layers
from radiodiff_jax.inference.onnx_graph.translate import onnx_bytes

__all__ = ["as_onnx_layers", "onnx_bytes"]
