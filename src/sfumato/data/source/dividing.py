"""Folders that divide a set and say nothing of the images in them: by number, by place, or by split.

    fold0, images_001, subset3, batch-2     parts of a set that was too large for one folder, or folds
    Center_01, site-A                       where images were made
    verse19training, verse19test            splits, since their names differ by the word for it alone

None of them is a class of images, unless a person says so.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from sfumato.data.source.listing import Entry, Parts
from sfumato.data.source.words import SPLITS, read_folder, tokens

PORTION = re.compile(
    r"(?:images?|imgs?|pictures?|photos?|(?:sub)?set|fold|part|batch|chunk|portion)[ _.-]?\d+", re.IGNORECASE
)
"""Folders into which the images of a set were divided, as `images_001` is."""

SITE = re.compile(
    r"(?:site|cent(?:er|re)|hospital|clinic|institut(?:e|ion)|vendor|scanner)[ _.-]?(?:\d+|[A-Z])", re.IGNORECASE
)
"""Folders called after where images were made: persons are numbered anew in each."""


def divides(folder: str) -> bool:
    """Whether the name of a folder says no more than which part of a set, or of which place, the images in it are."""
    return PORTION.fullmatch(folder) is not None or SITE.fullmatch(folder) is not None


def split_in(folder: str) -> str | None:
    """The split that a word in the name of a folder says, whatever else stands there."""
    return next((SPLITS[token.text] for token in tokens(folder) if token.text in SPLITS), None)


def splitting(entries: Iterable[Entry]) -> frozenset[Parts]:
    """Folders, each with those above it, whose names differ from others beside them by the word for a split alone."""
    places = {entry.parts[:-1] for entry in entries}
    every = {place[:depth] for place in places for depth in range(1, len(place) + 1)}
    alike: dict[tuple[Parts, tuple[str, ...]], dict[Parts, str]] = defaultdict(dict)
    for folder in every:
        if (split := split_in(folder[-1])) and not read_folder(folder[-1]).role:
            rest = tuple(token.text for token in tokens(folder[-1]) if token.text not in SPLITS)
            alike[folder[:-1], rest][folder] = split
    return frozenset(folder for splits in alike.values() if len(set(splits.values())) > 1 for folder in splits)
