"""What is to be asked or told of the values of masks that may be the background, or say nothing.

255 on the rim, 0 within                0 would be the background: asked
1 on most of most rims, 0 within        the same, where what is drawn goes on beyond the picture
50, 11, 21, 5 and no 0                  the lowest would be the background: asked
0, 5, 15 and white lines between        255 would be a class: told (`data.borders`)
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Integer

from sfumato.data.borders import WHITE, has_white_border
from sfumato.data.mask import MAX_CLASSES, are_indices
from sfumato.errors import DataError

BACKGROUND, IGNORE = "background", "ignore"
"""Names of values that are no classes."""

_FILLED, _LEAST = 0.98, 3
"""Share of the rim of a mask that has one value where it is all of it, and masks that say so."""

_MOSTLY, _MOST = 0.5, 0.75
"""Share of the rim of a mask above which a value may be the background, and share of the masks that say so."""

_LARGE = 8
"""So many values at most are named where the rim is asked about."""


@dataclass
class _Seen:
    """What some masks of a set show.

    Attributes:
        values: that any of them has.
        rims: pixels on the rims, by their value.
        behind: masks most of whose rim has one value, by it.
        filled: how many of them have it on all of their rim.
        looked_at: how many masks.
        white: how many of them have white.
        bordered: of how many it is a line between the others.
    """

    values: set[int] = field(default_factory=set)
    rims: Counter[int] = field(default_factory=Counter)
    behind: Counter[int] = field(default_factory=Counter)
    filled: int = 0
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
        others = self.looked_at - max((count for value, count in self.behind.items() if value), default=0)
        no_rim = others >= _LEAST and others > (1 - _MOST) * self.looked_at
        return no_rim and 0 in self.values and self.bordered < self.white

    def add(self, raw: Integer[np.ndarray, "h w"]) -> None:
        """Look at a mask, as stored."""
        rim = np.concatenate([raw[0], raw[-1], raw[1:-1, 0], raw[1:-1, -1]])
        self.values |= set(np.unique(raw).tolist())
        self.rims.update(rim.tolist())
        self.looked_at += 1
        self.white += bool((raw == WHITE).any())
        self.bordered += has_white_border(raw)
        value, count = Counter(rim.tolist()).most_common(1)[0]
        self.behind[value] += count > _MOSTLY * rim.size
        self.filled += count >= _FILLED * rim.size


def doubts(
    masks: Iterable[Integer[np.ndarray, "_ _"]], colours: Callable[[], str] = str
) -> tuple[DataError | None, str]:
    """The question about the background of some masks, and a line about white borders; None and empty without.

    Args:
        masks: some of a set, as stored; no more are taken than are needed.
        colours: says in which colours a palette shows the values; asked where there is a question alone.
    """
    seen = _Seen()
    for raw in masks:
        seen.add(raw)
        if seen.is_settled:
            return None, ""
    if problem := _doubt_of_rim(seen, colours) or _doubt_of_lowest(seen, colours):
        return problem, ""
    return None, _about_border(seen.bordered) if seen.has_borders else ""


def _about_border(masks: int) -> str:
    return (
        f"{WHITE} is a thin line between the other values in all masks that have it of those looked at ({masks}), as "
        f"borders are that count nowhere; here it is a class. If it is none: --class-names {WHITE}={IGNORE}"
    )


def _doubt_of_rim(seen: _Seen, colours: Callable[[], str]) -> DataError | None:
    """The question where a value other than 0 is most of the rim of most masks, and 0 lies within it."""
    behind, masks = max(seen.behind.items(), key=lambda item: item[1], default=(0, 0))
    if not behind or seen.looked_at < _LEAST or masks < _MOST * seen.looked_at:
        return None
    if 0 not in seen.values or not 2 < len(seen.values) <= _LARGE:
        return None
    others = sorted(seen.values - {behind}, reverse=True)
    names = ",".join([f"{behind}={BACKGROUND}", *(f"{value}=NAME{value}" for value in others)])
    as_stored = ",".join(f"{value}={f'class {value}' if value else BACKGROUND}" for value in sorted(seen.values))
    whole = seen.filled == masks == seen.looked_at
    where = "fills the rim of all masks" if whole else f"is most of the rim of {masks} of {seen.looked_at} masks"
    return DataError(
        f"the value {behind} {where} that were looked at{f' ({masks})' if whole else ''}, and 0 lies within: 0 would "
        f"be the background{colours()}",
        expected="0 for the background",
        remedy=f"name the values: --class-names {names}; if 0 is the background, --class-names '{as_stored}'",
        code="DATA-014",
    )


def _doubt_of_lowest(seen: _Seen, colours: Callable[[], str]) -> DataError | None:
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
        f"({', '.join(map(str, values))}) do not count from 1: the lowest would be the background{about}{colours()}",
        expected="0 for the background",
        remedy=f"name the values: --class-names {','.join([f'{behind}={BACKGROUND}', *others, *border])} if {behind}, "
        f"which the rims have most, is the background; if none is, --class-names "
        f"{','.join([*(f'{value}=NAME{value}' for value in drawn), *border])}",
        code="DATA-014",
    )
