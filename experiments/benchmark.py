"""Time and memory of a prediction's parts, of the simulator and of reading, each in a process of its own."""

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

from experiments.command import command_help, run_command, text_table, whole_number
from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config
from radiodiff_jax.errors import UserError

STAGES = ("unet", "decoder", "prediction", "simulator", "simulator_on_device", "reading")


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    if arguments.stage is not None:
        print(json.dumps(run_stage(arguments.config, arguments.stage, arguments.repeats)))
        return 0
    results = {stage: start_stage(arguments.config, stage, arguments.repeats) for stage in arguments.only}
    rows = [
        [stage, *(cell(one.get(key)) for key in ("median_s", "best_s", "first_s", "examples_per_s", "peak_gb"))]
        for stage, one in results.items()
    ]
    head = [f"{arguments.config}, batch 1", "median (s)", "best (s)", "first call (s)", "examples/s", "peak memory (GB)"]
    print(text_table(head, rows))
    device = next(iter(results.values()))["device"]
    print(f"{device}; {platform.processor() or platform.machine()}; medians of {arguments.repeats}, after compilation")
    if arguments.json is not None:
        from radiodiff_jax.files import write_json

        write_json(arguments.json, {"config": arguments.config, "results": results})
        print(f"written to {arguments.json}")
    return 0


def cell(value: float | None) -> str:
    """A number for the table."""
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.3f}"


def start_stage(config: str, stage: str, repeats: int) -> dict:
    """Run one stage in a fresh process, so that its peak memory is its own."""
    command = [sys.executable, "-m", "experiments.benchmark", "--config", config, "--stage", stage, "--repeats", str(repeats)]
    print(f"measuring {stage} ...", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise UserError(f"the stage '{stage}' of the benchmark failed with exit code {done.returncode}; its output is above")
    return json.loads(done.stdout.splitlines()[-1])


def run_stage(config: str, stage: str, repeats: int) -> dict:
    """Measure one stage here."""
    import jax

    from radiodiff_jax.inference import speed

    settings = (load_config("ldm", config, [], CONFIGS), load_config("vae", config, [], CONFIGS))
    result = speed.STAGES[stage](*settings, repeats)
    device = f"{jax.device_count()} x {jax.devices()[0].device_kind}, {settings[0].precision.compute}"
    return {**result, "peak_gb": speed.peak_memory_gb(), "device": device}


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.benchmark --config paper --json benchmark.json"
    parser = argparse.ArgumentParser(prog="python -m experiments.benchmark", **command_help(__doc__, example))
    parser.add_argument("--config", default="paper", metavar="NAME", help="preset of both stages")
    parser.add_argument("--repeats", type=whole_number(1), default=3, metavar="N", help="timed calls of each part")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=STAGES, help="parts to measure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON too")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
