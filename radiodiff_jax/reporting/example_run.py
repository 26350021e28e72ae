"""The pages of the run that comes with the site's sources, so that the site of a clone shows one before anything is trained.

It is a run folder as any other, site_src/example_runs/NAME, without checkpoints. When another run has been reported, the
example is taken off the site.
"""

import shutil
from pathlib import Path

from radiodiff_jax.reporting.architecture import PRESETS
from radiodiff_jax.reporting.runs.refresh import ReportSettings, find_runs, read_summaries, report, write_overviews

FOLDER = "example_runs"


def write_example_pages(site: Path) -> None:
    """Report the runs in SITE/example_runs, or take their pages off where there are others."""
    settings = ReportSettings(site, PRESETS)
    kept = read_summaries(settings.folder)
    examples = {name for name, one in kept.items() if Path(one["source"]).parent.name == FOLDER}
    if kept.keys() == examples:
        report(find_runs(site / FOLDER), site, presets=PRESETS)
    elif examples:
        for name in examples:
            shutil.rmtree(settings.folder / name)
        write_overviews(settings)
