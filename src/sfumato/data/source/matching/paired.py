"""The patterns of images that have masks, and of these, where others of their names stand beside them without any."""

import re
from collections.abc import Sequence
from pathlib import Path

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.begun import ways_of_mask_folders
from sfumato.data.source.matching.byhand import compiled
from sfumato.data.source.matching.pairing import Matched, Parted
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.matching.ways import patterns_of, ways_of_kinds
from sfumato.data.source.patterns import pattern
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import read_folder


def way_of_paired(parted: Parted) -> str:
    """The patterns of images with masks and of these; empty where they would not be what is meant.

    They are where pictures without masks have the names of others that have some, and lie elsewhere.
    """
    owned = parted.matched.owned
    images = {image.entry.locator: image for image in parted.images}
    paired = [images[locator] for locator in owned if locator in images]
    bare = [images[locator] for locator in parted.matched.bare if locator in images]
    if not paired or not _are_further(bare, paired):
        return ""
    first = paired[0].entry.locator
    both = patterns_of(first, owned[first][0])
    if not both:
        return ""
    drawn = [image.entry for image in paired]
    masks = [mask.entry for image in drawn for mask in owned[image.locator]]
    image_pattern = _anywhere(both.images, [image.parts[:-1] for image in drawn])
    mask_pattern = _anywhere(both.masks, [mask.parts[:-1] for mask in masks])
    meant, of_masks = compiled(image_pattern, "--images"), compiled(mask_pattern, "--masks")
    if len(_fitting(meant, drawn)) < len(drawn) or len(_fitting(of_masks, masks)) < len(masks):
        return ""
    others = [image.entry for image in bare]
    if _fitting(meant, others) or _fitting(of_masks, others):
        return ""
    return PatternPair(image_pattern, mask_pattern).flags()


def ways_of_drawn(matched: Matched, entries: Sequence[SourceFile]) -> str:
    """The patterns of masks where those without an image may be other masks of images that have some; else empty."""
    orphans = set(matched.orphans)
    others = [entry for entry in entries if entry.locator in orphans]
    drawn = [mask.entry for masks in matched.owned.values() for mask in masks]
    if not others or not drawn:
        return ""
    names = {entry.stem for entry in drawn}
    if not matched.bare and all(entry.stem in names for entry in others):
        return ", or ".join(ways_of_kinds(matched.owned, others))
    return ", or ".join(ways_of_mask_folders([*drawn, *others], entries))


def _are_further(bare: Sequence[Picture], paired: Sequence[Picture]) -> bool:
    """Whether images without masks have the names of others that have some, and no folder says that they are masks."""
    names = {image.stem for image in paired}
    if not bare or any(image.stem not in names for image in bare):
        return False
    folders = {folder for image in bare for folder in image.entry.parts[:-1]}
    return all(read_folder(folder).role != "mask" for folder in folders)


def _fitting(pattern: re.Pattern[str], files: Sequence[SourceFile]) -> list[SourceFile]:
    return [file for file in files if pattern.fullmatch(file.where)]


def _anywhere(text: str, folders: Sequence[PathParts]) -> str:
    """A pattern of one file with the folders of all, where these are of one depth."""
    if len({len(parts) for parts in folders}) > 1:
        return text
    return "/".join(filter(None, (pattern(folders), Path(text).name)))
