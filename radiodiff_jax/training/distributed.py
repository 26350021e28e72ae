"""Several processes that train together: joining them, and agreeing on what to do."""

import jax
import numpy as np
from jax.experimental import multihost_utils

from radiodiff_jax.errors import UserError

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
