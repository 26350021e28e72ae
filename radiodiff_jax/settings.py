"""Sections of settings, and the autoencoder's tree of them: frozen dataclasses without behaviour.

Pydantic checks them where they are read (`config_files.py`). A generator's tree is in `config.py`. The defaults are the
sane ones; the preset `paper` spells out what the original (RadioDiff, arXiv 2408.08593) does instead.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Le

from radiodiff_jax import bounds
from radiodiff_jax.bounds import Flag, Text
from radiodiff_jax.errors import UserError

DataType = Literal["float32", "bfloat16", "float16"]
ComputedMap = Literal["dominant_path", "reflections", "diffraction"]
Simulation = Literal["DPM", "IRT2", "IRT4", "carsDPM", "carsIRT2", "carsIRT4", "RT", "carsRT"]
SMALLEST_PATCH = 3  # pixels that the discriminator's last two convolutions need along one side
STRICT = {"extra": "forbid", "allow_inf_nan": False}  # how pydantic checks these dataclasses


@dataclass(frozen=True)
class PrecisionConfig:
    """Data types: norms, softmax, FFT and losses stay float32 whatever is said here."""

    __pydantic_config__ = STRICT
    compute: DataType = "float32"  # data type of convolutions, products and activations
    # data type of the weights; float16 would lose updates below 6e-8
    parameters: Literal["float32", "bfloat16"] = "float32"
    remat: Flag = False  # forget what is inside a block and compute it again on the way back: less memory, more time


@dataclass(frozen=True)
class AutoencoderConfig:
    """KL autoencoder: downsampling factor 2^(levels - 1)."""

    __pydantic_config__ = STRICT
    base_channels: bounds.Channels = 128  # channels of the first level
    # channels of each level, as multiples of base_channels
    channel_multipliers: Annotated[tuple[bounds.Multiplier, ...], bounds.Levels] = (1, 2, 4)
    blocks_per_level: bounds.Layers = 2  # residual blocks a level
    latent_channels: bounds.Channels = 3  # channels of the latent
    normalisation_groups: bounds.Groups = 32  # groups of the group norms
    dropout: bounds.Dropout = 0.0  # share of activations that training sets to 0

    @property
    def downsampling(self) -> int:
        """Image pixels per latent pixel along one axis."""
        return 2 ** (len(self.channel_multipliers) - 1)


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Patch discriminator of pix2pix."""

    __pydantic_config__ = STRICT
    base_channels: bounds.Channels = 64  # channels of the first layer
    layers: bounds.Layers = 3  # layers that halve the map


@dataclass(frozen=True)
class SwinConfig:
    """Condition encoder: a Swin transformer that returns the maps of its four stages."""

    __pydantic_config__ = STRICT
    embedding_channels: bounds.Channels = 128  # channels of the first stage
    depths: Annotated[tuple[bounds.Layers, ...], bounds.Levels] = (2, 2, 18, 2)  # blocks of each stage
    heads: Annotated[tuple[bounds.Heads, ...], bounds.Levels] = (4, 8, 16, 32)  # attention heads of each stage
    window: bounds.Window = 7  # pixels of an attention window along one axis
    mlp_ratio: bounds.Multiplier = 4  # hidden width of the two-layer networks, as a multiple of the channels
    # chance that training leaves out the last block; of the others it grows to this
    stochastic_depth: bounds.Dropout = 0.5


