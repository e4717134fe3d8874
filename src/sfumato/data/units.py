"""What gets one mask and one row of a table: an image, or all planes of a volume."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from sfumato.data.formats.archive import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.formats.volume import named_place
from sfumato.data.manifest import Case
from sfumato.data.volumes import as_volume, by_volume
from sfumato.errors import DataError
from sfumato.wording import counted

MaskFormat = Literal["same", "nii", "png"]
"""How masks are written: as their input, every volume as NIfTI, or every plane as a picture."""


class Unit(NamedTuple):
    """What gets one mask and one row: an image, or the planes of a volume, in order.

    Attributes:
        id: of the image or volume.
        cases: the image, or the planes.
        volume: the volume's file, if it is one.
    """

    id: str
    cases: tuple[Case, ...]
    volume: Path | None


def counted_cases(cases: Sequence[Case], what: str = "case") -> str:
    """How many cases there are; where they are planes of volumes, of how many volumes.

    Args:
        cases: images or planes.
        what: what to call one that is no plane.
    """
    volumes = {case.volume for case in cases} - {None}
    if volumes and all(case.volume for case in cases):
        return f"{counted(len(cases), 'plane')} of {counted(len(volumes), 'volume')}"
    return counted(len(cases), what)


def whole_volumes(cases: Sequence[Case]) -> list[Unit]:
    """Cases by volume, for models that see whole volumes.

    Raises:
        DataError: there is another image among them, or a volume that does not say where its voxels lie.
    """
    found = [Unit(as_volume(planes).id, planes, _volume_file(planes[0])) for planes in by_volume(cases)]
    if flat := next((unit for unit in found if unit.volume is None), None):
        raise DataError(
            f"{flat.cases[0].image} does not say where its voxels lie",
            expected="NIfTI, NRRD, MHA or DICOM, for a model that sees whole volumes",
            code="DATA-029",
        )
    return found


def units(cases: Sequence[Case], form: MaskFormat) -> list[Unit]:
    """Cases by image or volume; in the form "png", and of arrays and TIFF, every plane is an image."""
    if form == "png":
        return [Unit(case.id, (case,), None) for case in cases]
    members: dict[str, list[Case]] = {}
    for case in cases:
        members.setdefault(case.volume if case.volume and _is_of_volume_file(case) else case.id, []).append(case)
    return [Unit(name, tuple(planes), _volume_file(planes[0])) for name, planes in members.items()]


def _is_of_volume_file(case: Case) -> bool:
    """Whether a plane is one of a file that a mask of all planes can be written like; an array has no geometry."""
    member = Locator.parse(case.image or case.masks[0]).member
    return not member or named_place(member) is not None


def _volume_file(case: Case) -> Path | None:
    path = Locator.parse(case.image).path
    return path if is_volume(path) else None
