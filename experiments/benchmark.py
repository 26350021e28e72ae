"""Time, memory and FLOPs of networks, updates, predictions, simulator and loop, each in a process of its own.

With --graph nothing is run: operations, parameters and what is kept for the backward pass are counted.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
from typing_extensions import TypedDict

from experiments.command import a_path, command_help, run_command, whole_number
from experiments.training import CONFIGS
from radiodiff_jax.benchmark.cards import CARDS
from radiodiff_jax.benchmark.graph import graph
from radiodiff_jax.benchmark.job import Job
from radiodiff_jax.benchmark.measure import machine
from radiodiff_jax.benchmark.stages import FIXED_BATCH, STAGES, run_stage, why_left_out
from radiodiff_jax.benchmark.tables import described, faults, graph_tables, markdown, tables, text
from radiodiff_jax.config_files import load_config, shipped_names
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import output_path, write_json
from radiodiff_jax.limits import BATCH, STEPS
from radiodiff_jax.reading import OPEN, AnyObject, Count, DamagedFileError, read_json

DEFAULT_VAE = "tiny"
MACHINE = "machine"
MEMORY, KILLED = "out of memory", "killed, as the system does when memory runs out"


class BenchmarkRecord(TypedDict):
    """The schema of a file of results."""

    __pydantic_config__ = OPEN
    config: str
    repeats: Count
    machine: AnyObject
    stages: dict[str, str]
    rows: dict[str, AnyObject]


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    if arguments.stage is not None:
        print(json.dumps(here(arguments)))
        return 0
    if arguments.markdown:
        print("\n".join(markdown_of(path) for path in arguments.markdown), end="")
        return 0
    if arguments.json is not None:
        output_path(arguments.json)
    if arguments.graph:
        return count(arguments)
    before = signal.signal(signal.SIGTERM, leave)
    try:
        results = measure_all(arguments)
    finally:
        signal.signal(signal.SIGTERM, before)
    for title, (head, lines) in tables(results).items():
        print(f"\n{title}\n{text(head, lines)}")
    print(f"\n{described(results)}")
    for fault in faults(results):
        print(fault)
    if arguments.json is not None:
        print(f"written to {arguments.json}")
    return 1 if any(status.startswith("failed") for status in results["stages"].values()) else 0


def count(arguments: argparse.Namespace) -> int:
    """Print what the updates are made of, and write it."""
    found = graph(read_job(arguments), arguments.compile_for)
    for title, (head, lines) in graph_tables(arguments.config, found).items():
        print(f"\n{title}\n{text(head, lines)}")
    if arguments.json is not None:
        write_json(arguments.json, found)
        print(f"\nwritten to {arguments.json}")
    return 0


def leave(number: int, _) -> None:
    """End the stage under way, and this process as shells expect of one that a signal has ended."""
    # `subprocess.run` does so at an exception, but not if it comes while the stage's process is being started.
    for stage in psutil.Process().children():
        stage.kill()
        stage.wait()
    sys.exit(128 + number)


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """All results; the JSON file is written anew after every stage, so that what is measured is not lost."""
    start, asked = time.monotonic(), [arguments.batch] if arguments.batch is None else arguments.batch
    job = read_job(arguments)
    answer = start_stage(arguments, MACHINE, None)
    if "rows" not in answer:
        raise UserError(f"the device cannot be asked: {answer['status']}")
    results: dict[str, Any] = {
        "config": arguments.config, "repeats": arguments.repeats, "machine": answer["rows"], "stages": {}, "rows": {}
    }  # fmt: skip
    for stage in arguments.only or STAGES:
        reason = why_left_out(stage, job)
        if reason is not None:
            results["stages"][stage] = reason
            continue
        for batch in [None] if stage in FIXED_BATCH else asked:
            name = stage if batch is None else f"{stage}, batch {batch}"
            if arguments.minutes and time.monotonic() - start > 60 * arguments.minutes:
                results["stages"][name] = f"left out, as {arguments.minutes} minutes were over"
                continue
            answer = until_it_fits(arguments, stage, batch)
            results["stages"][name] = answer["status"]
            several = batch is not None and len(asked) > 1
            results["rows"] |= {
                f"{what}, batch {batch}" if several else what: row for what, row in answer.get("rows", {}).items()
            }
            if arguments.json is not None:
                write_json(arguments.json, results)
    return results


def until_it_fits(arguments: argparse.Namespace, stage: str, batch: int | None) -> dict[str, Any]:
    """The answer of a stage; where the preset's own batch does not fit in memory, of half of it, and so on."""
    answer = start_stage(arguments, stage, batch)
    while batch is None and answer["status"] == MEMORY and answer.get("batch", 1) > 1:
        half = answer["batch"] // 2
        print(f"  a batch of {answer['batch']} does not fit in memory; trying {half}", file=sys.stderr)
        answer = start_stage(arguments, stage, half) | {"batch": half}
    return answer


