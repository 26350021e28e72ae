"""The devices of one or several processes as a one-dimensional mesh.

Batches are sharded along it, and large arrays of the state if so wished (FSDP).
"""

import ctypes
import math
import os
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from radiodiff_jax.errors import UserError
from radiodiff_jax.training.task import Batch, Tree

AXIS = "data"
SMALLEST_SHARDED = 2**14  # values; smaller arrays are replicated, as sending them costs more than keeping them


def device_mesh() -> Mesh:
    """A mesh over all devices of all processes."""
    return jax.make_mesh((jax.device_count(),), (AXIS,), axis_types=(AxisType.Auto,))


def compiler_options() -> dict[str, str] | None:
    """What `jax.jit` is given: on CPUs LLVM's first level, which takes 40 % off the compilation.

    A step is no slower for it: its time goes into convolutions and matrix products, which are library calls.
    """
    return {"xla_backend_optimization_level": "1"} if jax.default_backend() == "cpu" else None


def release_freed_memory() -> None:
    """Hand back to the system what compilation has freed (GNU C library only; elsewhere nothing): some 500 MB."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim:
        trim(0)


def replicated(mesh: Mesh) -> NamedSharding:
    """The whole array on every device."""
    return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The first axis divided among the devices."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def fsdp_sharding(shape: tuple[int, ...], mesh: Mesh) -> NamedSharding:
    """Sharded along the longest axis that the devices can share evenly; replicated if small or if there is none."""
    axes = [axis for axis, length in enumerate(shape) if length % mesh.size == 0]
    if math.prod(shape) < SMALLEST_SHARDED or not axes:
        return replicated(mesh)
    longest = max(axes, key=lambda axis: shape[axis])
    return NamedSharding(mesh, PartitionSpec(*[None] * longest, AXIS))


def check_batch_size(batch_size: int, mesh: Mesh) -> None:
    """Raise UserError unless the devices can share a batch evenly."""
    if batch_size % mesh.size:
        raise UserError(
            f"training.batch_size is {batch_size}, which {mesh.size} devices cannot share evenly; "
            f"use a multiple of {mesh.size}, such as training.batch_size={-(-batch_size // mesh.size) * mesh.size}"
        )


def put_batch(batch: Batch, mesh: Mesh) -> Batch:
    """This process's part of a batch (NumPy, first axis = example) -> the whole batch on the devices."""
    sharding = batch_sharding(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, part) for name, part in batch.items()}


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """A tree of arrays or numbers on every device."""
    return put(tree, jax.tree.map(lambda _: replicated(mesh), tree))


def put(tree: Tree, shardings: Tree) -> Tree:
    """A tree of arrays or numbers, the same in every process, laid on the devices as `shardings` says."""
    if jax.process_count() == 1:
        return jax.device_put(tree, shardings)

    def lay(leaf: ArrayLike, sharding: NamedSharding) -> jax.Array:
        values = np.asarray(jnp.asarray(leaf))
        return jax.make_array_from_callback(values.shape, sharding, values.__getitem__)

    # jax.device_put would first send every array around to see that all processes have the same.
    return jax.tree.map(lay, tree, shardings)


def to_host(array: jax.Array) -> np.ndarray:
    """This process's part of an array sharded by `batch_sharding`, as NumPy, in order."""
    if array.is_fully_replicated:
        return np.asarray(array)
    parts = sorted(array.addressable_shards, key=lambda part: part.index[0].start or 0)
    return np.concatenate([np.asarray(part.data) for part in parts])


def describe_devices() -> list[str]:
    """The devices for people, such as ["4 x NVIDIA H100"]."""
    return [f"{count} x {kind}" for kind, count in Counter(device.device_kind for device in jax.devices()).items()]


AUTOMATIC = "auto"


def join_processes(where: str) -> None:
    """Join the processes of one training; call it before anything asks JAX for its devices.

    "auto" lets JAX read the environment that Slurm, Open MPI or Kubernetes set; "HOST:PORT,COUNT,INDEX" names the
    address of process 0 (any free port of its machine), the number of processes and the number of this one, from 0.
    Raises UserError if `where` is something else, or if the processes do not find each other.
    """
    try:
        if where == AUTOMATIC:
            jax.distributed.initialize()
        else:
            address, count, index = parse_processes(where)
            jax.distributed.initialize(address, count, index, cluster_detection_method="deactivate")
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"--distributed {where}: the processes did not find each other ({' '.join(str(error).split())[:200]}); give "
            "--distributed HOST:PORT,COUNT,INDEX, the same address and count in each and another index, from 0"
        ) from error


def parse_processes(where: str) -> tuple[str, int, int]:
    """ "HOST:PORT,COUNT,INDEX" -> (address, count, index). Raises UserError if it is something else."""
    parts = where.split(",")
    host, _, port = parts[0].rpartition(":")
    if len(parts) != 3 or not (host and port.isdecimal() and parts[1].isdecimal() and parts[2].isdecimal()):
        raise UserError(
            f"--distributed {where}: give `auto` (Slurm, Open MPI, Kubernetes) or HOST:PORT,COUNT,INDEX, such as "
            "node1:1234,2,0 for the first of two processes"
        )
    count, index = int(parts[1]), int(parts[2])
    if index >= count:
        raise UserError(f"--distributed {where}: INDEX counts from 0, so it must be below COUNT")
    return parts[0], count, index


def is_main_process() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def any_process(flag: bool) -> bool:
    """Whether the flag is set in some process; all must ask at the same point. A wait for the slowest of them."""
    if jax.process_count() == 1:
        return flag
    return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def barrier(name: str) -> None:
    """Wait until all processes are here; `name` says where, the same in each."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)
