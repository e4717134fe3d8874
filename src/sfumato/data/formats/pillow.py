"""Pictures as Pillow decodes them, whole or refused, and the errors about files that are no picture to us."""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps

from sfumato.data.formats.jpeg import check_jpeg
from sfumato.data.formats.picture import open_picture
from sfumato.errors import DataError

WHOLE = "a whole PNG, JPEG, TIFF, BMP, GIF, WebP or Netpbm (PGM, PPM, PBM) image"
MAX_PIXELS = 89_478_485
"""More pixels than this (a quarter of a gigabyte as RGB) are refused before decoding. Pillow's own limit."""

TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its EXIF orientation."""


class Decoded(NamedTuple):
    """Pixels, and whether the last of two or four channels is their opacity."""

    pixels: np.ndarray
    opacity: bool


def of_colours(pixels: np.ndarray) -> Decoded:
    """Pixels of a format that has no second or fourth channel but opacity."""
    return Decoded(pixels, opacity=pixels.ndim == 3 and pixels.shape[2] in (2, 4))


def refused(path: Path, what: str, *, code: str) -> DataError:
    """The error about a file that is no whole picture."""
    return DataError(
        f"{path} {what}",
        expected=WHOLE,
        remedy="copy or export the file again, or take it out of the folder",
        code=code,
    )


def refuse_huge(path: Path, width: int, height: int) -> None:
    """Refuse a picture of more pixels than are decoded.

    Raises:
        DataError: it has more than `MAX_PIXELS`.
    """
    if width * height > MAX_PIXELS:
        raise too_large(path, f"{width} x {height} pixels")


def too_large(path: Path, what: str) -> DataError:
    """The error about a picture of too many pixels."""
    return DataError(
        f"{path} is too large: {what}",
        expected=f"at most {MAX_PIXELS:,} pixels",
        remedy="export it at a lower resolution or cut it into tiles",
        code="DATA-007",
    )


def decode_pillow(path: Path, content: bytes, *, palette: bool, frame: int | None = None) -> Decoded:
    """A picture's pixels.

    Args:
        path: for errors.
        content: of the file.
        palette: whether to keep the index of a palette.
        frame: which one of several; None where there must be one.

    Raises:
        DataError: it is too large or has several frames.
        Exception: whatever Pillow raises on damaged files.
    """
    with warnings.catch_warnings(action="ignore"), open_picture(io.BytesIO(content)) as image:
        refuse_huge(path, *image.size)
        if image.format in ("JPEG", "MPO"):  # MPO: a JPEG with a preview behind it
            return of_colours(_decode_jpeg(image, content))
        if frame is not None:
            image.seek(frame)
        elif (count := getattr(image, "n_frames", 1)) > 1:
            raise several_frames(path, count)
        image.load()
        return of_colours(np.asarray(_plain(ImageOps.exif_transpose(image), palette=palette)))


def _decode_jpeg(image: Image.Image, content: bytes) -> np.ndarray:
    """The pixels of a JPEG that Pillow has opened, all of which are there."""
    pixels = check_jpeg(content, image.mode)
    if pixels is None:
        return np.asarray(_plain(ImageOps.exif_transpose(image), palette=False))
    turned = TURNED.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if turned is not None:
        return np.asarray(Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels).transpose(turned))
    return pixels


def several_frames(path: Path, count: int, *, pages: bool = False) -> DataError:
    """The error about a file with more than one picture; `pages`: they are those of a TIFF, which a flag explains."""
    say = "say what its pages are: --pages volume (a plane each) or --pages channels (of one image); or "
    return DataError(
        f"{path} has {count} {'pages' if pages else 'frames'}",
        expected="one image",
        remedy=f"{say if pages else ''}save each {'page' if pages else 'frame'} as a file",
        code="DATA-008",
    )


def _plain(image: Image.Image, *, palette: bool) -> Image.Image:
    """The image in a mode that is an array of 1 to 4 channels of plain numbers."""
    if image.mode == "1":
        return image.convert("L")
    if image.mode == "P" and palette:
        return image
    if image.mode in ("P", "PA", "RGB", "L") and "transparency" in image.info:
        return image.convert("RGBA")
    if image.mode in ("L", "LA", "RGB", "RGBA", "F", "I", "I;16", "I;16B", "I;16L", "I;16N"):
        return image
    return image.convert("RGBA" if image.mode in ("PA", "La", "RGBa") else "RGB")
