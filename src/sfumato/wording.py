"""Numbers and values in sentences, written as a person writes them: 1 case, 2 cases; {mirror: 0.5}."""

from collections.abc import Mapping
from typing import Any


def counted(number: int, one: str, many: str = "") -> str:
    """A number with the word that fits it.

    Args:
        number: how many.
        one: the word, or words, for one.
        many: those for none or several; by default `one` with an s.
    """
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def told_size(number: float) -> str:
    """A number of bytes with three digits and the unit that suits it: the 38 kB of a full disk are no 0.00 GB."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"


def beginning(content: bytes) -> str:
    """How a file begins: its first twelve letters in quotes, or its first four bytes where they are no text."""
    text = content[:12]
    if text.isascii() and text.decode("ascii").isprintable():
        return f'"{text.decode("ascii")}"'
    return f"the bytes {content[:4].hex(' ')}"


def as_setting(value: Any) -> str:
    """A value as one writes it behind `--set`: YAML on one line, numbers with at most six digits."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case Mapping():
            return f"{{{', '.join(f'{key}: {as_setting(inner)}' for key, inner in value.items())}}}"
        case list() | tuple():
            return f"[{', '.join(map(as_setting, value))}]"
        case _:
            return str(value)
