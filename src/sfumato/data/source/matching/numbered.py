"""Patterns that pair images with masks by the numbers in their paths, where their names have nothing else in common.

    01/t000.tif, 01_ST/SEG/man_seg000.tif                  '{id}/t{id}.tif' and '{id}_ST/SEG/man_seg{id}.tif'
    s1/left/f0.png, s1/truth/forceps/f0.png, s1/truth/...  's{id}/left/f{id}.png' and 's{id}/truth/{class}/f{id}.png'
    Maps/FULL/1.bmp, Maps/TOP/1.bmp, Artery/1.bmp          'Maps/{channel}/{id}.bmp' and 'Artery/{id}.bmp'
    P_0001/11-24-2015/635/1-001.dcm, label0001.nii.gz      '**/P_{id}/**/*.dcm' and '**/label{id}.nii.gz'

What they give is tried before it is told (`source.proposed`).
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import takewhile
from typing import NamedTuple

from sfumato.data.formats.image import read_mask
from sfumato.data.source.listing import PathParts, SourceFile, ending_among
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.words import SIDES, tokens
from sfumato.errors import DataError

_NUMBER = re.compile(r"\d+")
BLANK = "\0"
"""What stands for a number in the paths of a series."""

_MOST = 24
"""Series of images or masks; more are no habit of naming."""

_SOME = 3
"""Masks that are compared with others of their image."""

_Numbers = tuple[str, ...]


class _Series(NamedTuple):
    """Files whose paths differ in numbers alone: the path without them, the numbers of each file, and its locator."""

    parts: PathParts
    numbers: list[_Numbers]
    locators: list[str]


def patterns_by_numbers(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> Iterator[list[PatternPair]]:
    """For each kind of images and of masks the patterns of both, those with the fewest folders first.

    One of the two kinds must be most of all, so that the patterns are those of the set and not of a part of it.
    """
    of_images, of_masks = _series(images), _series(masks)
    if max(len(of_images), len(of_masks)) > _MOST:
        return
    no_sides = [one for one in of_images if not any(map(_says_side, one.parts))]  # two eyes show two pictures
    channels = [one for one in _merged(no_sides, "{channel}") if "{channel}" in one.parts]
    whole = _of_every_image(of_masks)
    for drawn in (*_merged(of_masks, "{class}"), *whole):
        for image in (*channels, *of_images):
            most = drawn in whole or 2 * len(image.numbers) > len(images) or 2 * len(drawn.numbers) > len(masks)
            if most and (found := list(_patterns(image, drawn))):
                yield found


def patterns_by_one_number(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> Iterator[PatternPair]:
    """Patterns by one number in the paths of both that tells them apart, whatever the other numbers say."""
    places = list(_places(masks))
    for image in _places(images):
        for mask in places:
            if 2 * len(image.numbers & mask.numbers) > len(mask.numbers):
                yield PatternPair(image.pattern, mask.pattern)


class _Place(NamedTuple):
    """A number in the paths of files that is another one in each: the pattern by it, and the numbers."""

    pattern: str
    numbers: AbstractSet[str]


def _places(entries: Sequence[SourceFile]) -> Iterator[_Place]:
    for level in range(min((len(entry.parts) for entry in entries), default=0)):
        names = [entry.parts[level] for entry in entries]
        numbers = list(zip(*map(_NUMBER.findall, names), strict=False))
        if len({_NUMBER.sub(BLANK, name) for name in names}) > 1:
            continue
        below = f"/**/*{_ending(entries)}" if any(len(entry.parts) > level + 1 for entry in entries) else ""
        for place, found in enumerate(numbers):
            if len(set(found)) == len(entries) > 1:
                yield _Place(f"**/{_with_id(names[0], place, numbers)}{below}", set(found))


def _with_id(name: str, place: int, numbers: Sequence[Sequence[str]]) -> str:
    """A name with {id} for one of its numbers, and `*` for others that are not the same in all names."""
    said = [found[0] if len(set(found)) == 1 else "*" for found in numbers]
    said[place] = "{id}"
    between = _NUMBER.split(name)
    return "".join(text + number for text, number in zip(between, [*said, ""], strict=True))


def _ending(entries: Sequence[SourceFile]) -> str:
    """How most files end; those of a DICOM series, whose entry is called after its folder."""
    return ending_among(os.path.basename(entry.locator) for entry in entries)  # noqa: PTH119 - may be many


def _says_side(part: str) -> bool:
    return any(token.text in SIDES for token in tokens(part))


def _series(entries: Sequence[SourceFile]) -> list[_Series]:
    found = defaultdict[str, list[SourceFile]](list)
    for entry in entries:
        found[_NUMBER.sub(BLANK, entry.where)].append(entry)
    return [
        _Series(
            tuple(where.split("/")),
            [tuple(_NUMBER.findall(file.where)) for file in files],
            [file.locator for file in files],
        )
        for where, files in found.items()
    ]


def _merged(series: Sequence[_Series], name: str) -> list[_Series]:
    """Series, as one where they differ in one folder without a number and share most of their numbers.

    Args:
        series: of images or masks.
        name: what stands for that folder in the pattern.
    """
    merged, used = list[_Series](), set[PathParts]()
    for around, group in sorted(_differing_in_a_folder(series).items(), key=lambda item: -len(item[1])):
        paths = {one.parts for one in group}
        if used.isdisjoint(paths) and _share_numbers(group):
            numbers = [each for one in group for each in one.numbers]
            locators = [each for one in group for each in one.locators]
            merged.append(_Series((*around.before, name, *around.behind), numbers, locators))
            used |= paths
    return [*merged, *(one for one in series if one.parts not in used)]


def _of_every_image(series: Sequence[_Series]) -> list[_Series]:
    """Of masks in folders that differ by name, those of the one folder that has all that is drawn, for every image."""
    found = list[_Series]()
    for group in _differing_in_a_folder(series).values():
        every = set[_Numbers]().union(*(one.numbers for one in group))
        whole = [one for one in group if set(one.numbers) == every]
        found += [one for one in whole if len(whole) == 1 < len(group) and _has_all(one, group)]
    return found


def _has_all(whole: _Series, group: Sequence[_Series]) -> bool:
    """Whether some of the masks of a series show all that others of their numbers show together."""
    for numbers, locator in list(zip(whole.numbers, whole.locators, strict=True))[:: -(-len(whole.numbers) // _SOME)]:
        others = [file for one in group if one is not whole for file in _at(one, numbers)]
        try:
            shown, parts = read_mask(locator) != 0, [read_mask(file) != 0 for file in others]
        except DataError:
            return False
        if len({part.shape for part in parts} | {shown.shape}) > 1 or any((part & ~shown).any() for part in parts):
            return False
    return True


def _at(series: _Series, numbers: _Numbers) -> list[str]:
    """The files of a series with some numbers."""
    return [file for own, file in zip(series.numbers, series.locators, strict=True) if own == numbers]


class _Around(NamedTuple):
    """A path without one of its folders."""

    before: PathParts
    behind: PathParts


def _differing_in_a_folder(series: Sequence[_Series]) -> Mapping[_Around, list[_Series]]:
    """Series whose paths are the same but for one folder without a number."""
    groups = defaultdict[_Around, list[_Series]](list)
    for one in series:
        for place, part in enumerate(one.parts[:-1]):
            if BLANK not in part:
                groups[_Around(one.parts[:place], one.parts[place + 1 :])].append(one)
    return groups


def _share_numbers(group: Sequence[_Series]) -> bool:
    """Whether most numbers of some series come again in another of them."""
    often = Counter(numbers for one in group for numbers in set(one.numbers))
    return 2 * sum(count > 1 for count in often.values()) > len(often)


def _patterns(image: _Series, mask: _Series) -> Iterator[PatternPair]:
    """Patterns of images and masks of the same numbers, those with the fewest folders first."""
    of_image, of_mask = _kept(image, mask)
    known, drawn = set(_numbers_at(image, of_image)), _numbers_at(mask, of_mask)
    if not of_image or 2 * sum(numbers in known for numbers in drawn) <= len(drawn):
        return
    image_path, mask_path = _filled(image, of_image), _filled(mask, of_mask)
    folders = zip(image_path[:-1], mask_path[:-1], strict=False)
    common = sum(1 for _ in takewhile(lambda both: both[0] == both[1], folders))
    for cut in range(common, -1, -1):
        start = "**/" if cut else ""
        pair = PatternPair(start + "/".join(image_path[cut:]), start + "/".join(mask_path[cut:]))
        if "{id}" in pair.images and "{id}" in pair.masks:
            yield pair


def _numbers_at(series: _Series, places: Sequence[int]) -> list[_Numbers]:
    """The numbers at some places of the path of each file."""
    return [tuple(numbers[place] for place in places) for numbers in series.numbers]


def _kept(image: _Series, mask: _Series) -> tuple[list[int], list[int]]:
    """Which numbers of the paths tell images apart: those that are not the same in all of both, or else of each."""
    if len(image.numbers[0]) == len(mask.numbers[0]):
        kept = _differing([*image.numbers, *mask.numbers])
        return kept, kept
    return _differing(image.numbers), _differing(mask.numbers)


def _differing(files: Sequence[_Numbers]) -> list[int]:
    """The places at which the numbers of some files are not the same."""
    return [place for place, numbers in enumerate(zip(*files, strict=True)) if len(set(numbers)) > 1]


def _filled(series: _Series, kept: Sequence[int]) -> PathParts:
    """The path of a series with {id} for the numbers that are kept, and the others as they stand."""
    path = "/".join(series.parts)
    for place, number in enumerate(series.numbers[0]):
        path = path.replace(BLANK, "{id}" if place in kept else number, 1)
    return tuple(path.split("/"))
