"""Reading what sfumato wrote: tables, JSON, pictures; and numbers as text."""

import base64
import io
import json
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import wraps
from pathlib import Path
from string import hexdigits
from typing import Any, ParamSpec

import numpy as np
from jaxtyping import Shaped
from PIL import Image as Pillow

from sfumato import plain
from sfumato.data.formats.image import read_image
from sfumato.data.formats.picture import open_picture
from sfumato.errors import DataError
from sfumato.files import open_file, read_text
from sfumato.local import Names, portable, without_paths
from sfumato.reporting.channels import AnyImage, DisplayImage, as_picture
from sfumato.reporting.content import Block, Image, Note, Table, Verbatim
from sfumato.reporting.figures import INK, LIGHT_INK, heat
from sfumato.tables import Row

SHA256 = 64
"""Digits of a hash, of which a table shows the first twelve."""

_ROWS = 50
"""Rows of a table that the page shows."""

FAINT = 64
"""Masks whose values stay below this look black, so their values are stretched."""

LONG_SIDE = 768
"""Longest side in pixels of a picture inside the page; larger ones are reduced."""

STRIP = 1600
"""Longest side of a strip or a large sheet, which fill the page's width."""

DASH = "\u2013"
"""What stands in the place of a number that is not known: a dash."""


def read_optional_json(path: Path) -> Any:
    """The content of a JSON file, None if there is no such file.

    Raises:
        DataError: the file is damaged.
    """
    return plain.read_json(path, plain.ours(path)) if path.exists() else None


def inside(folder: Path, name: str) -> Path:
    """The file that a table of a folder names.

    Raises:
        DataError: it lies outside of the folder: a page that is passed on shows no file that a table made up.
    """
    file = folder / name
    if "\0" in name or not file.resolve().is_relative_to(folder.resolve()):
        raise DataError(
            f"{folder}: a table names {name[:200]}, outside of the folder",
            expected="files of the folder",
            code="DATA-017",
        )
    return file


def table(title: str, rows: Sequence[Row], *, file: str, without: Collection[str] = ()) -> Table:
    """The first rows of a table file, with the number of rows left out.

    Args:
        title: heading.
        rows: all rows.
        file: name of the file that has all rows and columns.
        without: columns not to show, besides those that are empty.
    """
    names = tuple(
        name for name in (rows[0] if rows else ()) if name not in without and any(row.get(name) for row in rows)
    )
    cells = tuple(tuple(shown_cell(row.get(name, "")) for name in names) for row in rows[:_ROWS])
    return Table(
        title=title, columns=names, rows=cells, left_out=max(0, len(rows) - _ROWS), caption=f"Everything is in {file}."
    )


def number(text: object) -> float:
    """A cell as a number; nan if it is empty or no number."""
    try:
        return float(str(text))
    except ValueError:
        return math.nan


def shown_cell(value: object) -> str:
    """A cell for people: numbers with four significant digits, an undefined number as a dash, the rest as it is."""
    text = str(value)
    if text.lower() in {"nan", "none", ""}:
        return DASH
    if len(text) == SHA256 and set(text) <= set(hexdigits):
        return f"{text[:12]}\u2026"
    if "." not in text and "e" not in text.lower():
        return text
    digits = number(text)
    return text if math.isnan(digits) else f"{digits:.4g}"


def z_text(z: float) -> str:
    """A z-score for people; it is infinite where what it counts, the spread of real images, is nothing."""
    if math.isinf(z):
        return "no spread"
    return DASH if math.isnan(z) else f"{z:.1f}"


def listings(folder: Path, *names: str) -> tuple[Verbatim, ...]:
    """The text files of these names that the folder has."""
    found = [folder / name for name in names if (folder / name).is_file()]
    return tuple(Verbatim(path.name, _told(path)) for path in found)


def _told(file: Path) -> str:
    """The text of a file; paths of this machine, which sfumato 0.1 wrote into JSON, by their hashes."""
    text = read_text(file, errors="replace")
    if file.suffix != ".json":
        return text
    try:
        record = plain.parse_json(text, plain.ours(file))
    except DataError:
        return text
    names = Names(file.parent)
    told = without_paths(record, names)
    if isinstance(told, dict) and isinstance(command := told.get("command"), str):
        told["command"] = portable(command.split()[1:], names)
    return text if told == record else json.dumps(told, indent=2)


