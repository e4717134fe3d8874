"""Patterns that pair images with masks by the numbers in their paths, where their names have nothing else in common.

    01/t000.tif, 01_ST/SEG/man_seg000.tif                  '{id}/t{id}.tif' and '{id}_ST/SEG/man_seg{id}.tif'
    s1/left/f0.png, s1/truth/forceps/f0.png, s1/truth/...  's{id}/left/f{id}.png' and 's{id}/truth/{class}/f{id}.png'
    Maps/FULL/1.bmp, Maps/TOP/1.bmp, Artery/1.bmp          'Maps/{channel}/{id}.bmp' and 'Artery/{id}.bmp'

What they give is tried before it is told (`source.proposed`).
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import NamedTuple

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.words import SIDES, tokens

_NUMBER = re.compile(r"\d+")
BLANK = "\0"
"""What stands for a number in the paths of a series."""

_MOST = 24
"""Series of images or masks; more are no habit of naming."""

_Numbers = tuple[str, ...]


class _Series(NamedTuple):
    """Files whose paths differ in their numbers alone: the path without them, and the numbers of each file."""

    parts: PathParts
    numbers: list[_Numbers]


def patterns_by_numbers(images: Sequence[SourceFile], masks: Sequence[SourceFile]) -> Iterator[list[tuple[str, str]]]:
    """For each kind of images and of masks the patterns of both, those with the fewest folders first.

    One of the two kinds must be most of all, so that the patterns are those of the set and not of a part of it.
    """
    of_images, of_masks = _series(images), _series(masks)
    if max(len(of_images), len(of_masks)) > _MOST:
        return
    no_sides = [one for one in of_images if not any(map(_says_side, one.parts))]  # two eyes show two pictures
    channels = [one for one in _merged(no_sides, "{channel}") if "{channel}" in one.parts]
    for drawn in _merged(of_masks, "{class}"):
        for image in (*channels, *of_images):
            most = 2 * len(image.numbers) > len(images) or 2 * len(drawn.numbers) > len(masks)
            if most and (found := list(_patterns(image, drawn))):
                yield found


def _says_side(part: str) -> bool:
    return any(token.text in SIDES for token in tokens(part))


def _series(entries: Sequence[SourceFile]) -> list[_Series]:
    found = defaultdict[str, list[_Numbers]](list)
    for entry in entries:
        found[_NUMBER.sub(BLANK, entry.where)].append(tuple(_NUMBER.findall(entry.where)))
    return [_Series(tuple(where.split("/")), numbers) for where, numbers in found.items()]


def _merged(series: Sequence[_Series], name: str) -> list[_Series]:
    """Series, as one where they differ in one folder without a number and share most of their numbers.

    Args:
        series: of images or masks.
        name: what stands for that folder in the pattern.
    """
    groups = defaultdict[tuple[PathParts, PathParts], list[_Series]](list)
    for one in series:
        for place, part in enumerate(one.parts[:-1]):
            if BLANK not in part:
                groups[one.parts[:place], one.parts[place + 1 :]].append(one)
    merged, used = list[_Series](), set[PathParts]()
    for (before, behind), group in sorted(groups.items(), key=lambda item: -len(item[1])):
        often = Counter(numbers for one in group for numbers in set(one.numbers))
        shared = sum(count > 1 for count in often.values())
        if 2 * shared > len(often) and used.isdisjoint(one.parts for one in group):
            merged.append(_Series((*before, name, *behind), [numbers for one in group for numbers in one.numbers]))
            used |= {one.parts for one in group}
    return [*merged, *(one for one in series if one.parts not in used)]


def _patterns(image: _Series, mask: _Series) -> Iterator[tuple[str, str]]:
    kept = _kept(image, mask)
    named = [
        [tuple(numbers[place] for place in places) for numbers in one.numbers]
        for one, places in zip((image, mask), kept, strict=True)
    ]
    known = set(named[0])
    if not kept[0] or 2 * sum(numbers in known for numbers in named[1]) <= len(named[1]):
        return
    both = [_filled(one, places) for one, places in zip((image, mask), kept, strict=True)]
    common = len(
        list(takewhile(lambda parts: parts[0] == parts[1], zip(*(parts[:-1] for parts in both), strict=False)))
    )
    for cut in range(common, -1, -1):
        images, masks = ("**/" * (cut > 0) + "/".join(parts[cut:]) for parts in both)
        if "{id}" in images and "{id}" in masks:
            yield images, masks


def _kept(image: _Series, mask: _Series) -> tuple[list[int], list[int]]:
    """Which numbers of the paths tell images apart: those that are not the same in all of both, or else of each."""
    first = image.numbers[0], mask.numbers[0]
    if len(first[0]) == len(first[1]):
        every = [*image.numbers, *mask.numbers]
        kept = [place for place in range(len(first[0])) if len({numbers[place] for numbers in every}) > 1]
        return kept, kept
    images, masks = (
        [place for place in range(len(one.numbers[0])) if len({numbers[place] for numbers in one.numbers}) > 1]
        for one in (image, mask)
    )
    return images, masks


def _filled(series: _Series, kept: Sequence[int]) -> PathParts:
    """The path of a series with {id} for the numbers that are kept, and the others as they stand."""
    pieces, numbers = "/".join(series.parts).split(BLANK), series.numbers[0]
    shown = ["{id}" if place in kept else number for place, number in enumerate(numbers)]
    return tuple("".join(text for pair in zip(pieces, [*shown, ""], strict=True) for text in pair).split("/"))