@dataclass(frozen=True)
class GANObjectiveConfig:
    """Loss of the autoencoder (L1 + L2, KL) and of its discriminator, which joins at `discriminator_start`."""

    __pydantic_config__ = STRICT
    kl_weight: bounds.Weight = 1e-6  # weight of the KL divergence
    discriminator_start: bounds.UpdatesOrNone = 50001  # update from which on the discriminator takes part
    discriminator_weight: bounds.Weight = 0.5  # weight of the adversarial loss, times the balance of the gradients
    discriminator_factor: bounds.Weight = 1.0  # a further factor of both adversarial losses
    discriminator_loss: Literal["hinge", "vanilla"] = "hinge"  # hinge, or vanilla: logistic
    perceptual_weight: bounds.Weight = 0.0  # weight of LPIPS; 0: none
    perceptual_weights_file: Text | None = None  # weights of LPIPS, as `weights perceptual` writes them
    # logarithm of the variance that reconstruction errors are divided by
    log_variance: Annotated[float, bounds.NUMBER, Ge(-20), Le(20)] = 0.0


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a learning-rate schedule over finished updates, and clipping by the global gradient norm.

    `minimum` is a fraction of `learning_rate`. The polynomial schedule is `max((1 - i/N)^power, minimum)`.
    """

    __pydantic_config__ = STRICT
    learning_rate: bounds.LearningRate = 2e-4  # the largest, after the warm-up
    betas: tuple[bounds.Decay, bounds.Decay] = (0.9, 0.999)  # decay of the means of gradient and squared gradient
    epsilon: bounds.Epsilon = 1e-8  # added to the root of the mean squared gradient
    weight_decay: bounds.Share = 0.01  # of AdamW: this times the learning rate is taken off a weight
    schedule: Literal["constant", "cosine", "polynomial"] = "cosine"  # how the learning rate falls
    warmup_steps: bounds.UpdatesOrNone = 0  # updates in which the learning rate rises from 0
    power: bounds.Exponent = 1.0  # of the polynomial schedule
    minimum: bounds.Share = 0.01  # learning rate at the end, as a share of the largest
    clip_norm: bounds.Positive | None = 1.0  # gradients of a greater norm are scaled down to it; null: never
    accumulate: bounds.Batch = 1  # batches whose gradients make one update
    train_only: tuple[Text, ...] = ()  # generators: patterns of parameters, such as up_block_* or *norm*; empty: all


@dataclass(frozen=True)
class EMAConfig:
    """Exponential moving average: decay min(decay, 1 - (1 + e)^-power) after `update_after` calls, every `update_every`."""

    __pydantic_config__ = STRICT
    decay: bounds.Decay = 0.999  # of the moving average of the weights, at most
    update_after: bounds.UpdatesOrNone = 0  # updates before the average begins
    update_every: bounds.Updates = 1  # updates between two steps of the average
    power: bounds.Exponent = 2.0 / 3.0  # how soon the decay reaches its limit: 1 - (1 + updates)^-power
    use: Flag = True  # whether inference takes the averaged weights


@dataclass(frozen=True)
class DataConfig:
    """Which maps, and how they are read."""

    __pydantic_config__ = STRICT
    simulation: Simulation = "DPM"  # which of the folder's simulations is learnt
    # a second simulation: gain w * simulation + (1 - w) * mixture, w random in [0, 1]
    mixture: Simulation | None = None
    cars: Flag = False  # maps with cars, and cars in the scene
    # the buildings that the model is told of; missing*: some are left out
    buildings: Literal["complete", "missing1", "missing2", "missing3", "missing4"] = "complete"
    # random outdoor pixels of a map whose gain the model is told (feature `observed`)
    observed_pixels: bounds.Observed = 0
    # instead: their number is drawn for each map, log-uniform over number + 1
    observed_range: tuple[bounds.RangeEnd, bounds.RangeEnd] | None = None
    computed: tuple[ComputedMap, ...] = ()  # maps computed of each scene beforehand, for the features of these names
    # which maps are trained on, validated on and tested on
    split: Literal["auto", "radiounet", "radiodiff", "by_map"] = "auto"
    maps: tuple[bounds.Layout, ...] = ()  # layouts trained on, in place of the split's; the others are held out
    # layouts that are only validated on; without `maps` all others are trained on
    hold_out: tuple[bounds.Layout, ...] = ()
    mix_share: float = 0.5  # of a batch with --mix: the share that comes from there
    augment: Flag = True  # turn and mirror maps by the symmetries of the square
    threads: bounds.Threads = 2  # threads that read maps
    prefetch: bounds.Threads = 4  # batches that are read ahead
    source: Literal["folder", "simulate"] = "folder"  # simulate: new cities as training goes on, without end
    transmitters_per_city: bounds.PerCity = 20  # of a city made on the fly, each used once; more cost less time a map
    cities_at_once: bounds.PerCity = 16  # cities made on the fly that records come from in turn
    simulation_seed: bounds.Seed = 0  # chooses the cities made on the fly
    simulator: Literal["cpu", "device"] = "cpu"  # where the maps of these cities are computed
    # how often a map made on the fly is used in the mean; above 1 cities are kept in RUN/cities
    reuse: bounds.PerCity = 1
    # diffusion: encode maps in every update, or all of them beforehand
    latents: Literal["computed", "cached"] = "computed"
    # processes that make cities ahead of time; 0: the reading threads do it themselves
    simulation_workers: bounds.Workers = 2

    @property
    def observed(self) -> tuple[int, int] | None:
        """The least and the greatest number of observed pixels of a map; None for a model that is told of none."""
        if self.observed_range is not None:
            return self.observed_range
        return (self.observed_pixels, self.observed_pixels) if self.observed_pixels else None


@dataclass(frozen=True)
class TrainingConfig:
    """How long, how often, how many."""

    __pydantic_config__ = STRICT
    steps: bounds.Updates = 100_000  # updates in all
    batch_size: bounds.Batch = 16  # maps of a batch, over all devices together
    seed: bounds.Seed = 0  # of first weights, noise and the order of maps
    log_every: bounds.Updates = 50  # updates between two lines of metrics.jsonl
    validate_every: bounds.Updates = 1000  # updates between two validations
    validation_maps: bounds.Maps = 64  # maps of a validation, always the same
    # so many validations in a row without a lower RMSE end the training; null: never
    patience: bounds.Updates | None = None
    checkpoint_every: bounds.Updates = 1000  # updates between two checkpoints
    checkpoints_kept: bounds.Updates = 2  # newest checkpoints that are kept, beside the best
    sample_every: bounds.Updates = 1000  # updates between two sample pictures
    sample_maps: bounds.Maps = 4  # maps of a sample picture
    # more updates in a row without a finite loss and gradient end the training
    most_skipped_in_a_row: bounds.UpdatesOrNone = 20
    # leave out updates whose loss is above this times its running mean; null: none
    spike_factor: bounds.Factor | None = None
    fsdp: Flag = False  # parameters, averages and optimizer are divided among the devices instead of on every one
    tensorboard: Flag = False  # also write RUN/tensorboard (needs the extra `tensorboard`)


@dataclass(frozen=True)
class VAEConfig:
    """Everything that defines a training of the autoencoder."""

    __pydantic_config__ = STRICT
    kind: Literal["vae"] = "vae"  # what is trained
    image_size: tuple[bounds.Side, bounds.Side] = (256, 256)  # height and width of the maps in pixels, of 1 m each
    fill: Flag = True  # building pixels take the value of the nearest outdoor pixel before encoding, and are 0 after
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
        if self.optimizer.train_only:
            raise UserError("optimizer.train_only chooses parameters of a generator; leave it out, an autoencoder is trained whole")
        widths = [self.autoencoder.base_channels * m for m in self.autoencoder.channel_multipliers]
        check_groups("autoencoder.base_channels", widths, self.autoencoder.normalisation_groups)
        factor, layers = self.autoencoder.downsampling, self.discriminator.layers
        if any(side % factor for side in self.image_size):
            raise UserError(
                f"image_size {list(self.image_size)}: with {len(widths)} levels of autoencoder.channel_multipliers both sides must "
                f"be multiples of {factor}"
            )
        if min(self.image_size) // 2**layers < SMALLEST_PATCH:
            raise UserError(
                f"discriminator.layers is {layers}: they would leave nothing of image_size {list(self.image_size)}; take fewer"
            )


def check_image_size(size: tuple[int, int]) -> None:
    """Raise UserError unless both sides are positive multiples of 32."""
    if any(side <= 0 or side % 32 for side in size):
        raise UserError(f"image_size {list(size)}: both sides must be positive multiples of 32, such as [256, 256]")


def check_training(training: TrainingConfig, optimizer: OptimizerConfig) -> None:
    """Raise UserError for counts that no training can have."""
    counts = {f"training.{name}": getattr(training, name) for name in
              ("steps", "batch_size", "log_every", "validate_every", "checkpoint_every", "checkpoints_kept",
               "sample_every")} | {"optimizer.accumulate": optimizer.accumulate}  # fmt: skip
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"{name} is {value}: it must be at least 1")
    if training.patience is not None and training.patience < 1:
        raise UserError(f"training.patience is {training.patience}: it must be at least 1, or null for no early stopping")
    if training.spike_factor is not None and training.spike_factor <= 1:
        raise UserError(
            f"training.spike_factor is {training.spike_factor}: it must be above 1 (3 is usual), or null for no such guard"
        )


def check_data(data: DataConfig) -> None:
    """Raise UserError for data that cannot be varied as asked for."""
    if data.observed_pixels < 0:
        raise UserError(f"data.observed_pixels is {data.observed_pixels}: it must be at least 0")
    if data.observed_range is not None:
        low, high = data.observed_range
        if not 0 <= low <= high:
            raise UserError(f"data.observed_range is {[low, high]}: give the least number, from 0 on, then the greatest")
        if data.observed_pixels:
            raise UserError("data.observed_pixels and data.observed_range are both set; set the one to 0 or the other to null")
    if not 0 < data.mix_share < 1:
        raise UserError(f"data.mix_share is {data.mix_share}: it must be above 0 and below 1")
    both = sorted(set(data.maps) & set(data.hold_out))
    if both:
        raise UserError(f"data.maps and data.hold_out both name layout {both[0]}; a layout is trained on or held out")
    if data.source == "simulate" and (data.maps or data.hold_out):
        raise UserError("data.maps and data.hold_out choose layouts of a folder; leave them out with data.source=simulate")
    if data.computed and data.source == "simulate":
        raise UserError("data.computed tells a model what data.source=simulate makes: it would have nothing to learn; use a folder")
    if data.computed and data.buildings != "complete":
        raise UserError("data.computed knows all buildings; set data.buildings=complete, or data.computed=[]")
    if data.mixture == data.simulation:
        raise UserError(
            f"data.mixture is {data.mixture}, as data.simulation is already; name another simulation, or null for none"
        )


def check_groups(name: str, widths: list[int], groups: int) -> None:
    """Raise UserError unless every layer width splits into `groups` equal parts."""
    for width in widths:
        if width % groups:
            raise UserError(f"{name}: a layer of {width} channels cannot be split into {groups} groups; use a multiple")
