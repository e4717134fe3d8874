"""Numbers on the command line: written in plain digits, and within the bounds that the annotation of a flag states.

The parser of the command line takes "2.6" for the whole number 3 and "0x10" for 16, "nan" and "inf" for numbers. Who
writes these means something else, so each word that is to become a number is looked at before it does.
"""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le
from cyclopts import App, ArgumentCollection, Parameter

from sfumato.errors import UsageError
from sfumato.numerals import decimal, whole

LARGE = 10**9
"""A limit that nobody meets by intention."""

Count = Annotated[int, Interval(ge=1, le=LARGE)]
"""How many there are of something."""

Index = Annotated[int, Interval(ge=0, le=2**63 - 1)]
"""A number that things are counted by, or a seed."""

Several = Annotated[int, Interval(ge=2, le=LARGE)]
"""How many of what there cannot be one of."""

Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]

Bound = Ge | Gt | Le


def check_numbers(_app: App, _commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Refuse what is no number, or lies out of bounds, for every flag that is one; a hook of the parser.

    Raises:
        UsageError: with the flag, the word and the bounds.
    """
    for argument in arguments:
        wanted = SampleRequest.of(argument.field_info.annotation)
        if wanted is None or not argument.parse:
            continue
        for token in argument.tokens:
            if not wanted.takes(token.value):
                raise UsageError(f"{argument.name} {token.value}", expected=str(wanted))


class SampleRequest(NamedTuple):
    """What the word for a flag may be.

    Attributes:
        kind: int for whole numbers alone.
        bounds: within which it lies.
        words: what may stand in place of a number, such as `auto`.
    """

    kind: type[int] | type[float]
    bounds: tuple[Bound, ...] = ()
    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, annotation: Any) -> "SampleRequest | None":
        """What an annotation asks for; None where it asks for no number, or takes any text as well."""
        kinds, bounds, words = set[type](), list[Bound](), list[str]()
        for part, about in _parts(annotation):
            if get_origin(part) is Literal:
                words += map(str, get_args(part))
            else:
                kinds.add(part)
                bounds += about
        if kinds == {int}:
            return cls(int, tuple(bounds), tuple(words))
        return cls(float, tuple(bounds), tuple(words)) if kinds in ({float}, {int, float}) else None

    def takes(self, text: str) -> bool:
        """Whether a word is one of those."""
        number = (whole if self.kind is int else decimal)(text)
        return text in self.words or (number is not None and all(_holds(bound, number) for bound in self.bounds))

    def __str__(self) -> str:
        what = "a whole number in digits" if self.kind is int else "a number"
        limits = " ".join(_told(bound) for bound in self.bounds)
        return ", or ".join([f"{what}, {limits}" if limits else what, *self.words])


def _parts(annotation: Any, about: Sequence[Bound] = ()) -> Iterator[tuple[Any, Sequence[Bound]]]:
    """The types that an annotation is made of, each with its bounds; None is no type of a word."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated and any(isinstance(each, Parameter) and each.converter for each in inner[1:]):
        yield str, ()  # text that the flag reads by itself
    elif origin is Annotated:
        bounds = [bound for each in inner[1:] for bound in _bounds(each)]
        yield from _parts(inner[0], [*about, *bounds])
    elif origin in (Union, UnionType, list, tuple):
        for part in inner:
            yield from _parts(part, about)
    elif annotation not in (type(None), ...):
        yield annotation, about


def _bounds(about: Any) -> Iterator[Bound]:
    if isinstance(about, Interval):
        yield from (bound for bound in about if isinstance(bound, Ge | Gt | Le))
    elif isinstance(about, Ge | Gt | Le):
        yield about


def _holds(bound: Bound, number: Any) -> bool:
    match bound:
        case Ge(limit):
            return bool(number >= limit)
        case Gt(limit):
            return bool(number > limit)
        case Le(limit):
            return bool(number <= limit)


def _told(bound: Bound) -> str:
    match bound:
        case Ge(limit):
            return f"from {limit}"
        case Gt(limit):
            return f"above {limit}"
        case Le(limit):
            return f"to {limit}"
