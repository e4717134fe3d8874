"""A toy set with planted defects, one of each kind that real sets have, to try `check` on.

    train/images/000000.png    train/masks/000000.png    val/images/...    val/masks/...
    defects.json               for each defect: file, kind, code (of `docs/errors.md`), and what was done, in words

Each defect sits in a case of its own; all other cases are sound. The code is null where nothing is reported: what is
read correctly all the same, or what a defect turns into depends on the other masks of the set.
"""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tifffile
from PIL import Image

from sfumato.data.formats.image import read_image, read_mask, write_image
from sfumato.data.formats.picture import open_picture
from sfumato.data.spec import with_channels
from sfumato.data.toys.toy import make_toy, refuse_filled
from sfumato.errors import UsageError
from sfumato.files import open_file

SOUND = 8
"""Cases without a defect, at least."""

POINTER = """\
version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 12345
"""


class _Pair(NamedTuple):
    """The files of a case."""

    image: Path
    mask: Path


class Plant(NamedTuple):
    """A kind of defect.

    Attributes:
        kind: its name.
        code: what `check` reports, or None.
        about: what is wrong, in words.
        plant: changes the first pair, with the second, which stays sound, as an original to copy; gives the file.
    """

    kind: str
    code: str | None
    about: str
    plant: Callable[[_Pair, _Pair], Path]


def make_messy(folder: Path, *, cases: int = 60, size: int = 64, seed: int = 0) -> None:
    """Draw a toy set with defects into a new folder.

    Args:
        folder: where to; must be new or empty.
        cases: number of pictures before defects are planted; a quarter of them are in `val`.
        size: height and width.
        seed: another seed, other pictures.

    Raises:
        UsageError: the folder is not empty, or there are too few cases for all defects.
    """
    if cases < len(PLANTS) + SOUND:
        raise UsageError(f"{cases} cases are too few for {len(PLANTS)} defects", expected=f"{len(PLANTS) + SOUND}")
    refuse_filled(folder)
    drawn = folder / "drawn"
    make_toy(drawn, cases=cases, size=size, classes=2, readers=1, seed=seed)
    pairs = [_place(drawn, folder, index, "val" if index % 4 == 3 else "train") for index in range(cases)]
    shutil.rmtree(drawn)
    train = sorted((pair for pair in pairs if "train" in pair.image.parts), key=_area)
    original = {"cross_split_duplicate": pairs[3], "exact_duplicate": train[-2]}
    defects = []
    for plant, pair in zip(PLANTS, train, strict=False):
        changed = plant.plant(pair, original.get(plant.kind, train[-1]))
        entry = {"file": str(changed.relative_to(folder)), "kind": plant.kind, "code": plant.code}
        defects.append({**entry, "about": plant.about})
    (folder / "defects.json").write_text(json.dumps(defects, indent=1), encoding="utf-8")


