"""Makes swin_tiny.pth, swin_tiny.npz, checkpoint.pt and checkpoint_stream.pt by PyTorch and torchvision, for comparison with them.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install torch==2.14.1 torchvision==0.29.1
    /tmp/torch/bin/python tests/golden/make_torchvision.py

The first two are torchvision's Swin transformer with few channels, weights drawn at random and rounded to float16, and what it
answers after each stage. The others are one checkpoint, saved as a ZIP archive and as the stream of PyTorch before 1.6.
"""

from pathlib import Path

import numpy as np
import torch
from torchvision.models.swin_transformer import SwinTransformer

HERE = Path(__file__).parent
SIZE = 64, 96


def picture() -> np.ndarray:
    """An image [1, 3, height, width] in [-1, 1]."""
    rows, columns, channels = np.meshgrid(np.arange(SIZE[0]), np.arange(SIZE[1]), np.arange(3), indexing="ij")
    return np.sin(0.7 * rows + 0.3 * columns * (channels + 1) + channels).astype(np.float32).transpose(2, 0, 1)[None]


def swin_tiny() -> None:
    """torchvision's class at 4 channels: stages of 1, 2, 1 and 2 blocks, windows of 3 x 3."""
    torch.manual_seed(0)
    net = SwinTransformer([4, 4], 4, [1, 2, 1, 2], [1, 2, 2, 4], [3, 3], num_classes=2).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            noise = 0.2 * torch.randn(parameter.shape)
            parameter.copy_((parameter + noise).half().float())
        x, answers = torch.from_numpy(picture()), {}
        for index, layer in enumerate(net.features):
            x = layer(x)
            if index % 2:
                answers[f"stage_{index // 2}"] = x.numpy().astype(np.float32)
    np.savez_compressed(HERE / "swin_tiny.npz", x=picture().astype(np.float32), **answers)
    halves = {name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()}
    torch.save(halves, HERE / "swin_tiny.pth")


def checkpoint() -> None:
    """A state dict and its optimizer, and tensors of every kind that is read."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net(torch.randn(2, 1, 5, 5)).sum().backward()
    optimizer.step()
    numbers = torch.arange(12.0)
    kinds = {str(dtype).removeprefix("torch."): torch.arange(3).to(dtype) for dtype in (
        torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool,
        torch.complex64)}  # fmt: skip
    views = {"transposed": numbers.reshape(3, 4).T, "part": numbers[5:9].reshape(2, 2), "scalar": numbers[7], "empty": numbers[:0]}
    whole = {"step": 7, "model": net.state_dict(), "opt": optimizer.state_dict(), "kinds": kinds, "views": views,
             "parameter": torch.nn.Parameter(torch.ones(2, 3)), "size": torch.Size([2, 3]), "text": "a", "none": None}  # fmt: skip
    torch.save(whole, HERE / "checkpoint.pt")
    torch.save(whole, HERE / "checkpoint_stream.pt", _use_new_zipfile_serialization=False)


swin_tiny()
checkpoint()
