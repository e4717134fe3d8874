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
from sfumato.data.source.matching.overlap import VOLUMES_COMPARED, object_in
from sfumato.data.source.volumes.named import foreground_names
from sfumato.wording import counted

_SAME = 0.98
"""Dice from which on two forms show one reading: contours and pixels differ by their rims."""


class Retold(NamedTuple):
    """Contours that are left out, and a line about them."""

    contours: frozenset[SourceFile]
    notes: tuple[str, ...]


class _Forms(NamedTuple):
    """One reading of an image in two forms."""

    contours: SourceFile
    pixels: SourceFile


def retold(drawn_on: Mapping[SourceFile, str], headers: Mapping[str, VolumeHeader]) -> Retold:
    """The contours that show what a segmentation of the same image shows; none where a sample says otherwise.

    Args:
        drawn_on: DICOM segmentations and contours with the locator of their image; "" for none.
        headers: by locator.
    """
    forms = _forms_of_each(drawn_on, headers)
    looked = list(forms)[:: max(1, -(-len(forms) // VOLUMES_COMPARED))]
    alike = all(_dice(*forms[image], image) >= _SAME for image in looked)
    if not forms or not alike:
        return Retold(frozenset(), ())
    apart = all(one.parts[:-1] != other.parts[:-1] for one, other in forms.values())
    by = "folder" if apart else "suffix"
    note = (
        "contours (RTSTRUCT) that show what a segmentation (SEG) of their image shows, with the same labels, are the "
        f"same reading in another form, not used: {counted(len(forms), 'file')}; --readers-by {by} takes both, as two "
        "readers"
    )
    return Retold(frozenset(both.contours for both in forms.values()), (note,))


def _forms_of_each(drawn_on: Mapping[SourceFile, str], headers: Mapping[str, VolumeHeader]) -> dict[str, _Forms]:
    """The contours and the segmentation of each image that has one of both, with the same labels."""
    forms = dict[str, _Forms]()
    for image, masks in _of_each(drawn_on, headers).items():
        contours = [mask for mask in masks if headers[mask.locator].modality == CONTOURS]
        pixels = [mask for mask in masks if mask not in contours]
        if image and len(contours) == len(pixels) == 1 and _say_the_same(contours[0], pixels[0], headers):
            forms[image] = _Forms(contours[0], pixels[0])
    return forms


def _of_each(drawn_on: Mapping[SourceFile, str], headers: Mapping[str, VolumeHeader]) -> Mapping[str, list[SourceFile]]:
    """The masks of each image whose headers are known."""
    owned = defaultdict[str, list[SourceFile]](list)
    for mask, image in drawn_on.items():
        if mask.locator in headers:
            owned[image].append(mask)
    return owned


def _say_the_same(one: SourceFile, other: SourceFile, headers: Mapping[str, VolumeHeader]) -> bool:
    """Whether two files have labels of the same names."""
    first, second = (set(foreground_names(headers[mask.locator]).values()) for mask in (one, other))
    return first == second != set()


def _dice(one: SourceFile, other: SourceFile, image: str) -> float:
    """Dice of what two files show on an image; 0 where one cannot be read."""
    first, second = object_in(one.locator, image), object_in(other.locator, image)
    if first is None or second is None or first.shape != second.shape:
        return 0.0
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 1.0
