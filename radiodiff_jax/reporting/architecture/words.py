"""Names of blocks and sizes in words."""

import re
from collections.abc import Callable

from radiodiff_jax.reporting.architecture.trace import Block, Shape
from radiodiff_jax.reporting.markdown import counted

TIMES = "×"
SPACE = "\u00a0"  # keeps numbers and their signs on one line


def size(shape: Shape) -> str:
    """`64 × 64 × 128`; a single number for nothing but the batch."""
    return f"{SPACE}{TIMES}{SPACE}".join(map(str, shape)) or "1"


def count(number: int) -> str:
    """`55.3 M`, `295.7 k`, `42`."""
    for unit, scale in (("M", 10**6), ("k", 10**3)):
        if number >= scale:
            return f"{number / scale:.1f}{SPACE}{unit}"
    return str(number)


def work(operations: int) -> str:
    """`38.7 GFLOP`, `3.1 MFLOP`; nothing for none."""
    for unit, scale in (("GFLOP", 10**9), ("MFLOP", 10**6), ("kFLOP", 10**3)):
        if operations >= scale:
            value = operations / scale
            return (f"{value:,.0f}" if value >= 100 else f"{value:.3g}") + SPACE + unit
    return f"{operations}{SPACE}FLOP" if operations else ""


def heads(noun: str) -> Callable[[dict], str]:
    """Words for a block with attention heads."""
    return lambda settings: f"{noun}, {counted(settings['heads'], 'head')}"


def convolution(settings: dict) -> str:
    """Words for a convolution."""
    side, stride = settings["kernel_size"], settings["stride"]
    weights = "weight-standardised " if settings.get("standardise") else ""
    return f"{weights}{size((side, side))} convolution" + (f", stride {stride}" if stride > 1 else "")


def normalised(settings: dict) -> str:
    """Words for a convolution with batch norm."""
    rate = f", rate {settings['rate']}" if settings["rate"] > 1 else ""
    stride = f", stride {settings['stride']}" if settings["stride"] > 1 else ""
    active = ", ReLU" if settings["active"] else ""
    return f"{size((settings['kernel_size'],) * 2)} convolution{stride}{rate}, batch norm{active}"


def bottleneck(settings: dict) -> str:
    """Words for one of PMNet's residual blocks."""
    rate = f", rate {settings['rate']}" if settings["rate"] > 1 else ""
    return "Bottleneck" + (f", stride {settings['stride']}" if settings["stride"] > 1 else "") + rate


def level(noun: str) -> Callable[[dict], str]:
    """Words for one level of the U-Net."""
    return lambda settings: f"{noun} level {settings['level'] + 1}"


KINDS: dict[str, str | Callable[[dict], str]] = {
    "Attention": "Attention over all positions",
    "AtrousConvolution": lambda settings: f"{convolution(settings)}, rate {settings['rate']}",
    "AttentionBlock": "Attention over all positions",
    "BatchNorm": "Batch norm",
    "Bottleneck": bottleneck,
    "ChannelLayerNorm": "Layer norm",
    "Convolution": convolution,
    "CrossAttention": heads("Cross-attention"),
    "Dense": "Linear layer",
    "DownLevel": level("Encoder"),
    "FourierLayer": "Adaptive Fourier layer",
    "FullAttention": heads("Attention over all positions"),
    "GroupNorm": lambda settings: f"Group norm, {counted(settings['groups'], 'group')}",
    "LayerNorm": "Layer norm",
    "LinearAttention": heads("Linear attention"),
    "NormalisedConvolution": normalised,
    "PatchMerging": f"Patch merging, {size((2, 2))} to 1",
    "RelationLayer": "Relation to the scene",
    "ResidualBlock": "Residual block",
    "StandardisedBlock": "Weight-standardised convolution, norm, SiLU",
    "SwinBlock": heads("Swin block"),
    "SwinEncoder": "Swin condition encoder",
    "TimeEmbedding": "Time embedding",
    "TimeResidualBlock": "Residual block with time",
    "TransposedConvolution": lambda settings: f"Transposed {size((settings['kernel_size'],) * 2)} convolution to twice the size",
    "UNet": "U-Net",
    "UpLevel": level("Decoder"),
    "UpsampleConvolution": f"Upsampling to twice the size, {size((3, 3))} convolution",
    "WindowAttention": heads("Window attention"),
}
"""Class of a module -> words, or a function of its settings. A class that is not here is named after itself."""