def picture(path: Path, caption: str, *, as_heat: bool = False, limit: int = LONG_SIDE) -> Image:
    """A picture file for the page; a file that cannot be shown leaves an empty frame that says so.

    Args:
        path: an image file; 16-bit grey is shown in 8 bits.
        caption: what one sees.
        as_heat: show a grey map in the colours of `figures.heat`.
        limit: longest side in pixels; a larger picture is reduced.
    """
    try:
        pixels = read_pixels(path)
    except Exception:  # readers raise whatever they like on damaged files, and a page has more than one picture
        return Image(light="", caption=f"{caption} ({path.name} cannot be shown)", width=0, height=0)
    if as_heat and pixels.shape[2] == 1:
        pixels = heat(pixels[..., 0] / 255.0)
    return embedded(pixels, caption, limit=limit)


def read_pixels(path: Path) -> AnyImage:
    """An image file in uint8; what is transparent becomes white.

    Raises:
        OSError: there is no such file, or it is in no format that we read.
        DataError: a TIFF is damaged.
    """
    if path.suffix.lower() in (".tif", ".tiff"):
        return as_bytes(read_image(str(path)))
    with open_file(path) as content, open_picture(content) as file:
        if file.mode.startswith("I"):
            return (np.asarray(file).astype(np.float64) / 257.0).clip(0, 255).astype(np.uint8)[..., None]
        if file.has_transparency_data:
            opaque = Pillow.new("RGBA", file.size, "white")
            return np.asarray(Pillow.alpha_composite(opaque, file.convert("RGBA")).convert("RGB"))
        pixels = np.asarray(file.convert("L" if file.mode in {"1", "L"} else "RGB"))
    return pixels if pixels.ndim == 3 else pixels[..., None]


def embedded(image: AnyImage, caption: str, *, limit: int = LONG_SIDE) -> Image:
    """An image for the page, reduced to `limit` on its longest side."""
    pixels = as_picture(image)
    small = Pillow.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels)
    small.thumbnail((limit, limit), Pillow.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return Image(light=address(buffer.getvalue()), caption=caption, width=small.width, height=small.height)


def as_bytes(pixels: Shaped[np.ndarray, "h w channels"]) -> AnyImage:
    """Any numbers as bytes: stretched, unless they are bytes that can be seen as they are.

    Of grey and RGB all together; other channels, which may be of other scanners, each by itself.
    """
    if pixels.shape[2] in (1, 3):
        return _stretched(pixels)
    return np.concatenate([_stretched(pixels[..., [channel]]) for channel in range(pixels.shape[2])], axis=2)


def _stretched(shown: Shaped[np.ndarray, "h w c"]) -> DisplayImage:
    if shown.dtype == np.uint8 and (shown.max() >= FAINT or not shown.any()):
        return np.ascontiguousarray(shown)
    low, high = np.percentile(shown, (0.5, 99.5)) if shown.size > 1000 and shown.max() > FAINT else (0, shown.max())
    scaled = (shown.astype(np.float64) - low) * (255.0 / max(float(high - low), 1e-12))
    return np.asarray(scaled.clip(0, 255).astype(np.uint8))


_Given = ParamSpec("_Given")


def spared_part(part: Callable[_Given, Iterable[Block]]) -> Callable[_Given, tuple[Block, ...]]:
    """A part of a page that is drawn: where that fails, a note says so in its place, and the page has its numbers."""

    @wraps(part)
    def drawn(*args: _Given.args, **kwargs: _Given.kwargs) -> tuple[Block, ...]:
        try:
            return tuple(part(*args, **kwargs))
        except Exception as error:  # whatever it is, the page is about more than this picture
            return (Note(f"Warning: pictures are missing here, as drawing them failed ({_named(error)})."),)

    return drawn


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".rstrip(": .")


def address(png: bytes) -> str:
    """PNG bytes as a `data:` address."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def plotted(draw: Callable[..., bytes], *, title: str, height: int = 495) -> Image:
    """A plot, for a light and for a dark page.

    Args:
        draw: makes it as PNG bytes, told the `ink` that can be read on the page.
        title: what one sees.
        height: of the plot in pixels; it is 810 wide.
    """
    light, dark = address(draw(ink=INK)), address(draw(ink=LIGHT_INK))
    return Image(light=light, dark=dark, caption="", title=title, width=810, height=height)
