"""Series of a study that are no volume, and are none of its images: what is left out beside one, with a note.

    localizers            say so themselves (ImageType): scouts, topograms
    several directions    localizers that do not say so, of three planes each
    one place             images of one slice while time goes by, such as the tracking of a bolus
    secondary captures    screenshots and dose sheets, which lie nowhere

Only where there is a volume: a folder of localizers is a folder of images. Of what does not say what it is, the volume
must be of the same study (where files do not name it, of the same folder).
"""

from collections.abc import Sequence

import numpy as np

from sfumato.data.formats.dicom.facts import DicomFacts
from sfumato.data.formats.dicom.places import PARALLEL
from sfumato.wording import counted

Aside = tuple[list[DicomFacts], str]
"""Files that are left out, and why."""

NO_IMAGE_TYPES = ("Secondary Capture",)
"""Kinds of files that hold screenshots, by the beginnings of their names."""


def apart(groups: Sequence[list[DicomFacts]]) -> tuple[list[list[DicomFacts]], list[Aside]]:
    """Groups of files that are volumes (or should be), and those that are left out."""
    why = [_reason(files) for files in groups]
    whole = [files for files, reason in zip(groups, why, strict=True) if not reason and _is_volume(files)]
    studies = {_study(files[0]) for files in whole}
    kept, aside = list[list[DicomFacts]](), list[Aside]()
    for files, reason in zip(groups, why, strict=True):
        if reason and whole and (files[0].localizer or _study(files[0]) in studies):
            which = f"{counted(len(files), 'file')}, such as {files[0].path.name}"
            aside.append((files, f"{reason}, left out beside the volumes: {which}"))
        else:
            kept.append(files)
    return kept, aside


def _study(facts: DicomFacts) -> str:
    return facts.study or str(facts.path.parent)


def _is_volume(files: Sequence[DicomFacts]) -> bool:
    """Whether there are several slices."""
    encoding = files[0].encoding
    return len(files) > 1 or (encoding is not None and encoding.frame_count > 1 and files[0].segmentation is None)


def _reason(files: Sequence[DicomFacts]) -> str:
    """What some files are that are no volume; nothing where they may be one."""
    first = files[0]
    if first.segmentation is not None:
        return ""
    if first.localizer:
        return "a localizer"
    if not first.is_slice:
        return "a secondary capture" if first.sop.startswith(NO_IMAGE_TYPES) and not _is_volume(files) else ""
    if len(files) == 1:
        return ""
    directions = np.array([fact.frames[0].orientation for fact in files])
    if np.abs(directions - directions[0]).max() > PARALLEL:
        return "images in several directions"
    positions = np.array([fact.frames[0].position for fact in files])
    return "images of one place" if np.abs(positions - positions[0]).max() == 0 else ""
