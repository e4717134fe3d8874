"""Flags whose words become numbers or fields of a recipe."""

import math
from typing import Any, Literal

from sfumato.errors import UsageError
from sfumato.experiment.sharded_job import SHARE
from sfumato.numerals import decimal, whole
from sfumato.recipe import NATIVE


def changes_of(size: str | None, seed: int | None = None, **train: Any) -> dict[str, Any]:
    """Flags that are short for fields of a recipe, as its changes; what was not given changes nothing."""
    changes: dict[str, Any] = {} if size is None else {"data.size": parse_size(size)}
    if seed is not None:
        changes |= {"train.seed": seed, "data.split.seed": seed}
    return changes | {f"train.{name}": value for name, value in train.items() if value is not None}


def parse_size(text: str) -> tuple[int, int] | Literal["auto", "native"]:
    """Height and width of 64 or 96x128; or auto, or native.

    Raises:
        UsageError: it is something else.
    """
    if text == "auto":
        return "auto"
    if text == NATIVE:
        return NATIVE
    sides = text.lower().split("x")
    pixels = [whole(side) or 0 for side in sides]
    if len(sides) > 2 or min(pixels) < 1:
        raise UsageError(f"--size {text}", expected="pixels like 64, height x width like 96x128, or native")
    return pixels[0], pixels[-1]


def parse_spacing(text: str | None) -> float | tuple[float, float, float] | None:
    """Millimetres like 1.5; between planes, rows and columns like 3x0.8x0.8; None where nothing was said.

    Raises:
        UsageError: it is something else.
    """
    if text is None:
        return None
    steps = [decimal(step) or 0.0 for step in text.lower().split("x")]
    if len(steps) not in (1, 3) or not all(0 < step < math.inf for step in steps):
        raise UsageError(
            f"--spacing {text}", expected="millimetres like 1.5, or planes x rows x columns like 3x0.8x0.8"
        )
    return steps[0] if len(steps) == 1 else (steps[0], steps[1], steps[2])


def parse_sides(text: str | None) -> tuple[int, int] | None:
    """Height and width where auto has no meaning; None where nothing was said.

    Raises:
        UsageError: it is something else.
    """
    sides = None if text is None else parse_size(text)
    if isinstance(sides, str):
        raise UsageError(f"--size {sides}", expected="pixels like 64, or height x width like 96x128")
    return sides


def parse_shard(text: str | None) -> tuple[int, int]:
    """Number and count of a share like 0/4; all of the work where nothing is said.

    Raises:
        UsageError: the text means something else.
    """
    number, _, count = ("0/1" if text is None else text).partition("/")
    share = whole(number), whole(count)
    if share[0] is None or share[1] is None:
        raise UsageError(f"--shard {text}", expected=SHARE)
    return share[0], share[1]
