"""What is to be asked or told of the values of masks that may be the background, or say nothing.

255 on the rim, 0 within                0 would be the background: asked
50, 11, 21, 5 and no 0                  the lowest would be the background: asked
0, 5, 15 and white lines between        255 would be a class: told (`data.borders`)
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Integer

from sfumato.data.borders import WHITE, has_white_border
from sfumato.data.mask import MAX_CLASSES, are_indices
from sfumato.errors import DataError

BACKGROUND, IGNORE = "background", "ignore"
"""Names of values that are no classes."""

_FILLED, _LEAST = 0.98, 3
"""Share of the rim of a mask that has one value where it is the background, and masks that say so."""

_LARGE = 8
"""So many values at most are named where the rim is asked about."""


@dataclass
class _Seen:
    """What some masks of a set show.

    Attributes:
        values: that any of them has.
        rims: pixels on the rims, by their value.
        filled: masks whose rim has one value, by it; None once one has none, or 0.
        looked_at: how many masks.
        white: how many of them have white.
        bordered: of how many it is a line between the others.
    """

    values: set[int] = field(default_factory=set)
    rims: Counter[int] = field(default_factory=Counter)
    filled: Counter[int] | None = field(default_factory=Counter)
    looked_at: int = 0
    white: int = 0
    bordered: int = 0

    @property
    def has_borders(self) -> bool:
        """Whether white is a border wherever it is."""
        return 0 < self.white == self.bordered

    @property
    def is_settled(self) -> bool:
        """Whether there is nothing to be asked or told, whatever other masks show."""
        return self.filled is None and 0 in self.values and self.bordered < self.white

    def add(self, raw: Integer[np.ndarray, "h w"]) -> None:
        """Look at a mask, as stored."""
        rim = np.concatenate([raw[0], raw[-1], raw[1:-1, 0], raw[1:-1, -1]])
        self.values |= set(np.unique(raw).tolist())
        self.rims.update(rim.tolist())
        self.looked_at += 1
        self.white += bool((raw == WHITE).any())
        self.bordered += has_white_border(raw)
        value = int(np.median(rim))
        if not value or float((rim == value).mean()) < _FILLED:
            self.filled = None
        elif self.filled is not None:
            self.filled[value] += 1


def doubts(masks: Iterable[Integer[np.ndarray, "_ _"]]) -> tuple[DataError | None, str]:
    """The question about the background of some masks, and a line about white borders; None and empty without.

    Args:
        masks: some of a set, as stored; no more are taken than are needed.
    """
    seen = _Seen()
    for raw in masks:
        seen.add(raw)
        if seen.is_settled:
            return None, ""
    if problem := _doubt_of_rim(seen) or _doubt_of_lowest(seen):
        return problem, ""
    return None, _about_border(seen.bordered) if seen.has_borders else ""


def _about_border(masks: int) -> str:
    return (
        f"{WHITE} is a thin line between the other values in all masks that have it of those looked at ({masks}), as "
        f"borders are that count nowhere; here it is a class. If it is none: --class-names {WHITE}={IGNORE}"
    )


def _doubt_of_rim(seen: _Seen) -> DataError | None:
    """The question where a value other than 0 fills the rim of nearly all masks, and 0 lies within it."""
    rims = seen.filled
    if rims is None or len(rims) != 1 or seen.looked_at < _LEAST:
        return None
    if 0 not in seen.values or not 2 < len(seen.values) <= _LARGE:
        return None
    (behind,) = rims
    others = sorted(seen.values - {behind}, reverse=True)
    names = ",".join([f"{behind}={BACKGROUND}", *(f"{value}=NAME" for value in others)])
    as_stored = ",".join(f"{value}={f'class {value}' if value else BACKGROUND}" for value in sorted(seen.values))
    return DataError(
        f"the value {behind} fills the rim of all masks that were looked at ({rims.total()}), and 0 lies within: 0 "
        "would be the background",
        expected="0 for the background",
        remedy=f"name the values: --class-names {names}; if 0 is the background, --class-names '{as_stored}'",
        code="DATA-014",
    )


def _doubt_of_lowest(seen: _Seen) -> DataError | None:
    """The question where no mask has 0, and of several values that do not count from 1 nothing says which is behind."""
    values = sorted(seen.values)
    if seen.looked_at < _LEAST or not 2 < len(values) <= MAX_CLASSES or values[0] <= 0 or are_indices(values):
        return None
    drawn = [value for value in values if not (seen.has_borders and value == WHITE)]
    behind = max(drawn, key=lambda value: seen.rims[value])
    others = [f"{value}=NAME{value}" for value in drawn if value != behind]
    border = [f"{WHITE}={IGNORE}"] * seen.has_borders
    about = f"; {WHITE} is a thin line between the others" if border else ""
    return DataError(
        f"no mask that was looked at ({seen.looked_at}) has the value 0, and the others "
        f"({', '.join(map(str, values))}) do not count from 1: the lowest would be the background{about}",
        expected="0 for the background",
        remedy=f"name the values: --class-names {','.join([f'{behind}={BACKGROUND}', *others, *border])} if {behind}, "
        f"which the rims have most, is the background; if none is, --class-names "
        f"{','.join([*(f'{value}=NAME{value}' for value in drawn), *border])}",
        code="DATA-014",
    )
