"""A finding: a sentence about some files of a set, with a recommendation.

An *error* stops `prepare` or makes results wrong, a *warning* is probably a mistake, a *note* is good to know. Each
kind has a code, which `docs/errors.md` explains.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sfumato.data.formats.image import IMAGE_SUFFIXES
from sfumato.data.formats.joined import mask_words
from sfumato.data.formats.locator import BETWEEN, Locator
from sfumato.data.formats.scan import is_volume
from sfumato.errors import DataError, listed

_PICTURES = tuple(IMAGE_SUFFIXES)

_KINDS = 8
"""Kinds that a finding names."""

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something about a set.

    Attributes:
        code: stable, such as DATA-079; empty for remarks of the reader of the source.
        severity: how bad it is.
        text: what was found, in a sentence.
        files: locators of the files that it is about, all of them.
        fix: what to do.
    """

    code: str
    severity: Severity
    text: str
    files: tuple[str, ...] = ()
    fix: str = ""

    def as_error(self) -> DataError:
        """The same for a verb that cannot go on."""
        text = self.text
        if self.files:
            text += f":\n{listed([mask_words(file) for file in self.files])}"
        return DataError(text, remedy=self.fix, code=self.code)


def volume_files(locators: Iterable[str]) -> tuple[str, ...]:
    """Locators in which the planes of a volume are one: the file or folder of the volume."""
    return tuple(dict.fromkeys(map(_whole, locators)))


def is_picture_locator(locator: str) -> bool:
    """Whether a locator is that of a picture by its name alone: a Path for each of 100,000 is slow."""
    return BETWEEN not in locator and locator.lower().endswith(_PICTURES)


def _whole(locator: str) -> str:
    if is_picture_locator(locator):
        return locator
    path = Locator.parse(locator).path
    return str(path) if is_volume(path) else locator


def most_frequent(kinds: Counter[str]) -> str:
    """The most frequent kinds, each with its number."""
    told = ", ".join(f"{count} {name}" for name, count in kinds.most_common(_KINDS))
    return f"{told} ..." if len(kinds) > _KINDS else told
