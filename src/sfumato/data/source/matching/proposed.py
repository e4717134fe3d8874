"""Patterns that pair images with masks where names do not: what is told was tried on the files before.

p1/raw/T1.nii.gz, p1/raw/T2.nii.gz, p1/Masks/Manual_1.nii.gz ...      in the folder of each case
--images '**/{id}/raw/{channel}.nii.gz' --masks '**/{id}/Masks/Manual_{reader}.nii.gz'

01/t000.tif, 01_ST/SEG/man_seg000.tif ...                             by numbers (`source.numbered`)

a/s1/1.dcm, a_1/s1/1.dcm, a_1/s1/2.dcm ...                            in folders called after those of the images
--images '{id}/**/1.dcm' --masks '{id}_1/**/2.dcm'

scans/p1_0000.nii.gz, drawn/p1.nii.gz                                 by the ends of names
--images 'scans/{id}_0000.nii.gz' --masks 'drawn/{id}.nii.gz'

part1/Maps/FULL/1.bmp, part1/Maps/TOP/1.bmp, GT/Artery/1.bmp ...      several images and masks of one name
--images '**/FULL/{id}.bmp' --masks '**/Artery/{id}.bmp'              each kind once, to be combined as one likes
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import cycle, islice, takewhile
from pathlib import Path

from sfumato.data.formats.locator import BETWEEN
from sfumato.data.source.listing import PathParts, SourceFile, ending_among
from sfumato.data.source.matching.begun import patterns_of_beginnings
from sfumato.data.source.matching.byhand import images_by
from sfumato.data.source.matching.numbered import patterns_by_numbers, patterns_by_one_number
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.patterns import channels_in, common_start

_NUMBER = re.compile(r"(.*?[^\d])\d+")
"""A name that ends in a number."""

_SHOWN = 8
"""Proposals that are told."""


def flags_for_pairs(
    images: Sequence[SourceFile], masks: Sequence[SourceFile], among: Sequence[SourceFile], *, kept: int = 0
) -> str:
    """The flags that pair images with masks, as tried on the files; empty where none do.

    Args:
        images: those without a mask.
        masks: those without an image.
        among: all files of the source, to which patterns apply.
        kept: how many images have masks already: patterns that find fewer are no way.
    """
    bare, orphans = {one.locator for one in images}, {one.locator for one in masks}
    told = list[str]()
    for alternatives in _proposals(images, masks):
        for patterns in alternatives:
            if _pairs(patterns, among, bare, orphans) > max(1, kept):
                told.append(patterns.flags())
                break
    return ", or ".join(told[:_SHOWN]) or _flags_by_one_number(images, masks, among)


def _flags_by_one_number(images: Sequence[SourceFile], masks: Sequence[SourceFile], among: Sequence[SourceFile]) -> str:
    """The flags by a number that each image shares with its mask; empty where they find anything else."""
    bare, orphans = {one.locator for one in images}, {one.locator for one in masks}
    for patterns in patterns_by_one_number(images, masks):
        matched = patterns.matched(among)
        drawn = [mask.entry.locator for of_image in matched.owned.values() for mask in of_image] if matched else []
        if matched and len(drawn) > 1 and matched.owned.keys() <= bare and orphans.issuperset(drawn):
            return patterns.flags()
    return ""


def _proposals(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> list[list[PatternPair]]:
    """Patterns that may pair images with masks; of each list the first that does is told."""
    of_cases = patterns_of_cases([one.locator for one in images], [one.locator for one in masks])
    if of_cases is not None:
        return [[of_cases]]
    return [
        *([one] for one in patterns_of_beginnings(images, masks)),
        *_patterns_of_ends(images, masks),
        *_patterns_of_kinds(images, masks),
        *patterns_by_numbers(images, masks),
        *_patterns_of_folders(images, masks),
    ]


def flag_for_all(files: Sequence[SourceFile]) -> str:
    """The flag by which all files are images, with their folders where names come again; empty where none does."""
    for way in ("**/{id}.*", "**/{id}/{id}.*", "{id}/**/{id}/{id}.*"):
        if len(images_by(files, way)) == len(files):
            return f"--images '{way}'"
    return ""


def flags_for_channels(others: Sequence[SourceFile], owned: Mapping[str, Sequence[Owned]]) -> str:
    """The flags that take further pictures in the folder of each case as channels of its image; empty where none do.

    Args:
        others: the pictures, called after the image beside them with a word behind.
        owned: the masks of each image, in its folder.
    """
    patterns = _patterns_of_channels(owned)
    if patterns is None:
        return ""
    masks = [mask.entry for of_image in owned.values() for mask in of_image]
    images = [SourceFile(name, (*_folders_of(name, masks), Path(name).name)) for name in owned]
    matched = patterns.matched([*images, *others, *masks])
    if matched is None or matched.orphans or matched.owned.keys() != owned.keys():
        return ""
    taken = {channel.entry for files in matched.channels.values() for channel in files}
    return patterns.flags() if taken.issuperset(others) else ""


def _patterns_of_channels(owned: Mapping[str, Sequence[Owned]]) -> PatternPair | None:
    """Patterns of images of one name with channels behind it, and of the masks beside them; None for any others."""
    images, names = {Path(image).name for image in owned}, set[str]()
    for image, masks in owned.items():
        for mask in masks:
            if Path(mask.entry.locator).parent != Path(image).parent or len(mask.entry.parts) < 2:
                return None
            names.add(mask.entry.name)
    if len(images) > 1:
        return None
    ending = ending_among(images)
    image_name = images.pop().removesuffix(ending)
    mask_name = names.pop() if len(names) == 1 else "{class}" + ending_among(sorted(names))
    return PatternPair(f"**/{{id}}/{image_name}{{channel}}{ending}", f"**/{{id}}/{mask_name}")


def _folders_of(image: str, masks: Sequence[SourceFile]) -> tuple[str, ...]:
    """The folders below the source of an image, which are those of a mask beside it."""
    folder = os.path.dirname(image)  # noqa: PTH120 - a Path for each is slow
    return next(mask.parts[:-1] for mask in masks if os.path.dirname(mask.locator) == folder)  # noqa: PTH120


def _pairs(
    patterns: PatternPair, among: Sequence[SourceFile], images: AbstractSet[str], masks: AbstractSet[str]
) -> int:
    """How many images patterns find masks for; none where most masks have no image, or one is taken for the other."""
    matched = patterns.matched(among)
    if matched is None:
        return 0
    drawn = [mask.entry.locator for masks in matched.owned.values() for mask in masks]
    if len(matched.orphans) >= len(drawn) or not images.isdisjoint(drawn) or not masks.isdisjoint(matched.owned):
        return 0
    return len(matched.owned)


def patterns_of_cases(images: Sequence[str], masks: Sequence[str]) -> PatternPair | None:
    """The patterns that pair images with masks by the folders in which both lie; None where they share none.

    The names of both must come again in the folders of other cases.

    Args:
        images: locators of images without a mask.
        masks: locators of masks without an image.
    """
    if not images or not masks or any(BETWEEN in locator for locator in (*images, *masks)):
        return None
    drawn = _of_readers(masks)
    root = len(Path(os.path.commonpath([*images, *masks])).parts)
    image, mask = Path(images[0]).parts[root:], Path(drawn).parts[root:]
    shared = _shared_folders(image, mask)
    beside = _names_beside(images)
    again = Counter(map(os.path.basename, (*images, drawn, *masks)))
    if not shared or any(again[name] < 2 for name in beside) or again[mask[-1]] < 3:
        return None
    if mask[-1] in beside and _are_frames(beside):
        return None
    case = "**/" + "{id}/" * shared
    image_pattern = "/".join((*image[shared:-1], channels_in(beside)))
    mask_pattern = "/".join((*mask[shared:-1], _readers(mask[-1], masks)))
    return PatternPair(case + image_pattern, case + mask_pattern)


def _shared_folders(one: PathParts, other: PathParts) -> int:
    """How many folders two paths begin with are the same."""
    folders = zip(one[:-1], other[:-1], strict=False)
    return sum(1 for _ in takewhile(lambda both: both[0] == both[1], folders))


def _names_beside(images: Sequence[str]) -> list[str]:
    """The names of the images in the folder of the first."""
    home, _ = os.path.split(images[0])
    return [name for folder, name in map(os.path.split, images) if folder == home]


def _are_frames(names: Sequence[str]) -> bool:
    """Whether several names differ by numbers alone, as those of frames do, whose masks have their numbers."""
    return len(names) > 1 and len({re.sub(r"\d+", "", name) for name in names}) == 1


def _patterns_of_kinds(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> list[list[PatternPair]]:
    """Patterns of images and masks of the same names in folders called after what they show, each kind once."""
    of_images, of_masks = _of_kinds(images, masks), _of_kinds(masks, images)
    if not of_images or not of_masks or len(of_images) + len(of_masks) < 3:
        return []
    most = max(len(of_images), len(of_masks))
    both = zip(cycle(of_images), cycle(of_masks), strict=False)
    return [[PatternPair(*patterns)] for patterns in islice(both, most)]


def _patterns_of_ends(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> list[list[PatternPair]]:
    """The pattern of images in one folder and masks in another, whose names differ by the last word or number."""
    folders = [{entry.parts[:-1] for entry in files} for files in (images, masks)]
    if any(len(of_kind) != 1 for of_kind in folders) or folders[0] == folders[1]:
        return []
    ends = [_end_of_all(files) for files in (images, masks)]
    names = [
        {entry.stem.removesuffix(end) for entry in files} for files, end in zip((images, masks), ends, strict=True)
    ]
    if not any(ends) or 2 * len(names[0] & names[1]) <= len(names[1]):
        return []
    of_images, of_masks = (
        "/".join((*files[0].parts[:-1], f"{{id}}{end}{ending_among([entry.name for entry in files])}"))
        for files, end in zip((images, masks), ends, strict=True)
    )
    return [[PatternPair(of_images, of_masks)]]


def _end_of_all(files: Sequence[SourceFile]) -> str:
    """The last word or number of all names, with the separator before it; empty where they differ."""
    ends = {found[0] if (found := re.search(r"[ _.-][^ _.-]+$", entry.stem)) else "" for entry in files}
    return ends.pop() if len(ends) == 1 else ""


def _of_kinds(files: Sequence[SourceFile], others: Sequence[SourceFile]) -> list[str]:
    """A pattern for each folder most of whose files have the name of one of the others, by its name."""
    names = {entry.stem for folder in _by_folder(others).values() for entry in folder}
    patterns = list[str]()
    for folder, inside in _by_folder(files).items():
        if 2 * sum(entry.stem in names for entry in inside) > len(inside):
            patterns.append(f"**/{folder}/{{id}}{ending_among([entry.name for entry in inside])}")
    return patterns


def _patterns_of_folders(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> list[list[PatternPair]]:
    """Patterns of masks in first folders called after those of the images and one word or number behind, by file."""
    names = {entry.name for entry in images}
    if len(names) != 1 or any(len(entry.parts) < 3 for entry in (*images, *masks)):
        return []
    behind = _behind_owners(masks, {entry.parts[0] for entry in images})
    place = common_start(sorted({entry.parts[-2] for entry in images}))
    if len({word for word, _ in behind}) != 1 or not re.search(r"[^\W\d]", place):
        return []  # folders without words hold the images as well as parts of them
    image = f"{{id}}/**/{place}*/{names.pop()}"
    return [[PatternPair(image, f"{{id}}{word}/**/{name}")] for word, name in sorted(behind)]


def _behind_owners(masks: Sequence[SourceFile], owners: AbstractSet[str]) -> set[tuple[str, str]]:
    """What the first folders of masks have behind the name of a folder of images, each with the name of a mask."""
    behind = set[tuple[str, str]]()
    for mask in masks:
        owner = re.sub(r"[ _.-][^ _.-]+$", "", mask.parts[0])
        if owner in owners and owner != mask.parts[0]:
            behind.add((mask.parts[0].removeprefix(owner), mask.name))
    return behind


def _by_folder(entries: Iterable[SourceFile]) -> Mapping[str, list[SourceFile]]:
    """Files by the name of the folder that holds them."""
    found = defaultdict[str, list[SourceFile]](list)
    for entry in entries:
        if len(entry.parts) > 1:
            found[entry.parts[-2]].append(entry)
    return found


def _of_readers(masks: Sequence[str]) -> str:
    """The first mask that is numbered, else the first."""
    return next((mask for mask in masks if _NUMBER.fullmatch(_stem(mask))), masks[0])


def _readers(name: str, masks: Sequence[str]) -> str:
    """The name of a mask, with {reader} for a number that others have otherwise."""
    ending = ending_among([name])
    stem = name.removesuffix(ending)
    found = _NUMBER.fullmatch(stem)
    if found and any(_stem(mask) != stem and _stem(mask).startswith(found[1]) for mask in masks):
        return f"{found[1]}{{reader}}{ending}"
    return name


def _stem(locator: str) -> str:
    name = Path(locator).name
    return name.removesuffix(ending_among([name]))
