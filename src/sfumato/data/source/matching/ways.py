"""The flags by which masks of one kind are meant alone, as patterns that were tried on the files.

images/1.png, masks/1_binary.png               --images 'images/{id}.png' --masks 'masks/{id}_binary.png'
liver/tissue/1.png, liver/mask/1.png ...       --images '*/tissue/{id}.png' --masks '*/mask/{id}.png'
{id}/tissue/{id}.png where several folders have a 1.png
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from os import sep
from pathlib import Path

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.patterns import common_start, pattern

_MOST = 6
"""Kinds of masks whose flags are told."""


def with_reader(ways: Sequence[str]) -> str:
    """The patterns of the masks of an image as one, with {reader} where they differ."""
    start = common_start(ways)
    end = common_start([way[len(start) :][::-1] for way in ways])[::-1]
    return f"{start}{{reader}}{end}" if "{id}" in start + end else ""


def way_of(
    owned: Mapping[str, Sequence[Owned]], wanted: Callable[[Owned], bool], others: Sequence[SourceFile] = ()
) -> str:
    """The flags by which the masks that are wanted are meant alone; empty where there are none such.

    Args:
        owned: the masks of each image.
        wanted: whether a mask is of the kind; where an image has several, their folders tell readers.
        others: masks without an image, which are not meant.
    """
    pairs = [(image, mask) for image, masks in owned.items() for mask in masks if wanted(mask)]
    for patterns in _patterns(pairs) if pairs else ():
        if _give(patterns, owned, pairs, others):
            return patterns.flags()
    return ""


def ways_of_kinds(owned: Mapping[str, Sequence[Owned]], others: Sequence[SourceFile] = ()) -> Iterator[str]:
    """The flags by which the masks of each kind are meant alone, of the first kinds; see `way_of`."""
    kinds = {(mask.folder, mask.rest): mask for masks in owned.values() for mask in masks}
    for kind in islice(kinds.values(), _MOST):
        if found := way_of(owned, lambda mask, kind=kind: is_like(mask, kind), others):
            yield found


def is_like(mask: Owned, other: Owned) -> bool:
    """Whether masks of two images are of one kind: what they have beyond their images is the same."""
    return (mask.folder, mask.rest) == (other.folder, other.rest)


def _patterns(pairs: Sequence[tuple[str, Owned]]) -> Iterator[PatternPair]:
    """Patterns that may fit images and masks: with {id} in their names, or in a folder of both too."""
    places = [(_below(image, mask.entry), mask.entry.parts) for image, mask in pairs]
    names = {_names(image, mask) for image, mask in pairs}
    depths = {(len(image), len(mask)) for image, mask in places}
    if len(names) > 1 or len(depths) > 1:
        return
    (both,) = names
    folders = [[parts[:-1] for parts in of_kind] for of_kind in zip(*places, strict=True)]
    common = [pattern(of_kind).split("/") if of_kind[0] else [] for of_kind in folders]
    if (level := _level_of_readers(pairs)) is not None:
        common[1] = [*common[1][:level], "{reader}", *("*" if "*" in part else part for part in common[1][level + 1 :])]
    yield _joined(common, both)
    apart = [level for level in range(min(map(len, common))) if "*" in common[0][level] and "*" in common[1][level]]
    for level in apart:
        cases = [[*parts[:level], "{id}", *parts[level + 1 :]] for parts in common]
        yield _joined(cases, both)


def _level_of_readers(pairs: Sequence[tuple[str, Owned]]) -> int | None:
    """The first folder in which several masks of an image differ; None where each image has one, or no folder does."""
    of_image = defaultdict[str, list[PathParts]](list)
    for image, mask in pairs:
        of_image[image].append(mask.entry.parts[:-1])
    several = max(of_image.values(), key=len)
    levels = enumerate(zip(*several, strict=True))
    return next((level for level, names in levels if len(set(names)) > 1), None)


def _joined(folders: Sequence[Sequence[str]], names: PatternPair) -> PatternPair:
    """Patterns of the folders and the names of images, and of those of masks."""
    of_images, of_masks = folders
    return PatternPair("/".join((*of_images, names.images)), "/".join((*of_masks, names.masks)))


def _names(image: str, mask: Owned) -> PatternPair:
    """The names of an image and its mask, with what they have in common as {id}."""
    found = patterns_of(image, mask) or PatternPair(image, mask.entry.name)
    return PatternPair(Path(found.images).name, Path(found.masks).name)


def _give(
    patterns: PatternPair,
    owned: Mapping[str, Sequence[Owned]],
    pairs: Sequence[tuple[str, Owned]],
    others: Sequence[SourceFile],
) -> bool:
    """Whether patterns give these pairs and no others, among all images and masks."""
    images = [SourceFile(image, _below(image, masks[0].entry)) for image, masks in owned.items()]
    matched = patterns.matched([*images, *(mask.entry for masks in owned.values() for mask in masks), *others])
    if matched is None or matched.orphans:
        return False
    found = {(image, mask.entry.locator) for image, masks in matched.owned.items() for mask in masks}
    return found == {(image, mask.entry.locator) for image, mask in pairs}


def _below(image: str, mask: SourceFile) -> PathParts:
    """The path of an image below the source, by that of its mask."""
    return Path(image.removeprefix(mask.locator.removesuffix(mask.where.replace("/", sep)))).parts


def way(image: str, mask: Owned) -> str:
    """The flags by which masks like one are meant; empty where nothing says which belong to which image."""
    patterns = patterns_of(image, mask)
    return patterns.flags() if patterns else ""


def patterns_of(image: str, mask: Owned) -> PatternPair | None:
    """The patterns of an image and of masks like one; None where their names have nothing in common."""
    root = mask.entry.locator.removesuffix(mask.entry.where.replace("/", sep))
    image, drawn = Path(image.removeprefix(root)).as_posix(), mask.entry.where
    stem, drawn_stem = _whole_stem(image), _whole_stem(drawn)
    same = len(stem) if stem == drawn_stem else len(common_start([stem, drawn_stem]))
    if not same:
        return None
    return PatternPair(_pattern(image, same), _pattern(drawn, same))


def _whole_stem(place: str) -> str:
    """The name of a file up to the first dot."""
    return place.rpartition("/")[2].partition(".")[0]


def _pattern(place: str, length: int) -> str:
    """A path with the beginning of its name, which image and mask have in common, as {id}."""
    folder, slash, name = place.rpartition("/")
    return f"{folder}{slash}{{id}}{name[length:]}"
