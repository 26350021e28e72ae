"""Results as tables, for the terminal and for the documentation."""

from collections.abc import Callable, Sequence
from typing import Any

from tabulate import tabulate

from radiodiff_jax.benchmark.measure import Row, roofline
from radiodiff_jax.reporting.markdown import table

Table = tuple[list[str], list[list[str]]]

TIMES = {
    "median (ms)": lambda row: number(row.get("median_s"), 1e3),
    "best (ms)": lambda row: number(row.get("best_s"), 1e3),
    "spread (ms)": lambda row: number(row.get("spread_s"), 1e3),
    "examples/s": lambda row: number(row.get("examples_per_s")),
    "compile (s)": lambda row: number(row.get("compile_s")),
    "peak (GB)": lambda row: number(row.get("peak_gb")),
}
FLOPS = {
    "GFLOP": lambda row: number(row.get("flops"), 1e-9),
    "GFLOP/s": lambda row: number(row.get("teraflops_per_s"), 1e3),
    "of peak": lambda row: percent(row.get("peak_share")),
    "GB moved": lambda row: number(row.get("bytes"), 1e-9),
    "FLOP/byte": lambda row: number(row.get("intensity")),
    "bound by": lambda row: row.get("bound", "-"),
    "of that": lambda row: percent(row.get("roofline_share")),
}
LOOP = {
    "update alone (ms)": lambda row: number(row.get("bare_s"), 1e3),
    "in the loop (ms)": lambda row: number(row.get("looped_s"), 1e3),
    "loop adds": lambda row: percent(row.get("overhead_share")),
    "a checkpoint adds (ms)": lambda row: number(row.get("stall_s"), 1e3),
    "at most (ms)": lambda row: number(row.get("longest_stall_s"), 1e3),
}
RESUME = {"process start to first update (s)": lambda row: number(row.get("resume_s"))}
SECTIONS: dict[str, tuple[str, dict[str, Callable[[Row], str]]]] = {
    "time": ("median_s", TIMES),
    "FLOPs": ("flops", FLOPS),
    "training loop": ("looped_s", LOOP),
    "going on with a run": ("resume_s", RESUME),
}
"""Title -> (what a row must have to be in the table, head of a column -> its cell)."""


LARGEST = 10  # modules


def number(value: float | None, factor: float = 1.0) -> str:
    """Three digits that count, or '-'."""
    if value is None:
        return "-"
    value *= factor
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def percent(value: float | None) -> str:
    """A share of one in percent, or '-'."""
    return "-" if value is None else f"{100 * value:.1f} %"


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """Title -> (head, rows) of what was measured with one preset; tables without rows are left out."""
    limits = results["machine"].get("limits", {})
    rows = {what: row | roofline(row, limits) for what, row in results["rows"].items()}
    found = {}
    for title, (needed, columns) in SECTIONS.items():
        chosen = {what: row for what, row in rows.items() if row.get(needed)}
        lines = [
            [what, str(row.get("batch", "-")), *(cell(row) for cell in columns.values())] for what, row in chosen.items()
        ]
        if lines:
            found[title] = ([results["config"], "batch", *columns], lines)
    return found


def graph_tables(config: str, found: dict[str, dict[str, Any]]) -> dict[str, Table]:
    """Title -> (head, rows) of `graph.graph`'s counts: figures by update, then the modules that keep most."""
    rows = {
        "maps an update": lambda one: str(one["batch"]),
        "StableHLO operations": lambda one: f"{one['operations']:,}",
        "different matrix products": lambda one: f"{one['matrix_products']:,}",
        "different convolutions": lambda one: f"{one['convolutions']:,}",
        "parameters": lambda one: f"{one['parameters']:,}",
        "named arrays of them": lambda one: f"{one['leaves']:,}",
        "kept for the backward pass (MB a map)": lambda one: number(one["backward_bytes_per_map"], 1e-6),
        "kernels": lambda one: f"{one['kernels']:,}" if "kernels" in one else None,
        "compile time (s)": lambda one: number(one["compile_seconds"]) if "kernels" in one else None,
        "planned memory (GiB)": lambda one: number(one["planned_bytes"], 2**-30) if "kernels" in one else None,
    }
    lines = [[title, *cells] for title, cell in rows.items() if None not in (cells := [cell(one) for one in found.values()])]
    tables = {"graph of an update": ([config, *found], lines)}
    for name, one in found.items():
        largest = list(one["backward_modules"].items())[:LARGEST]
        head = ["module", "MB a map"]
        tables[f"{name}: what keeps most for the backward pass"] = (head, [[path, number(size, 1e-6)] for path, size in largest])
    return tables


def faults(results: dict[str, Any]) -> list[str]:
    """A line for each stage without a result."""
    return [f"{stage}: {status}" for stage, status in results["stages"].items() if status != "done"]


def described(results: dict[str, Any]) -> str:
    """What the figures were measured on, in two lines."""
    machine = results["machine"]
    limits = machine.get("limits", {})
    versions = machine["versions"]
    device = ", ".join(machine["devices"]) if machine["backend"] != "cpu" else f"{machine['cores']} cores"
    words = f"{device}, {machine['processor']}; {machine['compute']}; jax {versions['jax']}; {machine['date'][:10]}"
    if not limits:
        return words
    peak, bandwidth = limits["teraflops"], limits["gigabytes_per_s"]
    return f"{words}\nlimits ({limits['source']}): {number(peak, 1e3)} GFLOP/s, {number(bandwidth)} GB/s"


def text(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table for the terminal: the first column to the left, numbers to the right."""
    sides = ["left", *["right"] * (len(head) - 1)]
    # The head as a line of its own, since tabulate widens every column that has a head by two.
    return tabulate([head, *lines], tablefmt="plain", colalign=sides, disable_numparse=True)


def markdown(results: dict[str, Any]) -> str:
    """All tables as Markdown."""
    parts = [" ".join(described(results).splitlines())]
    parts += [table(head, lines).rstrip() for head, lines in tables(results).values()]
    parts += [f"- {fault}" for fault in faults(results)]
    return "\n\n".join(parts) + "\n"
