"""Units of length in headers of volumes: everything within is told in millimetres."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.grid import Affine
from sfumato.data.formats.volume import Alternative
from sfumato.errors import DataError
from sfumato.escape import visible

_MILLIMETRES = {
    "mm": 1.0,
    "millimeter": 1.0,
    "millimeters": 1.0,
    "millimetre": 1.0,
    "millimetres": 1.0,
    "um": 0.001,
    "\u00b5m": 0.001,
    "\u03bcm": 0.001,
    "micron": 0.001,
    "microns": 0.001,
    "micrometer": 0.001,
    "micrometers": 0.001,
    "micrometre": 0.001,
    "micrometres": 0.001,
    "nm": 1e-6,
    "nanometer": 1e-6,
    "nanometers": 1e-6,
    "nanometre": 1e-6,
    "nanometres": 1e-6,
    "cm": 10.0,
    "centimeter": 10.0,
    "centimeters": 10.0,
    "centimetre": 10.0,
    "centimetres": 10.0,
    "m": 1000.0,
    "meter": 1000.0,
    "meters": 1000.0,
    "metre": 1000.0,
    "metres": 1000.0,
}
"""Of units of length as headers spell them; both letters for micro are written."""


_UNKNOWN = ("", "?", "none", "unknown", "pixel", "pixels", "voxel", "voxels", "???")
"""What stands for no unit."""

IGNORING = "the place that programs give it which ignore its unit"


class LengthUnit(NamedTuple):
    """The unit of length of a header that names it in words.

    Attributes:
        millimetres: of one such unit.
        notes: what a person should know.
    """

    millimetres: float = 1.0
    notes: tuple[str, ...] = ()

    def alternatives(self, affine: Affine) -> tuple[Alternative, ...]:
        """Where programs take the voxels to lie that know no unit (ITK reads neither NRRD's nor MetaImage's).

        Args:
            affine: with lengths in this unit.
        """
        return () if self.millimetres == 1 else (Alternative(affine, IGNORING),)


def unit_of(path: Path, named: Iterable[str]) -> LengthUnit:
    """The unit of the axes in space, as a header of NRRD or MetaImage names it; millimetres where it does not.

    Raises:
        DataError: axes have different units.
    """
    said = sorted({name.strip() for name in named if name and name.strip().lower() not in _UNKNOWN})
    known = {_MILLIMETRES.get(name if name in _MILLIMETRES else name.lower()) for name in said}
    if len(known) > 1:
        raise DataError(
            f"{path}: its axes have several units of length ({', '.join(map(visible, said))})",
            expected="one unit for all axes in space",
            remedy="save it in millimetres",
            code="DATA-032",
        )
    if not said:
        return LengthUnit()
    if (found := known.pop()) is None:
        return LengthUnit(
            notes=(f"the unit of lengths is {visible(said[0])}, which is not known: taken for millimetres",)
        )
    return LengthUnit() if found == 1 else LengthUnit(found, (scaled_note(said[0]),))


def scaled(affine: Affine, millimetres: float) -> Affine:
    """An affine whose lengths are in another unit, in millimetres.

    Args:
        affine: from stored index to a place, in that unit.
        millimetres: of one such unit.
    """
    result = np.array(affine, np.float64)
    result[:3] *= millimetres
    return result


def scaled_note(unit: str) -> str:
    """What is said of a file whose lengths were scaled."""
    return f"lengths are in {unit}, says the header: scaled to millimetres"
