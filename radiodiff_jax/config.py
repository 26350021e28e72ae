"""The trees of settings of the two trainings; `config_files.py` reads them from YAML and from the command line."""

from dataclasses import dataclass, field
from typing import Literal

from radiodiff_jax.errors import UserError
from radiodiff_jax.settings import (
    STRICT,
    AutoencoderConfig,
    DataConfig,
    DiffusionObjectiveConfig,
    DiscriminatorConfig,
    EMAConfig,
    GANObjectiveConfig,
    OptimizerConfig,
    PrecisionConfig,
    TrainingConfig,
    UNetConfig,
    check_data,
    check_groups,
    check_image_size,
    check_training,
)


@dataclass(frozen=True)
class VAEConfig:
    """Everything that defines a training of the autoencoder."""

    __pydantic_config__ = STRICT
    kind: Literal["vae"] = "vae"
    image_size: tuple[int, int] = (256, 256)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    objective: GANObjectiveConfig = field(default_factory=GANObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EMAConfig = field(default_factory=EMAConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)

    def __post_init__(self):
        check_image_size(self.image_size)
        check_training(self.training, self.optimizer)
        check_data(self.data)
        widths = [self.autoencoder.base_channels * m for m in self.autoencoder.channel_multipliers]
        check_groups("autoencoder.base_channels", widths, self.autoencoder.normalisation_groups)


@dataclass(frozen=True)
class LDMConfig:
    """Everything that defines a training of the latent diffusion model, but for its autoencoder's run folder."""

    __pydantic_config__ = STRICT
    kind: Literal["ldm"] = "ldm"
    image_size: tuple[int, int] = (256, 256)
    unet: UNetConfig = field(default_factory=UNetConfig)
    objective: DiffusionObjectiveConfig = field(default_factory=DiffusionObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EMAConfig = field(default_factory=EMAConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)

    def __post_init__(self):
        check_image_size(self.image_size)
        check_training(self.training, self.optimizer)
        check_data(self.data)
        unet, swin = self.unet, self.unet.swin
        if unet.condition_channels != self.data.condition_channels:
            raise UserError(
                f"unet.condition_channels is {unet.condition_channels}, but with data.samples={self.data.samples} the "
                f"condition image has {self.data.condition_channels} channels; set "
                f"unet.condition_channels={self.data.condition_channels}"
            )
        if not len(unet.channel_multipliers) == len(unet.relation_windows) == len(swin.depths) == len(swin.heads):
            raise UserError(
                "unet.channel_multipliers, unet.relation_windows, unet.swin.depths and unet.swin.heads must have "
                "the same length, one entry a level"
            )
        for stage, heads in enumerate(swin.heads):
            if swin.embedding_channels * 2**stage % heads:
                raise UserError(
                    f"unet.swin.heads: stage {stage} has {swin.embedding_channels * 2**stage} channels, which "
                    f"{heads} heads cannot share evenly; choose a divisor"
                )
        widths = [unet.base_channels * m for m in unet.channel_multipliers]
        check_groups("unet.base_channels", [unet.base_channels, *widths], unet.normalisation_groups)
        check_groups("unet.base_channels", [unet.base_channels, *widths], unet.relation_heads)


Config = VAEConfig | LDMConfig
