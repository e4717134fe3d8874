"""Whether values of masks may be numbers of objects that come again: neighbours have others, and no value is a kind.

    1 2 1 3 1 2 ...    nuclei, of which those that touch have different numbers, so that they stay apart

So are nuclei of several kinds. Where the numbers stand in red alone, as programs write them, or each higher one is had
where the lower ones are taken (a colouring of neighbours), it is asked; else, where a value says nothing of the place
and size of its areas, it is told.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Integer

from sfumato.data.mask import count_values, is_soft
from sfumato.data.source.values.objects import NOTHING, Area, explained_shares
from sfumato.errors import DataError

_MASKS, _PIECES, _MOST = 3, 3, 32
"""Masks with several values that say so at least, areas of a value in each of them, and values at most."""

_COLOURED = 0.9
"""Share of the areas of all values but 1 that lie beside one of each lower value, where neighbours were coloured."""

_COLOURS = 3
"""Values at least that are a colouring: of two, the higher one lies beside the lower one in many sets of classes."""

_NEAR = 2
"""Pixels between neighbours at most: some masks lack the borders of objects."""

_LEAST = 12
"""Areas of values other than 1 that say so at least."""


class _Seen(NamedTuple):
    """A mask: its areas, each by itself, and of those of 2 and above whether all lower values are beside them."""

    areas: Sequence[Area]
    coloured: Sequence[bool]


def doubt_of_recycled(
    masks: Iterable[Integer[np.ndarray, "_ _"]], *, in_red: Callable[[], bool]
) -> tuple[DataError | None, str]:
    """The question or the line about values that may number objects; None and empty without.

    Args:
        masks: some of a set, as stored; no more are taken than are needed.
        in_red: says whether the numbers stand in red alone; asked where there is a doubt.
    """
    seen = list[_Seen]()
    for looked, raw in enumerate(masks, start=1):
        values = [value for value in np.unique(raw).tolist() if value]
        if values and (values[0] < 1 or values[-1] > _MOST or is_soft(count_values(raw))):
            return None, ""
        if len(values) > 1:
            seen.append(_seen(raw, values))
        elif looked >= _MASKS and not seen:
            return None, ""
    areas = [area for of_mask in seen for area in of_mask.areas]
    values = sorted({area.value for area in areas})
    pieces = sum(len({area.value for area in of_mask.areas}) for of_mask in seen)
    if len(seen) < _MASKS or len(areas) < _PIECES * pieces or values != list(range(1, len(values) + 1)):
        return None, ""
    if any(share > NOTHING for share in explained_shares(areas)):
        return None, ""
    return _told(len(values), [told for of_mask in seen for told in of_mask.coloured], in_red=in_red())


def _told(highest: int, coloured: Sequence[bool], *, in_red: bool) -> tuple[DataError | None, str]:
    names = ",".join(f"{value}=NAME{value}" for value in range(1, highest + 1))
    ways = f"--join-masks if the numbers only tell objects apart; --class-names {names} if each is a kind of object"
    what = f"the values 1 to {highest} of the masks have several areas each, alike in place and size"
    if in_red:
        why = "; they stand in red alone, as numbers of objects do"
    elif highest >= _COLOURS and len(coloured) >= _LEAST and np.mean(coloured) >= _COLOURED:
        why = "; higher ones lie beside all lower ones, as where numbers keep neighbours apart"
    else:
        return None, f"{what}: {ways}"
    problem = DataError(
        f"{what}{why}: they may be classes, or numbers of objects that come again",
        expected="values that are classes, or one for all objects",
        remedy=f"say which: {ways}",
        code="DATA-014",
    )
    return problem, ""


def _seen(raw: Integer[np.ndarray, "h w"], values: Sequence[int]) -> _Seen:
    from scipy import ndimage

    areas, coloured = list[Area](), list[bool]()
    around = np.ones((3, 3), bool)
    for value in values:
        numbers, _ = ndimage.label(raw == value, around)
        for number, box in enumerate(ndimage.find_objects(numbers), start=1):
            wide = tuple(slice(max(side.start - _NEAR, 0), side.stop + _NEAR) for side in box)
            shown = numbers[wide] == number
            places = zip(np.nonzero(shown), wide, raw.shape, strict=True)
            middle = [(at.mean() + side.start) / length for at, side, length in places]
            areas.append(Area(value, 1, (*map(float, middle), float(np.log(shown.sum() / raw.size)))))
            if value > 1:
                beside = raw[wide][ndimage.binary_dilation(shown, around, iterations=_NEAR)]
                coloured.append(set(range(1, value)) <= set(np.unique(beside).tolist()))
    return _Seen(areas, coloured)
