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
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from jaxtyping import Shaped
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from sfumato.atomic import write_atomic
from sfumato.data.formats.archive import Locator, read_bytes, read_member
from sfumato.data.formats.content import opened
from sfumato.data.formats.jpeg import check_jpeg
from sfumato.data.formats.origin import XMP_KEY
from sfumato.data.formats.picture import open_picture
from sfumato.data.formats.png import SIGNATURE, check_png, decode_png, encode_deep
from sfumato.data.formats.scan import is_volume, read_plane
from sfumato.data.formats.strips import UNPACKED, check_strips
from sfumato.data.formats.tiff import encode_tiff, has_opacity, is_tiff
from sfumato.data.formats.webp import ROOM, canvas, is_webp
from sfumato.errors import DataError, SfumatoError
from sfumato.shortage import raise_shortage, reading
from sfumato.wording import beginning

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong with a file is told by our errors

Pixels = Shaped[np.ndarray, "h w c"]
Plane = Shaped[np.ndarray, "h w"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"}
WHOLE = "a whole PNG, JPEG, TIFF, BMP, GIF or WebP image"
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

GREY_TOLERANCE = 8
"""An RGB mask whose channels differ by no more is grey: JPEG leaves such traces."""


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


def read_mask(locator: str) -> Plane:
    """A mask as stored, height x width: class or palette indices, or grey values. 1-bit masks are 0/255.

    Numbers stored as floats are given back as integers if that is what they are (0.99999997 is 1).

    Raises:
        DataError: as for `read_image`, and for a mask in colours.
    """
    with reading(locator):
        pixels = _finite(_stored(Locator.parse(locator), palette=True), locator)
        if pixels.ndim == 3:
            pixels = _single(pixels, locator)
        if pixels.dtype == bool:
            return pixels.astype(np.uint8)
        return _integers(pixels, locator) if pixels.dtype.kind == "f" else pixels


def _stored(target: Locator, *, palette: bool) -> np.ndarray:
    """The numbers that a locator names; opacity is worked in where it is no mask."""
    if target.path.suffix.lower() == ".zip":
        decoded = _decode(target.path, read_bytes(target), palette=palette)
    elif is_volume(target.path):
        return read_plane(target)
    elif target.member:
        return read_member(target)
    else:
        decoded = _decode(target.path, _content(target.path), palette=palette)
    return _on_black(decoded.pixels) if decoded.opacity and not palette else decoded.pixels


def _single(pixels: Pixels, locator: str) -> Plane:
    """The one channel of a mask that is stored with several."""
    if pixels.shape[2] in (2, 4) and (pixels[..., -1] == _opaque(pixels.dtype)).all():
        pixels = pixels[..., :-1]
    spread = np.ptp(pixels.astype(np.float64), axis=2).max()
    if pixels.shape[2] in (1, 3) and spread <= GREY_TOLERANCE:
        return pixels[..., 0]
    kind = "transparent pixels" if pixels.shape[2] in (2, 4) else "colours (its channels differ)"
    raise DataError(
        f"{locator}: the mask has {kind}",
        expected="one number per pixel: 0/255, class indices, or a palette",
        remedy="save it as a grey or palette image whose values are the classes",
        code="DATA-013",
    )


def _opaque(dtype: np.dtype) -> float:
    """The number that stands for full opacity."""
    return 1 if dtype.kind == "f" else np.iinfo(dtype).max


def _integers(pixels: Plane, locator: str) -> Plane:
    whole = np.rint(pixels)
    if (pixels < -0.5).any() or (whole >= 2**31).any() or np.abs(pixels - whole).max(initial=0) > 1e-3:
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
        f"{locator}: {len(bad)} values are not finite (first at row, column {first})",
        expected="finite numbers",
        code="DATA-015",
    )


class _Decoded(NamedTuple):
    """Pixels, and whether the last of two or four channels is their opacity."""

    pixels: np.ndarray
    opacity: bool


def _of_colours(pixels: np.ndarray) -> _Decoded:
    """Pixels of a format that has no second or fourth channel but opacity."""
    return _Decoded(pixels, opacity=pixels.ndim == 3 and pixels.shape[2] in (2, 4))


