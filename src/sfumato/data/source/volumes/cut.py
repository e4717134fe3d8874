"""Volumes cut into planes: a case for each, whose masks are the planes of the masks that lie on it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from sfumato.data.formats.dicom.structures import CONTOURS
from sfumato.data.formats.joined import ON, MaskPart, joined_name, mask_parts
from sfumato.data.formats.volume import Axis, VolumeHeader, count_planes
from sfumato.data.manifest import Case
from sfumato.data.source.volumes.volume_case import VolumeCase, is_segmentation


def cut_into_planes(volume: VolumeCase, axis: Axis) -> list[Case]:
    """The planes of a volume; the case itself where it is a single one, or where its planes are channels."""
    if volume.stacked:
        return [_of_channels(volume.case, volume.header, volume.stacked)]
    if _is_one_plane(volume):
        return [volume.case]
    offsets = {mask: _offset(volume.case.image, mask, header, axis) for mask, header in volume.masks.items()}
    count = count_planes(volume.header, axis)
    digits = max(3, len(str(count - 1)))
    return [_plane(volume, axis, number, f"{number:0{digits}d}", offsets) for number in range(count)]


def _of_channels(case: Case, header: VolumeHeader, axis: Axis) -> Case:
    """The case of a volume whose planes are channels of one image."""
    image, *channels = [f"{case.image}::{axis}/{number}" for number in range(count_planes(header, axis))]
    return replace(case, image=image, channels=tuple(channels))


def _is_one_plane(volume: VolumeCase) -> bool:
    """Whether a volume is a plane with masks that are read as they are."""
    if 1 not in volume.header.shape[:3] or volume.components:
        return False
    if any(header.modality in ("SEG", CONTOURS) for header in volume.masks.values()):
        return False
    return not any(laid.codes or laid.box or laid.values for laid in volume.laid.values())


def _plane(volume: VolumeCase, axis: Axis, number: int, name: str, offsets: Mapping[str, int]) -> Case:
    """The case of a plane."""
    case, parts = volume.case, [f"/{component}" for component in volume.components] or [""]
    image, *channels = [f"{file}::{axis}/{number}{part}" for file in (case.image, *case.channels) for part in parts]
    return replace(
        case,
        id=f"{case.id}_{name}",
        image=image,
        channels=tuple(channels),
        masks=tuple(_on_plane(volume, mask, axis, number, offsets) for mask in case.masks),
        volume=case.id,
        patient=case.patient or case.id,
    )


def _on_plane(volume: VolumeCase, mask: str, axis: Axis, number: int, offsets: Mapping[str, int]) -> str:
    """The planes of a mask's files that lie on a plane of the image; contours are followed by it."""
    parts = list[MaskPart]()
    for role, locator in mask_parts(mask):
        header = volume.masks[locator]
        frame = volume.components[0] if len(header.shape) > 3 else None
        member = volume.laid[locator].member(axis, number - offsets[locator], frame)
        parts.append(MaskPart(role, f"{locator}::{member}"))
        if header.modality == CONTOURS:
            parts.append(MaskPart(ON, volume.case.image))
    return joined_name(parts)


def _offset(image: str, mask: str, header: VolumeHeader, axis: Axis) -> int:
    """The number of the image's plane at which the first plane of a mask lies."""
    if not is_segmentation(header):
        return 0
    from sfumato.data.formats.dicom.drawn import seg_offset

    return seg_offset(Path(image), Path(mask), axis)
