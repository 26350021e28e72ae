"""Run folders and old logs as pages of the site: runs/index.md, runs/compare.md and runs/SLUG/index.md."""

from pathlib import Path

from radiodiff_jax.reporting.runs.refreshing import Settings, make_sources, refresh


def report(
    runs: list[Path], site: Path, workers: int = 1, progress: bool = False, *, logs: list[Path] = (),
    presets: Path | None = None,
) -> None:  # fmt: skip
    """Make the pages of run folders (and of logs) below site/runs, those that are out of date.

    `presets` is the folder of vae/*.yaml and ldm/*.yaml that settings are compared with. Raises UserError for a site that
    cannot be written and for logs that hold no training.
    """
    settings = Settings(site, presets)
    refresh(make_sources(runs, logs, settings.folder), settings, workers, progress)
