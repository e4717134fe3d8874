"""How a file stores its picture, beyond the pixels: format, mode, EXIF rotation, opacity, and what names a person.

Only headers are read. Pillow knows the format by the first bytes, whatever the name says.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import ExifTags, Image

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.picture import open_picture
from sfumato.data.formats.scan import is_volume
from sfumato.files import open_file
from sfumato.shortage import raise_shortage

_ENDINGS = {
    "PNG": {".png"},
    "JPEG": {".jpg", ".jpeg", ".jpe"},
    "MPO": {".jpg", ".jpeg"},
    "TIFF": {".tif", ".tiff"},
    "BMP": {".bmp"},
    "GIF": {".gif"},
    "WEBP": {".webp"},
}
"""How names of each format end, by Pillow's name of it."""

PRIVATE = {
    ExifTags.Base.Artist: "name of the author",
    ExifTags.Base.CameraOwnerName: "name of the camera's owner",
    ExifTags.Base.BodySerialNumber: "serial number of the camera",
    ExifTags.Base.GPSInfo: "place (GPS)",
    ExifTags.Base.XPAuthor: "name of the author",
}
"""EXIF entries that can tell who or where."""

PERSONAL = ("patient", "author", "birth", "physician", "name")
"""Words in the keys of PNG texts that can tell who."""

_OPAQUE = 255


class Storage(NamedTuple):
    """How a file stores its picture.

    Attributes:
        format: Pillow's name: PNG, JPEG, TIFF ...
        mode: Pillow's mode: L, RGB, P, CMYK, I;16 ...
        ending: whether the name ends as this format does.
        turned: EXIF orientation, 1 (as stored) to 8; 5 and above swap height and width.
        transparent: whether some pixel is not wholly opaque.
        private: what it says that can tell who or where.
    """

    format: str
    mode: str
    ending: bool
    turned: int
    transparent: bool
    private: tuple[str, ...]


def storage(locator: str) -> Storage | None:
    """How an image file stores its picture; None for members of archives, volumes, and what Pillow does not open.

    Portable pictures say nothing of all this.
    """
    target = Locator.parse(locator)
    if target.member or is_volume(target.path):
        return None
    try:
        with warnings.catch_warnings(action="ignore"), open_file(target.path) as file, open_picture(file) as image:
            return _described(image, target.path)
    except Exception as error:  # what is wrong with the file is told where it is decoded
        raise_shortage(error, reading=target.path)
        return None


def _described(image: Image.Image, path: Path) -> Storage:
    exif = _exif(image)
    private = [text for tag, text in PRIVATE.items() if exif.get(tag)]
    private += [f"text '{key}'" for key in image.info if any(word in str(key).lower() for word in PERSONAL)]
    return Storage(
        format=image.format or "",
        mode=image.mode,
        ending=path.suffix.lower() in _ENDINGS.get(image.format or "", {path.suffix.lower()}),
        turned=int(exif.get(ExifTags.Base.Orientation) or 1),
        transparent=_is_transparent(image),
        private=tuple(dict.fromkeys(private)),
    )


def _is_transparent(image: Image.Image) -> bool:
    """Whether some pixel is not wholly opaque; of files without opacity none is decoded."""
    if image.mode not in ("LA", "RGBA", "PA", "La", "RGBa") and "transparency" not in image.info:
        return False
    least, _ = image.convert("RGBA").getchannel("A").getextrema()
    return isinstance(least, int | float) and least < _OPAQUE


def _exif(image: Image.Image) -> Image.Exif:
    """Of a PNG only what stands before the pixels: asking for more would decode them."""
    if image.format != "PNG":
        return image.getexif()
    exif = Image.Exif()
    exif.load(image.info.get("exif", b""))
    return exif
