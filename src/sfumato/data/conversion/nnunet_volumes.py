"""Volumes for nnU-Net: whole, in stored order, with their place in the patient, although cases are planes of them."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sfumato.data.channels import channels_within
from sfumato.data.conversion.nnunet import describe, label_indices, open_part, refuse_without_masks
from sfumato.data.conversion.setting import Conversion, ConversionStep, refuse_other_size
from sfumato.data.formats import nifti
from sfumato.data.formats.archive import Locator
from sfumato.data.formats.dicom.contours import is_structure_set
from sfumato.data.formats.dicom.drawn import seg_offset
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.joined import at_member, each_part, mask_parts, mask_words
from sfumato.data.formats.laid import Laid, lay_mask
from sfumato.data.formats.scan import is_volume, read_header, read_volume
from sfumato.data.formats.volume import Volume, as_stored, named_place
from sfumato.data.manifest import Case, file_names
from sfumato.errors import DataError, UsageError, listed

_ENDING = ".nii.gz"


class _Scan(NamedTuple):
    """A volume: its name, one of its planes to stand for it, and how many planes it has among the cases."""

    name: str
    case: Case
    planes: int


def holds_volumes(cases: Sequence[Case]) -> bool:
    """Whether the cases are planes of volumes.

    Raises:
        DataError: some are and some are not.
    """
    flat = [case.id for case in cases if not is_volume(Locator.parse(case.image).path)]
    if flat and len(flat) < len(cases):
        finding = f"{len(flat)} of {len(cases)} cases are images, the others planes of volumes:\n{listed(flat)}"
        raise DataError(finding, expected="only images, or only volumes", code="DATA-102")
    return not flat


def write_nnunet_volumes(conversion: Conversion, folder: Path) -> Iterator[ConversionStep]:
    """Write the volumes that the cases are planes of below an empty folder.

    Raises:
        DataError: there are no masks, a volume has planes in several splits, or its numbers are no image of one
            channel.
        UsageError: another size is asked for.
    """
    if conversion.size is not None:
        remedy = "leave --size out; or convert the planes: --to folder"
        raise UsageError("volumes keep their size", expected="volumes as they are", remedy=remedy)
    refuse_without_masks(conversion.cases)
    if any(channels_within(case) == "planes" for case in conversion.cases):
        raise UsageError(
            "the planes of these volumes are channels of images, which volumes cannot say",
            expected="volumes whose planes lie one behind the other",
            remedy="convert them as images: --to folder",
        )
    scans = _scans(conversion.cases)
    assert conversion.meaning is not None
    done = len(conversion.cases)
    for scan in scans:
        part = open_part(folder, scan.case.split)
        for number, locator in enumerate((scan.case.image, *scan.case.channels)):
            volume = _component(locator)
            nifti.write_volume(part.images / f"{scan.name}_{number:04d}{_ENDING}", volume.voxels, volume.affine)
        if scan.case.masks:
            labels = _labels(conversion, scan.case)
            nifti.write_volume(part.labels / f"{scan.name}{_ENDING}", labels.voxels, labels.affine, label=True)
        done += scan.planes
        yield ConversionStep(done, 2 * len(conversion.cases), scan.name)
    splits = {scan.name: scan.case.split or "" for scan in scans}
    describe(folder, conversion, splits, channels=_channels(conversion), ending=_ENDING)


def _scans(cases: Sequence[Case]) -> list[_Scan]:
    planes: dict[str, list[Case]] = {}
    for case in cases:
        planes.setdefault(case.volume or case.id, []).append(case)
    if torn := [name for name, members in planes.items() if len({case.split for case in members}) > 1]:
        finding = f"{len(torn)} volumes have planes in several splits:\n{listed(torn)}"
        raise DataError(finding, expected="a volume in one split", code="DATA-103")
    names = file_names(list(planes))
    return [_Scan(name, members[0], len(members)) for name, members in zip(names, planes.values(), strict=True)]


def _component(locator: str) -> Volume:
    """The volume that a plane's locator names, of one component."""
    target = Locator.parse(locator)
    volume = read_volume(target.path)
    component = target.member.split("/")[2:]
    if volume.voxels.ndim == 3:
        return volume
    if component:
        return Volume(voxels=volume.voxels[..., int(component[0])], affine=volume.affine)
    raise DataError(
        f"{target.path} has {volume.voxels.shape[3]} components",
        expected="one number per voxel",
        remedy="choose one with --component",
        code="DATA-009",
    )


def _labels(conversion: Conversion, case: Case) -> Volume:
    """The label volume of the first reader as class indices, on the grid of the image."""
    assert conversion.meaning is not None
    mask, image = case.masks[0], read_volume(Locator.parse(case.image).path)
    planes = _axial(Locator.parse(case.image).path, mask, len(image.planes("axial")))
    stack = np.stack([label_indices(read_mask(plane), conversion.meaning) for plane in planes])
    refuse_other_size(case, mask_words(at_member(mask, "")), stack, image.planes("axial").shape[:3])
    return Volume(voxels=as_stored(stack, "axial", image.affine), affine=image.affine)


def _axial(image: Path, mask: str, count: int) -> Iterator[str]:
    """The planes of a mask, and of each of its files, on all axial planes of its image."""
    planes = {part.locator: _planes_of(image, part.locator, count) for part in mask_parts(mask)}
    for number in range(count):
        yield each_part(mask, partial(_one_of, planes, number))


def _one_of(planes: Mapping[str, Sequence[str]], number: int, drawn: str) -> str:
    return planes[drawn][number]


def _planes_of(image: Path, drawn: str, count: int) -> list[str]:
    """The planes of a file of a mask that lie on the axial planes of its image."""
    locator = Locator.parse(drawn)
    place, offset = named_place(locator.member), 0
    if is_structure_set(locator.path):
        laid = Laid()
    elif read_header(locator.path).modality == "SEG":
        laid, offset = Laid(), seg_offset(image, locator.path, "axial")
    else:
        laid = lay_mask(image, locator.path)
    laid = laid._replace(values=place.values if place else ())
    component = f"/{place.component}" if place and place.component is not None else ""
    members = [laid.member("axial", number - offset).partition("@") for number in range(count)]
    return [f"{locator.path}::{plane}{component}{at}{how}" for plane, at, how in members]


def _channels(conversion: Conversion) -> tuple[str, ...]:
    case = conversion.cases[0]
    if case.channels:
        return tuple(f"channel {number}" for number in range(1 + len(case.channels)))
    return (conversion.found.modality or "image",)