def start_stage(arguments: argparse.Namespace, stage: str, batch: int | None) -> dict[str, Any]:
    """{"status": "done", "rows"}, or what went wrong as {"status"}, of a stage in a fresh process."""
    words = ["--config", arguments.config, "--stage", stage, "--repeats", str(arguments.repeats)]
    words += ["--vae-config", arguments.vae_config] if arguments.vae_config else []
    words += ["--precision", arguments.precision] if arguments.precision else []
    words += ["--calibrate"] if arguments.calibrate else []
    words += ["--batch", str(batch)] if batch else []
    print(f"{stage} ...", file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "experiments.benchmark", *words]
    # Compilation is measured too; only a run that is gone on with may find its update compiled, as it is for users.
    environment = os.environ if stage == "resume" else os.environ | {"JAX_ENABLE_COMPILATION_CACHE": "0"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env=environment)
    if done.returncode == -9:
        return {"status": KILLED}
    if done.returncode:
        return {"status": f"failed with exit code {done.returncode}; its output is above"}
    return json.loads(done.stdout.splitlines()[-1])


def here(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure one stage in this process."""
    job = read_job(arguments)
    if arguments.stage == MACHINE:
        return {"status": "done", "rows": machine(job.config.precision.compute, arguments.calibrate)}
    try:
        return {"status": "done", "rows": run_stage(arguments.stage, job)}
    except Exception as error:  # XLA's has no class of its own for this
        if "RESOURCE_EXHAUSTED" not in str(error) and not isinstance(error, MemoryError):
            raise
        config = job.autoencoder if arguments.stage == "vae_step" else job.config
        return {"status": MEMORY, "batch": job.update_batch(config) if "step" in arguments.stage else job.forward_batch()}


def read_job(arguments: argparse.Namespace) -> Job:
    """The generator of the preset and, where its space is latent or one is named, the autoencoder, for maps of one size."""
    words = [f"precision.compute={arguments.precision}"] if arguments.precision else []
    config, name = load_config("generator", arguments.config, words, CONFIGS), arguments.vae_config
    if name is None and config.space.needs_autoencoder:
        name = arguments.config if arguments.config in shipped_names("vae", CONFIGS) else DEFAULT_VAE
    vae = None if name is None else replace(load_config("vae", name, words, CONFIGS), image_size=config.image_size)
    return Job(config, vae, arguments.batch[0] if arguments.batch else None, arguments.repeats)


def markdown_of(path: Path) -> str:
    """The tables of a file of results. Raises UserError where it is none."""
    results = read_results(path)
    try:
        return markdown(results)
    except (LookupError, TypeError, ValueError, AttributeError):  # a figure that is none, deep inside
        raise UserError(f"{path} is no file of results; make it with --json") from None


def read_results(path: Path) -> dict[str, Any]:
    """Results that an earlier call has written."""
    cure = "make it with --json"
    try:
        return read_json(path, BenchmarkRecord, cure)
    except DamagedFileError:
        raise UserError(f"{path} is no file of results; {cure}") from None


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.benchmark --config base --precision bfloat16 --json base.json"
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark", **command_help(__doc__, example))
    parser.add_argument("--config", default="paper", metavar="NAME|FILE",
                        help=f"generator: {', '.join(shipped_names('generator', CONFIGS))}, or a YAML file")  # fmt: skip
    parser.add_argument("--vae-config", metavar="NAME|FILE",
                        help="autoencoder below a latent space (default: the preset of the same name, else "
                        f"{DEFAULT_VAE}); of {', '.join(shipped_names('vae', CONFIGS))}, or a YAML file")  # fmt: skip
    parser.add_argument("--only", nargs="+", choices=STAGES, metavar="STAGE",
                        help=f"what to measure: {', '.join(STAGES)} (default: all)")  # fmt: skip
    parser.add_argument("--batch", nargs="+", type=whole_number(1, BATCH), metavar="N",
                        help="maps at once (default: updates as the preset has it, but 1 on a CPU for maps of 256 x 256; "
                        "the rest 1; throughput the best)")  # fmt: skip
    parser.add_argument("--precision", choices=("float32", "bfloat16"), help="precision.compute in place of the preset's")
    parser.add_argument("--repeats", type=whole_number(1, STEPS), default=10, metavar="N",
                        help="timed calls; of slow ones as many as fit into 20 seconds, but 3")  # fmt: skip
    parser.add_argument("--calibrate", action="store_true", help="measure the limits of a device that is no CPU, too")
    parser.add_argument("--minutes", type=whole_number(1), metavar="N", help="begin no stage after so many minutes")
    parser.add_argument("--graph", action="store_true",
                        help="measure nothing: count operations, parameters, leaves and bytes kept for the backward pass of the "
                        "updates, lowered for NVIDIA cards, which needs none")  # fmt: skip
    parser.add_argument("--compile-for", choices=tuple(CARDS), metavar="CARD",
                        help=f"with --graph: compile for a card that is not here: {', '.join(CARDS)} (extra cuda13)")  # fmt: skip
    parser.add_argument("--json", type=a_path, metavar="FILE", help="write the results as JSON, after every stage")
    parser.add_argument("--markdown", nargs="+", type=a_path, metavar="FILE",
                        help="measure nothing: print results written before as Markdown tables")  # fmt: skip
    parser.add_argument("--stage", choices=(MACHINE, *STAGES), help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.compile_for and not arguments.graph:
        parser.error("--compile-for belongs to --graph; give both")
    return arguments


if __name__ == "__main__":
    run_command(main)
