"""What every section of a recipe is made of: immutable models, and the kinds of numbers and words they hold."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def count(value: object) -> object:
    """500, "500", "20k" and "1.5M" are counts."""
    if isinstance(value, str) and value[-1:] in {"k", "M"}:
        try:
            return int(float(value[:-1]) * {"k": 1_000, "M": 1_000_000}[value[-1]])
        except ValueError:
            return value
    return value


Count = Annotated[int, BeforeValidator(count), Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Auto = Literal["auto"]
TaskKind = Literal["segment", "generate"]


class Part(BaseModel):
    """A section of a recipe: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
