"""A finding: a sentence about some files of a set, with a recommendation.

An *error* stops `prepare` or makes results wrong, a *warning* is probably a mistake, a *note* is good to know. Each
kind has a code, which `docs/errors.md` explains.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

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


def amount(things: Sequence[object], one: str, many: str) -> str:
    """Their number with the word that fits it."""
    return f"{len(things)} {one if len(things) == 1 else many}"


def counted(kinds: Counter[str]) -> str:
    """The most frequent kinds, each with its number."""
    return ", ".join(f"{count} {name}" for name, count in kinds.most_common(8))
