"""What a size costs: masks brought to it and back, beside themselves.

No model at that size can draw sharper: the mean Dice of such masks is a ceiling for its own.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, UInt8

from sfumato.data.formats.locator import BETWEEN, Locator
from sfumato.data.manifest import Case
from sfumato.data.mask import IGNORED
from sfumato.data.placement import Canvas, fit_canvas, restore, spacing_words
from sfumato.wording import counted

MASKS_MEASURED = 50
"""Masks that are brought to a size and back."""

MOST_PIXELS = 50_000_000
"""Of large masks fewer are, but five at least."""

FEWEST_MASKS = 5

BLURRED = 0.9
"""A Dice of a perfect mask below this is worth a larger size."""

_SMALLER_PART = 0.5
"""Share of a mask below which its background is something to be seen, too."""

FILES_OPENED, PLANES_OPENED = 10, 10
"""Of volumes and archives so many are opened, and so many of their planes looked at."""

_Item = TypeVar("_Item")

_Plane = UInt8[np.ndarray, "h w"]
"""A mask of class indices."""

_Region = Bool[np.ndarray, "h w"]


class OriginalMask(NamedTuple):
    """A mask of class indices at its own size, and its millimetres between rows and columns where they are known."""

    mask: _Plane
    spacing: tuple[float, float] | None = None


class Sharpness(NamedTuple):
    """What masks lose at a size.

    Attributes:
        size: sides of the canvas in pixels; None where each mask keeps its own size, at a spacing.
        masks: how many were measured; those that show nothing are left out.
        dice: mean Dice of a mask with itself brought to the size and back; of several classes the mean over them, with
            the background where it is the smaller part, as the walls of cells are.
        emptied: masks that show nothing at this size.
        objects: connected regions of a class, of all the masks.
        lost: those of them that are gone.
        spacing: millimetres per pixel of the canvas, where it has a spacing.
    """

    size: tuple[int, ...] | None
    masks: int
    dice: float
    emptied: int
    objects: int
    lost: int
    spacing: float | tuple[float, ...] | None = None

    @property
    def is_costly(self) -> bool:
        """Whether a larger size is worth it."""
        return self.dice < BLURRED or self.emptied > 0

    @property
    def sentence(self) -> str:
        """In a sentence."""
        measured = counted(self.masks, "mask")
        where = " x ".join(map(str, reversed(self.size or ()))) or spacing_words(self.spacing or 0.0)
        text = f"at {where} a perfect mask reaches Dice {self.dice:.2f} ({measured} measured)"
        if self.lost:
            text += f"; {self.lost} of {counted(self.objects, 'object')} are lost"
        if self.emptied:
            text += f"; {self.emptied} of {measured} come out empty"
        return text


class _Loss(NamedTuple):
    """Of one mask."""

    dice: float
    emptied: bool
    objects: int
    lost: int


def rows_to_measure(cases: Sequence[Case]) -> list[int]:
    """Rows spread over the cases that have masks, and few files where many cases share one."""
    files = dict[str, list[int]]()
    for row, case in enumerate(cases):
        if case.masks:
            mask = case.masks[0]
            files.setdefault(str(Locator.parse(mask).path) if BETWEEN in mask else mask, []).append(row)
    shared = any(len(rows) > 1 for rows in files.values())
    opened = _of_middles(list(files.values()), FILES_OPENED if shared else MASKS_MEASURED)
    return [row for rows in opened for row in _of_middles(rows, max(PLANES_OPENED, MASKS_MEASURED // len(opened)))]


def _of_middles(items: Sequence[_Item], count: int) -> list[_Item]:
    """At most `count` items from the middles of as many equal parts."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * part + 1) * len(items) // (2 * count)] for part in range(count)]


def sharpness(originals: Iterable[OriginalMask], canvases: Sequence[Canvas]) -> list[Sharpness]:
    """What masks lose in each canvas; nothing where no mask shows anything.

    Args:
        originals: masks spread over a set (`rows_to_measure`); `MASKS_MEASURED` of them at most, fewer where they are
            large.
        canvases: where they are brought.
    """
    losses, pixels = list[list[_Loss]](), 0
    for original in originals:
        if _shown(original.mask).any():
            losses.append([_loss(original, canvas) for canvas in canvases])
            pixels += original.mask.size
        if len(losses) >= MASKS_MEASURED or (len(losses) >= FEWEST_MASKS and pixels > MOST_PIXELS):
            break
    return [_summary(canvas, [each[place] for each in losses]) for place, canvas in enumerate(canvases) if losses]


def _summary(canvas: Canvas, losses: Sequence[_Loss]) -> Sharpness:
    return Sharpness(
        size=canvas.size,
        masks=len(losses),
        dice=float(np.mean([loss.dice for loss in losses])),
        emptied=sum(loss.emptied for loss in losses),
        objects=sum(loss.objects for loss in losses),
        lost=sum(loss.lost for loss in losses),
        spacing=canvas.spacing,
    )


def _loss(original: OriginalMask, canvas: Canvas) -> _Loss:
    from scipy import ndimage

    mask = original.mask
    placement = canvas.place((mask.shape[0], mask.shape[1]), original.spacing)
    small = fit_canvas(mask, placement, nearest=True)
    back = restore(small, placement, nearest=True)
    says, scores, objects, lost = mask != IGNORED, list[float](), 0, 0
    for value in np.unique(mask[_shown(mask)]):
        one, two = mask == value, (back == value) & says
        scores.append(_dice(one, two))
        labels, count = ndimage.label(one, np.ones((3, 3)))
        objects += count
        lost += count - len(np.setdiff1d(labels[two], [0]))
    if 0 < (mask == 0).mean() < _SMALLER_PART:
        scores.append(_dice(mask == 0, (back == 0) & says))
    return _Loss(float(np.mean(scores)), not _shown(small).any(), objects, lost)


def _dice(one: _Region, two: _Region) -> float:
    return 2 * int((one & two).sum()) / (int(one.sum()) + int(two.sum()))


def _shown(mask: _Plane) -> Bool[np.ndarray, "h w"]:
    return np.asarray((mask > 0) & (mask != IGNORED))
