"""Masks without an image in the folder of a case that show what its files of classes show together.

    p1/PATIENT_DICOM   p1/MASKS_DICOM/liver   p1/MASKS_DICOM/bone      p1/LABELLED_DICOM (3D-IRCADb)

They are these classes again, as numbers without names. The files with names are used, and the others are told.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.encodings import Seen, look
from sfumato.data.source.matching.pairing import Matched, Owned
from sfumato.data.source.patterns import told_files

_SAMPLE = 3
"""Cases that are looked at."""


def without_joint_masks(matched: Matched, entries: Sequence[SourceFile]) -> tuple[Matched, list[str]]:
    """What was matched without masks of all classes together, and a note on these.

    Args:
        matched: the masks of each image, which are files of classes.
        entries: the files.
    """
    orphans = set(matched.orphans)
    joint = [entry for entry in entries if entry.locator in orphans]
    images = _alone_in_folders([entry for entry in entries if entry.locator in matched.owned])
    pairs = [(images[mask.parts[:-1]], mask) for mask in joint if mask.parts[:-1] in images]
    if not joint or len(pairs) < len(joint) or len({image for image, _ in pairs}) < len(pairs):
        return matched, []
    if not all(_show_same(mask, matched.owned[image.locator]) for image, mask in pairs[:_SAMPLE]):
        return matched, []
    note = f"masks of all classes of a case in one, beside its files of classes, not used: {told_files(joint)}"
    return matched._replace(orphans=[]), [f"{note}; {_way(pairs)}"]


def _way(pairs: Sequence[tuple[SourceFile, SourceFile]]) -> str:
    """How these masks are taken instead: by names that come again in the folder of each case, where they do."""
    names = {(image.name, mask.name) for image, mask in pairs}
    if len(names) > 1 or len(pairs[0][0].parts) < 2:
        return "--images and --masks with a pattern take them"
    image, mask = names.pop()
    return f"--images '**/{{id}}/{image}' --masks '**/{{id}}/{mask}' takes them"


def _alone_in_folders(images: Sequence[SourceFile]) -> Mapping[PathParts, SourceFile]:
    """The images that are alone in their folder, by it."""
    count = Counter(image.parts[:-1] for image in images)
    return {image.parts[:-1]: image for image in images if count[image.parts[:-1]] == 1}


def _show_same(joint: SourceFile, classes: Sequence[Owned]) -> bool:
    """Whether a file shows what others show together."""
    one, *others = [look(entry.locator) for entry in (joint, *(mask.entry for mask in classes))]
    areas = [other.areas[0] for other in others if other is not None]
    if one is None or len(areas) < len(others) or len({area.shape for area in areas}) > 1:
        return False
    return one.shows_same(Seen((np.logical_or.reduce(areas),), frozenset({1})))
