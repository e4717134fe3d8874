"""Flags that are short for settings of a recipe."""

from collections.abc import Sequence
from typing import Any

from sfumato.errors import UsageError
from sfumato.numerals import whole


def words_of(given: Sequence[str] | None, *, size: str | None, seed: int | None = None, **lengths: Any) -> list[str]:
    """`--set` and the flags that are short for one, as settings; flags win."""
    settings = list(given or [])
    if size is not None:
        settings.append(f"data.size={parse_size(size)}")
    if seed is not None:
        settings += [f"train.seed={seed}", f"data.split.seed={seed}"]
    return settings + [f"train.{name}={value}" for name, value in lengths.items() if value is not None]


def parse_size(text: str) -> str:
    """64, 96x128 or auto, as a recipe writes it."""
    if text == "auto":
        return text
    sides = text.lower().split("x")
    if len(sides) > 2 or not all((whole(side) or 0) > 0 for side in sides):
        raise UsageError(f"--size {text}", expected="pixels like 64, or height x width like 96x128")
    return f"[{whole(sides[0])}, {whole(sides[-1])}]"
