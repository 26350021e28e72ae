"""Run folders, old logs, data surveys and comparisons as pages of the site; only what has changed is made anew."""

import argparse
import os
import signal
import time
from pathlib import Path

from experiments.command import a_path, command_help, run_command, whole_number
from radiodiff_jax.errors import UserError
from radiodiff_jax.limits import WORKERS
from radiodiff_jax.reporting.markdown import counted

CONFIGS = Path(__file__).parent / "configs"  # not from experiments.training, which loads the whole data pipeline


def main(argv: list[str] | None = None) -> int:
    """Parse, make the pages, print."""
    arguments = parse(argv)
    from radiodiff_jax.reporting.runs.refresh import (
        ReportSettings,
        check_writable,
        find_runs,
        make_sources,
        refresh,
    )
    from radiodiff_jax.reporting.runs.watching import watch

    settings = ReportSettings(arguments.site, CONFIGS)
    logs = arguments.log or []
    for path in logs:
        if not path.exists():
            raise UserError(f"there is no file {path}; name a text log or a TensorBoard file as --log")

    def sources() -> list:
        # Logs, data or comparisons alone are enough; without them, and where --runs is named, there must be runs.
        alone = logs or arguments.data or arguments.ablation
        folders = find_runs(arguments.runs or Path("runs")) if arguments.runs or not alone else []
        return make_sources(folders, logs, settings.folder)

    check_writable(arguments.site)
    begin = time.monotonic()
    found = sources()
    made = refresh(found, settings, arguments.workers or os.cpu_count() or 1, progress=True)
    write_data_pages(arguments.data or [], arguments.site)
    write_comparisons(arguments.ablation or [], arguments.site)
    if found:
        unchanged = len(found) - len({summary["path"] for summary in made})
        print(f"{settings.folder}: {counted(len(made), 'page')} made, {unchanged} of {len(found)} sources unchanged, "
              f"in {time.monotonic() - begin:.1f} s")  # fmt: skip
    if arguments.watch:
        for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background job would ignore the first
            signal.signal(number, signal.default_int_handler)
        print("watching for changes; Ctrl-C ends it", flush=True)
        try:
            watch(lambda: sources_or(sources, found), settings)
        except KeyboardInterrupt:
            print("\nended")
    else:
        print("look at the site with `mkdocs serve`")
    return 0


def sources_or(sources, before: list) -> list:
    """The sources there are now; those known before while the folder itself is gone."""
    try:
        return sources()
    except UserError:
        return before


def write_data_pages(folders: list[Path], site: Path) -> None:
    """The page of every folder that `dataset explore` has written."""
    if not folders:
        return
    from radiodiff_jax.reporting.data_pages import write_data_index, write_data_page

    for folder in folders:
        print(write_data_page(folder, site))
    write_data_index(site)


def write_comparisons(results: list[Path], site: Path) -> None:
    """Take the results of `experiments.ablate` into the site, and make their pages."""
    for path in results:
        from radiodiff_jax.reporting.ablation_pages import add_ablation

        print(add_ablation(path, site))


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    command = "python -m experiments.report"
    parser = argparse.ArgumentParser(
        prog=command, **command_help(__doc__, f"{command} --runs demo/runs && mkdocs serve")
    )
    parser.add_argument("--runs", type=a_path, metavar="DIR", help="folder of run folders, or one run (default: runs)")
    parser.add_argument(
        "--site", type=a_path, default=Path("site_src"), metavar="DIR", help="where MkDocs reads pages from"
    )
    parser.add_argument(
        "--watch", action="store_true", help="go on, and make pages anew whenever a run writes something"
    )
    parser.add_argument("--workers", type=whole_number(1, WORKERS), metavar="N", help="how many at once (default: one a core)")
    parser.add_argument("--log", type=a_path, nargs="+", metavar="FILE",
                        help="logs of the PyTorch original: text, or TensorBoard event files")  # fmt: skip
    parser.add_argument(
        "--data", type=a_path, nargs="+", metavar="DIR", help="folders that `dataset explore` has written"
    )
    parser.add_argument("--ablation", type=a_path, nargs="+", metavar="DIR",
                        help="folders that `experiments.ablate` has written")  # fmt: skip
    return parser.parse_args(argv)


if __name__ == "__main__":
    run_command(main)
