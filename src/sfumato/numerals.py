"""Numbers as people write them: plain decimal digits, nothing that Python's `int` and `float` take besides."""

import math
import re

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)


def whole(text: str) -> int | None:
    """A whole number in digits like 64; None for anything else, such as 2.6, 0x10, 1_000 or 1e3."""
    return int(text) if _WHOLE.fullmatch(text) else None


def decimal(text: str) -> float | None:
    """A finite number like 2, 0.5 or 1e-3; None for anything else, such as nan, inf or 1_000."""
    number = float(text) if DECIMAL.fullmatch(text) else math.nan
    return number if math.isfinite(number) else None
