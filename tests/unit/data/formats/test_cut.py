"""Files that end early and were ended anew, so that their form is whole: refused, or the same pixels.

Each format is taken apart as far as is needed to end it in a proper way: with check sums, lengths and end marks that
are right for what is left.
"""

import io
import lzma
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from tests.faults.bad_images import chunk

from sfumato.data.formats.image import read_image
from sfumato.data.formats.png import encode_deep
from sfumato.errors import DataError

ROWS, COLUMNS = 64, 48
GREY = (np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) * 3 % 200 + 20).astype(np.uint8)
COLOURS = np.stack([GREY, GREY[::-1], 255 - GREY], axis=-1)


def encoded(array: np.ndarray, form: str, **how: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **how)
    return buffer.getvalue()


def read(folder: Path, content: bytes) -> np.ndarray | None:
    """The pixels of a file, None where it is refused as damaged."""
    (folder / "a.png").write_bytes(content)
    try:
        return read_image(str(folder / "a.png"))
    except DataError as error:
        assert error.code == "DATA-006", error
        return None


def png(head: tuple[int, int, int], raw: bytes, *chunks: bytes) -> bytes:
    """A PNG of these bytes of pixels, whatever its size says."""
    depth, colour, interlaced = head
    size = struct.pack(">IIBBBBB", COLUMNS, ROWS, depth, colour, 0, 0, interlaced)
    parts = [chunk(b"IHDR", size), *chunks, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def lines(array: np.ndarray) -> bytes:
    """Rows of a PNG without prediction."""
    return b"".join(b"\0" + np.ascontiguousarray(row).tobytes() for row in array)


def interlaced(array: np.ndarray) -> bytes:
    starts = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    return b"".join(lines(array[top::down, left::across]) for top, left, down, across in starts)


DEEP = GREY.astype(">u2") * 200
PALETTE = chunk(b"PLTE", bytes(range(256)) * 3)
PNGS = {
    "grey": ((8, 0, 0), lines(GREY), ()),
    "colour": ((8, 2, 0), lines(COLOURS), ()),
    "16 bit": ((16, 0, 0), lines(DEEP), ()),
    "16 bit, colour": ((16, 2, 0), lines(np.stack([DEEP] * 3, axis=-1)), ()),
    "palette": ((8, 3, 0), lines(GREY), (PALETTE,)),
    "opacity": ((8, 4, 0), lines(np.dstack([GREY, GREY])), ()),
    "1 bit": ((1, 0, 0), lines(np.packbits(GREY > 100, axis=1)), ()),
    "with a text": ((8, 0, 0), lines(GREY), (chunk(b"tEXt", b"Title\0x"),)),
    "interlaced": ((8, 0, 1), interlaced(GREY), ()),
}


@pytest.mark.parametrize("kind", PNGS)
def test_a_png_whose_data_end_early_is_refused(kind: str, tmp_path: Path) -> None:
    head, raw, chunks = PNGS[kind]
    whole = read(tmp_path, png(head, raw, *chunks))
    assert whole is not None
    np.testing.assert_array_equal(read(tmp_path, png(head, raw + bytes(99), *chunks)), whole)
    row = len(raw) // ROWS
    for size in (0, row, len(raw) // 2, len(raw) - row, len(raw) - 1):
        assert read(tmp_path, png(head, raw[:size], *chunks)) is None, size


def test_a_last_row_of_the_filling_is_read(tmp_path: Path) -> None:
    for array in (GREY.copy(), COLOURS.copy()):
        array[-1] = 171
        np.testing.assert_array_equal(read(tmp_path, encoded(array, "PNG")).squeeze(), array)
    deep = np.stack([GREY.astype(np.uint16) * 250] * 3, axis=-1)
    np.testing.assert_array_equal(read(tmp_path, encode_deep(deep, {})), deep)


def gif(codes: bytes) -> bytes:
    """A GIF of these codes."""
    content = encoded(GREY, "GIF", interlace=0)
    start = content.index(b"\x2c\0\0\0\0") + 11
    blocks = [bytes([len(codes[at : at + 255])]) + codes[at : at + 255] for at in range(0, len(codes), 255)]
    return content[:start] + b"".join(blocks) + b"\0;"


def gif_codes() -> bytes:
    content = encoded(GREY, "GIF", interlace=0)
    place, found = content.index(b"\x2c\0\0\0\0") + 11, b""
    while size := content[place]:
        found += content[place + 1 : place + 1 + size]
        place += 1 + size
    return found


def test_a_gif_whose_codes_end_early_is_refused(tmp_path: Path) -> None:
    codes = gif_codes()
    assert read(tmp_path, gif(codes)) is not None
    for size in (1, len(codes) // 2, len(codes) - 20, len(codes) - 3):
        assert read(tmp_path, gif(codes[:size])) is None, size


def test_a_bmp_whose_rows_end_early_is_refused(tmp_path: Path) -> None:
    content = encoded(GREY, "BMP")
    for size in (1100, len(content) // 2, len(content) - 1):
        cut = content[:2] + struct.pack("<I", size) + content[6:size]
        assert read(tmp_path, cut) is None
    runs = [b"".join(bytes([1, value]) for value in row) + b"\0\0" for row in GREY[::-1]]
    for kept in (ROWS, ROWS // 2, ROWS - 1):
        codes = b"".join(runs[:kept]) + b"\0\1"
        head = struct.pack("<IiiHHIIiiII", 40, COLUMNS, ROWS, 1, 8, 1, len(codes), 0, 0, 256, 256)
        colours = b"".join(bytes([value, value, value, 0]) for value in range(256))
        size = 14 + len(head) + len(colours)
        found = read(tmp_path, b"BM" + struct.pack("<IHHI", size + len(codes), 0, 0, size) + head + colours + codes)
        assert (found is not None) == (kept == ROWS)


@pytest.mark.parametrize(
    ("array", "lossless"), [(COLOURS, False), (COLOURS, True), (np.dstack([COLOURS, GREY]), False)]
)
def test_a_webp_whose_data_end_early_is_refused_or_the_same(array: np.ndarray, lossless: bool, tmp_path: Path) -> None:
    content = encoded(array, "WEBP", lossless=lossless)
    whole = read(tmp_path, content)
    last, place = 12, 12
    while place + 8 < len(content):
        last, place = place, place + 8 + (struct.unpack_from("<I", content, place + 4)[0] + 1) // 2 * 2
    for size in (len(content) // 2, len(content) - 20, len(content) - 4, len(content) - 2):
        cut = bytearray(content[: size - size % 2])
        cut[4:8], cut[last + 4 : last + 8] = struct.pack("<I", len(cut) - 8), struct.pack("<I", len(cut) - last - 8)
        found = read(tmp_path, bytes(cut))
        assert found is None or np.array_equal(found, whole), size


def tiff(strips: list[bytes], compression: int, *, rows: int, colours: int, white: bool = False) -> bytes:
    """A TIFF of these strips."""
    photometric = 2 if colours == 3 else int(not white)
    starts = np.cumsum([8, *map(len, strips)])[:-1].tolist()
    entries = [(256, [COLUMNS]), (257, [ROWS]), (258, [8] * colours), (259, [compression]), (262, [photometric]),
               (273, starts), (277, [colours]), (278, [rows]), (279, [len(strip) for strip in strips])]  # fmt: skip
    data = b"".join(strips)
    place, more, table = 8 + len(data), b"", b""
    free = place + 2 + 12 * len(entries) + 4
    for tag, values in entries:
        kind, code = (3, "H") if tag == 258 else (4, "I")
        field = struct.pack(f"<{len(values)}{code}", *values)
        if len(field) > 4:
            field, more = struct.pack("<I", free + len(more)), more + field
        table += struct.pack("<HHI", tag, kind, len(values)) + field.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", place) + data + struct.pack("<H", len(entries)) + table + bytes(4) + more


def packed(raw: bytes) -> bytes:
    return b"".join(bytes([len(raw[at : at + 100]) - 1]) + raw[at : at + 100] for at in range(0, len(raw), 100))


def lzw(raw: bytes) -> bytes:
    """Codes of 9 bits: the table is emptied before it needs more."""
    codes = [code for at in range(0, len(raw), 200) for code in (256, *raw[at : at + 200])] + [257]
    bits = "".join(f"{code:09b}" for code in codes)
    return np.packbits(np.frombuffer(bits.encode(), np.uint8) - 48).tobytes()


PACKERS: dict[int, Callable[[bytes], bytes]] = {
    1: bytes, 5: lzw, 8: zlib.compress, 32773: packed, 32946: zlib.compress, 34925: lzma.compress,
}  # fmt: skip


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("rows", [16, ROWS])
@pytest.mark.parametrize("compression", PACKERS)
def test_a_tiff_with_a_strip_that_is_too_short_is_refused(
    compression: int, rows: int, colours: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    array = GREY if colours == 1 else COLOURS
    parts = [array[top : top + rows].tobytes() for top in range(0, ROWS, rows)]
    dataset = PACKERS[compression]
    whole = tiff([dataset(part) for part in parts], compression, rows=rows, colours=colours)
    np.testing.assert_array_equal(read(tmp_path, whole).squeeze(), array)
    for place in {0, len(parts) - 1}:
        for left in (rows // 2 * COLUMNS * colours, len(parts[place]) - COLUMNS * colours, len(parts[place]) - 1):
            short = [part[:left] if number == place else part for number, part in enumerate(parts)]
            assert (
                read(tmp_path, tiff([dataset(part) for part in short], compression, rows=rows, colours=colours)) is None
            )
    if compression == 1 and colours == 1:  # inverted ones are read in another way
        short = [parts[0][:-9], *parts[1:]]
        assert read(tmp_path, tiff(short, 1, rows=rows, colours=1, white=True)) is None
    capfd.readouterr()  # libtiff says on its own what it does not like


def fewer_bytes(content: bytes) -> Iterator[bytes]:
    """The same TIFF with fewer bytes in its first or last strip or tile."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        counts = file.pages.first.databytecounts
    for place in (0, len(counts) - 1):
        for left in (0, counts[place] // 2, counts[place] - 20):
            buffer = io.BytesIO(content)
            with tifffile.TiffFile(buffer, mode="r+") as file:
                tags = file.pages.first.tags
                tag = tags.get("StripByteCounts") or tags["TileByteCounts"]
                tag.overwrite([left if number == place else count for number, count in enumerate(counts)])
            yield buffer.getvalue()


@pytest.mark.parametrize(
    ("array", "compression"),
    [(GREY, "jpeg"), (COLOURS, "jpeg"), (GREY > 100, "group3"), (GREY > 100, "group4"), (GREY > 100, "tiff_ccitt")],
)
def test_a_tiff_whose_decoder_fills_up_what_is_missing_is_refused(
    array: np.ndarray, compression: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    large = np.tile(array, (8, 8, 1)[: array.ndim])
    content = encoded(large, "TIFF", compression=compression, strip_size=2**13)
    assert read(tmp_path, content) is not None
    refused = [read(tmp_path, cut) is None for cut in fewer_bytes(content)]
    assert len(refused) == 6 and all(refused)
    capfd.readouterr()


def test_a_compression_of_which_nothing_is_known_is_refused(tmp_path: Path) -> None:
    content = tiff([GREY.tobytes()], 34712, rows=ROWS, colours=1)  # JPEG 2000
    assert read(tmp_path, content) is None
