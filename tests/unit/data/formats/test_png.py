import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, PngImagePlugin

from sfumato.data.formats.png import SIGNATURE, check_png, decode_deep, decode_png, encode_deep

PIXELS = np.random.default_rng(0).integers(0, 65536, (13, 7, 3)).astype(np.uint16)


def predicted(rows: np.ndarray, kind: int) -> np.ndarray:
    """The filters of the PNG specification, section 9.2, pixel by pixel."""
    out = np.zeros_like(rows)
    for y in range(rows.shape[0]):
        for x in range(rows.shape[1]):
            a = int(rows[y, x - 6]) if x >= 6 else 0
            b = int(rows[y - 1, x]) if y else 0
            c = int(rows[y - 1, x - 6]) if y and x >= 6 else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            out[y, x] = (int(rows[y, x]) - (0, a, b, (a + b) // 2, paeth)[kind]) % 256
    return out


def test_what_is_written_is_read() -> None:
    assert np.array_equal(decode_deep(check_png(encode_deep(PIXELS, {"a": "b"}))), PIXELS)


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_is_undone(kind: int) -> None:
    rows = PIXELS.astype(">u2").view(np.uint8).reshape(13, -1)
    lines = np.concatenate([np.full((13, 1), kind, np.uint8), predicted(rows, kind)], axis=1)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 7, 13, 16, 2, 0, 0, 0)
    file = SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines.tobytes())) + chunk(b"IEND", b"")
    assert np.array_equal(decode_deep(check_png(file)), PIXELS)


def saved(image: Image.Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_plain_files_are_decoded_as_pillow_does(mode: str) -> None:
    image = Image.fromarray(PIXELS.astype(np.uint8)).convert(mode)
    content = saved(image, dpi=(72, 72))
    assert np.array_equal(decode_png(check_png(content)), np.asarray(image))
    cut = check_png(content)._replace(packed=check_png(content).packed[:-20])
    with pytest.raises(ValueError):
        decode_png(cut)


def test_deep_grey_and_indices_are_decoded_as_pillow_does() -> None:
    deep = saved(Image.fromarray(PIXELS[..., 0]))
    assert np.array_equal(decode_png(check_png(deep)), PIXELS[..., 0])
    coloured = Image.fromarray(PIXELS.astype(np.uint8)).quantize(200)
    for options in ({}, {"transparency": 3}):
        content = saved(coloured, bits=8, **options)
        assert np.array_equal(decode_png(check_png(content), indices=True), np.asarray(coloured))
        assert decode_png(check_png(content)) is None


def test_what_changes_the_numbers_is_left_to_pillow() -> None:
    image, turned = Image.fromarray(PIXELS.astype(np.uint8)), Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "anything")
    contents = [
        saved(image, exif=turned),
        saved(image, transparency=(1, 2, 3)),
        saved(image, pnginfo=text),
        saved(image.convert("P")),
        saved(image.convert("1")),
        saved(image.convert("LA")),
    ]
    assert [decode_png(check_png(content)) for content in contents] == [None] * len(contents)