def _on_black(pixels: Pixels) -> Shaped[np.ndarray, "h w colours"]:
    """Colours weighted by their opacity, the last channel."""
    if pixels.dtype.kind == "f":
        with np.errstate(all="ignore"):  # what is not finite is told later
            return np.asarray(pixels[..., :-1] * pixels[..., -1:])
    full = np.iinfo(pixels.dtype).max
    wide = np.int64 if pixels.dtype.kind == "i" else np.uint64
    weighted = pixels[..., :-1].astype(wide) * pixels[..., -1:] + full // 2
    return np.asarray((weighted // full).astype(pixels.dtype))


def _decode(path: Path, content: bytes, *, palette: bool) -> _Decoded:
    """An image file's pixels; `path` is for errors."""
    try:
        if content.startswith(SIGNATURE):
            png = check_png(content)
            _refuse_huge(path, png.header.width, png.header.height)
            if (pixels := decode_png(png, indices=palette)) is not None:
                return _of_colours(pixels)
        if is_tiff(content):
            return _decode_tiff(path, content, palette=palette)
        if is_webp(content):
            return _decode_webp(path, content, palette=palette)
        return _decode_pillow(path, content, palette=palette)
    except SfumatoError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(path, str(error)) from error
    except UnidentifiedImageError as error:
        raise _refused(path, f"is not an image (it starts with {beginning(content)})", code="DATA-005") from error
    except Exception as error:  # decoders raise whatever they like on damaged files
        raise_shortage(error, reading=path)
        raise _refused(path, f"is damaged: {error or type(error).__name__}", code="DATA-006") from error


def _content(path: Path) -> bytes:
    with opened(path, expected=WHOLE) as file:
        return file.read()


def _refused(path: Path, what: str, *, code: str) -> DataError:
    return DataError(
        f"{path} {what}",
        expected=WHOLE,
        remedy="copy or export the file again, or take it out of the folder",
        code=code,
    )


def _refuse_huge(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path, f"{width} x {height} pixels")


def _too_large(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} is too large: {what}",
        expected=f"at most {MAX_PIXELS:,} pixels",
        remedy="export it at a lower resolution or cut it into tiles",
        code="DATA-007",
    )


def _decode_pillow(path: Path, content: bytes, *, palette: bool) -> _Decoded:
    with warnings.catch_warnings(action="ignore"), open_picture(io.BytesIO(content)) as image:
        _refuse_huge(path, *image.size)
        if image.format in ("JPEG", "MPO"):  # MPO: a JPEG with a preview behind it
            return _of_colours(_decode_jpeg(image, content))
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise _frames(path, frames)
        image.load()
        return _of_colours(np.asarray(_plain(ImageOps.exif_transpose(image), palette=palette)))


def _decode_webp(path: Path, content: bytes, *, palette: bool) -> _Decoded:
    """WebP through Pillow, whose words for too little memory are those for damage.

    Raises:
        MemoryError: there is no room for what its decoder needs.
    """
    width, height = canvas(content)
    _refuse_huge(path, width, height)
    try:
        return _decode_pillow(path, content, palette=palette)
    except OSError as error:
        raise_shortage(error, reading=path)
        np.empty((height, width, ROOM), np.uint8)
        raise


def _decode_jpeg(image: Image.Image, content: bytes) -> np.ndarray:
    """The pixels of a JPEG that Pillow has opened, all of which are there."""
    pixels = check_jpeg(content, image.mode)
    if pixels is None:
        return np.asarray(_plain(ImageOps.exif_transpose(image), palette=False))
    turned = TURNED.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    if turned is not None:
        return np.asarray(Image.fromarray(pixels.squeeze(axis=2) if pixels.shape[2] == 1 else pixels).transpose(turned))
    return pixels


def _frames(path: Path, count: int) -> DataError:
    finding = f"{path} has {count} frames"
    return DataError(finding, expected="one image", remedy="save each frame as a file", code="DATA-008")


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


def _decode_tiff(path: Path, content: bytes, *, palette: bool) -> _Decoded:
    """TIFF through tifffile, which reads what Pillow refuses (three samples called grey) and keeps 16-bit colours."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page = file.pages.first
        _refuse_huge(path, page.imagewidth, page.imagelength)
        if len(file.pages) > 1:
            raise _frames(path, len(file.pages))
        check_strips(page, content)
        simple = page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.RGB)
        oriented = page.tags.valueof("Orientation", default=1) != 1
        if oriented or not simple or page.dtype is None or page.dtype == bool or _needs_pillow(page):
            return _decode_pillow(path, content, palette=palette)
        pixels, opacity = page.asarray(), has_opacity(page)
    planar = pixels.ndim == 3 and page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    return _Decoded(np.moveaxis(pixels, 0, -1) if planar else pixels, opacity)


def _needs_pillow(page: tifffile.TiffPage) -> bool:
    """Whether Pillow alone unpacks the pixels (LZW, JPEG, predicted floats) and keeps them exactly."""
    unpacked = page.compression in UNPACKED and page.predictor != tifffile.PREDICTOR.FLOATINGPOINT
    exact = page.samplesperpixel == 1 or (page.photometric == tifffile.PHOTOMETRIC.RGB and page.bitspersample == 8)
    return exact and not unpacked


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