def _place(drawn: Path, folder: Path, index: int, split: str) -> _Pair:
    name = f"{index:06d}.png"
    pair = _Pair(folder / split / "images" / name, folder / split / "masks" / name)
    for path, source in zip(pair, (drawn / "images", drawn / "masks" / "reader_0"), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        (source / name).rename(path)
    return pair


def _area(pair: _Pair) -> int:
    """Pixels of the object. Only the inverse of a small one is plainly inverted, so those come first."""
    return int((read_mask(str(pair.mask)) > 0).sum())


def _picture(pair: _Pair) -> Image.Image:
    with open_file(pair.image) as file:
        return open_picture(file).convert("RGB")


def _replaced(path: Path, suffix: str) -> Path:
    """The same name with another ending; the old file is gone."""
    path.unlink()
    return path.with_suffix(suffix)


def _unmatched_mask(pair: _Pair, _: _Pair) -> Path:
    pair.image.unlink()
    return pair.mask


def _save(picture: Image.Image, path: Path, **settings: Any) -> None:
    """Write a picture through memory: Pillow says nothing where a full disk cuts a JPEG that it writes itself."""
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG" if path.suffix == ".jpg" else "PNG", **settings)
    path.write_bytes(buffer.getvalue())


def _palette_mask(pair: _Pair, _: _Pair) -> Path:
    indexed = Image.fromarray((read_mask(str(pair.mask)) > 0).astype(np.uint8), mode="P")
    indexed.putpalette([0, 0, 0, 255, 255, 255])
    _save(indexed, pair.mask)
    return pair.mask


def _grey_level_mask(pair: _Pair, _: _Pair) -> Path:
    write_image(pair.mask, np.where(read_mask(str(pair.mask)) > 0, np.uint8(38), np.uint8(0)))
    return pair.mask


def _lossy_mask(pair: _Pair, _: _Pair) -> Path:
    mask = Image.fromarray(read_mask(str(pair.mask)))
    path = _replaced(pair.mask, ".jpg")
    _save(mask, path, quality=60)
    return path


def _inverted_mask(pair: _Pair, _: _Pair) -> Path:
    write_image(pair.mask, 255 - read_mask(str(pair.mask)))
    return pair.mask


def _small_mask(pair: _Pair, _: _Pair) -> Path:
    write_image(pair.mask, read_mask(str(pair.mask))[2:, ::2])
    return pair.mask


def _empty_mask(pair: _Pair, _: _Pair) -> Path:
    write_image(pair.mask, np.zeros_like(read_mask(str(pair.mask))))
    return pair.mask


def _image_as_mask(pair: _Pair, _: _Pair) -> Path:
    grey = with_channels(read_image(str(pair.image)), 1)
    write_image(pair.image, grey)
    write_image(pair.mask, grey)
    return pair.mask


def _corrupt(pair: _Pair, _: _Pair) -> Path:
    content = bytearray(pair.image.read_bytes())
    content[len(content) // 2] ^= 0xFF
    pair.image.write_bytes(content)
    return pair.image


def _truncated(pair: _Pair, _: _Pair) -> Path:
    picture = _picture(pair)
    path = _replaced(pair.image, ".jpg")
    _save(picture, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def _empty(pair: _Pair, _: _Pair) -> Path:
    pair.image.write_bytes(b"")
    return pair.image


def _pointer(pair: _Pair, _: _Pair) -> Path:
    pair.image.write_text(POINTER)
    return pair.image


def _not_finite(pair: _Pair, _: _Pair) -> Path:
    pixels = with_channels(read_image(str(pair.image)), 1)[..., 0].astype(np.float32)
    pixels[3, 5:8] = np.nan
    path = _replaced(pair.image, ".tif")
    tifffile.imwrite(path, pixels, metadata=None)
    return path


def _constant(pair: _Pair, _: _Pair) -> Path:
    write_image(pair.image, np.full_like(read_image(str(pair.image)), 127))
    return pair.image


def _duplicate(pair: _Pair, original: _Pair) -> Path:
    for copy, source in zip(pair, original, strict=True):
        shutil.copyfile(source, copy)
    return pair.image


def _near_duplicate(pair: _Pair, original: _Pair) -> Path:
    shutil.copyfile(original.mask, pair.mask)
    path = _replaced(pair.image, ".jpg")
    _save(_picture(original), path, quality=85)
    return path


def _turned(pair: _Pair, _: _Pair) -> Path:
    """Stored lying, with the entry that says how to turn it upright; the mask fits the upright picture."""
    lying = _picture(pair).transpose(Image.Transpose.TRANSPOSE)
    exif = Image.Exif()
    exif[0x0112] = 5
    path = _replaced(pair.image, ".jpg")
    _save(lying, path, exif=exif, quality=95)
    return path


def _deep(pair: _Pair, _: _Pair) -> Path:
    write_image(pair.image, read_image(str(pair.image)).astype(np.uint16) * 257)
    return pair.image


def _printed(pair: _Pair, _: _Pair) -> Path:
    picture = _picture(pair).convert("CMYK")
    path = _replaced(pair.image, ".jpg")
    _save(picture, path, quality=95)
    return path


def _palette_image(pair: _Pair, _: _Pair) -> Path:
    _save(_picture(pair).quantize(64), pair.image)
    return pair.image


def _transparent(pair: _Pair, _: _Pair) -> Path:
    picture = _picture(pair).convert("RGBA")
    picture.putalpha(Image.fromarray(np.full(picture.size[::-1], 200, np.uint8)))
    _save(picture, pair.image)
    return pair.image


def _wrong_ending(pair: _Pair, _: _Pair) -> Path:
    return pair.image.rename(pair.image.with_suffix(".jpg"))


def _text(pair: _Pair, _: _Pair) -> Path:
    pair.image.write_text("Page not found\n")
    return pair.image


def _hidden(pair: _Pair, _: _Pair) -> Path:
    path = pair.image.parent / ".DS_Store"
    path.write_bytes(b"\0\0\0\1Bud1")
    (pair.image.parent / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    return path


PLANTS: Sequence[Plant] = (
    Plant("inverted_mask", "DATA-076", "object 0, background 255", _inverted_mask),
    Plant("unmatched_mask", "DATA-010", "the image is gone, the mask is there", _unmatched_mask),
    Plant("palette_mask", "DATA-074", "a palette of black and white: indices 0 and 1 beside 0 and 255", _palette_mask),
    Plant("grey_level_mask", None, "a palette's first colour read as grey: 0 and 38", _grey_level_mask),
    Plant("lossy_mask", "DATA-077", "stored as JPEG: many values around 0 and 255", _lossy_mask),
    Plant("small_mask", "DATA-012", "another size than its image", _small_mask),
    Plant("empty_mask", "DATA-084", "nothing is marked", _empty_mask),
    Plant("image_as_mask", "DATA-078", "the mask is the image itself", _image_as_mask),
    Plant("corrupt_png", "DATA-006", "one byte is flipped", _corrupt),
    Plant("truncated_jpeg", "DATA-006", "the second half is missing", _truncated),
    Plant("empty_file", "DATA-003", "0 bytes", _empty),
    Plant("lfs_pointer", "DATA-004", "a git-lfs pointer instead of the image", _pointer),
    Plant("text_file", "DATA-005", "a web page's error text, saved as PNG", _text),
    Plant("nan_tiff", "DATA-015", "three values are not numbers", _not_finite),
    Plant("constant_image", "DATA-085", "one value everywhere", _constant),
    Plant("exact_duplicate", "DATA-079", "the same picture as another case", _duplicate),
    Plant("near_duplicate", "DATA-080", "another case, saved again as JPEG", _near_duplicate),
    Plant("cross_split_duplicate", "DATA-081", "in train what is in val too", _duplicate),
    Plant("exif_rotation", "DATA-095", "stored lying, with an EXIF entry that turns it", _turned),
    Plant("deep_image", "DATA-009", "16 bit among 8-bit images", _deep),
    Plant("cmyk_image", None, "the four colours of printers; read as RGB", _printed),
    Plant("palette_image", None, "64 colours of a palette; read as RGB", _palette_image),
    Plant("transparent_image", "DATA-094", "partly transparent; laid on black", _transparent),
    Plant("wrong_ending", "DATA-093", "a PNG called .jpg", _wrong_ending),
    Plant("hidden_files", None, "files of operating systems; passed over", _hidden),
)
"""All kinds of defects, in the order of the cases that they are planted in."""
