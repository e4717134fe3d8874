"""Patterns that pair images with masks where names do not: what is told was tried on the files before.

p1/raw/T1.nii.gz, p1/raw/T2.nii.gz, p1/Masks/Manual_1.nii.gz ...      in the folder of each case
--images '**/{id}/raw/{channel}.nii.gz' --masks '**/{id}/Masks/Manual_{reader}.nii.gz'

01/t000.tif, 01_ST/SEG/man_seg000.tif ...                             by numbers (`source.numbered`)

a/s1/1.dcm, a_1/s1/1.dcm, a_1/s1/2.dcm ...                            in folders called after those of the images
--images '{id}/**/1.dcm' --masks '{id}_1/**/2.dcm'

part1/Maps/FULL/1.bmp, part1/Maps/TOP/1.bmp, GT/Artery/1.bmp ...      several images and masks of one name
--images '**/FULL/{id}.bmp' --masks '**/Artery/{id}.bmp'              each kind once, to be combined as one likes
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path

from sfumato.data.formats.locator import BETWEEN
from sfumato.data.source.byhand import by_patterns
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.listing import SourceFile, ending_among
from sfumato.data.source.numbered import patterns_by_numbers
from sfumato.data.source.pairing import Owned
from sfumato.data.source.patterns import common_start
from sfumato.errors import DataError, UsageError

_NUMBER = re.compile(r"(.*?[^\d])\d+")
"""A name that ends in a number."""

_SHOWN = 8
"""Proposals that are told."""

_Patterns = tuple[str, str]


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
    ways = (
        [[found]]
        if (found := patterns_of_cases([one.locator for one in images], [one.locator for one in masks]))
        else [
            *_patterns_of_kinds(images, masks),
            *patterns_by_numbers(images, masks),
            *_patterns_of_folders(images, masks),
        ]
    )
    bare = {one.locator for one in images}
    works = [next((one for one in several if _pairs(one, among, bare) > max(1, kept)), None) for several in ways]
    told = [f"--images '{one[0]}' --masks '{one[1]}'" for one in works if one is not None]
    return ", or ".join(told[:_SHOWN])


def flags_for_channels(others: Sequence[SourceFile], owned: Mapping[str, Sequence[Owned]]) -> str:
    """The flags that take further pictures in the folder of each case as channels of its image; empty where none do.

    Args:
        others: the pictures, called after the image beside them with a word behind.
        owned: the masks of each image, in its folder.
    """
    images = {Path(image).name for image in owned}
    masks = [mask.entry for of_image in owned.values() for mask in of_image]
    beside = all(Path(mask.entry.locator).parent == Path(image).parent for image, of in owned.items() for mask in of)
    if len(images) > 1 or not beside or any(len(entry.parts) < 2 for entry in masks):
        return ""
    ending, names = ending_among(images), sorted({mask.name for mask in masks})
    image = f"**/{{id}}/{images.pop().removesuffix(ending)}{{channel}}{ending}"
    mask = f"**/{{id}}/{names[0] if len(names) == 1 else '{class}' + ending_among(names)}"
    among = [*(SourceFile(name, (*_folders_of(name, masks), Path(name).name)) for name in owned), *others, *masks]
    try:
        matched = by_patterns(among, None, ReadOptions(images=image, masks=mask)).matched
    except (DataError, UsageError):
        return ""
    taken = {channel.entry for files in matched.channels.values() for channel in files}
    works = matched.owned.keys() == owned.keys() and taken.issuperset(others) and not matched.orphans
    return f"--images '{image}' --masks '{mask}'" if works else ""


def _folders_of(image: str, masks: Sequence[SourceFile]) -> tuple[str, ...]:
    """The folders below the source of an image, which are those of a mask beside it."""
    folder = os.path.dirname(image)  # noqa: PTH120 - a Path for each is slow
    return next(mask.parts[:-1] for mask in masks if os.path.dirname(mask.locator) == folder)  # noqa: PTH120


def _pairs(patterns: _Patterns, among: Sequence[SourceFile], images: AbstractSet[str]) -> int:
    """How many images patterns find masks for; none where most masks have no image, or images are taken for masks."""
    try:
        matched = by_patterns(among, None, ReadOptions(images=patterns[0], masks=patterns[1])).matched
    except (DataError, UsageError):
        return 0
    drawn = [mask.entry.locator for masks in matched.owned.values() for mask in masks]
    return len(matched.owned) if len(matched.orphans) < len(drawn) and images.isdisjoint(drawn) else 0


def patterns_of_cases(images: Sequence[str], masks: Sequence[str]) -> _Patterns | None:
    """The patterns that pair images with masks by the folders in which both lie; None where they share none.

    The names of both must come again in the folders of other cases.

    Args:
        images: locators of images without a mask.
        masks: locators of masks without an image.
    """
    if not images or not masks or any(BETWEEN in locator for locator in (*images, *masks)):
        return None
    root, drawn = len(Path(os.path.commonpath([*images, *masks])).parts), _of_readers(masks)
    image, mask = (Path(locator).parts[root:] for locator in (images[0], drawn))
    shared = 0
    while shared < min(len(image), len(mask)) - 1 and image[shared] == mask[shared]:
        shared += 1
    beside = [name for folder, name in map(os.path.split, images) if folder == os.path.dirname(images[0])]  # noqa: PTH120
    again = Counter(map(os.path.basename, (*images, drawn, *masks)))
    if not shared or any(again[name] < 2 for name in beside) or again[mask[-1]] < 3:
        return None
    if len(beside) > 1 and len({re.sub(r"\d+", "", name) for name in beside}) == 1 and mask[-1] in beside:
        return None  # frames, whose masks have their numbers
    case, names = "{id}/" * shared, [_channels(beside), _readers(mask[-1], masks)]
    rest = ["/".join((*parts[shared:-1], name)) for parts, name in zip((image, mask), names, strict=True)]
    return f"**/{case}{rest[0]}", f"**/{case}{rest[1]}"


def _patterns_of_kinds(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> list[list[_Patterns]]:
    """Patterns of images and masks of the same names in folders called after what they show, each kind once."""
    kinds = [_by_folder(entries) for entries in (images, masks)]
    names = [{entry.stem for of_kind in found.values() for entry in of_kind} for found in kinds]
    alike = [
        [
            f"**/{folder}/{{id}}{ending_among([entry.name for entry in of_kind])}"
            for folder, of_kind in found.items()
            if 2 * sum(entry.stem in others for entry in of_kind) > len(of_kind)
        ]
        for found, others in zip(kinds, reversed(names), strict=True)
    ]
    if not all(alike) or sum(map(len, alike)) < 3:
        return []
    most = max(map(len, alike))
    return [[(alike[0][place % len(alike[0])], alike[1][place % len(alike[1])])] for place in range(most)]


def _patterns_of_folders(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> list[list[_Patterns]]:
    """Patterns of masks in first folders called after those of the images and one word or number behind, by file."""
    names, places = ({entry.parts[-1] for entry in images}, {entry.parts[-2:-1] for entry in images})
    if len(names) != 1 or any(len(entry.parts) < 3 for entry in (*images, *masks)):
        return []
    owners, behind = {entry.parts[0] for entry in images}, set[tuple[str, str]]()
    for mask in masks:
        owner = re.sub(r"[ _.-][^ _.-]+$", "", mask.parts[0])
        if owner in owners and owner != mask.parts[0]:
            behind.add((mask.parts[0].removeprefix(owner), mask.name))
    place = common_start(sorted(name for (name,) in places))
    if len({word for word, _ in behind}) != 1 or not re.search(r"[^\W\d]", place):
        return []  # folders without words hold the images as well as parts of them
    image = f"{{id}}/**/{place}*/{names.pop()}"
    return [[(image, f"{{id}}{word}/**/{name}")] for word, name in sorted(behind)]


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


def _channels(names: Sequence[str]) -> str:
    """The names of the images of a case, with {channel} for what differs in them."""
    if len(names) == 1:
        return names[0]
    start = re.sub(r"[^ _.-]+$", "", common_start(names))
    end = common_start([name[::-1] for name in names])[::-1]
    end = end[re.search(r"[ _.-]|$", end).start() :]  # type: ignore[union-attr]
    return f"{start}{{channel}}{end}"


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
