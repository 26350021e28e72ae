"""A trained run as something that predicts: weights loaded once, one compiled function a size and number of steps."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from radiodiff_jax.composition import Composition, compose, scene_of
from radiodiff_jax.config import GeneratorConfig
from radiodiff_jax.data.records import scene_batch
from radiodiff_jax.data.symmetries import SQUARE, transform_image, transform_position, undo_transform
from radiodiff_jax.errors import UserError
from radiodiff_jax.images import Size
from radiodiff_jax.inference.baselines import BASELINES
from radiodiff_jax.inference.calibration import Calibration, Intervals
from radiodiff_jax.inference.radio_map import RadioMap
from radiodiff_jax.inference.scene import check_scene
from radiodiff_jax.inference.windows import Window, predict_in_windows
from radiodiff_jax.radiomapseer import COMPUTED
from radiodiff_jax.settings import VAEConfig
from radiodiff_jax.spaces.latent import Latent
from radiodiff_jax.training.devices import compiler_options, release_freed_memory
from radiodiff_jax.training.digest import leaves_by_path
from radiodiff_jax.units import gain_to_grey, grey_to_gain

Batch = dict[str, np.ndarray]
Gain = Float[np.ndarray, "batch height width"]
Answered = Float[np.ndarray, "batch height width channels"]
Mask = Bool[np.ndarray, "height width"]
LONGEST = 2048
"""Metres: the longest side of a scene."""
MULTIPLE = 32
READ = ("buildings", "position", "cars", "observed", *COMPUTED)  # of a batch, by a prediction; the gain where it is observed


@dataclass(frozen=True)
class Reconstructor:
    """An autoencoder: radio map in, the same map through the latent and back out."""

    config: VAEConfig
    params: Any
    blank: bool

    @cached_property
    def _run(self):
        space = Latent(self.config, self.blank)

        def run(params: Any, gain: jax.Array, buildings: jax.Array) -> jax.Array:
            frozen = {"autoencoder": params, "scale": jnp.float32(1)}
            return space.decode(frozen, space.encode_mean(frozen, grey_to_gain(gain), buildings), buildings)

        return jax.jit(run, compiler_options=compiler_options())

    def __call__(self, batch: Batch) -> Gain:
        """Reconstruction of batch["gain"] from the posterior's mean, gain in [0, 1]."""
        return finite(self._run(self.params, batch["gain"], batch["buildings"]), "the autoencoder")


