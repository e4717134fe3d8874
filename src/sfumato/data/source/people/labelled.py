"""Folders that say whether somebody labelled the cases in them: `Labeled` and `Unlabeled` are no folders of masks.

A folder called `Labeled` holds masks where it lies beside one of images. Beside one called `Unlabeled`, or where images
and their masks lie in it together, it says something of the cases, and nothing of what is image and what is mask. Nor
does a folder `img` that lies below one of images and below one of masks beside it (`Images_2/img`, `Masks_2/img`).
"""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.words import composed, read_folder, says_mask, tokens, without_mask_words

LABELLED = frozenset(["labeled", "labelled", "annotated"])
UNLABELLED = frozenset(["unlabeled", "unlabelled", "unannotated"])


def about_cases(entries: Sequence[SourceFile], *, anywhere: bool = False) -> frozenset[PathParts]:
    """The folders, each with those above it, that say whether cases are labelled, or nothing of images and masks.

    Args:
        entries: all files.
        anywhere: a word for masks counts wherever it stands in a name, as in those of volumes.
    """
    places = {entry.parts[:-1] for entry in entries}
    every = {place[:depth] for place in places for depth in range(1, len(place) + 1)}
    both = _below_both(every)
    named = {folder for folder in every if _says(folder, LABELLED | UNLABELLED)}
    if not named:
        return both
    without = {folder for folder in named if _says(folder, UNLABELLED)}
    beside = {folder[:-1] for folder in without}
    holding = {folder for folder in named - without if folder[:-1] in beside or _holds_both(folder, entries, anywhere)}
    return both | holding | without


def _below_both(folders: Collection[PathParts]) -> frozenset[PathParts]:
    """Folders called after images that lie below one of images and, by the same name, below one of masks beside it."""
    roles = defaultdict[tuple[PathParts, str], dict[str, list[PathParts]]](lambda: defaultdict(list))
    for folder in folders:
        if len(folder) > 1 and _role(folder[-1]) == "image" and (above := _role(folder[-2])):
            roles[folder[:-2], folder[-1]][above].append(folder)
    return frozenset(
        folder for found in roles.values() if len(found) > 1 for of_role in found.values() for folder in of_role
    )


def _role(folder: str) -> str:
    """The role that the name of a folder certainly says."""
    said = read_folder(folder)
    return said.role if said.certain else ""


def _says(folder: PathParts, words: frozenset[str]) -> bool:
    return any(token.text in words for token in tokens(folder[-1]))


def _holds_both(folder: PathParts, entries: Sequence[SourceFile], anywhere: bool) -> bool:
    """Whether a file below a folder is called a mask of another that lies in the same place."""
    stems: dict[PathParts, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.parts[: len(folder)] == folder:
            stems[entry.parts[:-1]].add(composed(entry.stem))
    return any(
        way.stem in names
        for names in stems.values()
        for stem in names
        if says_mask(stem, anywhere=anywhere)
        for way in without_mask_words(stem)
    )
