"""Who sends: transmitters from a CSV or JSON file, checked against the area that they stand in.

CSV begins with the names of its columns, `name` and either `row,column` or `longitude,latitude`; JSON is a list of objects
with the same names, by itself or as the member "sites". Optional are power_dbm, gain_dbi, azimuth and pattern.
"""

import json
import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from radiodiff_jax.errors import UserError, nearest, shown
from radiodiff_jax.inference.coverage.antennas import PATTERNS
from radiodiff_jax.inference.coverage.area import Area, Degrees
from radiodiff_jax.limits import NAME_LETTERS, SITES, check_most
from radiodiff_jax.reading import finite_number, is_there, parse_table, read_text

POWER_DBM = 23.0
"""Sent power where a site names none."""
PIXEL, EARTH = ("row", "column"), ("longitude", "latitude")
RANGES = {"power_dbm": (0, 200, "dBm"), "gain_dbi": (-200, 200, "dBi"), "azimuth": (-360, 360, "degrees from north")}
COLUMNS = ("name", *PIXEL, *EARTH, *RANGES, "pattern")
RECORDED = ("best_server_share", "share_covered")
"""What coverage.json says of a site besides; it can be given as a list of sites."""
HEADERS = "name,row,column or name,longitude,latitude"


@dataclass(frozen=True)
class Site:
    """A transmitter on a map."""

    name: str
    row: int
    column: int
    power_dbm: float = POWER_DBM
    gain_dbi: float = 0.0
    """Of the antenna's main direction."""
    azimuth: float | None = None
    """Main direction in degrees clockwise from north; None for an antenna that has none."""
    pattern: str = "omni"

    def to_json(self) -> dict[str, Any]:
        """As `read_sites` takes it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Entry:
    """A transmitter of a file, not yet on a map."""

    where: str
    """Line and file, for messages."""
    values: dict[str, Any]

    @property
    def place(self) -> Degrees | None:
        """(longitude, latitude), unless it is given in pixels."""
        return None if "row" in self.values else (self.values["longitude"], self.values["latitude"])


def read_sites(path: Path, area: Area, default_power_dbm: float = POWER_DBM) -> list[Site]:
    """The sites of a CSV or JSON file on an area. Raises UserError, which names the line, as `read_entries` and `locate` do."""
    return locate(read_entries(path), area, default_power_dbm)


def read_entries(path: Path) -> list[Entry]:
    """What a file says of every transmitter. Raises UserError, which names the line, for a file that cannot be read, has
    no header, other columns or no transmitter, for values that are none, negative powers and names given twice."""
    path = Path(path)
    cure = f"give a CSV file that begins with {HEADERS}"
    if not is_there(path):
        raise UserError(f"{path} cannot be read (there is no such file); {cure}")
    text = read_text(path, cure)
    rows = _json_rows(text, path) if text.lstrip()[:1] in ("[", "{") else _csv_rows(text, path)
    entries, lines = [], {}
    for line, row in rows:
        entry = _entry(f"line {line} of {path}", row)
        name = entry.values["name"]
        if name in lines:
            raise UserError(f"{entry.where} names '{name}' a second time (first in line {lines[name]}); give each its own name")
        lines[name] = line
        entries.append(entry)
        check_most(f"the number of sites in {path}", len(entries), SITES)
    if not entries:
        raise UserError(f"{path} names no transmitter; add lines below the header, {HEADERS}")
    return entries


def locate(entries: Sequence[Entry], area: Area, default_power_dbm: float = POWER_DBM) -> list[Site]:
    """The transmitters as sites of an area. Raises UserError where one stands in a building or outside, and for degrees
    on an area that has no place on earth."""
    return [_locate(entry, area, default_power_dbm) for entry in entries]


def _locate(entry: Entry, area: Area, default_power_dbm: float) -> Site:
    values, (height, width) = dict(entry.values), area.size
    if entry.place is None:
        row, column = values["row"], values["column"]
        told = f"row {shown(row)}, column {shown(column)}"
    else:
        if area.system is None:
            raise UserError(
                f"{entry.where} gives longitude and latitude, but {area.source} has no place on earth; give row,column, or name "
                "its place by --origin (mask) or --crs (metres)"
            )
        row, column = area.pixel(*entry.place)
        told = f"longitude {entry.place[0]:g}, latitude {entry.place[1]:g}"
    if not (0 <= row < height and 0 <= column < width):
        raise UserError(
            f"{entry.where}: '{values['name']}' at {told} is outside the map of {height} x {width} m; rows run from 0 to "
            f"{height - 1} and columns from 0 to {width - 1}"
        )
    if area.buildings[row, column]:
        raise UserError(f"{entry.where}: '{values['name']}' at {told} is inside a building; antennas stand outdoors, so move it")
    kept = {name: value for name, value in values.items() if name not in (*PIXEL, *EARTH)}
    return Site(row=row, column=column, **({"power_dbm": default_power_dbm} | kept))


def _csv_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    header: list[str] = []
    for line, fields in parse_table(text, path, f"give a CSV file that begins with {HEADERS}"):
        where = f"line {line} of {path}"
        if not header:
            header = [field.lower() for field in fields]
            _check_header(where, header, fields)
        elif len(fields) != len(header):
            raise UserError(f"{where} has {len(fields)} values, but the header has {len(header)} names; give {','.join(header)}")
        else:
            yield line, {name: value for name, value in zip(header, fields, strict=True) if value}


def _check_header(where: str, header: list[str], fields: list[str]) -> None:
    if "name" not in header:
        raise UserError(f"{where} ({shown(','.join(fields))}) is no header; begin the file with {HEADERS}")
    for name in header:
        if name not in COLUMNS:
            raise UserError(f"{where} names a column {shown(name)}{nearest(name, COLUMNS)}; there are {', '.join(COLUMNS)}")
        if header.count(name) > 1:
            raise UserError(f"{where} names the column '{name}' twice; name it once")
    if not any(set(pair) <= set(header) for pair in (PIXEL, EARTH)):
        raise UserError(f"{where} ({shown(','.join(fields))}) says not where the sites are; begin the file with {HEADERS}")


def _json_rows(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line where it begins, object) of every object of the list."""
    places: dict[int, int] = {}
    try:
        whole = _with_places(text, places)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({str(error)[:100]}); mend it, or give a CSV file") from None
    sites = whole.get("sites") if isinstance(whole, dict) else whole
    if not isinstance(sites, list) or not all(isinstance(site, dict) for site in sites):
        example = '[{"name": "a", "row": 12, "column": 30}]'
        raise UserError(f'{path} is no list of sites; give {example}, or the same as the member "sites"')
    breaks = [found.start() for found in re.finditer("\n", text)]
    for site in sites:
        line = bisect(breaks, places[id(site)]) + 1
        for name in site:
            if name not in (*COLUMNS, *RECORDED):
                where = f"line {line} of {path}"
                raise UserError(f"{where} has a member {shown(name)}{nearest(name, COLUMNS)}; there are {', '.join(COLUMNS)}")
        yield line, {name: site[name] for name in site if site[name] is not None and name in COLUMNS}


