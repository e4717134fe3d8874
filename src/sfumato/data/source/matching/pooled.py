"""Folders of copies of images that lie in several others, as sets bring them beside images by centre or sequence.

    data_C1/images/a.jpg, data_C1/masks/a_mask.jpg, data_C2/images/b.jpg ...      all_images/a.jpg, b.jpg

Beside masks the copies would be images without any, and their names would be there twice: they are left out, and told.
"""

import filecmp
import os
from collections import defaultdict
from collections.abc import Sequence

from sfumato.data.formats.locator import BETWEEN
from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.patterns import told_files
from sfumato.data.source.picture import Picture

_LEAST = 2
"""Folders at least that a pool holds the images of."""


def without_pools(images: Sequence[Picture]) -> tuple[list[Picture], list[str]]:
    """The images without those of folders that hold copies of others alone, and a note on these."""
    if any(BETWEEN in image.entry.locator for image in images):
        return list(images), []
    by_name, by_folder = defaultdict[str, list[SourceFile]](list), defaultdict[PathParts, list[SourceFile]](list)
    for image in images:
        by_name[image.entry.name].append(image.entry)
        by_folder[image.entry.parts[:-1]].append(image.entry)
    pools = {folder for folder, entries in by_folder.items() if _is_pool(entries, by_name)}
    if not pools:
        return list(images), []
    copies = [image.entry for image in images if image.entry.parts[:-1] in pools]
    note = f"copies of images that lie in several folders, byte by byte, not used: {told_files(copies)}"
    return [image for image in images if image.entry.parts[:-1] not in pools], [note]


def _is_pool(entries: Sequence[SourceFile], by_name: dict[str, list[SourceFile]]) -> bool:
    """Whether each file of a folder is the one other of its name, these in several folders; contents come last."""
    if any(len(by_name[entry.name]) != 2 or not entry.locator.endswith(entry.name) for entry in entries):
        return False
    others = [other for entry in entries for other in by_name[entry.name] if other is not entry]
    if len({other.parts[:-1] for other in others}) < _LEAST:
        return False
    both = [(entry.locator, other.locator) for entry, other in zip(entries, others, strict=True)]
    return all(_size(one) == _size(other) for one, other in both) and all(
        filecmp.cmp(one, other, shallow=False) for one, other in both
    )


def _size(locator: str) -> int:
    return os.stat(locator).st_size  # noqa: PTH116 - a Path each is slow
