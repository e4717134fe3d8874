"""Image files that cannot be used, and masks that do not fit or have no meaning."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from .bad import OBJECT, PIXELS, Bad, beside_good, encoded, flipped, png, tiff, with_value


def png_of(width: int, height: int, rows: bytes = b"", *chunks: bytes) -> bytes:
    """A 1-bit PNG with any header."""
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *chunks, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def huge_tiff(folder: Path) -> Path:
    path = folder / "slide.tif"
    tifffile.imwrite(path, PIXELS)
    with tifffile.TiffFile(path, mode="r+") as file:
        for tag in ("ImageWidth", "ImageLength"):
            file.pages.first.tags[tag].overwrite(80_000)
    return folder


def broken_link(folder: Path) -> Path:
    (folder / "link.png").symlink_to(folder / "gone.png")
    (folder / "good.png").write_bytes(png())
    return folder


FRAMES = [Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)]


def frames(form: str) -> bytes:
    buffer = io.BytesIO()
    FRAMES[0].save(buffer, format=form, save_all=True, append_images=FRAMES[1:])
    return buffer.getvalue()


IMAGES = (
    Bad("empty file", beside_good("bad.png", b""), "DATA-003", ("bad.png", "0 bytes")),
    Bad("PNG cut in half", beside_good("bad.png", png()[: len(png()) // 2]), "DATA-006", ("bad.png", "cut")),
    Bad("PNG without its end", beside_good("bad.png", png()[:-20]), "DATA-006", ("bad.png", "cut")),
    Bad("PNG without IEND", beside_good("bad.png", png()[:-12]), "DATA-006", ("bad.png", "IEND")),
    Bad("PNG with a flipped byte", beside_good("bad.png", flipped(png())), "DATA-006", ("bad.png", "check sum")),
    Bad("PNG of no width", beside_good("bad.png", png_of(0, 5)), "DATA-005", ("bad.png",)),
    Bad("PNG without pixels", beside_good("bad.png", png_of(64, 64)), "DATA-006", ("bad.png",)),
    Bad(
        "PNG with a text of 100 MB",
        beside_good("bad.png", png_of(8, 1, b"\0\0", chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000), 1)))),
        "DATA-006",
        ("bad.png", "too large"),
    ),
    Bad("PNG of 60000 x 60000", beside_good("bad.png", png_of(60_000, 60_000)), "DATA-007", ("bad.png", "pixels")),
    Bad(
        "PNG of 18 kB that becomes 144 million pixels",
        beside_good("bad.png", png_of(12_000, 12_000, bytes(1501 * 12_000))),
        "DATA-007",
        ("bad.png", "12000 x 12000"),
    ),
    Bad("JPEG cut in half", beside_good("bad.jpg", encoded(PIXELS, "JPEG")[:400]), "DATA-006", ("bad.jpg", "cut")),
    Bad("JPEG without its end", beside_good("bad.jpg", encoded(PIXELS, "JPEG")[:-2]), "DATA-006", ("bad.jpg", "EOI")),
    Bad("BMP cut in half", beside_good("bad.bmp", encoded(PIXELS, "BMP")[:700]), "DATA-006", ("bad.bmp",)),
    Bad("GIF cut in half", beside_good("bad.gif", encoded(PIXELS, "GIF")[:900]), "DATA-006", ("bad.gif",)),
    Bad("WebP cut in half", beside_good("bad.webp", encoded(PIXELS, "WEBP")[:200]), "DATA-006", ("bad.webp",)),
    Bad("PGM cut in half", beside_good("bad.pgm", encoded(PIXELS, "PPM")[:200]), "DATA-006", ("bad.pgm", "bytes of")),
    Bad(
        "PGM with more than its header announces",
        beside_good("bad.pgm", encoded(PIXELS, "PPM") + bytes(7)),
        "DATA-006",
        ("bad.pgm", "7 bytes stand behind"),
    ),
    Bad("PGM of two pictures", beside_good("bad.pgm", 2 * encoded(PIXELS, "PPM")), "DATA-008", ("bad.pgm", "frames")),
    Bad("PGM of 60000 x 60000", beside_good("bad.pgm", b"P5 60000 60000 255 "), "DATA-007", ("bad.pgm", "pixels")),
    Bad("text called PNG", beside_good("bad.png", b"Page not found"), "DATA-005", ("bad.png", "no", "image")),
    Bad("PDF called TIFF", beside_good("bad.tif", b"%PDF-1.7 ..."), "DATA-005", ("bad.tif", "%PDF")),
    Bad(
        "git-lfs pointer",
        beside_good("bad.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"),
        "DATA-004",
        ("bad.png", "git lfs pull"),
    ),
    Bad("animated GIF", beside_good("bad.gif", frames("GIF")), "DATA-008", ("bad.gif", "2 frames")),
    Bad(
        "TIFF of several pages",
        beside_good("bad.tif", frames("TIFF")),
        "DATA-008",
        ("bad.tif", "2 pages", "--pages volume"),
    ),
    Bad("TIFF with NaN", beside_good("bad.tif", tiff(with_value(np.nan))), "DATA-015", ("bad.tif", "row, column 3, 4")),
    Bad(
        "TIFF with infinity",
        beside_good("bad.tif", tiff(with_value(np.inf))),
        "DATA-015",
        ("bad.tif", "1 value is", "numpy.nan_to_num"),
    ),
    Bad(
        "LZW TIFF cut short",
        beside_good("bad.tif", encoded(PIXELS, "TIFF", compression="tiff_lzw")[:300]),
        "DATA-006",
        ("bad.tif",),
    ),
    Bad(
        "TIFF that was saved as text",
        beside_good("bad.tif", tiff(PIXELS).decode("latin-1").encode()),
        "DATA-006",
        ("bad.tif",),
    ),
    Bad("TIFF of 80000 x 80000", huge_tiff, "DATA-007", ("slide.tif", "80000 x 80000")),
    Bad("broken link", broken_link, "DATA-001", ("link.png",)),
)


def pair(image: bytes, mask: bytes, *, name: str = "a.png", mask_name: str = "a.png") -> Callable[[Path], Path]:
    """Two sound pairs, and this one."""

    def make(folder: Path) -> Path:
        for part in ("images", "masks"):
            (folder / part).mkdir()
        for number in range(2):
            (folder / f"images/good{number}.png").write_bytes(png(np.roll(PIXELS, number + 1)))
            (folder / f"masks/good{number}.png").write_bytes(png(OBJECT))
        (folder / "images" / name).write_bytes(image)
        (folder / "masks" / mask_name).write_bytes(mask)
        return folder

    return make


def lonely(part: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        pair(png(), png(OBJECT))(folder)
        (folder / part / "lonely.png").write_bytes(png())
        return folder

    return make


def two_masks(folder: Path) -> Path:
    pair(png(), png(OBJECT))(folder)
    (folder / "masks/a.tif").write_bytes(tiff(OBJECT))
    return folder


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(PIXELS, "JPEG", exif=exif)


COLOURED = np.stack([OBJECT, 255 - OBJECT, OBJECT], axis=-1)
CLEAR = np.dstack([COLOURED, OBJECT])

MASKS = (
    Bad("image without mask", lonely("images"), "DATA-010", ("lonely.png", "has no mask")),
    Bad("mask without image", lonely("masks"), "DATA-010", ("lonely.png", "has no image")),
    Bad("two masks of one reader", two_masks, "DATA-011", ("a.tif", "a.png")),
    Bad("mask of another size", pair(png(), png(OBJECT[::2])), "DATA-012", ("masks/a.png", "12 x 20", "24 x 20")),
    Bad("EXIF turns the image alone", pair(turned_jpeg(), png(OBJECT), name="a.jpg"), "DATA-012", ("masks/a.png",)),
    Bad("mask in colours", pair(png(), png(COLOURED)), "DATA-013", ("masks/a.png", "colours")),
    Bad("transparent mask", pair(png(), png(CLEAR)), "DATA-013", ("masks/a.png", "transparent")),
    Bad(
        "mask with fractions",
        pair(png(), tiff(OBJECT / np.float32(510)), mask_name="a.tif"),
        "DATA-014",
        ("masks/a.tif", "fractional"),
    ),
    Bad(
        "mask with negative values",
        pair(png(), tiff(-OBJECT.astype(np.float32)), mask_name="a.tif"),
        "DATA-014",
        ("masks/a.tif", "negative"),
    ),
    Bad(
        "mask with NaN",
        pair(png(), tiff(with_value(np.nan)), mask_name="a.tif"),
        "DATA-015",
        ("masks/a.tif", "not finite"),
    ),
    Bad(
        "numbers of objects",
        pair(png(), png(np.arange(480, dtype=np.uint16).reshape(24, 20))),
        "DATA-014",
        ("480 values", "numbers of objects"),
    ),
    Bad("empty mask file", pair(png(), b""), "DATA-003", ("masks/a.png", "0 bytes")),
    Bad("damaged mask file", pair(png(), flipped(png(OBJECT))), "DATA-006", ("masks/a.png",)),
)
