"""Many transmitters of one place: best server, power, SINR and share covered, in formats that other tools open; and which
of many candidates to choose."""

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.command import (
    a_path,
    add_beam,
    add_model,
    check_beam,
    command_help,
    run_command,
    shard,
    text_table,
    whole_number,
)
from experiments.predict import DEFAULT_MODEL
from radiodiff_jax.errors import shown
from radiodiff_jax.limits import SITES, STEPS, THRESHOLDS
from radiodiff_jax.reading import finite_number

if TYPE_CHECKING:
    from radiodiff_jax.inference.coverage import Area, Coverage, Radio, Site
    from radiodiff_jax.inference.coverage.gains import GainSource
    from radiodiff_jax.inference.coverage.named_source import NamedSource

GRID = 100  # candidates of --candidates grid, about
TABLE_SITES = 50


def main(argv: list[str] | None = None) -> int:
    """Parse, call, print."""
    arguments = parse(argv)

    from radiodiff_jax.inference.coverage import Radio, cover, read_area
    from radiodiff_jax.inference.coverage.parts import with_parts
    from radiodiff_jax.inference.coverage.sites import locate, read_entries
    from radiodiff_jax.reporting.coverage.outputs import check_outputs, missing_formats, write_outputs

    started, worked = time.monotonic(), time.process_time()
    if arguments.shard is None:
        check_outputs(arguments.out, [arguments.buildings])
    radio = Radio(arguments.frequency, 1e6 * arguments.bandwidth, arguments.noise_figure)
    entries = read_entries(arguments.sites) if arguments.sites else []
    offered = read_entries(arguments.candidates) if isinstance(arguments.candidates, Path) else []
    near = [entry.place for entry in (*entries, *offered) if entry.place]
    area = read_area(arguments.buildings, near, arguments.bounds, arguments.origin, arguments.crs)
    sites = locate(entries, area, arguments.power_dbm)
    candidates = locate(offered, area, arguments.power_dbm)
    for sentence in missing_formats():
        print(f"note: {sentence}")
    named = named_source(arguments)
    source = named.open()
    system = area.system or "local metres, no place on earth"
    print(f"area                {area.size[0]} x {area.size[1]} m of {area.source}, {system}")
    if arguments.shard is not None:
        return one_part(arguments, area, sites, source)
    if arguments.place:
        sites = place(arguments, area, sites, candidates, source, radio)
    if arguments.beam:
        store_by_beam(arguments, area, sites, source, named)
    source = with_parts(source, area, [(site.row, site.column) for site in sites], arguments.out)
    coverage = cover(area, sites, source, radio, arguments.thresholds, progress_bar(len(sites), "maps"))
    written = write_outputs(coverage, arguments.out, arguments.each)
    print_result(coverage)
    print(f"files in {arguments.out}: {', '.join(path.name for path in written)}")
    print(f"{time.monotonic() - started:.1f} s, {time.process_time() - worked:.1f} s of processors")
    return 0


def named_source(arguments: argparse.Namespace) -> "NamedSource":
    """The model, or the simulator."""
    from radiodiff_jax.inference.coverage.named_source import NamedSource

    if arguments.exact:
        return NamedSource()
    return NamedSource(arguments.run or arguments.model, arguments.checkpoint, arguments.windows, arguments.steps)


def one_part(arguments: argparse.Namespace, area: "Area", sites: list["Site"], source: "GainSource") -> int:
    """Store the maps of a part of the sites, for the command without --shard."""
    from radiodiff_jax.inference.coverage.parts import PARTS, store_part

    places, (number, count) = [(site.row, site.column) for site in sites], arguments.shard
    mine = store_part(source, area, places, arguments.out, arguments.shard, progress_bar(None, "maps"))
    print(f"part {number} of {count}: maps of {mine} of the {len(sites)} sites are in {arguments.out / PARTS}")
    print("next: when all parts are there, the same command without --shard")
    return 0


def store_by_beam(
    arguments: argparse.Namespace, area: "Area", sites: list["Site"], source: "GainSource", named: "NamedSource"
) -> None:
    """Store the maps of the sites, each group of them an element of a Beam pipeline."""
    from tqdm import tqdm

    from radiodiff_jax.beam_pipeline import beam_jobs
    from radiodiff_jax.inference.coverage.parts import store_parts

    run_jobs, out = beam_jobs(arguments.beam_option), arguments.out.absolute()
    places = [(site.row, site.column) for site in sites]
    with tqdm(total=len(sites), desc="maps", unit=" site") as bar:
        store_parts(source, named.for_others(source), area, places, out, run_jobs, bar)


