"""How much a pixel of an image, or a voxel of a volume, covers in the patient: the unit of areas and volumes."""

import math
from typing import Literal, NamedTuple

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.scan import is_volume, read_header
from sfumato.data.formats.volume import flat_axis, named_place, spacing

SizeUnit = Literal["mm2", "mm3", "pixels", "voxels"]
"""Square millimetres, cubic millimetres, or plain counts where no file says millimetres; as UCUM writes them."""


class PixelSize(NamedTuple):
    """What one pixel or voxel covers.

    Attributes:
        covers: in the unit; 1 of plain counts.
        unit: of areas and volumes.
    """

    covers: float
    unit: SizeUnit


def pixel_size(locator: str, *, planes: int = 1) -> PixelSize:
    """The area of a pixel of an image, or the volume of a voxel, by the header of its file.

    Pictures do not say it; nor does a volume whose millimetres were assumed (`VolumeHeader.measured`).

    Args:
        locator: an image, or a plane of a volume.
        planes: that are counted together; a single one has an area.

    Raises:
        DataError: the file is damaged, or not understood.
    """
    target, is_solid = Locator.parse(locator), planes > 1
    header = read_header(target.path) if is_volume(target.path) else None
    if header is None or not header.measured:
        return PixelSize(1.0, "voxels" if is_solid else "pixels")
    place = named_place(target.member)
    steps = spacing(header.affine, place.axis if place else flat_axis(header.shape, header.affine))
    return PixelSize(math.prod(steps), "mm3") if is_solid else PixelSize(math.prod(steps[1:]), "mm2")
