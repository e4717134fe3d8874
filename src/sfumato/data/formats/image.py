"""Read and write one image or mask.

Files are known by their first bytes, not by their names, and are read whole or refused: a damaged, cut or empty file
never becomes an image that is partly black.

What comes back are the stored numbers: 8 bit stays 8 bit, 16 bit stays 16 bit. The few conversions are: 1-bit images
become 0/255; palette, CMYK, YCbCr and Lab images become RGB; transparent pixels are laid on black (the background of
medical images); the EXIF orientation is applied. A TIFF may have any number of channels; which of them is opacity, it
says itself. Masks keep the index of a palette, since its colours mean nothing.
"""

import io
import logging
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from jaxtyping import Shaped
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from sfumato.atomic import write_atomic
from sfumato.data.formats.annotations.read import ANNOTATION_SUFFIXES as OUTLINES
from sfumato.data.formats.annotations.read import OUTLINE, read_outline
from sfumato.data.formats.archive import Locator, read_archived, read_member
from sfumato.data.formats.colours import (
    LOSSY,
    Colours,
    colours_in,
    colours_of_areas,
    find_colours,
    of_one_kind,
    way_with_table,
)
from sfumato.data.formats.content import opened_file
from sfumato.data.formats.joined import is_joined, read_joined
from sfumato.data.formats.netpbm import NETPBM_SUFFIXES as PORTABLE
from sfumato.data.formats.netpbm import decode_netpbm, is_netpbm, is_packed, unpacked_gzip
from sfumato.data.formats.origin import XMP_KEY
from sfumato.data.formats.pillow import WHOLE, Decoded, decode_pillow, of_colours, refuse_huge, refused, too_large
from sfumato.data.formats.png import SIGNATURE, check_png, decode_png, encode_deep
from sfumato.data.formats.scan import is_volume, read_header, read_plane
from sfumato.data.formats.tiff import ALL_PAGES, PAGE, Pages, count_pages, encode_tiff, is_tiff
from sfumato.data.formats.tiff_pixels import decode_pages, decode_tiff
from sfumato.data.formats.webp import decode_webp, is_webp
from sfumato.errors import DataError, SfumatoError, listed
from sfumato.escape import visible
from sfumato.shortage import raise_shortage, reading
from sfumato.wording import beginning, counted

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong with a file is told by our errors

Pixels = Shaped[np.ndarray, "h w c"]
Plane = Shaped[np.ndarray, "h w"]
_Made = TypeVar("_Made")

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", *PORTABLE)
TIFF = (".tif", ".tiff")
GREY_TOLERANCE = 8
"""An RGB mask whose channels differ by no more is grey: JPEG leaves such traces."""


