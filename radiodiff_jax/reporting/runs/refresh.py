"""Which pages are out of date, and making them anew, in processes for many runs."""

import hashlib
import json
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain, count
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tqdm import tqdm

from radiodiff_jax.errors import UserError
from radiodiff_jax.files import UnwritableError, output_folder, write_text
from radiodiff_jax.reading import AnyObject, MissingFileError, read_json
from radiodiff_jax.reporting.markdown import as_text, slug
from radiodiff_jax.reporting.runs.analysis import SILENT_AFTER_S
from radiodiff_jax.reporting.runs.logs import read_tensorboard, read_text_log
from radiodiff_jax.reporting.runs.run import Run, input_files, is_run_folder, read_folder
from radiodiff_jax.reporting.runs.settings import code_digest

PART = "-part-"  # between the slug of a log's first page and the number of a further one
KEPT = ".digest"  # beside a run's page: {"digest": of what it was made from, "code", "source", "summary"}


@dataclass(frozen=True)
class Source:
    """Something that becomes one page, or several for a log that holds several trainings."""

    path: Path
    kind: str  # "folder", "text" or "tensorboard"
    slug: str  # of its first page


@dataclass(frozen=True)
class ReportSettings:
    """Where pages go and what they are compared with."""

    site: Path
    presets: Path | None = None

    @property
    def folder(self) -> Path:
        """Where all run pages are."""
        return self.site / "runs"


def make_sources(folders: list[Path], logs: list[Path] = (), pages: Path | None = None) -> list[Source]:
    """Run folders and logs, each with a slug of its own: the one its page in the folder `pages` has, else a free one."""
    kept = {name: one["source"] for name, one in read_summaries(pages).items()} if pages else {}
    taken = {name for name, source in kept.items() if Path(source).exists()}
    found = []
    for path, kind in [*((folder, "folder") for folder in folders), *((log, log_kind(log)) for log in logs)]:
        path = path.resolve()
        name = slug(source_name(path, kind), "run")
        mine = sorted(one for one, source in kept.items() if source == str(path) and PART not in one)
        numbered = (f"{name}-{number}" for number in count(2))
        chosen = mine[0] if mine else next(one for one in chain([name], numbered) if one not in taken)
        taken.add(chosen)
        found.append(Source(path, kind, chosen))
    return found


def source_name(path: Path, kind: str) -> str:
    """What a source is called: a folder's name, a log's without its ending.

    Every event file is called events.out.tfevents.NUMBERS, so that the name of its folder tells more.
    """
    path = path.resolve()
    if kind == "tensorboard" and path.is_file():
        return as_text(path.parent.name)
    return as_text(path.name if kind != "text" else path.stem)


def read_source(path: Path, kind: str) -> list[Run]:
    """The trainings of a run folder ("folder"), a text log ("text") or TensorBoard files ("tensorboard").

    Raises MissingFileError if there is nothing, UserError for a log that holds no training.
    """
    if kind == "folder":
        return [read_folder(path)]
    if kind == "text":
        return read_text_log(path, source_name(path, kind))
    return [read_tensorboard(path, source_name(path, kind))]


def log_kind(path: Path) -> str:
    """TensorBoard files are known by their name."""
    return "tensorboard" if "tfevents" in path.name or path.is_dir() else "text"