def _with_places(text: str, places: dict[int, int]) -> Any:
    """The value of a JSON text; `places` gets where in it each object begins, by the object's identity."""
    decoder, inner = json.JSONDecoder(), json.decoder.JSONObject

    def parse_object(place: tuple[str, int], *more: Any) -> tuple[Any, int]:
        found, end = inner(place, *more)
        places[id(found)] = place[1]
        return found, end

    decoder.parse_object = parse_object
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # the one in C does not call it
    return decoder.decode(text)


def _entry(where: str, row: dict[str, Any]) -> Entry:
    name = _text(where, "name", row.get("name", ""))
    if not name:
        raise UserError(f"{where} has no name; name every site")
    values: dict[str, Any] = {"name": name}
    for kind, pair in (("pixel", PIXEL), ("earth", EARTH)):
        if set(pair) & set(row) and (kind == "pixel" or "row" not in values):
            values |= {key: _number(where, key, row.get(key), whole=kind == "pixel") for key in pair}
    if len(values) == 1:
        raise UserError(f"{where}: '{name}' has no place; give row and column, or longitude and latitude")
    if "longitude" in values and not (abs(values["longitude"]) <= 180 and abs(values["latitude"]) <= 90):
        told = f"longitude {values['longitude']:g}, latitude {values['latitude']:g}"
        raise UserError(f"{where}: {told} is no place in degrees; give -180 to 180 and -90 to 90")
    values |= {key: _number(where, key, row[key]) for key in RANGES if key in row}
    if values.get("power_dbm", 0) < 0:
        raise UserError(
            f"{where} has a negative power of {values['power_dbm']:g} dBm; sent powers are 0 dBm (1 mW) or more, so check the unit"
        )
    for key, (least, most, unit) in RANGES.items():
        if not least <= values.get(key, 0) <= most:
            raise UserError(f"{where}: {key} {values[key]:g} is out of range; give {least} to {most} {unit}")
    values["pattern"] = _text(where, "pattern", row.get("pattern", "omni")).lower()
    if values["pattern"] not in PATTERNS:
        hint = nearest(values["pattern"], PATTERNS)
        raise UserError(f"{where} has the pattern {shown(row['pattern'])}{hint}; choose one of {', '.join(PATTERNS)}")
    if values["pattern"] != "omni" and "azimuth" not in values:
        raise UserError(f"{where} has the pattern {values['pattern']} but no azimuth; give its direction in degrees from north")
    return Entry(where, values)


def _text(where: str, key: str, value: Any) -> str:
    """A short text of one line, which a map, a table or a file's tag can show."""
    text = value.strip() if isinstance(value, str) else str(value) if finite_number(value) is not None else None
    if text is None or len(text) > NAME_LETTERS or not text.isprintable():
        raise UserError(f"{where}: {key} {shown(value)} is no name; give at most {NAME_LETTERS} letters on one line")
    return text


def _number(where: str, key: str, value: Any, whole: bool = False) -> float | int:
    number = finite_number(value)
    if number is None or (whole and number % 1):
        what, better = ("no whole number", "pixels counted from 0") if whole else ("no number", "one")
        raise UserError(f"{where}: {key} {shown('' if value is None else value)} is {what}; give {better}")
    return int(number) if whole else number
