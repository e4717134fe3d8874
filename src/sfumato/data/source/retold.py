"""One reading in two forms: contours (RTSTRUCT) of an image, and the DICOM segmentation (SEG) made of them.

    LUNG1-001/.../3.000000/1-1.dcm                    RTSTRUCT: GTV-1, Lung-Left, Lung-Right
    LUNG1-001/.../300.000000-Segmentation/1-1.dcm     SEG: the same labels, the same pixels

Taken for readers they would agree wholly. The segmentation is used, since it has pixels already. A few images are
looked at; labels are compared of all.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from sfumato.data.formats.dicom.structures import CONTOURS
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.named import foreground_names
from sfumato.data.source.overlap import VOLUMES_COMPARED, object_in
from sfumato.wording import counted

_SAME = 0.98
"""Dice from which on two forms show one reading: contours and pixels differ by their rims."""


class Retold(NamedTuple):
    """Contours that are left out, and a line about them."""

    contours: frozenset[SourceFile]
    notes: tuple[str, ...]


def retold(drawn_on: Mapping[SourceFile, str], headers: Mapping[str, VolumeHeader]) -> Retold:
    """The contours that show what a segmentation of the same image shows; none where a sample says otherwise.

    Args:
        drawn_on: DICOM segmentations and contours with the locator of their image; "" for none.
        headers: by locator.
    """
    pairs = dict[str, tuple[SourceFile, SourceFile]]()
    for image, masks in _of_each(drawn_on, headers).items():
        contours = [mask for mask in masks if headers[mask.locator].modality == CONTOURS]
        pixels = [mask for mask in masks if mask not in contours]
        if image and len(contours) == len(pixels) == 1 and _say_the_same(contours[0], pixels[0], headers):
            pairs[image] = contours[0], pixels[0]
    looked = list(pairs)[:: max(1, -(-len(pairs) // VOLUMES_COMPARED))]
    alike = all(_dice(*pairs[image], image) >= _SAME for image in looked)
    if not pairs or not alike:
        return Retold(frozenset(), ())
    apart = all(one.parts[:-1] != other.parts[:-1] for one, other in pairs.values())
    note = (
        "contours (RTSTRUCT) that show what a segmentation (SEG) of their image shows, with the same labels, are the "
        f"same reading in another form, not used: {counted(len(pairs), 'file')}; --readers-by "
        f"{'folder' if apart else 'suffix'} takes both, as two readers"
    )
    return Retold(frozenset(contours for contours, _ in pairs.values()), (note,))


def _of_each(drawn_on: Mapping[SourceFile, str], headers: Mapping[str, VolumeHeader]) -> Mapping[str, list[SourceFile]]:
    """The masks of each image whose headers are known."""
    owned = defaultdict[str, list[SourceFile]](list)
    for mask, image in drawn_on.items():
        if mask.locator in headers:
            owned[image].append(mask)
    return owned


def _say_the_same(one: SourceFile, other: SourceFile, headers: Mapping[str, VolumeHeader]) -> bool:
    """Whether two files have labels of the same names."""
    names = [set(foreground_names(headers[mask.locator]).values()) for mask in (one, other)]
    return names[0] == names[1] != set()


def _dice(one: SourceFile, other: SourceFile, image: str) -> float:
    """Dice of what two files show on an image; 0 where one cannot be read."""
    areas = [object_in(mask.locator, image) for mask in (one, other)]
    if areas[0] is None or areas[1] is None or areas[0].shape != areas[1].shape:
        return 0.0
    total = int(areas[0].sum()) + int(areas[1].sum())
    return 2 * int((areas[0] & areas[1]).sum()) / total if total else 1.0