def is_image_name(name: str) -> bool:
    """Whether a file is named like an image."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def read_image(locator: str) -> Pixels:
    """An image as stored: uint8, uint16, int16 (CT) or float32, height x width x channels.

    Files of images have 1 or 3 channels, TIFF and arrays any number.

    Raises:
        DataError: the file is missing, damaged, empty, no image, too large, has several frames, or its numbers are
            not finite.
    """
    with reading(locator):
        pixels = _stored(Locator.parse(locator), palette=False)
        if pixels.ndim == 2:
            pixels = pixels[..., None]
        if pixels.ndim != 3 or min(pixels.shape) < 1:
            raise DataError(f"{locator} has the shape {pixels.shape}", expected="height x width (x 3)", code="DATA-009")
        return _finite(pixels, locator)


def is_in_colours(path: Path) -> bool:
    """Whether an image file has three channels of 8 bits, as a mask in colours does."""
    pixels = _decode(path, _content(path), palette=True).pixels
    return pixels.ndim == 3 and pixels.shape[2] >= 3 and pixels.dtype == np.uint8


def is_in_red_alone(path: Path) -> bool:
    """Whether an image file has its numbers in the first of several channels, and nothing in the others."""
    return _red_alone(_without_opacity(_decode(path, _content(path), palette=True).pixels))


def read_mask(locator: str) -> Plane:
    """A mask as stored, height x width: class or palette indices, or grey values. 1-bit masks are 0/255.

    A mask of several files (`formats.joined`) is put together. Numbers stored as floats are given back as integers if
    that is what they are (0.99999997 is 1). So are those of a volume that stores whole numbers with a slope, if they
    are whole within half a slope (0.9999 as 255 x 0.00392).

    Raises:
        DataError: as for `read_image`, and for a mask in colours.
    """
    return read_joined(locator, _one_mask) if is_joined(locator) else _one_mask(locator)


def _one_mask(locator: str) -> Plane:
    with reading(locator):
        pixels = _finite(_stored(Locator.parse(locator), palette=True), locator)
        if pixels.ndim == 3:
            pixels = _single(pixels, locator)
        if pixels.dtype == bool:
            return pixels.astype(np.uint8)
        return _integers(pixels, locator, _step(locator)) if pixels.dtype.kind == "f" else pixels


def _step(locator: str) -> float:
    """Between neighbouring values of a volume that stores whole numbers with a slope; else 0."""
    path = Locator.parse(locator).path
    return read_header(path).step if is_volume(path) else 0.0


def _stored(target: Locator, *, palette: bool) -> np.ndarray:
    """The numbers that a locator names; opacity is worked in where it is no mask."""
    if target.path.suffix.lower() == ".zip":
        decoded = _decode(target.path, read_archived(target), palette=palette)
    elif is_volume(target.path):
        return read_plane(target)
    elif target.member.startswith(PAGE) and target.path.suffix.lower() in TIFF:
        decoded = _page(target, palette=palette)
    elif target.member.startswith(OUTLINE) and target.path.suffix.lower() in OUTLINES:
        return read_outline(target)
    elif target.member:
        return read_member(target)
    else:
        decoded = _decode(target.path, _content(target.path), palette=palette)
    return _on_black(decoded.pixels) if decoded.opacity and not palette else decoded.pixels


def _page(target: Locator, *, palette: bool) -> Decoded:
    """A page of a TIFF, or all of them as channels."""
    pages = _pages(target.path, target.path.stat().st_mtime_ns, palette=palette)
    if target.member == ALL_PAGES:
        channels = [_on_black(page.pixels) if page.opacity else page.pixels for page in pages]
        return Decoded(np.concatenate([np.atleast_3d(pixels) for pixels in channels], axis=2), opacity=False)
    number = int(target.member.removeprefix(PAGE))
    if number >= len(pages):
        raise DataError(f"{target}: it has {len(pages)} pages", expected="one of its pages", code="DATA-018")
    return pages[number]


@lru_cache(maxsize=2)
def _pages(path: Path, _changed: int, *, palette: bool) -> list[Decoded]:
    """All pages of a TIFF; those of the latest are remembered, since they are asked for in turn."""
    return _decoded(path, _content(path), partial(decode_pages, palette=palette))


def _single(pixels: Pixels, locator: str) -> Plane:
    """The one channel of a mask that is stored with several."""
    pixels = _without_opacity(pixels)
    table = find_colours(Locator.parse(locator).path) if pixels.shape[2] == 3 and pixels.dtype == np.uint8 else None
    blurred = Locator.parse(locator).path.suffix.lower() in LOSSY
    if table is not None and (classes := table.classes(pixels)) is not None:
        return classes
    if table is not None and blurred and (classes := table.nearest(pixels)) is not None:
        return classes
    spread = np.ptp(pixels.astype(np.float64), axis=2).max()
    if pixels.shape[2] in (1, 3) and spread <= GREY_TOLERANCE:
        return pixels[..., 0]
    if table is not None:
        raise _unknown_colours(locator, table, pixels, blurred=blurred)
    if _red_alone(pixels) and not blurred:
        return pixels[..., 0]
    kind = "transparent pixels" if pixels.shape[2] in (2, 4) else "colours (its channels differ)"
    raise DataError(
        f"{locator}: the mask has {kind}",
        expected="one number per pixel: 0/255, class indices, or a palette",
        remedy=way_with_table(_colours_of(pixels, blurred=blurred)),
        code="DATA-013",
    )


def _without_opacity(pixels: np.ndarray) -> np.ndarray:
    """Pixels without a last channel of full opacity."""
    opaque = pixels.ndim == 3 and pixels.shape[2] in (2, 4) and (pixels[..., -1] == _opaque(pixels.dtype)).all()
    return pixels[..., :-1] if opaque else pixels


def _red_alone(pixels: np.ndarray) -> bool:
    """Whether the first of three channels alone has numbers: tools store those of objects so.

    Another channel alone is a colour: in a set it may stand beside red as another class.
    """
    return pixels.ndim == 3 and pixels.shape[2] == 3 and bool(pixels[..., 0].any()) and not pixels[..., 1:].any()


def colours_of(locators: Iterable[str]) -> frozenset[int]:
    """The colours of several masks; what cannot be read has none."""
    found = frozenset[int]()
    for locator in locators:
        try:
            target = Locator.parse(locator)
            blurred = target.path.suffix.lower() in LOSSY
            colours = _colours_of(_stored(target, palette=True), blurred=blurred)
            found = of_one_kind((*found, *colours)) if blurred else found | colours
        except SfumatoError:
            continue
    return found


def _colours_of(pixels: np.ndarray, *, blurred: bool) -> frozenset[int]:
    """The colours of a mask of 8 bits; of a blurred one those of its even areas, of other pixels none."""
    if pixels.ndim != 3 or pixels.shape[2] not in (3, 4) or pixels.dtype != np.uint8:
        return frozenset()
    return frozenset(colours_of_areas(pixels[..., :3])) if blurred else colours_in(pixels[..., :3])


def _unknown_colours(locator: str, table: Colours, pixels: Pixels, *, blurred: bool) -> DataError:
    unknown = table.unknown(pixels, blurred=blurred)
    return DataError(
        f"{locator}: {len(unknown)} of its colours are not in {table.path}:\n{listed(unknown)}",
        expected=f"the colours of {', '.join(map(visible, table.names))}{'' if blurred else ', exactly'}",
        remedy="complete the table, or save the mask without loss (PNG) and without smooth edges",
        code="DATA-013",
    )


def _opaque(dtype: np.dtype) -> float:
    """The number that stands for full opacity."""
    return 1 if dtype.kind == "f" else np.iinfo(dtype).max


def _integers(pixels: Plane, locator: str, step: float) -> Plane:
    whole = np.rint(pixels)
    off = np.abs(pixels - whole).max(initial=0)
    rounded = off <= step / 2 + 1e-6 and len(np.unique(whole)) == len(np.unique(pixels))
    if (pixels < -0.5).any() or (whole >= 2**31).any() or (off > 1e-3 and not rounded):
        raise DataError(
            f"{locator}: the mask has negative, fractional or huge values", expected="0, 1, 2 ...", code="DATA-014"
        )
    return np.asarray(whole.astype(np.int32))


def _finite(pixels: np.ndarray, locator: str) -> np.ndarray:
    if pixels.dtype.kind != "f" or np.isfinite(pixels).all():
        return pixels
    bad = np.argwhere(~np.isfinite(pixels))
    first = ", ".join(map(str, bad[0][:2]))
    raise DataError(
        f"{locator}: {counted(len(bad), 'value is', 'values are')} not finite (first at row, column {first})",
        expected="finite numbers",
        remedy="save it with numbers there, such as that of the background (numpy.nan_to_num), or take it away",
        code="DATA-015",
    )


def _on_black(pixels: Pixels) -> Shaped[np.ndarray, "h w colours"]:
    """Colours weighted by their opacity, the last channel."""
    if pixels.dtype.kind == "f":
        with np.errstate(all="ignore"):  # what is not finite is told later
            return np.asarray(pixels[..., :-1] * pixels[..., -1:])
    full = np.iinfo(pixels.dtype).max
    wide = np.int64 if pixels.dtype.kind == "i" else np.uint64
    weighted = pixels[..., :-1].astype(wide) * pixels[..., -1:] + full // 2
    return np.asarray((weighted // full).astype(pixels.dtype))


def _decode(path: Path, content: bytes, *, palette: bool) -> Decoded:
    """An image file's pixels; `path` is for errors."""
    return _decoded(path, content, partial(_by_kind, palette=palette))


