"""Flags that are short for settings of a recipe."""

from collections.abc import Sequence
from typing import Any, Literal

from sfumato.errors import UsageError
from sfumato.numerals import whole


def words_of(given: Sequence[str] | None, *, size: str | None, seed: int | None = None, **lengths: Any) -> list[str]:
    """`--set` and the flags that are short for one, as settings; flags win."""
    settings = list(given or [])
    if size is not None:
        sides = parse_size(size)
        settings.append(f"data.size={sides if sides == 'auto' else list(sides)}")
    if seed is not None:
        settings += [f"train.seed={seed}", f"data.split.seed={seed}"]
    return settings + [f"train.{name}={value}" for name, value in lengths.items() if value is not None]


def parse_size(text: str) -> tuple[int, int] | Literal["auto"]:
    """Height and width of 64 or 96x128; or auto.

    Raises:
        UsageError: it is something else.
    """
    if text == "auto":
        return "auto"
    sides = text.lower().split("x")
    pixels = [whole(side) or 0 for side in sides]
    if len(sides) > 2 or min(pixels) < 1:
        raise UsageError(f"--size {text}", expected="pixels like 64, or height x width like 96x128")
    return pixels[0], pixels[-1]
