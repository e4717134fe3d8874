"""Folders that say how images were divided, where they come from or what was done to them, and not what they show.

    fold0, batch1, part_2, session1, stage_2_train_images     how they were divided
    Center_01, site2, vendorA, Scanner1, Cirrus               where they come from
    raw, processed, resized, derm and clinic                  what was done to them: variants of one picture
    Overlay, visualisation                                    pictures of what is drawn on others
    scans_01-05, scans_06-10                                  ranges of the numbers of the images in them

None of these is a class, nor a person. A level of folders counts as such where all of its names do: a class `original`
beside one called `forged` is one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from itertools import takewhile, zip_longest

from sfumato.data.source.words import (
    BESIDE_SPLITS,
    FILLERS,
    IMAGES,
    ORIGINS,
    PARTS,
    PREVIEWS,
    SPLIT_WORDS,
    VARIANTS,
    read_folder,
    tokens,
)

_RANGE = re.compile(r"(?<!\d)(\d+)-(\d+)$")
"""The end of a name that is a range of numbers."""


@lru_cache(maxsize=8192)
def _words(folder: str) -> frozenset[str]:
    """The words of a name, without its numbers and single letters."""
    return frozenset(token.text for token in tokens(folder) if token.number is None and len(token.text) > 1)


def _says(folder: str, words: frozenset[str]) -> bool:
    """Whether one of some words stands in the name of a folder, and nothing that means something else."""
    said = _words(folder)
    known = PARTS | ORIGINS | VARIANTS | PREVIEWS | BESIDE_SPLITS | SPLIT_WORDS.keys() | FILLERS | IMAGES
    return bool(said & words) and said <= known


def is_origin(folder: str) -> bool:
    """Whether a folder says where images come from: what is numbered in it may be numbered so elsewhere too."""
    return _says(folder, ORIGINS)


def is_variant(folder: str) -> bool:
    """Whether a folder says what was done to images that lie elsewhere too."""
    return _says(folder, VARIANTS)


def is_division(folder: str) -> bool:
    """Whether a folder says how images were divided, where they come from or what was done to them."""
    return _says(folder, PARTS | ORIGINS | VARIANTS | PREVIEWS)


def is_image_folder(folder: str) -> bool:
    """Whether a folder says that of images, and nothing else: `preprocessed_images`, whatever lies beside it."""
    return is_division(folder) and read_folder(folder).role == "image"


def divided_levels(groups: Iterable[Sequence[str]]) -> dict[int, dict[str, str]]:
    """The levels of folders, counted from 0, all of whose names say that they are divisions.

    Returns:
        for each level what its names say, without the beginning that all have: `RETOUCH-Cirrus` and `RETOUCH-Topcon`.
    """
    levels = zip_longest(*set(map(tuple, groups)))
    told = {
        level: _without_beginning({name for name in names if name is not None}) for level, names in enumerate(levels)
    }
    return {level: names for level, names in told.items() if all(map(is_division, names.values()))}


def ranged_levels(groups: Sequence[Sequence[str]], stems: Sequence[str]) -> dict[int, dict[str, str]]:
    """The levels of which at least half of the folders are ranges of the numbers of their images.

    Args:
        groups: the folders of each image.
        stems: the names of the images.
    """
    found = dict[int, dict[str, str]]()
    for level in range(min(map(len, groups), default=0)):
        held = defaultdict[str, list[str]](list)
        for group, stem in zip(groups, stems, strict=True):
            held[group[level]].append(stem)
        if 2 * sum(_is_range_of(folder, inside) for folder, inside in held.items()) >= len(held):
            found[level] = {folder: folder for folder in held}
    return found


def _is_range_of(folder: str, stems: Iterable[str]) -> bool:
    """Whether a folder ends in a range in which the last numbers of all names lie."""
    if not (ends := _RANGE.search(folder)):
        return False
    numbers = [re.findall(r"\d+", stem)[-1:] for stem in stems]
    return all(number and int(ends[1]) <= int(number[0]) <= int(ends[2]) for number in numbers)


def _without_beginning(names: AbstractSet[str]) -> dict[str, str]:
    """Names of one level without the words that all of them begin with."""
    words = {name: tokens(name) for name in names}
    firsts = zip(*([token.text for token in found] for found in words.values()), strict=False)
    common = len(list(takewhile(lambda texts: len(set(texts)) == 1, firsts))) if len(names) > 1 else 0
    plain = all(map(is_division, names))
    return {
        name: name if plain or len(found) <= common else name[found[common].start :] for name, found in words.items()
    }