def place(
    arguments: argparse.Namespace, area: "Area", fixed: list["Site"], candidates: list["Site"], source: "GainSource", radio: "Radio"
) -> list["Site"]:  # fmt: skip
    """Choose among the candidates next to the sites that are there, write how, and return all sites of the plan."""
    from radiodiff_jax.inference.coverage import choose_sites
    from radiodiff_jax.inference.coverage.candidates import check_candidates, grid_candidates, sampled_powers
    from radiodiff_jax.inference.coverage.placement import UNHEARD_DB
    from radiodiff_jax.reporting.coverage.choice import write_choice

    candidates = candidates or grid_candidates(area, GRID, arguments.power_dbm)
    check_candidates(candidates, fixed, arguments.place, arguments.candidates)
    bar = progress_bar(len(fixed) + len(candidates), "candidates")
    powers = sampled_powers(area, [*fixed, *candidates], source, radio, bar)
    there, offered = (powers[: len(fixed)] if fixed else None), powers[len(fixed) :]
    choice = choose_sites(offered, arguments.place, arguments.goal, arguments.threshold, radio.noise_dbm, there)
    chosen = [candidates[index] for index in choice.chosen]
    path = write_choice(arguments.out, area, candidates, choice, arguments.goal, arguments.threshold, radio)
    rows = [[step["step"], "exchanged" if "swapped" in step else "chosen",
             candidates[step["swapped"][1] if "swapped" in step else step["chosen"]].name,
             step["value"] if step["value"] > UNHEARD_DB + 1 else None] for step in choice.steps]  # fmt: skip
    print(text_table(["step", "what", "candidate", "share covered" if arguments.goal == "share" else "10 % SINR (dB)"], rows))
    if choice.bound is not None:
        bound = f"{100 * choice.bound:.2f} % (submodular bound)"
        print(f"no choice of {arguments.place} of these {len(candidates)} covers more than {bound}")
    print(f"choice              {path}")
    return [*fixed, *chosen]


def progress_bar(total: int | None, what: str):
    """A bar with rate and time left around an iterator."""
    from tqdm import tqdm

    return lambda found: tqdm(found, total=total, desc=what, unit=" site")


