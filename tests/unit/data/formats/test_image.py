import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from sfumato.data.formats.image import read_image, read_mask, write_image
from sfumato.errors import DataError

RAMP = (np.arange(64 * 64) % 256).astype(np.uint8).reshape(64, 64)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP.T], axis=-1)


def saved(path: Path, image: Image.Image, **options: object) -> str:
    image.save(path, **options)
    return str(path)


def noise_png() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def noise_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(COLOURS).save(buffer, "JPEG")
    return buffer.getvalue()


def flipped(content: bytes, at: float) -> bytes:
    place = int(len(content) * at)
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def huge_png() -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", 12000, 12000, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(12000 * 1501))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("array", [RAMP, COLOURS, RAMP.astype(np.uint16) * 257, COLOURS.astype(np.uint16) * 251])
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_stored_numbers_come_back(tmp_path: Path, array: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    write_image(path, array, text={"a": "ü"}) if suffix == "png" else tifffile.imwrite(path, array)
    read = read_image(str(path))
    assert read.dtype == array.dtype
    assert np.array_equal(read.squeeze(), array)


def test_text_is_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    for name, array in (("a.png", RAMP), ("b.png", COLOURS.astype(np.uint16))):
        write_image(tmp_path / name, array, text={"origin": "synthetic", "class": "grün"})
        with Image.open(tmp_path / name) as image:
            assert image.text == {"origin": "synthetic", "class": "grün"}
    assert {file.name for file in tmp_path.iterdir()} == {"a.png", "b.png"}


def test_modes(tmp_path: Path) -> None:
    grey, colour = Image.fromarray(RAMP), Image.fromarray(COLOURS)
    assert set(np.unique(read_image(saved(tmp_path / "1.png", grey.convert("1"))))) == {0, 255}
    assert read_image(saved(tmp_path / "p.png", colour.quantize(16))).shape == (64, 64, 3)
    assert read_image(saved(tmp_path / "cmyk.jpg", colour.convert("CMYK"))).shape == (64, 64, 3)
    assert np.array_equal(read_image(saved(tmp_path / "png.jpg", colour, format="PNG")), COLOURS)


def test_transparent_pixels_are_black(tmp_path: Path) -> None:
    rgba = np.dstack([np.full((4, 4, 3), 200, np.uint8), np.full((4, 4), 255, np.uint8)])
    rgba[0, 0, 3], rgba[0, 1, 3] = 0, 128
    read = read_image(saved(tmp_path / "a.png", Image.fromarray(rgba)))
    assert read[0, 0].tolist() == [0, 0, 0] and read[0, 1].tolist() == [100] * 3 and read[1, 1].tolist() == [200] * 3


def test_orientation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray(np.zeros((20, 40), np.uint8))
    assert read_image(saved(tmp_path / "a.jpg", wide, exif=exif)).shape == (40, 20, 1)


@pytest.mark.parametrize("turned", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_jpeg_is_turned_as_its_exif_says(turned: int, mode: str, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    path = saved(tmp_path / "a.jpg", Image.fromarray(COLOURS).convert(mode), exif=exif)
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image).convert("L" if mode == "L" else "RGB"))
    np.testing.assert_array_equal(read_image(path).squeeze(), upright)


def test_three_samples_called_grey(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", COLOURS, photometric="minisblack", planarconfig="contig")
    assert np.array_equal(read_image(str(tmp_path / "a.tif")), COLOURS)


@pytest.mark.parametrize(
    ("name", "content", "code", "finding"),
    [
        ("empty.png", lambda: b"", "DATA-003", "empty"),
        ("lfs.png", lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "DATA-004", "git-lfs"),
        ("text.png", lambda: b"hello, this is text", "DATA-005", "not an image"),
        ("half.png", lambda: noise_png()[: len(noise_png()) // 2], "DATA-006", "cut"),
        ("end.png", lambda: noise_png()[:-12], "DATA-006", "IEND"),
        ("flip.png", lambda: flipped(noise_png(), 0.5), "DATA-006", "check sum of chunk IDAT"),
        ("half.jpg", lambda: noise_jpeg()[: len(noise_jpeg()) // 2], "DATA-006", "cut"),
        ("end.jpg", lambda: noise_jpeg()[:-2], "DATA-006", "EOI"),
        ("bomb.png", huge_png, "DATA-007", "12000 x 12000|144000000"),
    ],
)
def test_damage_is_refused(tmp_path: Path, name: str, content: Callable[[], bytes], code: str, finding: str) -> None:
    (tmp_path / name).write_bytes(content())
    with pytest.raises(DataError, match=finding) as caught:
        read_image(str(tmp_path / name))
    assert caught.value.code == code and name in str(caught.value)


def test_missing_folders_and_stacks_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    tifffile.imwrite(tmp_path / "stack.tif", np.zeros((3, 8, 8), np.uint8), photometric="minisblack")
    frames = [Image.fromarray(RAMP + shift) for shift in (0, 9)]
    frames[0].save(tmp_path / "movie.gif", save_all=True, append_images=frames[1:])
    for name, code in (("no.png", "001"), ("folder.png", "001"), ("stack.tif", "008"), ("movie.gif", "008")):
        with pytest.raises(DataError, match=name) as caught:
            read_image(str(tmp_path / name))
        assert caught.value.code == f"DATA-{code}"


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    array = np.zeros((4, 4), np.float32)
    array[1, 2] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", array)
    with pytest.raises(DataError, match=r"1 value is not finite .first at row, column 1, 2.(?s:.*)fix: "):
        read_image(str(tmp_path / "a.tif"))


def test_masks_keep_palette_indices_and_values(tmp_path: Path) -> None:
    classes = (RAMP % 3).astype(np.uint8)
    palette = Image.fromarray(classes)
    palette = palette.convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    palette.putdata(classes.ravel().tolist())
    assert np.array_equal(read_mask(saved(tmp_path / "p.png", palette)), classes)
    assert np.array_equal(read_mask(saved(tmp_path / "rgb.png", Image.fromarray(np.dstack([classes] * 3)))), classes)
    opaque = Image.fromarray(np.dstack([classes] * 3 + [np.full_like(classes, 255)]))
    assert np.array_equal(read_mask(saved(tmp_path / "rgba.png", opaque)), classes)
    tifffile.imwrite(tmp_path / "f.tif", classes.astype(np.float32) * np.float32(0.99999997))
    assert np.array_equal(read_mask(str(tmp_path / "f.tif")), classes)


def test_masks_in_colours_or_fractions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="colours"):
        read_mask(saved(tmp_path / "a.png", Image.fromarray(COLOURS)))
    tifffile.imwrite(tmp_path / "f.tif", np.full((4, 4), 0.5, np.float32))
    with pytest.raises(DataError, match="fractional"):
        read_mask(str(tmp_path / "f.tif"))


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", RAMP)
    with pytest.raises(ValueError, match="7 channels"):
        write_image(tmp_path / "a.png", np.zeros((4, 4, 7), np.uint8))
    monkeypatch.setattr(Path, "replace", lambda *_: os.close(10**6))
    with pytest.raises(OSError, match="Bad file descriptor"):
        write_image(tmp_path / "a.png", RAMP.T)
    assert np.array_equal(read_image(str(tmp_path / "a.png"))[..., 0], RAMP)
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
