"""Kinds of trials about places: scenes that maps are computed of, footprints, sites, plans of coverage."""

import json
import os
from pathlib import Path

from hypothesis import strategies as st

from experiments import coverage, dataset
from tests.fuzz import values
from tests.fuzz.ground import Ground, copy
from tests.fuzz.registry import DRAWING, Draw, kind, written
from tests.fuzz.trial import Command


@kind()
def scenes_to_compute(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Pictures of scenes that maps are computed of, damaged or with something in their place."""
    root = copy(ground.maps, folder)
    gain = root / "gain" / "dominant_path" / "0_0.png"
    gain.parent.mkdir()
    path = draw(st.sampled_from([gain, *sorted((root / "png").rglob("*.png"))]))
    place = draw(st.sampled_from(["folder", "pipe", "loop"] if path == gain else ["file", "folder", "pipe", "loop"]))
    if place == "file":
        path.write_bytes(draw(values.damaged_file(path.read_bytes())))
    else:
        path.unlink(missing_ok=True)
        {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path.name)}[place]()
    return Command(dataset.main, ["compute", "--root", root.name, "--maps", "dominant_path", "--workers", "1"], clean=False)


# ---- coverage: never of more than its files, since so many candidates are not there ----

SITE = {"name": "a", "row": 2, "column": 3, "power_dbm": 30, "gain_dbi": 2.5, "azimuth": 90, "pattern": "sector"}
OFFER = ["--exact", "--place", "9999", "--out", "plan"]


@kind()
def lists_of_sites(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Sites as CSV and as JSON."""
    table = b"name,row,column,power_dbm\na,2,3,30\nb,4,5,\n"
    rows = draw(st.lists(st.lists(values.scalars, min_size=3, max_size=4), max_size=3))
    lines = "\n".join(["name,row,column", *(",".join(map(str, row)) for row in rows)]).encode(errors="replace")
    content = draw(st.one_of(st.just(lines), values.damaged_file(table), values.damaged_json([SITE, SITE | {"name": "b"}])))
    mask = str(ground.maps / "png" / "buildings_complete" / "0.png")
    return Command(coverage.main, [*OFFER, "--buildings", mask, "--candidates", written(folder, "sites.csv", content)])


@kind()
def areas(draw: Draw, ground: Ground, folder: Path) -> Command:
    """Footprints of a place on earth, and words that say where it is."""
    content = draw(st.one_of(values.damaged_json(ground.town), values.damaged_file(ground.town_osm)))
    four = st.lists(values.numbers, min_size=4, max_size=4).map(lambda found: ",".join(map(str, found)))
    option = draw(st.sampled_from([[], ["--crs", values.words], ["--bounds", four], ["--origin", values.words]]))
    words = [f"{option[0]}={draw(option[1])}"] if option else []
    sites = written(folder, "s.csv", b"name,row,column\na,2,3\n")
    return Command(coverage.main, [*OFFER, "--buildings", written(folder, "t.osm", content), "--candidates", sites, *words])


@kind(slow=True)
def plans_of_sites(draw: Draw, ground: Ground, folder: Path) -> Command:
    """A whole plan of sites with odd names and numbers, by the simulator."""
    names = draw(st.lists(st.one_of(st.sampled_from(values.TEXTS), st.text(max_size=20)), min_size=1, max_size=3, unique=True))
    odd = st.tuples(st.sampled_from([*SITE]), values.scalars)
    rows = [SITE | {"name": name, "row": row} | dict([draw(odd)]) for row, name in enumerate(names)]
    mask = str(ground.maps / "png" / "buildings_complete" / "0.png")
    words = ["--exact", "--buildings", mask, "--sites", written(folder, "s.json", json.dumps(rows).encode()), "--out", "plan"]
    threshold = draw(st.one_of(st.just(-80), st.just(-80), values.numbers))
    return Command(coverage.main, [*words, f"--thresholds={threshold}"], seconds=DRAWING)
