"""Packages that are installed only where somebody wants them."""

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from sfumato.errors import AbsentError
from sfumato.networks.normalisation import largest_divisor
from sfumato.shortage import raise_shortage


def imported(module: str, *, extra: str) -> Any:
    """The module, or the person is told what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise_shortage(error, reading=module)
        raise AbsentError(
            f"this needs the package {extra}, which cannot be imported ({error})",
            remedy=f"pip install sfumato[{extra}]",
        ) from error


def common_divisor(widths: Sequence[int], *, limit: int) -> int:
    """The largest number up to `limit` that divides the width of every level."""
    return largest_divisor(math.gcd(*widths), limit=limit)
