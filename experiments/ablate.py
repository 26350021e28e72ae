"""Variants x seeds under one budget: every run trained and evaluated, one comparison.

OUT/runs holds ordinary run folders, OUT/logs what each process said, OUT/ablation.json the result. The same command goes
on where it was stopped: finished runs are left alone, interrupted ones end with the same bits.
"""

import argparse
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments.ablation.job import request
from experiments.ablation.plan import Budget, Job, Plan, run_words
from experiments.ablation.plan_file import BUDGETS, MOST_BUDGET, plan_names, read_plan
from experiments.ablation.recipes import check_recipes, derive
from experiments.ablation.results import (
    is_finished,
    last_words,
    progress_of,
    read_state,
    runs_of,
    write_results,
    write_state,
)
from experiments.ablation.schedule import FAILED, FINISHED, INTERRUPTED, Running, Stop, run_jobs
from experiments.command import a_path, command_help, run_command, seed_number, text_table, whole_number
from experiments.ending import INTERRUPTED as INTERRUPTED_CODE
from radiodiff_jax.errors import UserError
from radiodiff_jax.files import output_folder, output_path, telling_what_is_in_the_way
from radiodiff_jax.limits import BATCH, WORKERS
from radiodiff_jax.reporting.ablation_summary import FILE, rank_lines
from radiodiff_jax.reporting.markdown import duration
from radiodiff_jax.worker_processes import PACKAGE_ROOT


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)
    plan = read_plan(arguments.plan, arguments.profile, arguments.settings, arguments.seeds, arguments.budget)
    out, slots = output_folder(arguments.out), read_slots(arguments, plan)
    for name in (FILE, "state.json"):
        output_path(out / name)
    state, jobs = read_state(out), plan.jobs()
    chosen = plan.jobs(arguments.only)
    check_recipes(plan, out, arguments.data, state, jobs)
    names = list(dict.fromkeys(job.item.name for job in chosen))
    probe = not arguments.dry_run
    state["items"] = derive(plan, arguments.data, state, names, probe, lambda line: print(line, flush=True))
    if arguments.dry_run:
        print_plan(plan, out, state, chosen, len(slots))
        return 0

    from radiodiff_jax.training.run_lock import run_lock

    out.mkdir(parents=True, exist_ok=True)
    with run_lock(out):
        write_state(out, state)
        head = {
            "command": command_line(argv),
            "data": str(arguments.data),
            "hardware": hardware(plan, state, arguments),
        }
        print_plan(plan, out, state, chosen, len(slots))
        ablation = Ablation(arguments, plan, state, head, jobs)
        outcome, stopped = ablation.run(chosen, slots)
        result = write_results(out, plan, state, head, jobs)
    if FINISHED in outcome.values():
        print(f"\n{text_table(*rank_lines(result))}")
    return close(out, chosen, outcome, state, stopped)


def close(out: Path, chosen: list[Job], outcome: dict[str, str], state: dict[str, Any], stopped: bool) -> int:
    """Say how it ended; returns the exit code."""
    failed = [job.name for job in chosen if outcome.get(job.name) == FAILED]
    done = sum(outcome.get(job.name) == FINISHED for job in chosen)
    print(f"{done} of {len(chosen)} runs are finished; all figures: {out / FILE}")
    if failed:
        print(f"\n{text_table(['failed', 'why'], [[name, state['jobs'][name]['failed']] for name in failed])}")
        print(f"what they said is in {out / 'logs'}; give the same command to try them again")
    if stopped:
        print("stopped; give the same command to go on")
        return INTERRUPTED_CODE
    print(f"next: python -m experiments.report --ablation {out}")
    return 1 if failed else 0


