"""WebP: its size is known before its decoder makes room for it, and too little room is no damage."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sfumato.data.formats import pillow as module
from sfumato.data.formats.image import read_image
from sfumato.data.formats.webp import canvas
from sfumato.errors import DataError, ResourceError

KINDS: dict[str, dict[str, Any]] = {"VP8 ": {}, "VP8L": {"lossless": True}, "VP8X": {"icc_profile": b"x" * 8}}


def webp(**how: Any) -> bytes:
    """37 x 21 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(37 * 21 * 3, dtype=np.uint8).reshape(21, 37, 3)).save(buffer, "WEBP", **how)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_its_size_is_read_from_its_header(kind: str) -> None:
    content = webp(**KINDS[kind])
    assert content[12:16] == kind.encode() and canvas(content) == (37, 21)
    assert canvas(content[:29]) == (0, 0)


def test_a_small_file_of_a_huge_picture_is_refused_before_its_decoder_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(_: object) -> None:
        raise AssertionError("the decoder makes room for the picture when it is opened")

    monkeypatch.setattr(module, "open_picture", asked)
    content = bytearray(webp(**KINDS["VP8X"]))
    content[24:30] = (struct.pack("<I", 60_000)[:3]) * 2
    (tmp_path / "a.webp").write_bytes(content)
    with pytest.raises(DataError, match="60001 x 60001 pixels") as caught:
        read_image(str(tmp_path / "a.webp"))
    assert caught.value.code == "DATA-007"


@pytest.mark.parametrize("is_short", [True, False])
def test_too_little_memory_is_not_called_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_short: bool
) -> None:
    def without_room(_: object) -> None:
        if is_short:
            monkeypatch.setattr(np, "empty", short)
        raise OSError("could not create decoder object")

    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(module, "open_picture", without_room)
    (tmp_path / "a.webp").write_bytes(webp())
    with pytest.raises(ResourceError if is_short else DataError, match="memory" if is_short else "is damaged"):
        read_image(str(tmp_path / "a.webp"))
