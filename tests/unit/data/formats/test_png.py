import struct
import zlib

import numpy as np
import pytest

from sfumato.data.formats.png import SIGNATURE, decode_deep, encode_deep

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
    assert np.array_equal(decode_deep(encode_deep(PIXELS, {"a": "b"})), PIXELS)


@pytest.mark.parametrize("kind", range(5))
def test_every_filter_is_undone(kind: int) -> None:
    rows = PIXELS.astype(">u2").view(np.uint8).reshape(13, -1)
    lines = np.concatenate([np.full((13, 1), kind, np.uint8), predicted(rows, kind)], axis=1)

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 7, 13, 16, 2, 0, 0, 0)
    file = SIGNATURE + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines.tobytes())) + chunk(b"IEND", b"")
    assert np.array_equal(decode_deep(file), PIXELS)