def find_runs(folder: Path) -> list[Path]:
    """The run folders in a folder, or the folder itself if it is one, by name.

    Raises UserError if there is no such folder or no run in it.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {folder}; name the folder that holds your runs as --runs")
    if is_run_folder(folder):
        return [folder]
    found = sorted(path for path in folder.iterdir() if is_run_folder(path))
    if not found:
        raise UserError(
            f"{folder} holds no run: no folder in it has a config.yaml or metrics.jsonl; name the folder that your runs "
            "are in as --runs"
        )
    return found


def source_digest(source: Source, presets: Path | None) -> str:
    """SHA-256 over names, sizes and times of everything that a page is made from, and over the code.

    Raises OSError if the source is gone.
    """
    source.path.stat()
    files = input_files(source.path) if source.kind == "folder" else log_files(source.path)
    files += sorted(presets.rglob("*.yaml")) if presets else []
    parts: list[Any] = [code_digest(), str(source.path), source.kind, source.slug]
    for path in files:
        try:
            status = path.stat()
        except FileNotFoundError:  # gone since it was listed
            continue
        parts.append((str(path), status.st_size, status.st_mtime_ns))
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def log_files(path: Path) -> list[Path]:
    """A log file, or the TensorBoard files of a folder."""
    return sorted(path.rglob("*tfevents*")) if path.is_dir() else [path]


def read_summaries(site_runs: Path) -> dict[str, dict[str, Any]]:
    """{slug: what is kept beside its page} of every reported run; a damaged one counts as none."""
    found = {path.parent.name: read_kept(path) for path in sorted(site_runs.glob(f"*/{KEPT}"))}
    return {name: kept for name, kept in found.items() if kept is not None}


def read_kept(path: Path) -> dict[str, Any] | None:
    """What is kept beside a page; None if there is nothing or it is damaged."""
    try:
        kept = read_json(path, AnyObject, "remove it")
        summary = kept["summary"] if "summary" in kept else kept["card"]  # as older versions call it
        return {name: kept[name] for name in ("digest", "code", "source")} | {"summary": dict(summary)}
    except (UserError, ValueError, LookupError, TypeError):
        return None


def is_stale(source: Source, digest: str, kept: dict[str, dict[str, Any]], folder: Path, now: float) -> bool:
    """Whether the pages of a source have to be made anew."""
    mine = [one for one in kept.values() if one["source"] == str(source.path)]
    own = kept.get(source.slug)
    if own is None or own["source"] != str(source.path) or any(one["digest"] != digest for one in mine):
        return True
    if not (folder / source.slug / "index.md").is_file():
        return True
    # What was running when the page was written, and has been silent since, is not running any more.
    return any(
        one["summary"].get("state") == "running" and now - one["summary"]["written"] > SILENT_AFTER_S for one in mine
    )


def write_pages(source: Source, settings: ReportSettings) -> list[dict[str, Any]]:
    """Read a source and write its pages; returns their summaries. Raises OSError and UserError."""
    # Imported here: a report that changes nothing need not wait for matplotlib.
    from radiodiff_jax.reporting.runs.outputs import write_evaluations
    from radiodiff_jax.reporting.runs.page import summarise, write_run_page

    digest = source_digest(source, settings.presets)
    summaries = []
    for number, run in enumerate(read_source(source.path, source.kind), start=1):
        name = source.slug if number == 1 else f"{source.slug}{PART}{number}"
        folder = settings.folder / name
        before = read_kept(folder / KEPT)
        evaluations = write_evaluations(
            run, folder, before["summary"] if before and before["code"] == code_digest() else {}
        )
        write_run_page(run, folder, evaluations, settings.presets)
        summaries.append(summarise(run, name, evaluations))
        kept = {"digest": digest, "code": code_digest(), "source": str(source.path), "summary": summaries[-1]}
        write_text(folder / KEPT, json.dumps(kept))
    drop_leftovers(source, {summary["slug"] for summary in summaries}, settings.folder)
    return summaries


def drop_leftovers(source: Source, made: set[str], folder: Path) -> None:
    """Delete pages of a source that are not made any more: a log that was begun anew holds fewer trainings."""
    for name, one in read_summaries(folder).items():
        if one["source"] == str(source.path) and name not in made:
            shutil.rmtree(folder / name, ignore_errors=True)


def refresh(sources: list[Source], settings: ReportSettings, workers: int, progress: bool) -> list[dict[str, Any]]:
    """Make the pages anew that are out of date, then the pages over all runs; returns their summaries.

    Raises UserError if the site cannot be written.
    """
    check_writable(settings.folder)
    kept, now = read_summaries(settings.folder), time.time()
    stale = []
    for source in sources:
        try:
            if is_stale(source, source_digest(source, settings.presets), kept, settings.folder, now):
                stale.append(source)
        except FileNotFoundError:
            continue
    made, sentences = [], []
    for summaries, sentence in tqdm(each(stale, settings, workers), total=len(stale), desc="run pages", unit="run",
                      disable=None if progress and len(stale) > 1 else True):  # fmt: skip
        made += summaries
        sentences += [sentence] if sentence else []
    write_overviews(settings)
    if sentences:
        raise UserError("; ".join(sentences))
    return made


def report(
    runs: list[Path], site: Path, workers: int = 1, progress: bool = False, *, logs: list[Path] = (),
    presets: Path | None = None,
) -> None:  # fmt: skip
    """Make the pages of run folders (and of logs) below site/runs, those that are out of date.

    `presets` is the folder of KIND/NAME.yaml that settings are compared with. Raises UserError for a site that cannot be
    written and for logs that hold no training.
    """
    settings = ReportSettings(site, presets)
    refresh(make_sources(runs, logs, settings.folder), settings, workers, progress)


def attempt(source: Source, settings: ReportSettings) -> tuple[list[dict[str, Any]], str]:
    """(summaries, a sentence if there was an error); a source that is gone, or vanishes meanwhile, is none."""
    try:
        return write_pages(source, settings), ""
    except MissingFileError:
        return [], ""
    except (UnwritableError, OSError) as error:
        return [], f"the page of {source.path} cannot be made: {error}" if source.path.exists() else ""
    except UserError as error:
        return [], str(error)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        return [], f"the page of {source.path} cannot be made: its files hold what no version of this program writes ({told})"


def each(sources: list[Source], settings: ReportSettings, workers: int) -> Iterator[tuple[list[dict[str, Any]], str]]:
    """What `attempt` makes of every source as it is done, in so many processes."""
    if min(workers, len(sources)) <= 1:
        yield from (attempt(source, settings) for source in sources)
        return
    # Ctrl-C is the business of this process; the others would only print tracebacks.
    ignore_interrupts = {"initializer": signal.signal, "initargs": (signal.SIGINT, signal.SIG_IGN)}
    with ProcessPoolExecutor(min(workers, len(sources)), mp_context=get_context("spawn"), **ignore_interrupts) as pool:
        waiting = [pool.submit(attempt, source, settings) for source in sources]
        try:
            for done in as_completed(waiting):
                yield done.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def write_overviews(settings: ReportSettings) -> None:
    """The table of all runs and their comparison, unless they were made from the same summaries."""
    kept = read_summaries(settings.folder).values()
    summaries = [one["summary"] | {"gone": not Path(one["source"]).exists()} for one in kept]
    digest = hashlib.sha256(json.dumps([code_digest(), summaries]).encode()).hexdigest()
    digest_file = settings.folder / KEPT
    if (settings.folder / "index.md").is_file() and digest_file.is_file() and digest_file.read_bytes() == digest.encode():
        return
    from radiodiff_jax.reporting.runs.comparison import write_comparison
    from radiodiff_jax.reporting.runs.overview import write_index

    write_index(summaries, settings.folder)
    write_comparison(summaries, settings.folder)
    write_text(digest_file, digest)


def check_writable(folder: Path) -> None:
    """Raise UserError unless files can be made in a folder."""
    try:
        output_folder(folder)
    except UserError as error:
        told = str(error).removeprefix(f"{folder} cannot be written: ").removesuffix("; name another folder")
        raise UserError(f"{folder} cannot be written ({told}); name another folder as --site") from error
