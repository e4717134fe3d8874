"""Patterns of images and masks in the folder of each case whose names begin alike, and go on in the same ways.

    case_01/case_01_IMG_CT.nrrd, case_01_OAR_A_Carotid_L.seg.nrrd, case_01_OAR_Brainstem.seg.nrrd ...
    --images '**/{id}_IMG_CT.nrrd' --masks '**/{id}_OAR_{class}.seg.nrrd'

Scans on whose grid no mask lies (`case_01_IMG_MR_T1.nrrd`) are no images of theirs. The same of folders of masks, each
with an end of its own:

    images/p1/p1_T1.nii.gz, p1_FLAIR.nii.gz     automated/p1_approx_segm.nii.gz     corrected/p1_segm.nii.gz
    --images 'images/**/{id}_{channel}.nii.gz' --masks 'automated/{id}_approx_segm.nii.gz', or those of the other folder
"""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import takewhile

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.ongrid import lies_on
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.patterns import channels_in, common_start

_MOST = 6
"""Folders of masks whose patterns are told; more are those of cases."""

_Case = tuple[list[SourceFile], list[SourceFile]]
"""The images of a folder, and its masks."""


def patterns_of_beginnings(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> list[PatternPair]:
    """Patterns of each kind of images on whose grid the masks lie, with these; none where names do not begin so.

    Args:
        images: those without a mask.
        masks: those without an image.
    """
    cases = _cases(images, masks)
    begun = {folder: _beginning([*of_images, *of_masks]) for folder, (of_images, of_masks) in cases.items()}
    if len(cases) < 2 or not all(begun.values()) or len(set(begun.values())) < len(cases):
        return []
    behind = Counter(image.name[len(begun[folder]) :] for folder, (found, _) in cases.items() for image in found)
    of_masks = {mask.name[len(begun[folder]) :] for folder, (_, found) in cases.items() for mask in found}
    drawn = _with_class(sorted(of_masks))
    found = [kind for kind, count in behind.items() if 2 * count > len(cases) and _is_drawn_on(kind, cases, begun)]
    return [PatternPair(f"**/{{id}}{kind}", f"**/{{id}}{drawn}") for kind in found]


def ways_of_mask_folders(masks: Sequence[SourceFile], entries: Sequence[SourceFile]) -> list[str]:
    """The flags of the masks of each folder, and of the images whose names begin like these, as tried on the files.

    Args:
        masks: all of a source, with an image and without.
        entries: all files.
    """
    folders = defaultdict[PathParts, list[SourceFile]](list)
    for mask in masks:
        folders[mask.parts[:-1]].append(mask)
    drawn = set(masks)
    images = [entry for entry in entries if entry not in drawn]
    if not 1 < len(folders) <= _MOST or not all(folders):
        return []
    ways = [_of_folder(folder, files, images) for folder, files in folders.items()]
    return list(filter(None, (_tried(way, entries) for way in ways if way is not None)))


def _of_folder(folder: PathParts, masks: Sequence[SourceFile], images: Sequence[SourceFile]) -> PatternPair | None:
    """The patterns of the masks of a folder, which end alike, and of images whose names begin like theirs."""
    end = re.sub(r"^(?:[ _.-]\d+)+(?=[ _.-])", "", _common_end([mask.name for mask in masks]))  # of a visit
    ids = {mask.name.removesuffix(end) for mask in masks}
    behind, folders = Counter[str](), list[PathParts]()
    for image in images:
        starts = [image.name[: place.start()] for place in re.finditer(r"[ _.-]", image.name)]
        if begun := max((start for start in starts if start in ids), key=len, default=""):
            behind[image.name[len(begun) :]] += 1
            folders.append(image.parts[:-1])
    most = sorted(name for name, count in behind.items() if 2 * count > len(ids))
    if len(masks) < 2 or not most:
        return None
    levels = takewhile(lambda names: len(set(names)) == 1, zip(*folders, strict=False))
    above = "".join(f"{names[0]}/" for names in levels)
    return PatternPair(f"{above}**/{{id}}{channels_in(most)}", f"{'/'.join(folder)}/{{id}}{end}")


def _common_end(names: Sequence[str]) -> str:
    """What all names end with, from a separator on."""
    end = common_start([name[::-1] for name in names])[::-1]
    return end[re.search(r"[ _.-]|$", end).start() :]  # type: ignore[union-attr]


def _tried(way: PatternPair, entries: Sequence[SourceFile]) -> str:
    """The flags of patterns that give most of the masks that they fit an image, of as many channels; else empty."""
    matched = way.matched(entries)
    if matched is None or len(matched.owned) <= len(matched.orphans):
        return ""
    if len({len(matched.channels.get(image, (image,))) for image in (*matched.owned, *matched.bare)}) > 1:
        return ""
    return way.flags() + (" --drop-unpaired" if matched.unpaired else "")


def _cases(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> Mapping[PathParts, _Case]:
    """The folders that hold images and masks."""
    cases = defaultdict[PathParts, _Case](lambda: ([], []))
    for place, files in enumerate((images, masks)):
        for entry in files:
            cases[entry.parts[:-1]][place].append(entry)
    return {folder: case for folder, case in cases.items() if all(case)}


def _beginning(files: Sequence[SourceFile]) -> str:
    """What the names of a case begin with, without the last separator; empty where nothing with a number is common."""
    common = common_start([entry.name for entry in files])
    start = re.sub(r"[ _.-]+[^ _.-]*$", "", common)
    return start if re.search(r"\d", start) else ""


def _with_class(behind: Sequence[str]) -> str:
    """How masks go on, with {class} for what differs."""
    if len(behind) == 1:
        return behind[0]
    start = re.sub(r"[^ _.-]+$", "", common_start(behind))
    return f"{start}{{class}}{_common_end([one[len(start) :] for one in behind])}"


def _is_drawn_on(kind: str, cases: Mapping[PathParts, _Case], begun: Mapping[PathParts, str]) -> bool:
    """Whether a mask lies on the grid of the image of a kind, in the first case that has one."""
    for folder, (images, masks) in cases.items():
        for image in images:
            if image.name == begun[folder] + kind:
                return lies_on(image.locator, masks[0].locator)
    return False
