"""How results are drawn: the same eight flags for every verb that draws from a model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter, Token

from sfumato.commands.flags.numbers import Count, Fraction, NonNegative
from sfumato.errors import UsageError
from sfumato.experiment.sampling import Sampling
from sfumato.numerals import decimal


def parse_interval(text: str) -> tuple[float, float]:
    """Ratios like 0.2,3; `inf` is the noisiest.

    Raises:
        UsageError: there are not two of them.
    """
    match [math.inf if part == "inf" else decimal(part) for part in text.replace(" ", "").split(",")]:
        case [float(low), float(high)]:
            return low, high
    raise UsageError(
        f"--guidance-interval {text}", expected="two noise-to-signal ratios like 0.2,3, the lower one first"
    )


def _read(_type: Any, tokens: Sequence[Token]) -> tuple[float, float]:
    return parse_interval(tokens[0].value)


Ratios = Annotated[tuple[float, float], Parameter(converter=_read, n_tokens=1, metavar="LOW,HIGH", negative="")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SamplingFlags(Sampling):
    """The fields of a sampling as flags."""

    steps: Count | Literal["auto"] | None = None
    eta: Fraction | None = None
    churn: NonNegative | None = None
    guidance: NonNegative | None = None
    guidance_interval: Ratios | None = None


AS_TRAINED = SamplingFlags()
"""Nothing said: the model's recipe decides."""
