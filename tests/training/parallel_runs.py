"""Trainings on several devices and in several processes, as programs of their own: JAX counts its devices once.

    python -m tests.training.parallel_runs four FOLDER                     on four devices, in many ways, as JSON
    python -m tests.training.parallel_runs toy RUN STEPS DEVICES [HOST:PORT,COUNT,INDEX]     the toy, stopped after STEPS
"""

import json
import os
import sys
from pathlib import Path


def on_four_devices(folder: Path) -> dict[str, list[float]]:
    """Losses of three updates of the toy and of both phases of a micro autoencoder, name of the way -> losses."""
    import jax
    import numpy as np
    from jax.sharding import Mesh

    from radiodiff_jax.training import devices
    from radiodiff_jax.training.compiled import compile_task
    from radiodiff_jax.training.session import SessionOptions
    from radiodiff_jax.training.vae_update import make_vae_update
    from tests.micro import micro
    from tests.training import toy

    four, one = devices.device_mesh(), Mesh(np.array(jax.devices()[:1]), (devices.AXIS,))
    assert four.size == 4
    rng = np.random.default_rng(0)
    maps = [
        {"gain": rng.integers(0, 256, (8, 32, 32), np.uint8), "buildings": rng.random((8, 32, 32)) < 0.3}
        for _ in range(3)
    ]
    found = {}

    def follow(name: str, task, mesh, batches, frozen, **options) -> dict:
        compiled = compile_task(task, 0, mesh, **options)
        state, frozen, found[name] = compiled.initialise(), devices.replicate(frozen, mesh), []
        for batch in batches:
            state, metrics = compiled.step(state, frozen, devices.put_batch(batch, mesh))
            found[name].append(float(metrics["loss"]))
        for leaf, shape in zip(jax.tree.leaves(state), jax.tree.leaves(compiled.shapes), strict=True):
            assert leaf.sharding.is_equivalent_to(shape.sharding, leaf.ndim)
        return state

    source = toy.make_batches()
    drawn, task, scale = [next(source) for _ in range(3)], toy.make_task(toy.make_config()), {"scale": 1.5}
    follow("toy, one device", task, one, drawn, scale)
    follow("toy, four devices", task, four, drawn, scale)
    devices.SMALLEST_SHARDED = 64
    settings = "objective.discriminator_start=1", "autoencoder.channel_multipliers=[1,2]"
    whole = follow("vae, one device", make_vae_update(micro("vae", *settings)), one, maps, {})
    parts = follow("vae, four devices, fsdp", make_vae_update(micro("vae", *settings)), four, maps, {}, fsdp=True)
    sizes = [sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree)) for tree in (whole, parts)]
    found["share of the state"] = [sizes[1] / sizes[0]]
    devices.SMALLEST_SHARDED = 8
    for run, fsdp in (("fsdp", True), ("whole", False)):
        summary = toy.run_toy(folder / run, toy.make_config(12, fsdp=fsdp))
        found[f"digest, {run}"] = [summary.digest]
    toy.run_toy(folder / "switched", toy.make_config(12, fsdp=True), options=SessionOptions(until=7))
    found["digest, switched"] = [toy.run_toy(folder / "switched", toy.make_config(12, fsdp=False)).digest]
    return found


def run_toy_in_part(run: Path, steps: int) -> None:
    """This process's part of a toy training of 12 updates; with fewer `steps` it is stopped there, as by a signal."""
    import grain
    import jax

    from radiodiff_jax.training.progress import Interrupts
    from tests.training import toy

    if steps < 12:
        plain = Interrupts.stop

        def stop(self, step: int, every: int) -> bool:
            self.event = "preempted" if step >= steps else self.event
            return plain(self, step, every)

        Interrupts.stop = stop
    index, count = jax.process_index(), jax.process_count()
    local = toy.BATCH // count
    batches = grain.MapDataset.source(toy.Maps()).seed(1).shuffle().repeat().batch(local)[index::count]

    def validation_batches() -> list:
        return [{name: x[index * local :][:local] for name, x in one.items()} for one in toy.validation_batches()]

    summary = toy.run_toy(
        run, toy.make_config(12), validation_batches=validation_batches,
        batches=iter(batches.to_iter_dataset(grain.ReadOptions(num_threads=1, prefetch_buffer_size=1))),
    )  # fmt: skip
    print(json.dumps({"step": summary.step, "digest": summary.digest}))


if __name__ == "__main__":
    four = sys.argv[1] == "four"
    count = 4 if four else sys.argv[4]
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
    if four:
        print(json.dumps(on_four_devices(Path(sys.argv[2]))))
    else:
        if sys.argv[5:]:
            from radiodiff_jax.training.devices import join_processes

            join_processes(sys.argv[5])
        run_toy_in_part(Path(sys.argv[2]), int(sys.argv[3]))