NAMES = {
    "after_pyramid": "After the pyramid",
    "after_stage": "After stage 1",
    "attenuation_decoder": "Decoder of C",
    "concatenation": "Mix of both",
    "condition_convolution": "Scene",
    "condition_norm": "Scene",
    "condition_projection": "Scene features",
    "decoder": "Decoder",
    "feature_convolution": "Features",
    "feature_norm": "Features",
    "final_convolution": "Output",
    "fourier_convolution": "Fourier branch",
    "final_block": "Final",
    "first": "First",
    "full_size": "At full size",
    "full_size_norm": "At full size",
    "hidden": "Hidden",
    "increase": "Increase",
    "initial_convolution": "Input",
    "initial_norm": "Input",
    "input_convolution": "Input",
    "key": "Key",
    "last_coarse": "Last coarse",
    "middle": "Middle",
    "middle_attention": "Middle",
    "middle_block1": "Middle",
    "middle_block2": "Middle",
    "latent_mixing": "Latent mixing",
    "moments_mixing": "Mean and log variance",
    "noise_decoder": "Decoder of the noise",
    "output": "Output",
    "output_norm": "Output",
    "patch_embedding": "Patch embedding",
    "projection": "Projection",
    "pyramid": "Pyramid",
    "pyramid_mean": "Pyramid, mean of the map",
    "qkv": "Query, key and value",
    "query": "Query",
    "reduce": "Reduce",
    "reduction": "Reduction",
    "second": "Second",
    "shortcut": "Shortcut",
    "stem": "Stem",
    "time": "Time",
    "value": "Value",
    "velocity_output": "Velocity",
    "x0_output": "Map",
}
"""Name of a module -> what it is for."""


def title(block: Block) -> str:
    """A block in words: what it is for, where its name says so, and what it is."""
    found = KINDS.get(block.kind, spaced(block.kind))
    kind = found(block.settings) if callable(found) else found
    purpose = purpose_of(block) if block.path else ""
    if block.kind in ("Decoder", "Encoder"):
        return purpose or kind
    inside = kind if kind.startswith("U-Net") else f"{kind[:1].lower()}{kind[1:]}"
    return f"{purpose}: {inside}" if purpose else f"{kind[:1].upper()}{kind[1:]}"


def short(block: Block) -> str:
    """A block in few words, for the edge of a picture: what it is for, and its place in a list."""
    place = re.search(r"_(\d+)$", block.path[-1])
    purpose = NAMES.get(stem(block.path[-1]), "")
    return f"{purpose}, level {int(place[1]) + 1}" if purpose and place else title(block)


PLACES = {
    r"down_block_(\d+)_\d+": "Encoder level {}", r"up_block_(\d+)_\d+": "Decoder level {}", r"down_(\d+)": "Encoder layer {}",
    r"up_(\d+)": "Decoder layer {}", r"stage_(\d+)_\d+": "Stage {}",
}  # fmt: skip
"""Pattern of a name with a number -> what it is for."""


def purpose_of(block: Block) -> str:
    """What a module is for, as far as its name says so."""
    name = block.path[-1]
    for pattern, words in PLACES.items():
        found = re.fullmatch(pattern, name)
        if found and block.kind not in ("DownLevel", "UpLevel"):  # which say it themselves
            return words.format(int(found[1]) + (pattern.startswith(("down", "up"))))
    return NAMES.get(stem(name), "")


def spaced(name: str) -> str:
    """`PatchMerging` -> `Patch merging`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    return words[:1].upper() + words[1:]


def stem(name: str) -> str:
    """A module's name without the number of its place in a list."""
    return re.sub(r"_\d+$", "", name)
