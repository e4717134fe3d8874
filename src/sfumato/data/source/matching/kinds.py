"""What the path of a mask says beyond that of its image: names of classes, numbers, readers, words for masks."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from sfumato.data.order import natural
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.patterns import told_files
from sfumato.data.source.words import (
    ABBREVIATED,
    ALPHANUMERIC,
    BESIDE,
    FILLERS,
    IMAGES,
    MASKS,
    READERS,
    SECONDARY,
    SPLIT_WORDS,
    VIEWS,
    Token,
    tokens,
    without_mask_words,
)

SILENT = MASKS | READERS | VIEWS | BESIDE | SPLIT_WORDS.keys() | IMAGES


class _Kind(NamedTuple):
    """What the path of a mask says beyond that of its image.

    Attributes:
        name: its words but those for masks; "" for none.
        number: its number.
        reads: whether it is called after a reader.
        family: the words for masks in it, those of its folder with `/` behind.
        view: whether it is called after the field of view.
        secondary: whether it is called after what further pictures of the same masks show.
        folder: what its folder says of the name.
        suffix: what its own name says of it.
    """

    name: str
    number: int | None
    reads: bool
    family: tuple[str, ...]
    view: bool
    secondary: bool
    folder: str
    suffix: str


def order_of(mask: Owned) -> tuple[object, ...]:
    """Readers and parts by their numbers, those without first."""
    number = mask_kind(mask).number
    return (-1 if number is None else number, natural(mask.entry.where))


@lru_cache(maxsize=65536)
def _kind(folder: str, rest: str) -> _Kind:
    below, own = tokens(folder), tokens(rest)
    both = (*own, *below)
    texts = {token.text for token in both}
    numbers = [token.number for token in both if token.number is not None]
    of_folder, of_name = _words_of_folder(folder), _words(rest)
    return _Kind(
        name=of_folder or of_name,
        number=numbers[0] if numbers else None,
        reads=_reads(own, below),
        family=tuple(_family(token, in_folder=token in below) for token in both if token.marks_mask),
        view=not VIEWS.isdisjoint(texts),
        secondary=not SECONDARY.isdisjoint(texts),
        folder=of_folder,
        suffix=of_name,
    )


def _words_of_folder(folder: str) -> str:
    """The words of the innermost folder that has some."""
    for part in reversed(folder.split("/")):
        if words := _words(part):
            return words
    return ""


def _family(token: Token, *, in_folder: bool) -> str:
    """A word for masks, without the plural; that of a folder with `/` behind."""
    word = token.text.removesuffix("s")
    return f"{word}/" if in_folder else word


def _reads(own: Sequence[Token], below: Sequence[Token]) -> bool:
    """Whether a name or folder is called after a reader: by a word, by a number that counts, or by both."""
    both = (*own, *below)
    if any(token.text in READERS or _counts(token) for token in both):
        return True
    if any(token.text == "manual" for token in both) and any(token.number is not None for token in both):
        return True
    return any(_abbreviates(words, place) for words in (own, below) for place in range(len(words)))


def _counts(token: Token) -> bool:
    """Whether a token is a number that counts, such as `2nd`."""
    return token.number is not None and token.text[-1].isalpha()


def _abbreviates(words: Sequence[Token], place: int) -> bool:
    """Whether a word is short for a reader, by the number behind it: `exp1`."""
    return words[place].text in ABBREVIATED and place + 1 < len(words) and words[place + 1].number is not None


def mask_kind(mask: Owned) -> _Kind:
    """What the path of a mask says beyond that of its image."""
    return _kind(mask.folder, mask.rest)


def told_masks(masks: Sequence[Owned]) -> str:
    """Patterns of masks with how many have each; those of other numbers, readers or words for masks are told apart."""
    kinds = [mask_kind(mask) for mask in masks]
    return told_files([mask.entry for mask in masks], [(kind.number, kind.reads, kind.family) for kind in kinds])


def _words(text: str) -> str:
    """The words of a name that mean something, as they are written, with the numbers between and behind them."""
    found = tokens(text)
    silent = {place for place in range(len(found)) if _abbreviates(found, place)}
    kept = [token for place, token in enumerate(found) if place not in silent and _means_something(text, token)]
    kept = [token for token in kept if token.text not in FILLERS] or kept
    if not kept:
        return ""
    behind = [token for token in tokens(text) if token.start >= kept[0].start and token.text not in SILENT]
    return text[kept[0].start : behind[-1].end]


def _means_something(text: str, token: Token) -> bool:
    """Whether a token is a word of its own, with a number behind it at most, and no word for masks."""
    chunk = next(found[0] for found in ALPHANUMERIC.finditer(text) if found.start() <= token.start < found.end())
    return token.text not in SILENT and token.number is None and re.search(r"\d.*[^\W\d]|\d{3}", chunk) is None


def name_by(mask: Owned, by: str) -> str:
    """What a mask is called after by its folder, its suffix or, for any other word, whichever says something."""
    if mask.said and by != "folder":
        return next((way.stem for way in without_mask_words(mask.said) if way.stem), mask.said)
    kind = mask_kind(mask)
    if by == "folder":
        return kind.folder or mask.folder
    return kind.suffix or mask.rest.strip(" _-.") if by == "suffix" else kind.name