@dataclass(frozen=True)
class Generator:
    """A generator with its weights: scene in, path gain map out."""

    composition: Composition
    variables: Any
    frozen: Any
    name: str = "model"
    """The run or the shipped model that it came from, for messages."""
    record: dict[str, Any] | None = None
    """Of a model file: how it was trained, licence, digest."""
    calibration: Calibration | None = None
    """Factors for the intervals of these very weights, where they have been fitted."""

    @property
    def config(self) -> GeneratorConfig:
        """The settings of its run."""
        return self.composition.config

    @cached_property
    def _run(self):
        def run(variables, frozen, batch, seed, steps):
            scene = scene_of(batch)
            if self.predicts_error:
                return jnp.stack(self.composition.predict_gain_and_deviation(variables, frozen, scene), -1)
            return self.composition.predict_gain(variables, frozen, scene, jax.random.key(seed), steps)[..., None]

        return jax.jit(run, static_argnums=4, compiler_options=compiler_options())

    @cached_property
    def _compiled(self) -> dict[tuple, jax.stages.Compiled]:
        return {}

    @cached_property
    def _sizes(self) -> dict[Size, "Generator"]:
        return {self.config.image_size: self}

    def for_size(self, size: Size) -> "Generator":
        """The same weights for images of another (height, width) in one pass, both multiples of 32 up to 2048.

        Raises UserError for another size, and where the shapes of the weights depend on the size of the image.
        """
        if size not in self._sizes:
            _check_size(size)
            was = self.composition
            autoencoder = was.space.config if isinstance(was.space, Latent) else None
            base = None if was.base is None else replace(was.base.config, image_size=size)
            resized = compose(replace(was.config, image_size=size), autoencoder, base)
            if _shapes(resized.first_variables) != _shapes(was.first_variables):
                raise UserError(
                    f"the scene is {_times(size)} pixels, but the network of {self.name} works at {_times(was.config.image_size)} "
                    "only; cut the map to that size or train a model for this one"
                )
            self._sizes[size] = replace(self, composition=resized)
        return self._sizes[size]

    def fits(self, size: Size) -> bool:
        """Whether `for_size` takes this size."""
        try:
            self.for_size(size)
        except UserError:
            return False
        return True

    def traced(self, batch: Batch, steps: int) -> jax.stages.Traced:
        """The function of (variables, frozen, batch, uint32 seed) behind `answer_batch`, ready to be compiled."""
        return self._run.trace(self.variables, self.frozen, self._read(batch), jnp.uint32(0), steps)

    def answer_batch(self, batch: Batch, steps: int | None = None, seed: int = 0) -> Answered:
        """Gain in [0, 1] of the scenes of a batch and, where the network predicts its error, its deviation as a second
        channel; the same seed gives the same maps, whatever the batch.

        Maps larger than those of the training are made of windows, see `windows`. Raises UserError for images of a size
        that the model cannot predict, see `for_size`, and where an answer is not finite.
        """
        size, trained = batch["buildings"].shape[1:], self.config.image_size
        if any(one > other for one, other in zip(size, trained, strict=True)):
            rows = [{name: array[i] for name, array in batch.items()} for i in range(len(batch["buildings"]))]
            return np.stack([self._answer_large(row, steps, seed) for row in rows])
        if size != trained:
            return self.for_size(size).answer_batch(batch, steps, seed)
        steps, batch = steps or self.config.objective.sampling_steps, self._read(self.with_computed(batch))
        place = (*((name, array.shape) for name, array in batch.items()), steps)
        if place not in self._compiled:
            self._compiled[place] = self.traced(batch, steps).lower().compile()
            release_freed_memory()
        return finite(self._compiled[place](self.variables, self.frozen, batch, jnp.uint32(seed)), self.name)

    def _answer_large(self, scene: Batch, steps: int | None, seed: int) -> Float[np.ndarray, "height width channels"]:
        size, (height, width) = scene["buildings"].shape, self.config.image_size
        _check_size(size)
        images = [name for name in READ if name in scene and name != "position"] + ["gain"] * ("observed" in scene)

        def predict(place: Window, transmitter: tuple[int, int]) -> Float[np.ndarray, "height width channels"]:
            cut = {name: scene[name][place][None] for name in images}
            batch = cut | {"position": np.array([transmitter], np.int32)}
            return self.for_size(cut["buildings"].shape[1:]).answer_batch(batch, steps, seed)[0]

        sides = [(2 * height, 2 * width), (height, width)] if self.fits((2 * height, 2 * width)) else [(height, width)]
        under = np.zeros((*size, 1 + self.predicts_error), np.float32)
        if any(one > most for one, most in zip(size, sides[0], strict=True)):
            one = {name: scene[name][None] for name in ("buildings", "position")}
            under[..., 0] = BASELINES["path estimate"](one)[0]
            under[..., 1:] = np.nan  # the formula does not say how sure it is
        return predict_in_windows(predict, under, tuple(scene["position"].tolist()), sides)

    def predict_batch(self, batch: Batch, steps: int | None = None, seed: int = 0) -> Gain:
        """Gain in [0, 1] of the scenes of a batch, see `answer_batch`."""
        return self.answer_batch(batch, steps, seed)[..., 0]

    def predict_spread(
        self, batch: Batch, steps: int | None = None, seed: int = 0, samples: int = 1
    ) -> tuple[Gain, Gain | None]:
        """(gain, its deviation) of the scenes of a batch, see `RadioMap.deviation`: by the network itself where it
        predicts its error, else the mean and deviation of `samples` draws; no deviation of a single draw."""
        return self._spread([self.answer_batch(batch, steps, seed + number) for number in range(samples)])

    def _spread(self, draws: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        mean = np.mean(draws, 0)
        if self.predicts_error:
            return mean[..., 0], mean[..., 1]
        return mean[..., 0], np.std(draws, 0)[..., 0] if len(draws) > 1 else None

    @property
    def predicts_error(self) -> bool:
        """Whether the network answers the scale of its error, so that one evaluation says how sure it is."""
        return getattr(self.config.objective, "error_scale", False)

    def check_spread(self, samples: int) -> None:
        """Raise UserError for a model that does not say how sure it is."""
        if self.predicts_error or (self.config.objective.noisy and samples > 1):
            return
        if self.config.objective.noisy:
            raise UserError("a single sample does not say how sure the model is; draw several with --samples 8")
        raise UserError(
            f"{self.name} does not say how sure it is: its objective regression draws no samples and was trained without "
            "objective.error_scale=true; train one with --config pixel-tiny-interval"
        )

    def intervals(self, steps: int | None = None, samples: int = 1) -> Intervals:
        """How wide intervals are for predictions of so many steps and samples; calibrated where factors fit them."""
        known = self.calibration
        if self.predicts_error:
            return known.intervals if known else Intervals("laplace")
        steps = steps or self.config.objective.sampling_steps
        return known.intervals if known and (known.steps, known.samples) == (steps, samples) else Intervals("normal")

    def with_computed(self, batch: Batch) -> Batch:
        """The batch with the maps of its scenes that the model is told of and that it lacks."""
        missing = [name for name in self.config.data.computed if name not in batch]
        if not missing:
            return batch
        from radiodiff_jax.simulation.scene_maps import scene_maps  # loads numba: more than a second

        pairs = zip(batch["buildings"], batch["position"], strict=True)
        found = [scene_maps(missing, buildings, tuple(position.tolist())) for buildings, position in pairs]
        return batch | {name: np.stack([maps[name] for maps in found]) for name in missing}

    def _read(self, batch: Batch) -> Batch:
        data = self.config.data
        leave_out = {*(() if data.cars else ("cars",)), *(name for name in COMPUTED if name not in data.computed)}
        names = [name for name in READ if name not in leave_out]
        names = [*names, "gain"] if "observed" in batch else names
        return {name: batch[name] for name in names if name in batch}

    def predict(
        self, buildings: Mask, transmitter: tuple[int, int], cars: Mask | None = None,
        observed: Float[np.ndarray, "height width"] | None = None, *, steps: int | None = None, samples: int = 1,
        symmetries: int = 1, seed: int = 0,
    ) -> RadioMap:  # fmt: skip
        """The radio map of one scene of any size up to 2048 m: the mean of `samples` draws, and how sure the model is of it
        (see `RadioMap`).

        Masks are not 0 at buildings (and cars); `transmitter` is (row, column); `observed` holds the gain in [0, 1] where it
        was measured, NaN elsewhere. Beyond the lower and right edge of a scene whose sides are no multiples of 32, open
        ground is assumed. With `symmetries` 2 to 8 each draw is the mean over so many turned and mirrored copies of the
        scene. Raises UserError for a scene that the model was not trained for.
        """
        buildings = np.asarray(buildings) != 0
        cars = None if cars is None else np.asarray(cars) != 0
        if not 1 <= symmetries <= SQUARE:
            raise UserError(f"symmetries is {symmetries}, but a square has 1 to {SQUARE}; give a number among these")
        check_scene(self.name, self.config.data, buildings, transmitter, cars, observed)
        if observed is None and self.config.data.observed is not None:
            observed = np.full(buildings.shape, np.nan, np.float32)
        known = None if observed is None else ~np.isnan(observed)
        grey = None if observed is None else gain_to_grey(np.where(known, observed, 0))
        scene = [None if image is None else _whole_cells(image) for image in (buildings, cars, known, grey)]

        def draw(number: int) -> Float[np.ndarray, "height width channels"]:
            found = []
            for symmetry in range(symmetries):
                turned = [None if image is None else transform_image(image, symmetry) for image in scene]
                place = transform_position(*transmitter, scene[0].shape, symmetry)
                answer = self.answer_batch(scene_batch(turned[0], place, *turned[1:]), steps, seed + number)[0]
                found.append(undo_transform(answer, symmetry))
            return np.mean(found, 0)[: buildings.shape[0], : buildings.shape[1]]

        gain, deviation = self._spread([draw(number) for number in range(1 if self.predicts_error else samples)])
        place = (int(transmitter[0]), int(transmitter[1]))
        return RadioMap(gain, buildings, place, deviation, None if deviation is None else self.intervals(steps, samples))

    @cached_property
    def reconstructor(self) -> Reconstructor | None:
        """The autoencoder of a latent space alone, which the generator cannot beat; None for other spaces."""
        space = self.composition.space
        return Reconstructor(space.config, self.frozen["autoencoder"], space.blank) if isinstance(space, Latent) else None


def finite(answer: jax.Array, name: str) -> np.ndarray:
    """The answer of a network on the host. Raises UserError where a number in it is not finite."""
    found = np.asarray(answer)
    if not np.isfinite(found).all():
        raise UserError(
            f"{name} answers numbers that are not finite, so its weights are damaged or its training has diverged; take another "
            "checkpoint, copy it again or train it anew"
        )
    return found


def _whole_cells(image: np.ndarray) -> np.ndarray:
    """Both sides up to a multiple of 32, with zeros."""
    return np.pad(image, [(0, -side % MULTIPLE) for side in image.shape])


def _shapes(first_variables: Any) -> dict[str, tuple[int, ...]]:
    tree = jax.eval_shape(first_variables, jax.random.key(0))
    return {name: leaf.shape for name, leaf in leaves_by_path(tree).items()}


def _check_size(size: Size) -> None:
    if any(side % MULTIPLE or not 0 < side <= LONGEST for side in size):
        raise UserError(
            f"the scene is {_times(size)} pixels; both sides must be multiples of {MULTIPLE} up to {LONGEST}, so cut it"
        )


def _times(size: Size) -> str:
    return f"{size[0]} x {size[1]}"
