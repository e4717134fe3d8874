"""What every section of a recipe is made of: immutable models, and the kinds of numbers and words they hold."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from sfumato.numerals import whole

SHORT = re.compile(r"([0-9]+|[0-9]*\.[0-9]+)(k|M)")


def count(value: object) -> object:
    """500, "500", "20k" and "1.5M" are whole numbers; true, "0x10" and "1_000" are none."""
    if isinstance(value, bool):
        raise ValueError("a whole number is wanted")
    if isinstance(value, str):
        if short := SHORT.fullmatch(value):
            return round(float(short[1]) * {"k": 1_000, "M": 1_000_000}[short[2]])
        if whole(value) is None:
            raise ValueError("a whole number in plain digits is wanted")
    return value


MOST = 10**12
"""Of anything that is counted."""

Whole = Annotated[int, BeforeValidator(count)]
Count = Annotated[int, Field(gt=0, le=MOST), BeforeValidator(count)]
Side = Annotated[int, Field(gt=0, le=8192), BeforeValidator(count)]
"""Of an image in pixels: a network at this size fills the largest device many times over."""
BatchSize = Annotated[int, Field(gt=0, le=1_000_000), BeforeValidator(count)]
"""That are worked on together."""

Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Auto = Literal["auto"]
TaskKind = Literal["segment", "generate"]


class Part(BaseModel):
    """A section of a recipe: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