def print_result(coverage: "Coverage") -> None:
    """The table by site and the shares."""
    record = coverage.to_json()
    level = "-90" if "-90" in record["share_covered"] else next(iter(record["share_covered"]))
    rows = [[site["name"], site["row"], site["column"], f"{site['power_dbm']:g}", 100 * site["best_server_share"],
             100 * site["share_covered"][level]] for site in record["sites"][:TABLE_SITES]]  # fmt: skip
    print(text_table(["site", "row", "column", "dBm", "best server of (%)", f"at least {level} dBm (%)"], rows))
    if len(record["sites"]) > TABLE_SITES:
        print(f"... and {len(record['sites']) - TABLE_SITES} more, in coverage.json")
    shares = ", ".join(f"{100 * share:.1f} % at {name} dBm" for name, share in record["share_covered"].items())
    print(f"covered outdoors    {shares}")
    print(f"SINR                10 % of the area below {record['sinr_db']['10']} dB, half below {record['sinr_db']['50']} dB")
    print(f"from                {record['source']}; {record['frequency']['note']}")
    if record["share_beyond_windows"]:
        beyond = f"{100 * record['share_beyond_windows']:.1f} % of the area"
        print(f"beyond its windows  {beyond} is {record['beyond_windows']} (beyond.tif)")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Arguments of the command."""
    example = "python -m experiments.coverage --buildings city.png --sites sites.csv --out plan"
    parser = argparse.ArgumentParser(prog="python -m experiments.coverage", **command_help(__doc__, example))
    add_model(parser, DEFAULT_MODEL)
    parser.add_argument("--exact", action="store_true", help="by the simulator instead of a model")
    parser.add_argument("--buildings", "--osm", type=a_path, required=True, metavar="FILE",
                        help="mask (PNG, 255 = building, 1 pixel = 1 m), or footprints: GeoJSON or .osm (extra `geo`)")  # fmt: skip
    parser.add_argument("--sites", type=a_path, metavar="SITES.csv",
                        help="columns name,row,column or name,longitude,latitude, then optional power_dbm,gain_dbi,azimuth,"
                        "pattern (omni, sector); or JSON")  # fmt: skip
    parser.add_argument("--out", type=a_path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--bounds", type=numbers(4), metavar="WEST,SOUTH,EAST,NORTH",
                        help="cut this out of the footprints, in degrees (or metres, if the file is in metres)")  # fmt: skip
    parser.add_argument("--origin", type=numbers(2), metavar="LONGITUDE,LATITUDE",
                        help="place on earth of a mask's upper left corner")  # fmt: skip
    parser.add_argument("--crs", metavar="NAME", help="coordinate system of footprints in metres, such as EPSG:32632")
    parser.add_argument("--power-dbm", type=number(0, 200), default=23.0, metavar="DBM", help="sent power of sites that name none")
    parser.add_argument("--frequency", type=number(0.1, 1000), default=5.9, metavar="GHZ",
                        help="carrier; maps are of 5.9 GHz, another is a shift for free space and nothing more")  # fmt: skip
    parser.add_argument("--bandwidth", type=number(1e-6, 1e6), default=10.0, metavar="MHZ",
                        help="of the receiver, for thermal noise")  # fmt: skip
    parser.add_argument("--noise-figure", type=number(0, 200), default=9.0, metavar="DB", help="of the receiver")
    parser.add_argument("--thresholds", type=number(-1000, 1000), nargs="+", default=[-70.0, -80.0, -90.0, -100.0, -110.0],
                        metavar="DBM", help="powers whose share of the area is told")  # fmt: skip
    parser.add_argument("--windows", type=whole_number(1, 2), default=2, metavar="1|2",
                        help="how large the window of the model around each site is, in sides of its training; 1 reaches half as "
                        "far in a quarter of the time")  # fmt: skip
    parser.add_argument("--steps", type=whole_number(1, STEPS), metavar="N", help="sampling steps (default: as in the settings)")
    parser.add_argument("--shard", type=shard, metavar="K/N",
                        help="make only the maps of the K-th of N parts of the sites, as the tasks of a Slurm array do; the same "
                        "command without it then puts all together")  # fmt: skip
    add_beam(parser, "make the maps of the sites")
    parser.add_argument("--each", action="store_true", help="also the power of every site: received.tif and in coverage.nc")
    parser.add_argument("--place", type=whole_number(1, SITES), metavar="N",
                        help="choose N of the candidates, next to --sites if given")  # fmt: skip
    parser.add_argument("--candidates", type=file_or_grid, default="grid", metavar="FILE|grid",
                        help=f"as SITES.csv, or about {GRID} places outdoors on a grid")  # fmt: skip
    parser.add_argument("--goal", choices=("share", "sinr"), default="share",
                        help="what --place seeks: the share of the area with --threshold, or the SINR that 90 %% of "
                        "it has")  # fmt: skip
    parser.add_argument("--threshold", type=number(-1000, 1000), default=-90.0, metavar="DBM",
                        help="power that counts as covered for --place")  # fmt: skip
    arguments = parser.parse_args(argv)
    if not arguments.sites and not arguments.place:
        parser.error("--sites SITES.csv is needed, or --place N to choose some")
    if arguments.exact and (arguments.run or arguments.steps):
        parser.error(f"{'--run' if arguments.run else '--steps'} has no meaning with --exact, the simulator; leave one out")
    if len(set(arguments.thresholds)) > THRESHOLDS:
        parser.error(f"--thresholds has {len(arguments.thresholds)} powers, but {THRESHOLDS} is the most")
    for name in ("shard", "beam"):
        if getattr(arguments, name) and arguments.place:
            parser.error(f"--{name} shares out the maps of --sites, and --place chooses sites; leave one of them out")
    if arguments.shard and arguments.beam:
        parser.error("--shard and --beam both share out the maps; leave one of them out")
    check_beam(arguments)
    if arguments.candidates != "grid" and not arguments.place:
        parser.error("--candidates belongs to --place N")
    return arguments


def file_or_grid(text: str) -> Path | str:
    """An argparse type: a path, or the word grid."""
    return text if text == "grid" else a_path(text)


def number(least: float | None = None, most: float | None = None):
    """An argparse type: a finite number, from `least` to `most`."""

    def parse_number(text: str) -> float:
        value = finite_number(text)
        if value is None or (least is not None and value < least):
            raise argparse.ArgumentTypeError(f"{shown(text)} is no number{'' if least is None else f' of at least {least:g}'}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"{shown(text)} is too large: the most is {most:g}")
        return value

    return parse_number


def numbers(count: int):
    """An argparse type: so many numbers with commas between."""

    def parse_numbers(text: str) -> tuple[float, ...]:
        values = tuple(map(number(), text.split(",")))
        if len(values) != count:
            raise argparse.ArgumentTypeError(f"{shown(text)} must be {count} numbers with commas between")
        return values

    return parse_numbers


if __name__ == "__main__":
    run_command(main)
