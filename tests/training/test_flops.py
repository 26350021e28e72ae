"""Limits of devices are found by whole names."""

import pytest

from radiodiff_jax.training.flops import peak_teraflops


@pytest.mark.parametrize(
    "device,half", [("NVIDIA L40", 181.0), ("NVIDIA L40S", 362.0), ("NVIDIA L4", 121.0), ("NVIDIA H100 80GB HBM3", 989.0),
                    ("Tesla V100-SXM2-16GB", 125.0), ("TPU v5 lite", 197.0), ("NVIDIA L400", None)]
)  # fmt: skip
def test_a_device_has_the_limit_of_its_own_name(device, half):
    assert peak_teraflops(device, "bfloat16") == half
