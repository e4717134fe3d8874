"""Folders that are splits, since their names differ by the word for it alone: `verse19training` and `verse19test`.

Versions do not count: `ISIC-2017_Training_Data` lies beside `ISIC-2017_Test_v2_Data`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable

from sfumato.data.source.listing import Entry, Parts
from sfumato.data.source.words import SPLITS, read_folder, tokens

VERSION = re.compile(r"[ _-]?(?:(?<![^\W_])v\d+(?:\.\d+)*|\d+(?:\.\d+)+)(?![^\W_])", re.IGNORECASE)
"""Versions in names: `v2`, `1.0.0`."""


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
            plain = VERSION.sub("", folder[-1])
            rest = tuple(token.text for token in tokens(plain) if token.text not in SPLITS)
            alike[folder[:-1], rest][folder] = split
    return frozenset(folder for splits in alike.values() if len(set(splits.values())) > 1 for folder in splits)
