"""The sheet of a sample: a row a validation map, simulated | prediction | error, with two colour bars; and the thumbnail of a run.

Composed of pixels, since matplotlib takes fifty times as long for the same; colours and ranges are those of `map_figures`.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from radiodiff_jax.files import write_whole
from radiodiff_jax.reporting.map_figures import BUILDINGS, ERROR_MAP, ERROR_RANGE_DB, GAIN_MAP
from radiodiff_jax.reporting.style import DARK, INK
from radiodiff_jax.units import DB_PER_GAIN, STRONGEST_DB, WEAKEST_DB

PANEL, GAP, TITLE, BAR, BAR_TEXT, TEXT = 220, 12, 24, 14, 62, 14  # pixels
THUMBNAIL = 128  # pixels; shown at half of it
GAIN_TICKS, ERROR_TICKS = (-60, -80, -100, -120, -140), (20, 10, 0, -10, -20)
Maps = Float[np.ndarray, "maps height width"]


def save_sheet(stem: Path, truth: Maps, output: Maps, buildings: Bool[np.ndarray, "maps height width"]) -> list[Path]:
    """Write `stem`.light.png and `stem`.dark.png; gains in [0, 1]."""
    files = []
    panels = [panels_of(*one) for one in zip(truth, output, buildings, strict=True)]
    errors = [float(np.sqrt(np.mean((after - before) ** 2))) for before, after in zip(truth, output, strict=True)]
    for shade, ink in (("light", INK), ("dark", DARK[INK])):
        sheet = draw_sheet(panels, errors, ink)
        files.append(stem.with_name(f"{stem.name}.{shade}.png"))
        write_whole(files[-1], lambda temporary, sheet=sheet: sheet.save(temporary, format="PNG", optimize=False))
    return files


def save_thumbnail(path: Path, output: Float[np.ndarray, "height width"], buildings: Bool[np.ndarray, "height width"]) -> Path:
    """Write a predicted map (gain in [0, 1]), buildings grey, as a PNG of `THUMBNAIL` pixels on its longer side, for a table."""
    height, width = output.shape
    scale = THUMBNAIL / max(height, width)
    picture = Image.fromarray(coloured(output, buildings, GAIN_MAP))
    kind = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
    small = picture.resize((max(round(width * scale), 1), max(round(height * scale), 1)), kind)
    return write_whole(path, lambda temporary: small.save(temporary, format="PNG", optimize=True))


def panels_of(truth: np.ndarray, output: np.ndarray, buildings: np.ndarray) -> list[np.ndarray]:
    """Simulated, prediction and error of one map as colours [height, width, 3]."""
    error = DB_PER_GAIN * (output - truth) / (2 * ERROR_RANGE_DB) + 0.5
    shown = ((truth, GAIN_MAP), (output, GAIN_MAP), (error, ERROR_MAP))
    return [coloured(values, buildings, colours) for values, colours in shown]


def coloured(values: np.ndarray, buildings: np.ndarray | None, colours: str) -> np.ndarray:
    """Values in [0, 1] by a colour map, buildings grey."""
    picture = (colormaps[colours](np.clip(values, 0, 1))[..., :3] * 255).round().astype(np.uint8)
    if buildings is not None:
        picture[buildings] = [int(BUILDINGS[i : i + 2], 16) for i in (1, 3, 5)]
    return picture


def draw_sheet(panels: list[list[np.ndarray]], errors: list[float], ink: str) -> Image.Image:
    """All rows on a transparent ground, titles and bars in the colour `ink`."""
    height, width = panels[0][0].shape[:2]
    across, high = PANEL, round(PANEL * height / width)
    lefts = [0, across + GAP, 2 * (across + GAP) + BAR + BAR_TEXT]
    total = len(panels) * (TITLE + high)
    sheet = Image.new("RGBA", (lefts[2] + across + GAP + BAR + BAR_TEXT, total))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT)
    for row, (pictures, error) in enumerate(zip(panels, errors, strict=True)):
        top = row * (TITLE + high) + TITLE
        titles = ("simulated", "prediction", f"error, RMSE {DB_PER_GAIN * error:.2f} dB ({error:.4f})")
        for left, picture, title in zip(lefts, pictures, titles, strict=True):
            sheet.paste(Image.fromarray(picture).resize((across, high), Image.Resampling.NEAREST), (left, top))
            pen.text((left, top - TITLE + 4), title, fill=ink, font=font)
    bars = (
        (lefts[1], GAIN_MAP, GAIN_TICKS, WEAKEST_DB, STRONGEST_DB),
        (lefts[2], ERROR_MAP, ERROR_TICKS, -ERROR_RANGE_DB, ERROR_RANGE_DB),
    )
    for left, colours, ticks, low, top_value in bars:
        place = left + across + GAP
        scale = coloured(np.linspace(1, 0, high)[:, None].repeat(BAR, 1), None, colours)
        sheet.paste(Image.fromarray(scale), (place, TITLE))
        for tick in ticks:
            at = TITLE + round((top_value - tick) / (top_value - low) * (high - 1))
            pen.line((place + BAR, at, place + BAR + 4, at), fill=ink)
            pen.text((place + BAR + 7, min(max(at - TEXT // 2 - 1, 0), total - TEXT - 3)), f"{tick} dB", fill=ink, font=font)
    return sheet
