"""One training update of a generator, from a batch as it lies on disk to the next state, in the order in which it happens."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PRNGKeyArray

from radiodiff_jax.composition import Composition, scene_of
from radiodiff_jax.training import ema
from radiodiff_jax.training.digest import leaves_by_path
from radiodiff_jax.training.flat import by_name, like
from radiodiff_jax.training.optimizer import accumulate, first_guard, learning_rate, optimizer, skip_bad_updates
from radiodiff_jax.training.task import Batch, Metrics, State, Task, Tree
from radiodiff_jax.training.trained import divide, trained_names, unite
from radiodiff_jax.units import grey_to_gain


def make_update(generator: Composition, first: Callable[[PRNGKeyArray], Tree] | None = None) -> Task:
    """The training of a generator: features, encode, corrupt, loss, gradient, clip, optimizer, average, guard.

    `frozen` is that of `composition`. With `data.latents` cached, batches hold "moments" (and "estimate" where training
    starts from one) in the place of "gain". `first` gives the first variables in the place of the network's random ones. Raises
    UserError for `optimizer.train_only` that names no parameter.
    """
    config, space, objective, network = generator.config, generator.space, generator.objective, generator.network
    clip_and_step = optimizer(config.optimizer, config.training.steps)
    rate = learning_rate(config.optimizer, config.training.steps)
    shapes = jax.eval_shape(generator.first_variables, jax.random.key(0))["params"]
    trained = trained_names(leaves_by_path(shapes), config.optimizer.train_only)

    def initialise(key: PRNGKeyArray) -> State:
        variables = (first or generator.first_variables)(key)
        online = {name: variables.get(name, {}) for name in ("params", "batch_stats")}
        state = {
            "step": jnp.zeros((), jnp.int32),
            **online,
            "constants": variables.get("constants", {}),
            "optimizer": clip_and_step.init(moving(online["params"])[0]),
            "ema": ema.initialise(online),
        }
        return state | ({} if config.training.spike_factor is None else {"guard": first_guard()})

    def moving(params: Tree) -> tuple[Tree, Tree]:
        """(what is trained, the rest)."""
        return divide(by_name(params), trained) if config.optimizer.train_only else (params, {})

    def whole(moved: Tree, rest: Tree) -> Tree:
        """The inverse."""
        return unite(moved, rest) if config.optimizer.train_only else moved

    def encode(frozen: Tree, piece: Batch, scene) -> tuple[Array, Array | None]:
        """(x0, estimate or None), computed or from the cache."""
        if config.data.latents == "cached":
            estimate = frozen["scale"] * piece["estimate"] if generator.starts_at_estimate else None
            return space.scaled_sample(frozen, piece["moments"], piece["posterior"]), estimate
        x0 = space.encode(frozen, grey_to_gain(piece["gain"]), scene.buildings, piece["posterior"])
        return x0, generator.estimate(frozen, scene)

    def update(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray) -> tuple[State, Metrics]:
        # Drawn for the whole batch, so that it does not matter into how many microbatches it is cut.
        count, shape = batch["position"].shape[0], generator.shape
        for_posterior, for_objective = jax.random.split(jax.random.fold_in(key, 0))
        for_time, for_noise, for_dropout = jax.random.split(for_objective, 3)
        draws = {
            "posterior": jax.random.normal(for_posterior, (count, *shape)),
            "u": jax.random.uniform(for_time, (count,)),
            "noise": jax.random.normal(for_noise, (count, *shape)),
        }

        moved, rest = moving(state["params"])

        def microbatch(batch_stats: Tree, piece: Batch, number: Array | int) -> tuple[Tree, Tree, Metrics]:
            scene = scene_of(piece)
            features = generator.features(scene)
            x0, estimate = encode(frozen, piece, scene)
            noised = objective.corrupt(x0, piece["u"], piece["noise"], estimate)
            dropout = for_dropout if config.optimizer.accumulate == 1 else jax.random.fold_in(for_dropout, number)

            def loss(moved: Tree) -> tuple[Array, tuple[Metrics, Tree]]:
                online = {"params": whole(moved, rest), "batch_stats": batch_stats}
                variables = by_name(online) | {"constants": state["constants"]}
                inputs = generator.network_input(noised.x, estimate)
                raw, changed = network.apply(
                    variables, inputs, noised.t, features, True, rngs={"dropout": dropout}, mutable=["batch_stats"]
                )
                predicted = objective.precondition(raw, noised.x, noised.t, estimate)
                per_map, parts = objective.loss(predicted, noised, space.outdoors(scene.buildings))
                metrics = {"loss": per_map, **parts}
                changed = like(batch_stats, changed.get("batch_stats", {}))
                return per_map.mean(), (jax.tree.map(jnp.mean, metrics), changed)

            gradients, (metrics, batch_stats) = jax.grad(loss, has_aux=True)(moved)
            return gradients, batch_stats, metrics

        gradients, batch_stats, metrics = accumulate(
            microbatch, state["batch_stats"], batch | draws, config.optimizer.accumulate
        )
        change, optimizer_state = clip_and_step.update(gradients, state["optimizer"], moved)
        params = whole(optax.apply_updates(moved, change), rest)
        if config.optimizer.train_only:
            params = like(state["params"], params)
        online = {"params": params, "batch_stats": batch_stats}
        metrics |= {"grad_norm": optax.tree.norm(gradients), "learning_rate": rate(state["step"])}
        new = state | {
            "step": state["step"] + 1,
            **online,
            "optimizer": optimizer_state,
            "ema": ema.update(config.ema, state["ema"], online),
        }
        return skip_bad_updates(state, new, metrics, config.training.spike_factor)

    def predict(state: State, frozen: Tree, batch: Batch, key: PRNGKeyArray, steps: int) -> Array:
        source = state["ema"]["average"] if config.ema.use else state
        online = by_name({name: source[name] for name in ("params", "batch_stats")})
        return generator.predict_gain(online | {"constants": state["constants"]}, frozen, scene_of(batch), key, steps)

    return Task(
        objective.name,
        initialise,
        update,
        partial(predict, steps=objective.sampling_steps),
        lambda number: objective.name,
        {f"{steps}_steps": partial(predict, steps=steps) for steps in objective.validation_steps},
        lambda state: [state["params"], state["batch_stats"]],
    )
