"""The generator's tree of settings: space x backbone x objective, and how it is trained.

The unions below are configuration and registry in one: each member is a frozen dataclass that holds its settings and
its functions, told from the others by its `name`. A new space, backbone or objective is one file and one line here.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Len
from pydantic import Field

from radiodiff_jax import bounds
from radiodiff_jax.bounds import Text
from radiodiff_jax.errors import UserError
from radiodiff_jax.features import COMPUTED_ESTIMATES, check_features
from radiodiff_jax.models.backbone import Answers
from radiodiff_jax.models.pmnet import PMNetBackbone
from radiodiff_jax.models.radiodiff import RadioDiffBackbone
from radiodiff_jax.models.radiounet import RadioUNetBackbone
from radiodiff_jax.models.unet import UNetBackbone
from radiodiff_jax.objectives.decoupled import Decoupled
from radiodiff_jax.objectives.flow_matching import FlowMatching
from radiodiff_jax.objectives.regression import Regression
from radiodiff_jax.objectives.residual_flow import ResidualFlow
from radiodiff_jax.radiomapseer import COMPUTED
from radiodiff_jax.settings import (
    STRICT,
    DataConfig,
    EMAConfig,
    OptimizerConfig,
    PrecisionConfig,
    TrainingConfig,
    VAEConfig,
    check_data,
    check_image_size,
    check_training,
)
from radiodiff_jax.spaces.latent import LatentSpace
from radiodiff_jax.spaces.pixel import PixelSpace

by_name = Field(discriminator="name")
SpaceConfig = Annotated[PixelSpace | LatentSpace, by_name]
BackboneConfig = Annotated[UNetBackbone | RadioDiffBackbone | RadioUNetBackbone | PMNetBackbone, by_name]
ObjectiveConfig = Annotated[Regression | Decoupled | FlowMatching | ResidualFlow, by_name]


@dataclass(frozen=True)
class GeneratorConfig:
    """Everything that defines a training of a generator, but for the run folders of what it builds on."""

    __pydantic_config__ = STRICT
    kind: Literal["generator"] = "generator"  # what is trained
    image_size: tuple[bounds.Side, bounds.Side] = (256, 256)  # height and width of the maps in pixels, of 1 m each
    space: SpaceConfig = field(default_factory=PixelSpace)
    backbone: BackboneConfig = field(default_factory=UNetBackbone)
    objective: ObjectiveConfig = field(default_factory=Regression)
    # what the network is told of a scene, channel by channel; see features.py
    features: Annotated[tuple[Text, ...], Len(1, 32)] = ("buildings", "transmitter", "cars")
    # the formula whose map the network corrects; none: it starts from nothing
    estimate: Literal["dominant_path", "rays", "none", "line_of_sight", "path"] = "none"
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    ema: EMAConfig = field(default_factory=EMAConfig)
    data: DataConfig = field(default_factory=DataConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    precision: PrecisionConfig = field(default_factory=PrecisionConfig)

    def __post_init__(self):
        check_image_size(self.image_size)
        check_training(self.training, self.optimizer)
        check_data(self.data)
        check_features(self.features)
        if ("observed" in self.features) != (self.data.observed is not None):
            name = "observed_pixels" if self.data.observed_range is None else "observed_range"
            raise UserError(
                f"data.{name} is {getattr(self.data, name)}, but features "
                f"{'have' if 'observed' in self.features else 'lack'} 'observed'; set both or neither"
            )
        needed = {*self.features, *COMPUTED_ESTIMATES.get(self.estimate, ())} & set(COMPUTED)
        for name in sorted(needed - set(self.data.computed)):
            raise UserError(f"data.computed lacks '{name}', which features or the estimate need; add it, as in "
                            f"data.computed=[{','.join(sorted(needed | set(self.data.computed)))}]")  # fmt: skip
        if self.objective.needs_base and self.estimate != "none":
            raise UserError(
                f"objective {self.objective.name} starts from a regression run, so it takes no estimate; set estimate=none"
            )
        if getattr(self.objective, "l1_weight", 1) == getattr(self.objective, "l2_weight", 1) == 0:
            raise UserError("objective.l1_weight and objective.l2_weight are both 0, so nothing would be learnt; set one above 0")
        if getattr(self.objective, "error_scale", False) and self.space.needs_autoencoder:
            raise UserError(
                "objective.error_scale predicts the error of single pixels, which a latent does not have; take space=pixel or "
                "objective.error_scale=false"
            )
        self.backbone.check(Answers(self.objective.heads, 1, noisy=self.objective.noisy))


Config = VAEConfig | GeneratorConfig
CONFIG_TYPES: dict[str, type] = {"vae": VAEConfig, "generator": GeneratorConfig}
