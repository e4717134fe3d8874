"""Folders that are splits by a word in their names, whatever else stands there.

    verse19training, verse19test                                names differ by the word alone
    ISIC-2017_Training_Data, ISIC-2017_Test_v2_Data             versions do not count
    boneage-training-dataset, Bone Age Test Set                 each folder there has such a word, and they differ
    Validation Set/dataset-validation-1, -2                     parts of a split, by a word for parts and numbers
    ribs-train-images-1, ribs-train-images-2, ribs-val-images   the same of folders of images, and of those of masks

A class `crash test` beside one called `road` is none, since the other says no split; nor is a case `Training_001`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.words import PARTS, SPLIT_WORDS, read_folder, tokens

VERSION = re.compile(r"[ _-]?(?:(?<![^\W_])v\d+(?:\.\d+)*|\d+(?:\.\d+)+)(?![^\W_])", re.IGNORECASE)
"""Versions in names: `v2`, `1.0.0`."""

Rest = tuple[str, ...]
"""The words and numbers of a name beside that for a split."""


def split_in(folder: str) -> str | None:
    """The split that a word in the name of a folder says, whatever else stands there."""
    return next((SPLIT_WORDS[token.text] for token in tokens(folder) if token.text in SPLIT_WORDS), None)


def splitting(entries: Iterable[SourceFile]) -> frozenset[PathParts]:
    """Folders, each with those above it, that are splits by their names and those of the folders beside them."""
    beside = defaultdict[PathParts, set[PathParts]](set)
    for place in {entry.parts[:-1] for entry in entries}:
        for depth in range(1, len(place) + 1):
            beside[place[: depth - 1]].add(place[:depth])
    found = set[PathParts]()
    for above in sorted(beside, key=len):
        said = {folder: split for folder in beside[above] if (split := split_in(folder[-1]))}
        free = {folder: split for folder, split in said.items() if not read_folder(folder[-1]).role}
        found.update(differing_by_split(free))
        found.update(_differing_by_role(said))
        parts = above in found and set(said.values()) == {split_in(above[-1])} and all(map(_says_part, free))
        every = len(said) == len(beside[above]) and saying_alone(free) == free.keys()
        if every and (parts or len(set(said.values())) > 1):
            found.update(free)
    return frozenset(found)


def saying_alone(folders: Iterable[PathParts]) -> frozenset[PathParts]:
    """Those of some splits beside which no other of the same split differs: `test_benign` has its class.

    Parts of a split differ by numbers, and folders of masks by words from those of images.
    """
    words = defaultdict[tuple[PathParts, str | None, str], dict[PathParts, Rest]](dict)
    for folder in folders:
        rest, role = _rest(folder[-1]), read_folder(folder[-1]).role
        words[folder[:-1], split_in(folder[-1]), role][folder] = (
            _without_numbers(rest) if role or _says_part(folder) else rest
        )
    return frozenset(folder for rests in words.values() if len(set(rests.values())) == 1 for folder in rests)


def _differing_by_role(splits: Mapping[PathParts, str]) -> Iterator[PathParts]:
    """Folders of images, or of masks, of a name of their own that differ from others by the split and by numbers."""
    alike = defaultdict[tuple[str, Rest], set[PathParts]](set)
    for folder in splits:
        said = read_folder(folder[-1])
        if said.role and not said.certain:
            alike[said.role, _without_numbers(_rest(folder[-1]))].add(folder)
    for folders in alike.values():
        if len({splits[folder] for folder in folders}) > 1:
            yield from folders


def _says_part(folder: PathParts) -> bool:
    """Whether a word in the name of a folder says that it is a part of a set."""
    return not PARTS.isdisjoint(_rest(folder[-1]))


def differing_by_split(splits: Mapping[PathParts, str]) -> Iterator[PathParts]:
    """Folders or files whose names differ from others by the word for a split alone."""
    alike = defaultdict[Rest, set[PathParts]](set)
    for folder in splits:
        alike[_rest(folder[-1])].add(folder)
    for folders in alike.values():
        if len({splits[folder] for folder in folders}) > 1:
            yield from folders


def _rest(folder: str) -> Rest:
    """What the name of a folder says beside the split and a version."""
    return tuple(token.text for token in tokens(VERSION.sub("", folder)) if token.text not in SPLIT_WORDS)


def _without_numbers(rest: Rest) -> Rest:
    """Words alone: the parts of a split differ by numbers."""
    return tuple(text for text in rest if not text.isdecimal())
