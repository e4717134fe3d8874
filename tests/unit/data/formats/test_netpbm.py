"""Portable pictures: their numbers as stored, of all kinds and depths, whole or refused."""

import gzip
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.faults.bad import PIXELS

from sfumato.data.formats import netpbm
from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.formats.provenance import read_origin
from sfumato.errors import DataError

COLOURS = np.stack([PIXELS, np.flipud(PIXELS), np.fliplr(PIXELS)], axis=-1)
SIZE = b"%d %d" % PIXELS.shape[::-1]


def stored(tmp_path: Path, content: bytes, name: str = "a.pgm") -> str:
    (tmp_path / name).write_bytes(content)
    return str(tmp_path / name)


def text(pixels: np.ndarray) -> bytes:
    return b"\n".join(b" ".join(b"%d" % number for number in row.ravel()) for row in pixels) + b"\n"


@pytest.mark.parametrize("pixels", [PIXELS, COLOURS])
def test_a_picture_is_what_another_program_wrote(tmp_path: Path, pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PPM")
    read = read_image(stored(tmp_path, buffer.getvalue()))
    assert read.dtype == np.uint8 and (read == np.atleast_3d(pixels)).all()
    assert read_origin(tmp_path / "a.pgm") == {}


@pytest.mark.parametrize("channels", [1, 3])
def test_two_bytes_are_read_the_higher_first_and_keep_their_numbers(tmp_path: Path, channels: int) -> None:
    deep = np.stack([PIXELS.astype(np.uint16) * 16 + 3] * channels, axis=-1)
    head = b"P%d\n# 12 bits\n%b\n4095\n" % (5 if channels == 1 else 6, SIZE)
    read = read_image(stored(tmp_path, head + deep.astype(">u2").tobytes()))
    assert read.dtype == np.uint16 and (read == deep).all()


@pytest.mark.parametrize("pixels", [PIXELS, COLOURS])
def test_numbers_as_text_are_the_same_picture(tmp_path: Path, pixels: np.ndarray) -> None:
    head = b"P%d %b # a comment\n255\n# another, 12\n" % (pixels.ndim, SIZE)
    assert (read_image(stored(tmp_path, head + text(pixels))) == np.atleast_3d(pixels)).all()


def test_a_bit_that_is_set_is_black(tmp_path: Path) -> None:
    bits = PIXELS > 99
    packed = b"P4 " + SIZE + b"\n" + np.packbits(bits, axis=1).tobytes()
    written = b"P1 " + SIZE + b"\n" + b"\n".join(bytes(48 + row) for row in bits.astype(np.uint8))
    for content in (packed, written):
        assert (read_mask(stored(tmp_path, content, "a.pbm")) == np.where(bits, 0, 255)).all()


def test_classes_keep_their_numbers_and_images_of_few_greys_reach_white(tmp_path: Path) -> None:
    classes = (PIXELS // 64).astype(np.uint8)
    locator = stored(tmp_path, b"P5 " + SIZE + b" 3\n" + classes.tobytes())
    assert (read_mask(locator) == classes).all() and (read_image(locator)[..., 0] == 85 * classes).all()


@pytest.mark.parametrize(
    ("content", "code", "said"),
    [
        (b"P5 4 4 255 " + bytes(15), "DATA-006", "15 of 16 bytes"),
        (b"P5 4 4 65535 " + bytes(31), "DATA-006", "31 of 32 bytes"),
        (b"P5 4 4 255 " + bytes(17), "DATA-006", "1 bytes stand behind"),
        (b"P5 4 4 255 " + bytes(16) + b"\n", "", ""),
        (2 * (b"P5 4 4 255 " + bytes(16)), "DATA-008", "2 frames"),
        (b"P5 4 4 15 " + b"\x10" * 16, "DATA-006", "white is 15"),
        (b"P5 4 0 255 ", "DATA-006", "4 x 0"),
        (b"P5 4 4 70000 " + bytes(32), "DATA-006", "70000 for white"),
        (b"P5 4 ", "DATA-006", "lacks a size"),
        (b"P5 99999 99999 255 ", "DATA-007", "99999 x 99999"),
        (b"P2 2 2 255 1 2 3", "DATA-006", "3 numbers for 4 samples"),
        (b"P2 2 2 255 1 2 3 -4", "DATA-006", "other text"),
        (b"P7\nWIDTH 2", "DATA-005", "is not an image"),
    ],
)
def test_what_is_not_whole_is_refused(tmp_path: Path, content: bytes, code: str, said: str) -> None:
    for name, written in (("a.pgm", content), ("a.pgm.gz", gzip.compress(content))):
        if not code:
            assert read_image(stored(tmp_path, written, name)).shape == (4, 4, 1)
            continue
        with pytest.raises(DataError, match=said) as refused:
            read_image(stored(tmp_path, written, name))
        assert refused.value.code == code


def test_a_packed_picture_may_not_grow_beyond_what_is_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netpbm, "MOST_BYTES", 1000)
    content = gzip.compress(b"P5 40 40 255 " + bytes(1600))
    with pytest.raises(DataError, match="grows to more than 1,000 bytes") as refused:
        read_image(stored(tmp_path, content, "a.pgm.gz"))
    assert refused.value.code == "DATA-007"
    monkeypatch.undo()
    for damaged, said in ((content[:-4], "is damaged"), (gzip.compress(gzip.compress(b"P5")), "packed twice")):
        with pytest.raises(DataError, match=said):
            read_image(stored(tmp_path, damaged, "a.pgm.gz"))
