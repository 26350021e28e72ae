"""Make, check, pack, compare and look at data sets of radio maps."""

import argparse
import os
import re
from pathlib import Path
from typing import Any

from experiments.command import (
    a_path,
    add_beam,
    check_beam,
    command_help,
    run_command,
    seed_number,
    shard,
    text_table,
    whole_number,
)
from radiodiff_jax.data.checks.inventory import Inventory, counted
from radiodiff_jax.data.splits import RULES
from radiodiff_jax.errors import UserError, shown
from radiodiff_jax.files import output_folder, output_path, write_json
from radiodiff_jax.limits import MAPS, SIDE, TRANSMITTERS, WORKERS
from radiodiff_jax.radiomapseer import COMPUTED, MISSING, SIMULATIONS, SIZE_MULTIPLE, RadioMapFolder, simulations_in
from radiodiff_jax.simulation.raytrace.library import CITIES
from radiodiff_jax.units import DB_PER_GAIN

SHOWN = 50  # lines of a long list that are printed; --json has them all


def main(words: list[str] | None = None) -> int:
    """Parse the command line and do what it says; returns the exit code."""
    arguments = make_parser().parse_args(words)
    return arguments.call(arguments) or 0


def make_parser() -> argparse.ArgumentParser:
    """The command line of all subcommands."""
    command = "python -m experiments.dataset"
    parser = argparse.ArgumentParser(
        prog=command, **command_help(__doc__, f"{command} simulate --out demo/maps --maps 40 --transmitters 8")
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, call, description: str, example: str) -> argparse.ArgumentParser:
        sentence = description[0].lower() + description[1:].rstrip(".")
        added = commands.add_parser(name, help=sentence, **command_help(description, f"{command} {name} {example}"))
        added.set_defaults(call=call)
        return added

    simulate = add("simulate", run_simulate, "Radio maps by the dominant path model, of made-up or given cities.",
                   "--out demo/maps --maps 40 --transmitters 8 --size 256 --seed 0")  # fmt: skip
    simulate.add_argument("--out", type=a_path, required=True, metavar="DIR", help="RadioMapSeer folder to write")
    given = simulate.add_mutually_exclusive_group()
    given.add_argument("--scenes", type=a_path, metavar="ROOT",
                       help="use the buildings and antennas of this folder; --maps to --seed have no part")  # fmt: skip
    given.add_argument("--footprints", type=a_path, metavar="FILE", help="cut the maps out of the buildings of a GeoJSON or "
                       "OpenStreetMap (.osm) file (extra `footprints`)")  # fmt: skip
    simulate.add_argument("--maps", type=whole_number(1, MAPS), default=40, help="number of cities")
    simulate.add_argument("--transmitters", type=whole_number(1, TRANSMITTERS), default=8, help="transmitters in each city")
    simulate.add_argument("--size", type=image_size, default="256", metavar="SIDE|HEIGHTxWIDTH",
                          help=f"pixels (= metres), multiples of {SIZE_MULTIPLE}")  # fmt: skip
    simulate.add_argument("--seed", type=seed_number, default=0, help="the same seed makes the same cities")
    simulate.add_argument("--cars", action="store_true",
                          help="also cars (with --scenes: its png/cars) and maps with them in the way (gain/carsDPM)")  # fmt: skip
    simulate.add_argument("--shard", type=shard, default="1/1", metavar="K/N",
                          help="make only the K-th of N parts of the maps, as the tasks of a Slurm array do")  # fmt: skip
    add_workers(simulate)
    add_beam(simulate, "make each map")

    raytrace = add("raytrace", run_raytrace, "Radio maps by ray tracing (extra `raytrace`), of real cities or given or made-up "
                   "layouts, in gain/RT.", "--out raytraced --city munich florence --maps 4 --transmitters 4")  # fmt: skip
    raytrace.add_argument("--out", type=a_path, required=True, metavar="DIR", help="RadioMapSeer folder to write")
    traced = raytrace.add_mutually_exclusive_group()
    traced.add_argument("--city", nargs="+", choices=CITIES, default=["munich"], metavar="CITY",
                        help=f"windows of which of {', '.join(CITIES)}")  # fmt: skip
    traced.add_argument("--scenes", type=a_path, metavar="ROOT", help="use the buildings and antennas of this folder, buildings "
                        "25 m high; --maps, --transmitters and --size have no part")  # fmt: skip
    traced.add_argument("--made-up", type=whole_number(1, MAPS), metavar="N",
                        help="so many made-up cities, those of `simulate` with the same --seed")  # fmt: skip
    raytrace.add_argument("--maps", type=whole_number(1, MAPS), default=4, help="windows of each city")
    raytrace.add_argument("--transmitters", type=whole_number(1, TRANSMITTERS), default=4, help="transmitters in each window")
    raytrace.add_argument("--size", type=image_size, default="256", metavar="SIDE|HEIGHTxWIDTH",
                          help=f"pixels (= metres), multiples of {SIZE_MULTIPLE}")  # fmt: skip
    raytrace.add_argument("--seed", type=seed_number, default=0, help="the same seed chooses the same windows, places and rays")
    raytrace.add_argument("--depth", type=whole_number(0, 100), default=8, help="reflections that a path may have")
    raytrace.add_argument("--rays", "--samples", type=whole_number(1, 10**9), default=2_000_000,
                          help="rays of a transmitter; more, less noise")  # fmt: skip
    raytrace.add_argument("--diffraction", action=argparse.BooleanOptionalAction, default=True,
                          help="also paths of one diffraction")  # fmt: skip
    raytrace.add_argument("--cars", action="store_true", help="with --scenes (its png/cars) or --made-up: also maps with cars in "
                          "the way (gain/carsRT)")  # fmt: skip
    raytrace.add_argument("--noise-maps", type=whole_number(0, MAPS), default=4, metavar="N",
                          help="how many maps are traced twice with other rays; simulation.json says how they differ")  # fmt: skip
    raytrace.add_argument("--workers", type=whole_number(1, WORKERS), default=1, metavar="N",
                          help="processes for --scenes and --made-up, which share the cores; one uses all of them")  # fmt: skip

    compute = add("compute", run_compute, "Maps of each scene that a model may be told of (data.computed), in gain/NAME.",
                  "--root raytraced --maps dominant_path reflections diffraction")  # fmt: skip
    add_root(compute)
    compute.add_argument("--maps", nargs="+", choices=COMPUTED, default=list(COMPUTED), metavar="NAME",
                         help=f"which of {', '.join(COMPUTED)} (default: all)")  # fmt: skip
    add_workers(compute)

    compare = add("compare", run_compare, "Figures of merit of one folder's radio maps against another's.",
                  "--truth RadioMapSeer --other demo/maps --json compare.json")  # fmt: skip
    compare.add_argument("--truth", type=a_path, required=True, metavar="ROOT", help="folder that is taken as true")
    compare.add_argument("--other", type=a_path, required=True, metavar="DIR", help="folder that is judged")
    add_simulation(compare)
    compare.add_argument("--other-simulation", choices=SIMULATIONS + COMPUTED, metavar="NAME",
                         help="that of --other, if it is another")  # fmt: skip
    compare.add_argument("--figures", type=a_path, metavar="DIR",
                         help="draw the nearest, the median and the farthest map: true, judged, difference")  # fmt: skip
    add_json(compare)

    build = add("build", run_build, "Pack a folder of PNG files into TFDS (ArrayRecord) files for training.",
                "--root RadioMapSeer --out tfds --simulation DPM")  # fmt: skip
    add_root(build)
    build.add_argument("--out", type=a_path, required=True, metavar="TFDS_DIR", help="folder to write below")
    folders = SIMULATIONS + COMPUTED
    build.add_argument("--simulation", choices=folders, nargs="+", default=["DPM"], metavar="NAME",
                       help=f"which of the folders below gain/, each packed by itself: {', '.join(folders)}")  # fmt: skip
    build.add_argument("--cars", action="store_true", help="pack the car masks too")
    build.add_argument("--buildings", choices=MISSING, nargs="+", default=[], metavar="KIND",
                       help=f"also pack the masks with missing buildings: {', '.join(MISSING)}")  # fmt: skip
    build.add_argument("--split", choices=RULES, default="auto", help="how maps are shared out")
    build.add_argument("--shard-megabytes", type=whole_number(1), default=200, metavar="MB", help="usual size of a file")
    add_beam(build, "write the files")
    build.add_argument("--beam-store", metavar="URL", help="where Beam workers find a copy of --root and put files, if they "
                       "do not see --root and --out, such as gs://bucket/RadioMapSeer")  # fmt: skip

    check = add("check", run_check, "What is missing, damaged or odd in a folder; exit code 1 if there is any error.",
                "--root RadioMapSeer")  # fmt: skip
    add_root(check)
    check.add_argument("--quick", action="store_true", help="look at names only and open no image")
    check.add_argument("--complete", action="store_true", help="hold the folder against the whole of RadioMapSeer, as is done "
                       "by itself from 600 of its 701 maps on")  # fmt: skip
    add_workers(check)
    add_json(check)

    explore = add("explore", run_explore, "Numbers, figures and a page about a folder.",
                  "--root RadioMapSeer --out explore/RadioMapSeer --site site_src")  # fmt: skip
    add_root(explore)
    add_simulation(explore)
    explore.add_argument("--out", type=a_path, metavar="DIR", help="folder for numbers.json and the figures; its name is the "
                         "data set's (default: explore/ and the name of the root)")  # fmt: skip
    explore.add_argument("--simulated", type=a_path, metavar="SIM_ROOT", help="simulated maps to set beside those of --root")
    explore.add_argument("--count", type=whole_number(1), default=500, metavar="N",
                         help="how many radio maps to read, spread over the folder")  # fmt: skip
    explore.add_argument("--site", type=a_path, metavar="DIR", help="also write the page, below DIR/data (site_src)")
    return parser


