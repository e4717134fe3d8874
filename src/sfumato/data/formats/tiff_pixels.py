"""The pixels of a TIFF file, one picture or all pages: upright, more is brighter, by what keeps its numbers."""

import io
from pathlib import Path

import numpy as np
import tifffile

from sfumato.data.formats.pillow import Decoded, decode_pillow, refuse_huge, several_frames
from sfumato.data.formats.rescale import strange_numbers
from sfumato.data.formats.strips import UNPACKED, check_strips
from sfumato.data.formats.tiff import UPRIGHT, frames_within, has_opacity, is_premultiplied, light_is_high, pictures
from sfumato.errors import DataError


def decode_tiff(path: Path, content: bytes, *, palette: bool) -> Decoded:
    """TIFF through tifffile, which reads what Pillow refuses (three samples called grey) and keeps 16-bit colours."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page, *others = pictures(file)
        refuse_huge(path, page.imagewidth, page.imagelength)
        if (count := (1 + len(others)) * frames_within(file, page)) > 1:
            raise several_frames(path, count, pages=True)
        return _of_page(path, content, page, palette=palette)


def decode_pages(path: Path, content: bytes, *, palette: bool) -> list[Decoded]:
    """All pictures of a TIFF, which have one size.

    Raises:
        DataError: they have several sizes; or as for `decode_tiff`.
    """
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page, *others = pictures(file)
        if len({(one.shape, one.dtype) for one in (page, *others)}) > 1:
            raise DataError(
                f"{path} has pages of several sizes or kinds",
                expected="pages that are planes or channels of one image",
                remedy="save each page as a file",
                code="DATA-008",
            )
        refuse_huge(path, page.imagewidth, page.imagelength)
        if (count := frames_within(file, page)) > 1:
            stack = file.series[0].asarray().reshape(count, *page.shape)
            return [_upright(page, pixels, palette=palette) for pixels in stack]
        frames = [one.index for one in (page, *others)] if others else [None]
        decoded = zip((page, *others), frames, strict=True)
        return [_of_page(path, content, one, palette=palette, frame=frame) for one, frame in decoded]


def _of_page(
    path: Path, content: bytes, page: tifffile.TiffPage, *, palette: bool, frame: int | None = None
) -> Decoded:
    check_strips(page, content)
    if _is_for_pillow(page):
        return _light_is_high(page, decode_pillow(path, content, palette=palette, frame=frame))
    if page.dtype.kind == "c":
        raise strange_numbers(path, str(page.dtype))
    _refuse_packed(path, page)
    return _upright(page, page.asarray(), palette=palette)


def _upright(page: tifffile.TiffPage, pixels: np.ndarray, *, palette: bool) -> Decoded:
    """The pixels of a page as tifffile has them, turned and with more for brighter."""
    opacity = has_opacity(page)
    if pixels.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE:
        pixels = np.moveaxis(pixels, 0, -1)
    if is_premultiplied(page) and not palette:
        pixels, opacity = pixels[..., :-1], False  # on black already
    turn = UPRIGHT.get(page.tags.valueof("Orientation", default=1))
    upright = pixels if turn is None else np.ascontiguousarray(turn(pixels))
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        upright = light_is_high(upright)
    return Decoded(upright, opacity)


def _is_for_pillow(page: tifffile.TiffPage) -> bool:
    """Whether Pillow decodes a page: colours that it alone converts, and what it alone unpacks and keeps exactly."""
    plain = (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE, tifffile.PHOTOMETRIC.RGB)
    return page.photometric not in plain or page.dtype is None or page.dtype == bool or _needs_pillow(page)


def _needs_pillow(page: tifffile.TiffPage) -> bool:
    """Whether Pillow alone unpacks the pixels (LZW, JPEG, predicted floats) and keeps them exactly."""
    unpacked = page.compression in UNPACKED and page.predictor != tifffile.PREDICTOR.FLOATINGPOINT
    colours = page.photometric == tifffile.PHOTOMETRIC.RGB and page.bitspersample == 8
    exact = page.samplesperpixel == 1 or (colours and (page.samplesperpixel == 3 or has_opacity(page)))
    return exact and not unpacked


def _light_is_high(page: tifffile.TiffPage, decoded: Decoded) -> Decoded:
    """What Pillow decoded; numbers of 8 bits and less it has turned round, where 0 is white, longer ones not."""
    if page.photometric != tifffile.PHOTOMETRIC.MINISWHITE or decoded.pixels.dtype.itemsize == 1:
        return decoded
    return decoded._replace(pixels=light_is_high(decoded.pixels))


def _refuse_packed(path: Path, page: tifffile.TiffPage) -> None:
    """Refuse what neither library unpacks: Pillow would drop channels and bits without a word."""
    if page.compression in UNPACKED and page.predictor != tifffile.PREDICTOR.FLOATINGPOINT:
        return
    name = getattr(page.compression, "name", page.compression)
    raise DataError(
        f"{path}: {page.samplesperpixel} channels of {page.bitspersample} bits, packed as {name}, are not read",
        expected="grey or 8-bit RGB where a TIFF is packed in this way",
        remedy="save it without compression, or with deflate (zip)",
        code="DATA-033",
    )
