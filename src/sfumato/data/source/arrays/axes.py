"""What the axes of an array mean. An array does not say, so this is decided by one rule, and the choice is noted.

After the axis that counts the cases, if there is one, a case is

    (h, w)          an image
    (h, w, c)       an image of several channels: the last axis is at most 6 and the first is not 1 or 3
    (c, h, w)       an image in colours: the first axis is 1 or 3 and the last is more than 6
    (d, h, w)       a volume: neither
    (d, h, w, c)    a volume in colours, by the same rule; (c, d, h, w) likewise

Masks beside an image say more than these rules: of an image of three axes whose masks have two, the third axis is that
of the channels, however many there are. So it is where both have three, and agree in all but the last.

Where both rules hold (3 x 3 x 3), nobody can know, and it is refused. A single array of three axes with nothing beside
it is a stack of images along its first axis, or a volume where a slice axis is asked for. Arrays have no geometry:
axial cuts along the first axis of a volume, coronal along the second, sagittal along the third.
"""

from typing import Literal, NamedTuple

from sfumato.data.formats.volume import Axis
from sfumato.errors import DataError

LAST = (1, 2, 3, 4, 5, 6)
"""Channels that come last; no image is so narrow."""

_FIRST = (1, 3)
CUTS: dict[str, int] = {"auto": 0, "axial": 0, "coronal": 1, "sagittal": 2}
_WORDS = {2: ("height", "width"), 3: ("depth", "height", "width")}


class Axes(NamedTuple):
    """How the cases of an array are cut out of it.

    Attributes:
        shape: of the whole array.
        counted: whether the first axis counts cases.
        spatial: axes of one case without its channels: 2 for images, 3 for volumes.
        first: number of channels, if they come before the spatial axes; else 0.
        cut: which spatial axis of a volume is cut into planes.
    """

    shape: tuple[int, ...]
    counted: bool
    spatial: int
    first: int
    cut: int

    @property
    def cases(self) -> int:
        """How many cases there are."""
        return self.shape[0] if self.counted else 1

    @property
    def extent(self) -> tuple[int, ...]:
        """The spatial axes of one case."""
        start = int(self.counted) + int(self.first > 0)
        return self.shape[start : start + self.spatial]

    @property
    def planes(self) -> int | None:
        """How many planes a case has; None for images."""
        return self.extent[self.cut] if self.spatial == 3 else None

    def members(self, row: int, plane: int | None) -> list[str]:
        """What locators say after the array for one plane: one text per channel file, the first is the image."""
        cut = [] if plane is None else [*":" * self.cut, str(plane)]
        counted = [str(row)] if self.counted else []
        if self.first:
            return ["/".join([*counted, str(channel), *cut]) for channel in range(self.first)]
        return ["/".join([*counted, *cut]) or ":"]

    def __str__(self) -> str:
        channels = len(self.shape) - int(self.counted) - self.spatial - int(self.first > 0)
        names = [
            *(["count"] if self.counted else []),
            *(["channels"] if self.first else []),
            *_WORDS[self.spatial],
            *["channels"] * channels,
        ]
        text = f"{' x '.join(map(str, self.shape))} was read as ({', '.join(names)})"
        return f"{text}, cut into planes along its {_WORDS[3][self.cut]}" if self.spatial == 3 else text


def axes_of(
    name: str, shape: tuple[int, ...], *, counted: bool | None, slice_axis: Axis | Literal["auto"] = "auto"
) -> Axes:
    """What the axes of an array mean.

    Args:
        name: of the array, for errors.
        shape: its shape.
        counted: whether the first axis counts cases; None where nothing says so.
        slice_axis: along which axis volumes are cut.

    Raises:
        DataError: the rule allows two readings or none.
    """
    if 0 in shape:
        raise DataError(f"{name} has the shape {shape}: it is empty", expected="images", code="DATA-060")
    cut = CUTS[slice_axis]
    if counted is None and len(shape) == 3 and (shape[2] not in LAST or shape[0] == shape[1] == shape[2]):
        if shape[2] in LAST:
            raise _unclear(name, shape)
        stacked = slice_axis == "auto"
        return Axes(shape, counted=stacked, spatial=2 if stacked else 3, first=0, cut=0 if stacked else cut)
    counted = len(shape) > 3 if counted is None else counted
    case = shape[1:] if counted else shape
    last, first = _colours(name, shape, case)
    spatial = len(case) - int(last) - int(first)
    if spatial not in (2, 3):
        raise _unclear(name, shape)
    return Axes(shape, counted=counted, spatial=spatial, first=case[0] if first else 0, cut=cut if spatial == 3 else 0)


def axes_beside(shape: tuple[int, ...], masks: tuple[int, ...], *, counted: bool) -> Axes | None:
    """What the axes of images mean by the masks that lie on them; None where the masks do not say it.

    Args:
        shape: of the images.
        masks: of the masks.
        counted: whether the first axis counts cases.
    """
    start = int(counted)
    case, mask = shape[start:], masks[start:]
    if len(mask) == 3 and 1 in (mask[0], mask[-1]):  # an axis of one channel
        mask = mask[:-1] if mask[-1] == 1 else mask[1:]
    if len(case) != 3 or shape[:start] != masks[:start]:
        return None
    if len(mask) == 3 and case[:2] == mask[:2] and case[2] != mask[2]:  # channels of both
        return Axes(shape, counted=counted, spatial=2, first=0, cut=0)
    last, first = case[:-1] == mask, case[1:] == mask
    if len(mask) != 2 or last == first:
        return None
    return Axes(shape, counted=counted, spatial=2, first=case[0] if first else 0, cut=0)


def _colours(name: str, shape: tuple[int, ...], case: tuple[int, ...]) -> tuple[bool, bool]:
    """Whether the channels of a case come last, or first."""
    if len(case) < 3:
        return False, False
    last, first = case[-1] in LAST, case[0] in _FIRST
    if last and first:
        raise _unclear(name, shape)
    return last, first


def _unclear(name: str, shape: tuple[int, ...]) -> DataError:
    return DataError(
        f"{name} has the shape {shape}, which can be read in more than one way, or in none",
        expected="(count, height, width), (count, height, width, 1 or 3), (count, depth, height, width) ...",
        remedy="save images as (count, height, width) or (count, height, width, channels) under the name 'images', "
        "volumes as (count, depth, height, width) under 'volumes'",
        code="DATA-060",
    )