def _by_kind(path: Path, content: bytes, *, palette: bool) -> Decoded:
    if content.startswith(SIGNATURE):
        png = check_png(content)
        refuse_huge(path, png.header.width, png.header.height)
        if (pixels := decode_png(png, indices=palette)) is not None:
            return of_colours(pixels)
    if is_tiff(content):
        return decode_tiff(path, content, palette=palette)
    if is_packed(content):
        return _by_kind(path, unpacked_gzip(path, content), palette=palette)
    if is_netpbm(content):
        return of_colours(decode_netpbm(path, content, stored=palette))
    if is_webp(content):
        return decode_webp(path, content, palette=palette)
    return decode_pillow(path, content, palette=palette)


def _decoded(path: Path, content: bytes, decode: Callable[[Path, bytes], _Made]) -> _Made:
    """What a decoder gives; what it raises, whatever it is, becomes an error about the file."""
    try:
        return decode(path, content)
    except SfumatoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(path, str(error)) from error
    except UnidentifiedImageError as error:
        raise refused(path, f"is not an image (it starts with {beginning(content)})", code="DATA-005") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise_shortage(error, reading=path)
        raise refused(path, f"is damaged: {error or type(error).__name__}", code="DATA-006") from error


def pages_of(path: Path) -> Pages:
    """The pages of a TIFF file.

    Raises:
        DataError: it cannot be read, or is no TIFF.
    """
    return _decoded(path, _content(path), lambda _, content: count_pages(content))


def _content(path: Path) -> bytes:
    with opened_file(path, expected=WHOLE) as file:
        return file.read()


def ending_of(channels: int) -> str:
    """How the name of an image file of so many channels ends: PNG has no second and fourth but opacity."""
    return ".png" if channels in (1, 3) else ".tif"


def write_image(path: Path, array: np.ndarray, *, text: dict[str, str] | None = None) -> None:
    """Write a PNG or TIFF file; it appears under its name only when it is whole.

    Args:
        path: ends in `.png`, or in `.tif`; see `ending_of`.
        array: height x width, or height x width x channels; of a PNG uint8 or uint16, and 1 or 3 channels.
        text: what the file says about itself: the PNG's text chunks, or as in `sfumato.data.formats.tiff`.
    """
    if path.suffix == ".png":
        content = encode_png(array, text=text)
    else:
        said = dict(text or {})
        content = encode_tiff(array, xmp=said.pop(XMP_KEY, ""), text=said)
    write_atomic(path, content, sync=False)


def encode_png(array: np.ndarray, *, text: dict[str, str] | None = None) -> bytes:
    """The content of a PNG file; see `write_image`.

    Raises:
        ValueError: the image has other channels than grey or RGB.
    """
    if array.ndim == 3 and array.shape[2] not in (1, 3):
        raise ValueError(f"a PNG of {array.shape[2]} channels would be read back as another image: write a TIFF")
    pixels = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        return encode_deep(pixels, text or {})
    info = PngImagePlugin.PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", pnginfo=info)
    return buffer.getvalue()
