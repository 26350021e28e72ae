"""Run folders as the training writes them, made up: for tests and for timing the report.

python -m tests.reporting.run_folders FOLDER --runs 20 --rows 10000
"""

import argparse
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image

from experiments.training import CONFIGS
from radiodiff_jax.config_files import load_config, write_config

LOG_EVERY, VALIDATIONS = 10, 40
START = datetime(2026, 3, 1, 8, 0, tzinfo=UTC)


def write_run(
    folder: Path, kind: str = "vae", rows: int = 60, seed: int = 0, ending: str = "finished", resumes: int = 2,
    skipped: int = 3, samples: int = 3, overrides: tuple[str, ...] = (), arrays: bool = False,
) -> Path:  # fmt: skip
    """A run of `rows` logged steps of the command `kind`; `ending` is the last event, or "" for a run still going."""
    random = np.random.default_rng(seed)
    steps = rows * LOG_EVERY
    words = [f"training.steps={steps}", f"training.log_every={LOG_EVERY}", *overrides]
    if kind == "vae":
        words.append(f"objective.discriminator_start={steps // 2}")
    folder.mkdir(parents=True, exist_ok=True)
    config = load_config("vae" if kind == "vae" else "generator", "tiny", words, CONFIGS)
    write_config(folder / "config.yaml", config)
    facts = {
        "kind": config.kind, "command": f"python -m experiments.{kind} --config tiny --run {folder.name}",
        "started": START.isoformat(), "git_commit": "0123456789abcdef", "versions": {"radiodiff_jax": "0.1.0"},
        "devices": ["1 x cpu"], "processes": 1, "parameters": {"total": 30, "first": 10, "second": 20},
        "data_fingerprint": "f" * 64,
    }  # fmt: skip
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "metrics.jsonl").write_text(metric_lines(kind, rows, random))
    (folder / "events.jsonl").write_text(event_lines(kind, steps, ending, resumes, skipped, random))
    (folder / "samples").mkdir(exist_ok=True)
    for number in range(samples):
        write_sample(
            folder / "samples" / f"{(number + 1) * steps // samples}.png", random, arrays, 1 - number / samples
        )
    return folder


def metric_lines(kind: str, rows: int, random: np.random.Generator) -> str:
    """metrics.jsonl: noisy falling losses with a few spikes."""
    done = np.arange(1, rows + 1) / rows
    noise = np.exp(0.1 * random.standard_normal((8, rows)))
    noise[0, :: max(rows // 7, 1)] *= 8
    falling = 1000 * np.exp(-4 * done) * noise[0] + 20
    lines = []
    for number in range(rows):
        step, time_s = (number + 1) * LOG_EVERY, round((number + 1) * 2.5, 3)
        late = kind == "vae" and number >= rows // 2
        row = {
            "step": step, "phase": ("vae_gan" if late else "vae") if kind == "vae" else "decoupled", "time_s": time_s,
            "examples_per_s": round(40 * noise[1, number], 3), "grad_norm": 5 * noise[2, number],
            "learning_rate": 1e-3 * (1 - 0.9 * done[number]), "loss": falling[number],
        }  # fmt: skip
        if kind == "vae":
            row |= {"nll_loss": 0.98 * falling[number], "rec_loss": falling[number] / 4096,
                    "kl_loss": 60 * noise[3, number] * (1 + done[number])}  # fmt: skip
            game = {"d_weight": 200 * noise[4, number], "disc_loss": 0.8 * noise[5, number],
                    "g_loss": -0.1 + 0.2 * (noise[6, number] - 1), "logits_real": 0.2 * noise[7, number],
                    "logits_fake": -0.2 * noise[6, number]}  # fmt: skip
            row |= game if late else dict.fromkeys(game, 0.0)
        else:
            row |= {"loss_c": 0.8 * falling[number], "loss_noise": 0.2 * falling[number]}
        lines.append(json.dumps(row))
        if (number + 1) % max(rows // VALIDATIONS, 1) == 0:
            rmse = float(0.02 + 0.2 * np.exp(-3 * done[number]) * noise[3, number])
            figures = {"validation/rmse": rmse, "validation/nmse": rmse**2 / 0.07, "validation/ssim": 1 - 2 * rmse}
            lines.append(json.dumps({"step": step, "phase": row["phase"], "time_s": time_s, **figures}))
    return "".join(f"{line}\n" for line in lines)


def event_lines(kind: str, steps: int, ending: str, resumes: int, skipped: int, random: np.random.Generator) -> str:
    """events.jsonl: start, phases, resumes after interrupts, skipped steps, the end."""
    facts = {"steps": steps, "devices": ["1 x cpu"], "processes": 1}
    found = [(0, {"event": "started", **facts}), (0, {"event": "phase", "phase": "vae" if kind == "vae" else "decoupled"})]
    if kind == "vae":
        found.append((steps // 2, {"event": "phase", "phase": "vae_gan", "previous": "vae"}))
    for number in range(resumes):
        at = (number + 1) * steps // (resumes + 1) // LOG_EVERY * LOG_EVERY
        found += [
            (at, {"event": "saved"}),
            (at, {"event": "preempted", "seconds": 1.0}),
            (at, {"event": "resumed", **facts}),
        ]
    found += [(int(step), {"event": "skipped_nonfinite"}) for step in random.integers(1, steps, skipped)]
    found.sort(key=lambda pair: pair[0])
    if ending:
        reason = {"failed": {"reason": f"loss of update {steps} is not finite", "checkpoint": None},
                  "finished": {"seconds": 1.0, "digest": "d" * 64}}.get(ending, {"seconds": 1.0})  # fmt: skip
        found.append((steps, {"event": ending, **reason}))
    return "".join(
        json.dumps({"step": step, "time": (START + timedelta(seconds=step / 4)).isoformat(), **fields}) + "\n"
        for step, fields in found
    )


def write_sample(path: Path, random: np.random.Generator, arrays: bool, error: float) -> None:
    """A picture and, if wanted, arrays of two maps."""
    shade = np.linspace(0, 255, 900, dtype=np.uint8)[None].repeat(400, 0)
    Image.fromarray(shade).save(path)
    if arrays:
        row, column = np.mgrid[:64, :64]
        truth = np.stack([np.exp(-np.hypot(row - at, column - at) / 40) for at in (20, 44)]).astype(np.float32)
        buildings = np.broadcast_to((row // 12 % 2 == 1) & (column // 12 % 2 == 1), truth.shape)
        output = truth + 0.1 * error * random.standard_normal(truth.shape).astype(np.float32)
        np.savez_compressed(path.with_suffix(".npz"), truth=truth, output=output, buildings=buildings)


def main() -> None:
    """Write folders for timing the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rows", type=int, default=10_000)
    arguments = parser.parse_args()
    for number in range(arguments.runs):
        kind, ending = ("vae", "ldm")[number % 2], ("finished", "preempted", "failed", "")[number % 4]
        rate = f"optimizer.learning_rate={0.001 * (number + 1):.4g}"
        write_run(arguments.folder / f"{kind}-{number:02d}", kind, arguments.rows, number, ending, overrides=(rate,))


if __name__ == "__main__":
    main()
