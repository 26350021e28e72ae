"""Run folders and old logs as pages of the site: runs/index.md, runs/compare.md and runs/SLUG/index.md."""
