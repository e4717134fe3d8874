"""What rows of bad inputs are made of: one fault each, beside sound files."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from PIL import Image

PIXELS = np.random.default_rng(0).integers(0, 200, (24, 20), dtype=np.uint8)
OBJECT = np.where(PIXELS > 100, 255, 0).astype(np.uint8)


class Bad(NamedTuple):
    """A bad input.

    Attributes:
        name: what is wrong.
        make: writes the source into an empty folder and returns its path.
        code: that must be told.
        told: words that must be told, the name of the file among them.
        flags: of the command.
    """

    name: str
    make: Callable[[Path], Path]
    code: str
    told: tuple[str, ...]
    flags: tuple[str, ...] = ()


def png(pixels: np.ndarray = PIXELS) -> bytes:
    return encoded(pixels, "PNG")


def encoded(pixels: np.ndarray, form: str, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=form, **settings)
    return buffer.getvalue()


def tiff(pixels: np.ndarray, **settings: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **settings)
    return buffer.getvalue()


def flipped(content: bytes, place: float = 0.5) -> bytes:
    at = int(place * len(content))
    return content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]


def beside_good(name: str, content: bytes) -> Callable[[Path], Path]:
    """A folder with a sound image and the bad file."""

    def make(folder: Path) -> Path:
        (folder / "good.png").write_bytes(png(np.flipud(PIXELS)))
        (folder / name).write_bytes(content)
        return folder

    return make


def with_value(value: float) -> np.ndarray:
    pixels = PIXELS.astype(np.float32)
    pixels[3, 4] = value
    return pixels


def file(name: str, content: bytes) -> Callable[[Path], Path]:
    """The source is this file."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def within(name: str, content: bytes) -> Callable[[Path], Path]:
    """The source is a folder with this file alone."""

    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder

    return make
