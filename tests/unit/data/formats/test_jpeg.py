"""JPEG files are read whole or refused: cut ones that were given an end mark anew, too."""

import io
import re
import struct

import numpy as np
import pytest
from PIL import Image

from sfumato.data.formats.jpeg import check_jpeg

RNG = np.random.default_rng(0)
COLOURS = np.clip(RNG.normal(128, 40, (40, 56, 3)) + np.arange(56)[:, None], 0, 255).astype(np.uint8)
EOI = b"\xff\xd9"


def jpeg(mode: str = "RGB", **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(COLOURS).convert(mode).save(buffer, "JPEG", **how)
    return buffer.getvalue()


KINDS = {
    "grey": ("L", jpeg("L")),
    "colour": ("RGB", jpeg()),
    "sampled at each pixel": ("RGB", jpeg(subsampling="4:4:4")),
    "with restarts": ("RGB", jpeg(restart_marker_blocks=2)),
    "progressive": ("RGB", jpeg(progressive=True)),
    "progressive grey": ("L", jpeg("L", progressive=True)),
    "progressive with restarts": ("L", jpeg("L", progressive=True, restart_marker_blocks=3)),
    "CMYK": ("CMYK", jpeg("CMYK")),
    "RGB without transform": ("RGB", jpeg(keep_rgb=True)),
    "large": ("RGB", jpeg(quality=100)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_what_pillow_reads(kind: str) -> None:
    mode, content = KINDS[kind]
    pixels = check_jpeg(content + b"what follows is another file" + content, mode)
    if mode == "CMYK":
        assert pixels is None
    else:
        np.testing.assert_array_equal(pixels.squeeze(), np.asarray(Image.open(io.BytesIO(content))))


@pytest.mark.parametrize("kind", KINDS)
def test_wherever_it_was_cut_and_ended_anew_it_is_refused(kind: str) -> None:
    mode, content = KINDS[kind]
    start = content.index(b"\xff\xda")
    body = content[:-2]
    for end in [*range(start, len(body), max(1, (len(body) - start) // 60)), *range(len(body) - 8, len(body))]:
        cut = body[: end - (body[end - 1] == 0xFF)]  # an end mark behind FF would be one of another kind
        with pytest.raises(ValueError, match=r"ends early|missing|no whole|without a whole"):
            check_jpeg(cut + EOI, mode)
        with pytest.raises(ValueError, match=r"\(EOI\) is missing|no whole"):
            check_jpeg(cut, mode)


def test_a_progressive_file_without_its_last_passes_is_refused() -> None:
    content = jpeg(progressive=True)
    scans = [found.start() for found in re.finditer(rb"\xff\xda", content)]
    assert len(scans) > 5
    for scan in scans[1:]:
        table = content.rfind(b"\xff\xc4", 0, scan)
        whole = content[: table if table > scans[scans.index(scan) - 1] else scan]
        with pytest.raises(ValueError, match=r"\d+ of 192 parts of its progressive data are missing"):
            check_jpeg(whole + EOI, "RGB")


def test_bytes_before_the_end_mark_are_no_damage_but_hide_none() -> None:
    for mode, content in KINDS.values():
        padded = content[:-2] + bytes(30) + EOI
        pixels = check_jpeg(padded, mode)
        assert pixels is None or np.array_equal(pixels, check_jpeg(content, mode))
    content = jpeg("L", restart_marker_blocks=2)
    lost = content.index(b"\xff\xd2")
    damaged = content[: lost - 20] + content[lost:-2] + bytes(30) + EOI
    with pytest.raises(ValueError, match="ends early"):
        check_jpeg(damaged, "L")


def test_colours_sampled_in_an_unusual_way_are_looked_at_too() -> None:
    """The data of 105 blocks, taken for an image whose unusual colours need 36 blocks, or 720."""
    content = bytearray(jpeg(subsampling="4:4:4"))
    frame = content.index(b"\xff\xc0")
    content[frame + 11] = content[frame + 14] = 0x22
    content[frame + 5 : frame + 9] = struct.pack(">HH", 20, 28)
    assert check_jpeg(bytes(content), "RGB") is None
    content[frame + 5 : frame + 9] = struct.pack(">HH", 320, 56)
    with Image.open(io.BytesIO(content)) as image:
        image.load()  # Pillow fills up what is missing
    with pytest.raises(OSError, match="truncated"):
        check_jpeg(bytes(content), "RGB")


def test_arithmetic_codes_are_refused() -> None:
    content = jpeg("L")
    for sound, coded in ((b"\xff\xc0", b"\xff\xc9"), (b"\xff\xc0", b"\xff\xca")):
        with pytest.raises(ValueError, match="arithmetic codes"):
            check_jpeg(content.replace(sound, coded), "L")


@pytest.mark.parametrize(
    "content", [b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\0", b"\xff\xd8\0\0"]
)
def test_stumps_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"missing|behind|no whole"):
        check_jpeg(content, "L")


def test_a_frame_header_of_a_few_bytes_is_told_as_such() -> None:
    """A start, a baseline frame that holds one byte, a scan without data, an end."""
    content = b"\xff\xd8" + b"\xff\xc0\x00\x03\x08" + b"\xff\xda\x00\x03\x00" + b"\xff\xd9"
    with pytest.raises(ValueError, match="no whole frame header"):
        check_jpeg(content, "L")