def add_root(parser: argparse.ArgumentParser) -> None:
    """--root"""
    parser.add_argument("--root", type=a_path, required=True, metavar="DIR", help="a RadioMapSeer folder (png/, gain/)")


def add_simulation(parser: argparse.ArgumentParser) -> None:
    """--simulation"""
    parser.add_argument("--simulation", choices=SIMULATIONS, default="DPM", help="which of the folders below gain/")


def add_workers(parser: argparse.ArgumentParser) -> None:
    """--workers"""
    parser.add_argument("--workers", type=whole_number(1, WORKERS), metavar="N", help="how many at once (default: one a core)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """--json"""
    parser.add_argument("--json", type=a_path, metavar="FILE", help="write everything as JSON too")


def image_size(text: str) -> tuple[int, int]:
    """An argparse type: `256` or `128x192` (height x width), multiples of 32."""
    sides = text.lower().split("x")
    fitting = [re.fullmatch(r"[0-9]{1,18}", side) and int(side) > 0 and int(side) % SIZE_MULTIPLE == 0 for side in sides]
    if len(sides) > 2 or not all(fitting):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is no size; give one side or HEIGHTxWIDTH in pixels, each a multiple of {SIZE_MULTIPLE}"
        )
    if max(map(int, sides)) > SIDE:
        raise argparse.ArgumentTypeError(f"{shown(text)} is too large: the most is {SIDE} pixels along a side")
    return int(sides[0]), int(sides[-1])


def run_simulate(arguments: argparse.Namespace) -> None:
    """Write simulated radio maps."""
    from radiodiff_jax import simulation  # compiles with numba: other subcommands need not wait for it
    from radiodiff_jax.beam_pipeline import beam_jobs

    check_beam(arguments)
    part = {} if arguments.shard == (1, 1) else {"shard": arguments.shard}
    how = {"workers": arguments.workers or os.cpu_count(), "cars": arguments.cars} | part
    if arguments.beam:
        how |= {"run_jobs": beam_jobs(arguments.beam_option)}
        arguments.out = arguments.out.absolute()  # workers may have another working directory
    if arguments.scenes:
        simulation.write_gains_for_scenes(arguments.scenes, arguments.out, **how)
    elif arguments.footprints:
        from radiodiff_jax.simulation.cities.footprint_windows import footprint_masks

        given = footprint_masks(arguments.footprints, arguments.maps, arguments.size, arguments.seed)
        if len(given.masks) < arguments.maps:
            print(f"{arguments.footprints}: {counted(given.windows_there, 'window')} side by side, {len(given.masks)} of them with "
                  f"a usual share of buildings: as many maps, not {arguments.maps}")  # fmt: skip
        simulation.write_masks_folder(
            arguments.out, given.masks, given.source, transmitters=arguments.transmitters, seed=arguments.seed, **how,
        )  # fmt: skip
    else:
        simulation.write_simulated_folder(
            arguments.out, maps=arguments.maps, transmitters=arguments.transmitters, size=arguments.size, seed=arguments.seed,
            **how,
        )  # fmt: skip
    if part and not (arguments.out / "gain" / "DPM").is_dir():
        print(f"{arguments.out}: no map belongs to part {'{}/{}'.format(*arguments.shard)}, and no other part has begun")
        return
    written = RadioMapFolder(arguments.out)
    print(f"{arguments.out}: {len(written.pairs)} radio maps of {len(written.maps)} maps")


def run_raytrace(arguments: argparse.Namespace) -> None:
    """Write ray-traced radio maps."""
    if arguments.scenes or arguments.made_up:
        from radiodiff_jax.simulation.raytrace.layouts import Rays, write_ray_traced_layouts, write_ray_traced_scenes

        rays = Rays(arguments.rays, arguments.depth, arguments.diffraction, arguments.seed)
        how = {"workers": arguments.workers, "noise_maps": arguments.noise_maps, "cars": arguments.cars}
        if arguments.scenes:
            write_ray_traced_scenes(arguments.scenes, arguments.out, rays, **how)
        else:
            write_ray_traced_layouts(arguments.out, arguments.made_up, arguments.transmitters, arguments.size, rays, **how)
    else:
        from radiodiff_jax.simulation.raytrace.folder import write_ray_traced_folder

        if arguments.cars or arguments.workers > 1:
            word = "--cars" if arguments.cars else "--workers"
            raise UserError(f"{word} has no meaning with --city; use it with --scenes or --made-up", 2)
        write_ray_traced_folder(
            arguments.out, arguments.city, arguments.maps, arguments.transmitters, arguments.size, arguments.seed,
            arguments.depth, arguments.rays, arguments.diffraction, noise_maps=arguments.noise_maps,
        )  # fmt: skip
    written = RadioMapFolder(arguments.out, "RT")
    print(f"{arguments.out}: {len(written.pairs)} radio maps of {len(written.maps)} maps")


def run_compute(arguments: argparse.Namespace) -> None:
    """Write maps of each scene beside those of the folder."""
    from radiodiff_jax.simulation.scene_maps import write_scene_maps  # compiles with numba

    names = list(dict.fromkeys(arguments.maps))
    number = write_scene_maps(arguments.root, names, arguments.workers or os.cpu_count())
    print(f"{arguments.root}: gain/{', gain/'.join(names)} of {counted(number, 'scene')}")
    print(f"train with data.computed=[{','.join(names)}]")


def run_compare(arguments: argparse.Namespace) -> None:
    """Print one row a radio map, then mean and median."""
    from radiodiff_jax.data.checks.compare import FIGURES, compare_folders, difference_counts

    check_outputs(arguments)
    result = compare_folders(arguments.truth, arguments.other, arguments.simulation, arguments.other_simulation)
    rows = [[f"{row['map']}_{row['transmitter']}", in_decibels(row), *(row[name] for name in FIGURES)] for row in result["maps"]]
    summary = [[name, in_decibels(result[name]), *(result[name][figure] for figure in FIGURES)] for name in ("mean", "median")]
    head = ["map", "RMSE (dB)", "RMSE", "NMSE", "SSIM", "PSNR (dB)", "within 1", "within 2", "within 5 grey levels"]
    print(text_table(head, rows[:SHOWN] + summary))
    print(f"{len(rows)} radio maps, raw protocol, all pixels{_more(rows, '; the mean and the median are of all')}")
    for side in ("truth", "other"):
        if result[f"only_in_{side}"]:
            print(f"left out: {result[f'only_in_{side}']} radio maps that only {getattr(arguments, side)} has")
    if arguments.json:
        write_json(arguments.json, result)
    if arguments.figures:
        from radiodiff_jax.reporting.data_exploration import pick_examples
        from radiodiff_jax.reporting.map_figures import save_difference_curves, save_differences

        truth = RadioMapFolder(arguments.truth, arguments.simulation)
        other = RadioMapFolder(arguments.other, arguments.other_simulation or arguments.simulation)
        chosen = pick_examples(sorted(result["maps"], key=lambda row: row["rmse"]))
        counts = difference_counts(truth, other, [(row["map"], row["transmitter"]) for row in result["maps"]])
        written = save_differences(truth, other, chosen, arguments.figures / "differences", ("truth", "other"))
        for path in written + save_difference_curves(counts, arguments.figures / "errors"):
            print(f"figure: {path}")


def in_decibels(row: dict[str, Any]) -> str:
    """The raw RMSE of a row in dB."""
    return f"{DB_PER_GAIN * row['rmse']:.2f}"


def run_build(arguments: argparse.Namespace) -> None:
    """Pack a folder and print what is in each split."""
    from radiodiff_jax.data.packed.beam import beam_writer
    from radiodiff_jax.data.packed.builder import build, build_masks, write_in_turn
    from radiodiff_jax.data.packed.contents import read_facts

    check_beam(arguments)
    root, out = arguments.root, arguments.out
    output_folder(out)
    write = beam_writer(arguments.beam_option, arguments.beam_store) if arguments.beam else write_in_turn
    settings = {"rule": arguments.split, "shard_megabytes": arguments.shard_megabytes, "write": write}
    first = arguments.simulation[0]
    folders = [build(root, out, simulation, arguments.cars, **settings) for simulation in arguments.simulation]
    folders += [build_masks(root, out, kind, first, **settings) for kind in arguments.buildings]
    for folder in folders:
        facts = read_facts(folder)
        rows = [[split, len(maps), facts["records"][split]] for split, maps in facts["maps"].items()]
        print(text_table(["split", "maps", "masks" if "buildings" in facts else "radio maps"], rows))
        print(f"{folder}: {counted(len(list(folder.glob('*.array_record-*'))), 'file')}, split rule {facts['rule']}")
    print(f"train with --data {out}")


def run_check(arguments: argparse.Namespace) -> int:
    """Print findings, and what a RadioMapSeer folder has of the whole; 1 if any finding is an error."""
    from radiodiff_jax.data.checks.check import check_folder
    from radiodiff_jax.data.checks.inventory import real_pairs, take_inventory

    root = arguments.root
    check_outputs(arguments)
    findings = check_folder(root, arguments.workers, 0 if arguments.quick else None, arguments.complete)
    for finding in findings[:SHOWN]:
        print(f"{finding.severity}: {finding.file} {finding.sentence}")
    if len(findings) > SHOWN:
        print(f"... and {len(findings) - SHOWN} more (all of them with --json FILE)")
    inventory = take_inventory(root)
    if arguments.complete or inventory.is_real:
        rows = [[f"gain/{name}", len(pairs), len(real_pairs(name)), len(real_pairs(name) - pairs)]
                for name, pairs in inventory.gains.items()]  # fmt: skip
        print(text_table(["RadioMapSeer", "here", "in the whole set", "lacking"], rows))
    errors = sum(finding.severity == "error" for finding in findings)
    print(f"{root} ({', '.join(simulations_in(root)) or 'no simulations'}): "
          f"{counted(errors, 'error')}, {counted(len(findings) - errors, 'warning')}; "
          f"{what_was_read(root, inventory, arguments.quick, arguments.complete)}")  # fmt: skip
    if arguments.json:
        write_json(arguments.json, [finding.to_json() for finding in findings])
    return 1 if errors else 0


def what_was_read(root: Path, inventory: Inventory, quick: bool, complete: bool) -> str:
    """How much was looked at, and how a part of RadioMapSeer is held against the whole set."""
    gains = sum(map(len, inventory.gains.values()))
    said = "looked at the names of" if quick else "read"
    text = f"{said} {counted(gains, 'radio map')} of {counted(len(inventory.maps), 'layout')}"
    if complete or (root / "simulation.json").is_file() or inventory.is_real:
        return text
    return f"{text}; --complete tells what it lacks of the whole RadioMapSeer"


def run_explore(arguments: argparse.Namespace) -> None:
    """Print numbers, write figures and, if a site is named, the page."""
    from radiodiff_jax.reporting.data_exploration import explore
    from radiodiff_jax.reporting.data_pages import write_data_index, write_data_page

    out = arguments.out or Path("explore") / arguments.root.resolve().name
    output_path(output_folder(out) / "numbers.json")
    check_outputs(arguments)
    numbers = explore(arguments.root, arguments.simulation, out, arguments.simulated, arguments.count)
    names = numbers["sets"][0]["facts"]
    rows = [[name, *(one["facts"].get(name) for one in numbers["sets"])] for name in names]
    print(text_table(["", *(one["label"] for one in numbers["sets"])], rows))
    errors, warnings = (numbers["check"][kind] for kind in ("errors", "warnings"))
    print(f"check: {counted(errors, 'error')}, {counted(warnings, 'warning')}")
    print(f"numbers and figures: {out}")
    if arguments.site:
        print(f"page: {write_data_page(out, arguments.site)}")
        write_data_index(arguments.site)


def check_outputs(arguments: argparse.Namespace) -> None:
    """Raise UserError, before work begins, where --json, --figures or --site cannot be written."""
    for name, check in (("json", output_path), ("figures", output_folder), ("site", output_folder)):
        check(getattr(arguments, name)) if getattr(arguments, name, None) is not None else None


def _more(rows: list, clause: str) -> str:
    return f" ({len(rows) - SHOWN} not shown{clause})" if len(rows) > SHOWN else ""


if __name__ == "__main__":
    run_command(main)
