"""TIFF files of any number of channels, and what sfumato writes into them about itself.

PNG holds grey and RGB; with a second or fourth channel it holds opacity, which is no measurement. So images of 2, 4 or
more channels, and numbers that PNG cannot hold, are written as TIFF: one page, the channels of a pixel side by side,
each beyond the first marked as data without a meaning of its own (ExtraSamples 0), packed without loss. What a PNG has
in its text chunks stands in the tag ImageDescription as JSON, XMP in its own tag.

Source: Adobe, TIFF Revision 6.0, 1992 (ExtraSamples: 0 unspecified data, 1 and 2 opacity).
"""

import io
import json
import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import tifffile
from jaxtyping import Shaped

XMP_TAG, BYTES = 700, tifffile.DATATYPE.BYTE
OPACITY = (tifffile.EXTRASAMPLE.ASSOCALPHA, tifffile.EXTRASAMPLE.UNASSALPHA)

PAGE, ALL_PAGES = "page/", "page/:"
"""How members are named that are pages of a TIFF: `stack.tif::page/17`, and `stack.tif::page/:` for all as channels."""


class Pages(NamedTuple):
    """The pictures of a TIFF.

    Attributes:
        total: how many there are.
        channels: how many of them are channels of one plane each, where it says that it has both; else 1.
    """

    total: int
    channels: int


UPRIGHT: Mapping[int, Callable[[np.ndarray], np.ndarray]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: np.swapaxes(pixels, 0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.swapaxes(np.rot90(pixels, 2), 0, 1),
    8: np.rot90,
}
"""What makes an array upright, by the tag Orientation: where its first row and first column lie."""


def encode_tiff(pixels: Shaped[np.ndarray, "h w *c"], *, text: Mapping[str, str] | None = None, xmp: str = "") -> bytes:
    """The content of a TIFF file; the same pixels and texts give the same bytes.

    Args:
        pixels: height x width, or height x width x channels; any numbers that TIFF knows.
        text: what the file says about itself, by key.
        xmp: its XMP packet.
    """
    plain = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    channels = plain.shape[2] if plain.ndim == 3 else 1
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        plain,
        photometric="rgb" if channels == 3 else "minisblack",
        planarconfig="contig",
        extrasamples=None if channels in (1, 3) else ["unspecified"] * (channels - 1),
        compression="zlib",
        description=json.dumps(dict(text)) if text else None,
        software=(text or {}).get("Software", False),
        metadata=None,
        extratags=[(XMP_TAG, BYTES, len(xmp.encode()), xmp.encode(), True)] if xmp else [],
    )
    return buffer.getvalue()


def has_opacity(page: tifffile.TiffPage) -> bool:
    """Whether the last channel of a page is its opacity; of RGB with a fourth channel that nobody explains, it is."""
    if page.samplesperpixel not in (2, 4):
        return False
    if not page.extrasamples:
        return bool(page.photometric == tifffile.PHOTOMETRIC.RGB)
    return bool(page.extrasamples[-1] in OPACITY)


def pictures(file: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """The pages that are pictures, and no smaller copies (thumbnails) or masks of others, as NewSubfileType says."""
    pages = list(file.pages) if len(file.pages) > 1 else []
    return [page for page in pages if not page.is_reduced and not page.is_mask] or [file.pages.first]


def frames_within(file: tifffile.TiffFile, page: tifffile.TiffPage) -> int:
    """How many pictures follow one another in a page: ImageJ and tifffile describe a stack by its first one alone."""
    if len(file.pages) > 1 or not (file.is_imagej or file.is_shaped):
        return 1
    return max(1, int(math.prod(file.series[0].shape) // math.prod(page.shape)))


def count_pages(content: bytes) -> Pages:
    """The pictures of a TIFF, and the axes along which they lie where it says so."""
    if not is_tiff(content):
        return Pages(1, 1)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        page, *others = pictures(file)
        count = (1 + len(others)) * frames_within(file, page)
        series = file.series[0] if count > 1 else None
        said = {} if series is None else dict(zip(series.axes, series.shape, strict=True))
        channels = said.get("C", 1)
        return Pages(count, channels if 1 < channels < count else 1)


def light_is_high(pixels: np.ndarray) -> np.ndarray:
    """Whole numbers of which 0 is white, turned round within their range; floats have no such range and stay."""
    if pixels.dtype.kind not in "ui":
        return pixels
    ends = np.iinfo(pixels.dtype)
    return np.asarray((ends.max - (pixels - np.asarray(ends.min, pixels.dtype))).astype(pixels.dtype))


def is_premultiplied(page: tifffile.TiffPage) -> bool:
    """Whether the colours of a page are weighted by their opacity already."""
    return has_opacity(page) and bool(page.extrasamples) and page.extrasamples[-1] == OPACITY[0]


def is_tiff(content: bytes) -> bool:
    """Whether a file starts like a TIFF or BigTIFF."""
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_texts(content: bytes) -> dict[str, str]:
    """What `encode_tiff` wrote into a file as `text`; nothing where another program wrote it."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        described = file.pages.first.description
    try:
        said = json.loads(described)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}
