"""A little town as GeoJSON and as OpenStreetMap XML: blocks of 30 x 24 m every 50 m, one with a courtyard."""

import json

import numpy as np

MIDDLE = (8.4, 49.0)  # degrees
DEGREES = (1 / 73_100, 1 / 111_200)  # of a metre east and north, nearly
COURTYARD = (0, 0)  # the block that has one


def box(east, north, width, depth):
    return [(east, north), (east + width, north), (east + width, north + depth), (east, north + depth), (east, north)]


def town(columns=5, rows=4):
    """Rings of every block, outline first, in metres (east, north)."""
    blocks = {}
    for i in range(rows):
        for j in range(columns):
            blocks[i, j] = [box(50 * j, 50 * i, 30, 24)]
    blocks[COURTYARD].append(box(8, 8, 14, 8))
    return blocks


def to_degrees(points):
    return [tuple((np.array(MIDDLE) + np.array(point) * DEGREES).tolist()) for point in points]


def write_geojson(path, blocks, place=to_degrees):
    features = [
        {"type": "Feature", "properties": {}, "geometry": {"type": "Polygon", "coordinates": [place(r) for r in rings]}}
        for rings in blocks.values()
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def write_osm(path, blocks):
    """Blocks as closed ways; the courtyard's as a relation whose outline comes in two pieces, one of them backwards."""
    lines, number = [], 0

    def add(ring):
        nonlocal number
        first = number
        for longitude, latitude in to_degrees(ring[:-1]):
            lines.append(f'<node id="{number}" lon="{longitude!r}" lat="{latitude!r}"/>')
            number += 1
        return [*range(first, number), first]

    def way(name, nodes, building):
        tag = '<tag k="building" v="yes"/>' if building else ""
        ways.append(f'<way id="{name}">{"".join(f"<nd ref={chr(34)}{node}{chr(34)}/>" for node in nodes)}{tag}</way>')

    ways = []
    for (i, j), rings in blocks.items():
        nodes = add(rings[0])
        if len(rings) == 1:
            way(f"{i}-{j}", nodes, True)
        else:
            way("a", nodes[:3], False)
            way("b", nodes[2:][::-1], False)
            way("c", add(rings[1]), False)
    way("open", add(box(500, 500, 9, 9))[:-1], True)
    way("cut", [0, 1, 99_999, 0], True)
    members = "".join(f'<member type="way" ref="{n}" role="{r}"/>' for n, r in (("a", "outer"), ("b", "outer"), ("c", "inner")))
    tags = '<tag k="type" v="multipolygon"/><tag k="building" v="school"/>'
    relation = f'<relation id="1">{members}{tags}</relation>'
    path.write_text(f'<?xml version="1.0"?><osm version="0.6">{"".join(lines + ways)}{relation}</osm>')
    return path