class Ablation:
    """The runs of one call: how each is started, what its end means, what is shown meanwhile."""

    def __init__(
        self, arguments: argparse.Namespace, plan: Plan, state: dict[str, Any], head: dict[str, Any], jobs: list[Job]
    ):
        self.arguments, self.plan, self.state, self.head, self.jobs = arguments, plan, state, head, jobs
        self.out, self.runs = arguments.out, runs_of(arguments.out)
        self.ended_jobs, self.next_look = 0, 0.0
        self.alone = arguments.parallel <= len((arguments.devices or "").split(","))

    def run(self, chosen: list[Job], slots: list[str | None]) -> tuple[dict[str, str], bool]:
        """(name of a job -> how it ended, whether somebody asked to stop)."""
        before = {job.name: FINISHED for job in chosen if is_finished(self.runs / job.name, list(job.item.steps))}
        open_jobs = [job for job in chosen if job.name not in before]
        self.ended_jobs = len(before)
        pace = {} if sys.stderr.isatty() else {"mininterval": 30.0, "maxinterval": 60.0}
        form = "{l_bar}{bar}| {n:.1f}/{total} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
        bar = tqdm(total=len(chosen), initial=len(before), desc=self.plan.name, unit="run", bar_format=form, **pace)
        with bar, Stop() as stop:
            self.bar, self.stop = bar, stop
            for job in [job for job in open_jobs if "failed" in self.state["items"][job.item.name]]:
                open_jobs.remove(job)
                before[job.name] = self.ended(job, None, 0.0)
            outcome = run_jobs(open_jobs, slots, self.start, self.ended, self.watch, stop, before)
        return outcome, stop.count > 0

    def words(self, job: Job) -> list[str]:
        """The words of `experiments.train` or `experiments.vae` that make a run."""
        item, updates = job.item, self.state["items"][job.item.name]["updates"]
        words = ["--config", item.preset, "--data", str(self.arguments.data), "--run", str(self.runs / job.name)]
        for option, name in (("--vae", item.vae), ("--base", item.start)):
            if name is not None:
                words += [option, str(self.runs / self.plan.job(self.plan.items[name], self.seed_of(name, job)).name)]
        return [*words, *run_words(item, updates, job.seed)]

    def seed_of(self, name: str, job: Job) -> int:
        """The seed of the run that a job builds on."""
        return self.plan.seeds[0] if self.plan.items[name].kind == "vae" else job.seed

    def start(self, job: Job, slot: str | None) -> subprocess.Popen:
        """Begin or go on with a run in a process of its own, on the device that the slot names."""
        item, arguments = job.item, self.arguments
        told = request(
            "vae" if item.kind == "vae" else "train", self.words(job), self.runs / job.name, arguments.data,
            list(item.steps), arguments.batch_size, self.plan.evaluation_maps,
        )  # fmt: skip
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PACKAGE_ROOT), *filter(None, sys.path)])}
        if slot is not None:
            environment["CUDA_VISIBLE_DEVICES"] = slot
        if arguments.parallel > 1 and not self.alone:
            environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # several processes share a GPU's memory
        log = self.out / "logs" / f"{job.name}.log"
        with telling_what_is_in_the_way(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output_path(log).touch()
        with log.open("w", encoding="utf-8") as said:
            # In a session of its own, so that Ctrl-C reaches this process alone, which then asks the other to stop.
            return subprocess.Popen(
                [sys.executable, "-m", "experiments.ablation.job", told], stdin=subprocess.PIPE, stdout=said,
                stderr=subprocess.STDOUT, env=environment, start_new_session=True,
            )  # fmt: skip

    def ended(self, job: Job, code: int | None, seconds: float) -> str:
        """Record the end of a process, or of a job whose needs failed (None), and write all files."""
        fate = self.state["jobs"].setdefault(job.name, {"seconds": 0.0})
        fate["seconds"] = round(fate["seconds"] + seconds, 1)
        fate.pop("failed", None)
        if is_finished(self.runs / job.name, list(job.item.steps)):
            outcome = FINISHED
        elif code is not None and (self.stop.count or code in (INTERRUPTED_CODE, -signal.SIGTERM, -signal.SIGINT)):
            outcome = INTERRUPTED
        else:
            outcome, fate["failed"] = FAILED, self.reason(job, code)
            self.bar.write(f"{job.name} failed: {fate['failed']}", file=sys.stderr)
        self.ended_jobs += outcome != INTERRUPTED
        write_state(self.out, self.state)
        write_results(self.out, self.plan, self.state, self.head, self.jobs)
        return outcome

    def reason(self, job: Job, code: int | None) -> str:
        """Why a job failed."""
        if code is not None:
            return f"{last_words(self.out / 'logs' / f'{job.name}.log')} (exit code {code})"
        return self.state["items"][job.item.name].get("failed") or f"{' and '.join(job.needs)} failed"

    def watch(self, running: Sequence[Running]) -> None:
        """Show how far the runs at work are."""
        if time.monotonic() < self.next_look:
            return
        self.next_look = time.monotonic() + 2.0
        shares, texts = [], []
        for one in running:
            updates, done = self.state["items"][one.job.item.name]["updates"], progress_of(self.runs / one.job.name)
            shares.append(0.9 * min(1.0, done / updates))
            texts.append(f"{one.job.name} {done} of {updates} updates")
        self.bar.set_postfix_str("; ".join(texts), refresh=False)
        self.bar.update(max(0.0, self.ended_jobs + sum(shares) - self.bar.n))


def print_plan(plan: Plan, out: Path, state: dict[str, Any], jobs: list[Job], slots: int) -> None:
    """The runs as a table, and how long those that are left should take, where that is known."""
    rows, left, known = [], 0, []
    for job in jobs:
        item, found = job.item, state["items"][job.item.name]
        done = is_finished(runs_of(out) / job.name, list(item.steps))
        left += not done
        if done and job.name in state["jobs"]:
            known.append(state["jobs"][job.name]["seconds"])
        if "failed" in found:
            rows.append([job.name, None, None, None, "-", "-", f"cannot be trained: {found['failed']}"])
            continue
        measured = found["measured"]
        total = f"{found['updates'] * measured['update_flops'] / 1e12:.3g}" if found["updates"] else None
        rows.append([job.name, f"{measured['parameters'] / 1e6:.2f}", found["updates"] or "to be timed", total, found["how"],
                     ", ".join(job.needs) or "-", "finished" if done else "to do"])  # fmt: skip
    print(text_table(["run", "parameters (M)", "updates", "TFLOP", "updates found by", "builds on", "state"], rows))
    budget = f"{plan.budget.amount:,g} {'FLOPs' if plan.budget.kind == 'flops' else plan.budget.kind}"
    print(
        f"{plan.title}: {len(jobs)} runs, {left} to do, budget {budget} each, seeds {', '.join(map(str, plan.seeds))}"
    )
    if known and left:
        mean = sum(known) / len(known)
        print(f"about {duration(left * mean / slots)} left, at {duration(mean)} a run so far")
    elif left:
        print("how long a run takes is known once the first is done")


def hardware(plan: Plan, state: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """What the runs are made on."""
    known = [one["measured"] for name, one in state["items"].items() if name in plan.items and "measured" in one]
    if not known:
        raise UserError(f"no item of the plan can be trained on {arguments.data}; the sentences above say why")
    return known[-1]["machine"] | {"parallel": arguments.parallel or 1, "devices_used": arguments.devices}


def command_line(argv: list[str] | None) -> str:
    """The command as it was given."""
    return f"python -m experiments.ablate {shlex.join(sys.argv[1:] if argv is None else argv)}"


def read_slots(arguments: argparse.Namespace, plan: Plan) -> list[str | None]:
    """One entry a process at a time: the number of its device, or None. Raises UserError for seconds that would be shared."""
    devices = arguments.devices.split(",") if arguments.devices else []
    if devices:
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[0]  # where updates are measured: one device, as runs have
    arguments.parallel = arguments.parallel or len(devices) or 1
    if plan.budget.kind == "seconds" and arguments.parallel > max(len(devices), 1):
        raise UserError(
            f"--parallel {arguments.parallel} would share {'devices' if devices else 'one machine'} among runs, so that a budget "
            "in seconds means nothing; name as many --devices, or take a budget of updates or flops", 2
        )  # fmt: skip
    return [devices[number % len(devices)] if devices else None for number in range(arguments.parallel)]


def parse_budget(text: str) -> Budget:
    """`kind=number` for argparse."""
    kind, _, amount = text.partition("=")
    try:
        if kind not in BUDGETS or not 0 < float(amount) < MOST_BUDGET:
            raise ValueError
        return Budget(kind, float(amount))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is none of updates=N, seconds=S, flops=F") from None


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.ablate --plan objectives --data demo/data --out ablations/objectives"
    parser = argparse.ArgumentParser(prog="python -m experiments.ablate", **command_help(__doc__, example))
    parser.add_argument("--plan", required=True, metavar="NAME|FILE", help=f"{', '.join(plan_names())}, or a YAML file")
    parser.add_argument("--profile", metavar="NAME", help="of the plan's profiles, such as gpu")
    parser.add_argument(
        "--data", type=a_path, required=True, metavar="DIR", help="RadioMapSeer folder or built TFDS folder"
    )
    parser.add_argument("--out", type=a_path, required=True, metavar="DIR", help="folder for runs, logs and the result")
    parser.add_argument("--only", nargs="+", metavar="VARIANT", help="these variants, and what they build on")
    parser.add_argument("--seeds", type=seed_number, nargs="+", metavar="N", help="in the place of the plan's")
    parser.add_argument("--budget", type=parse_budget, metavar="KIND=NUMBER",
                        help="updates=N, seconds=S or flops=F in the place of the plan's")  # fmt: skip
    parser.add_argument("--devices", metavar="0,1,...", help="GPUs, one process each (CUDA_VISIBLE_DEVICES)")
    parser.add_argument("--parallel", type=whole_number(1, WORKERS), metavar="N",
                        help="processes at once (default: one a device, else one)")  # fmt: skip
    parser.add_argument(
        "--batch-size", type=whole_number(1, BATCH), default=8, metavar="N", help="maps at once in evaluations"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the table of runs, train nothing")
    parser.add_argument("settings", nargs="*", metavar="section.key=value", help="settings of every variant, such as "
                        "image_size=[128,128]")  # fmt: skip
    return parser.parse_intermixed_args(argv)


if __name__ == "__main__":
    run_command(main)
