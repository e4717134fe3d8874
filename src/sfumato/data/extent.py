"""How large images and volumes are, by their headers alone: what is known before any pixel is read."""

import warnings
from typing import NamedTuple

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.grid import to_lps
from sfumato.data.formats.picture import open_picture
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.volume import AXES, flat_axis, named_place, spacing
from sfumato.data.placement import Spacing
from sfumato.errors import DataError
from sfumato.files import open_file
from sfumato.shortage import raise_shortage


class Extent(NamedTuple):
    """What a header says of an image, or of a volume.

    Attributes:
        size: (h, w), of a volume (planes, h, w).
        bytes_each: of a pixel, or of a voxel, with all its channels.
        spacing: millimetres along these axes; None of pictures.
    """

    size: tuple[int, ...]
    bytes_each: int
    spacing: Spacing | None = None


def extent(locator: str) -> Extent | None:
    """Of a picture, or of the whole volume that a locator names a plane of; None where no header is understood."""
    target = Locator.parse(locator)
    if is_volume(target.path):
        return _of_volume(target)
    if target.member:
        return None
    try:
        with warnings.catch_warnings(action="ignore"), open_file(target.path) as file, open_picture(file) as image:
            return Extent((image.height, image.width), len(image.getbands()) * (2 if image.mode.startswith("I") else 1))
    except Exception as error:  # what is wrong with the file is told where it is decoded
        raise_shortage(error, reading=target.path)
        return None


def _of_volume(target: Locator) -> Extent | None:
    try:
        header = read_header(target.path)
    except DataError:  # likewise
        return None
    place = named_place(target.member)
    axis = place.axis if place else flat_axis(header.shape, header.affine)
    order, _ = to_lps(header.affine)
    size = tuple(header.shape[order[source]] for source in AXES[axis][0])
    components = header.shape[3] if len(header.shape) > 3 else 1
    return Extent(size, components * header.dtype.itemsize, spacing(header.affine, axis))
