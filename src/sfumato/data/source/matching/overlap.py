"""How far the masks of an image lie on one another, measured on a sample of a set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool

from sfumato.data.formats.dicom.drawn import on_image
from sfumato.data.formats.dicom.file import is_dicom
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.joined import object_mask
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.source.matching.pairing import Owned
from sfumato.errors import DataError

IMAGES_COMPARED, VOLUMES_COMPARED, MASKS_COMPARED = 32, 3, 6
"""Images (or volumes) of a sample, and masks of each that are compared."""

ENOUGH = 24
"""Pairs of masks that both show something; with so many, no more images are looked at."""

_ON, _BESIDE = 0.5, 0.1
"""Shares of the smaller object: from the first on two lie on one another, up to the second beside one another."""

_ALIKE, _NEAR, _NESTED = 0.75, 0.25, 0.97
"""Dice from which on two masks show the same, and from which on if neither holds the other; share that holds it."""

_MOST = 0.9
"""Share of the pairs that speaks for all."""

_FULL = 0.95
"""Share of the rim of a picture that an inverted mask covers at least."""

VIEW = 0.3
"""Share of the image that a field of view has at least."""

_Masks = TypeVar("_Masks", bound=Sequence[Owned])
_Item = TypeVar("_Item")
_Shown = Bool[np.ndarray, "..."]


class _Overlap(NamedTuple):
    """How far masks of an image lie on one another.

    Attributes:
        shares: for each pair that both show something, the share of the smaller object that lies on the larger.
        dice: of the same pairs.
        doubled: share of what is drawn that lies in several masks.
        filled: share of the masks whose rim is all but filled, as that of an inverted one is.
    """

    shares: tuple[float, ...]
    dice: tuple[float, ...]
    doubled: float = 0.0
    filled: float = 0.0

    @property
    def together(self) -> bool:
        """Whether they lie on one another, as readers do."""
        return float(np.mean([share >= _ON for share in self.shares])) > 0.5

    @property
    def apart(self) -> bool:
        """Whether they lie beside one another, as parts do."""
        return float(np.mean([share <= _BESIDE for share in self.shares])) >= _MOST

    @property
    def alike(self) -> bool:
        """Whether they show the same, as readers do and classes do not."""
        dice, share = float(np.median(self.dice)), float(np.median(self.shares))
        return dice >= _ALIKE or (dice >= _NEAR and share < _NESTED)

    @property
    def nested(self) -> bool:
        """Whether of two the smaller lies in the larger, as a cup does in its disc."""
        return float(np.mean([share >= _NESTED or share <= _BESIDE for share in self.shares])) >= _MOST

    def sentence(self) -> str:
        """In words."""
        beside = sum(share <= _BESIDE for share in self.shares)
        return (
            f"of {len(self.shares)} pairs that were compared, {beside} lie beside one another, "
            f"{sum(share >= _ON for share in self.shares)} on one another; median Dice {np.median(self.dice):.2f}"
        )


@dataclass
class _Tally:
    """What was measured of some images."""

    shares: list[float] = field(default_factory=list)
    dice: list[float] = field(default_factory=list)
    filled: list[bool] = field(default_factory=list)
    drawn_at_all: int = 0
    drawn_twice: int = 0

    def add(self, drawn: Sequence[_Shown]) -> None:
        """Measure the masks of an image that show something."""
        self.filled += map(_fills_rim, drawn)
        if len(drawn) > 1 and len({area.shape for area in drawn}) == 1:
            times = np.sum(drawn, axis=0)
            self.drawn_at_all += int((times > 0).sum())
            self.drawn_twice += int((times > 1).sum())
        for one, other in combinations(drawn, 2):
            if one.shape == other.shape:
                self._compare(one, other)

    def _compare(self, one: _Shown, other: _Shown) -> None:
        both, sizes = int((one & other).sum()), (int(one.sum()), int(other.sum()))
        self.shares.append(both / min(sizes))
        self.dice.append(2 * both / sum(sizes))

    def overlap(self) -> _Overlap | None:
        """The whole; None where no two could be compared."""
        if not self.shares:
            return None
        doubled = self.drawn_twice / max(1, self.drawn_at_all)
        return _Overlap(tuple(self.shares), tuple(self.dice), doubled, float(np.mean(self.filled)))


def mask_overlap(several: Mapping[str, Sequence[Owned]]) -> _Overlap | None:
    """How far the masks of images with several lie on one another; None where none could be compared.

    Of inverted masks, nearly all of which are filled along the rim, what they leave free is compared: whatever
    surrounds small objects is nearly alike.
    """
    tally, inverted, first = _Tally(), _Tally(), next(iter(several.values()))[0]
    for image, masks in _spread(list(several.items()), _sample_size(first)):
        areas = [object_in(mask.entry.locator, image) for mask in masks[:MASKS_COMPARED]]
        drawn = [area for area in areas if area is not None and area.any()]
        tally.add(drawn)
        if all(map(_fills_rim, drawn)):
            inverted.add([~area for area in drawn if not area.all()])
        if len(tally.shares) >= ENOUGH:
            break
    measured, free = tally.overlap(), inverted.overlap()
    if measured is None or free is None or measured.filled < _MOST:
        return measured
    return free._replace(filled=measured.filled)


def _fills_rim(area: _Shown) -> bool:
    """Whether an object covers nearly all of the border of a picture."""
    rim = [area[0], area[-1], area[:, 0], area[:, -1]] if area.ndim == 2 else [np.zeros(1, bool)]
    return bool(np.concatenate(rim).mean() >= _FULL)


def are_views(pairs: Sequence[tuple[Owned, Owned]]) -> int | None:
    """Which of two kinds of masks shows the field of view: it is large and holds all of the other; None for neither."""
    could_be = [True, True]
    for one, other in sampled(pairs):
        first, second = object_in(one.entry.locator), object_in(other.entry.locator)
        if first is None or second is None or first.shape != second.shape:
            return None
        could_be[0] &= _is_view_of(first, second)
        could_be[1] &= _is_view_of(second, first)
    return could_be.index(True) if any(could_be) else None


def _is_view_of(outer: _Shown, inner: _Shown) -> bool:
    """Whether an object is large, and holds all of another."""
    held = (outer & inner).sum() >= 0.99 * inner.sum()
    return bool(held and outer.mean() >= VIEW and outer.sum() >= 1.5 * inner.sum())


def sampled(items: Sequence[_Masks]) -> Sequence[_Masks]:
    """Some, spread over all; more are there than are looked at when nothing can be compared."""
    return _spread(items, _sample_size(items[0][0]))


def _sample_size(mask: Owned) -> int:
    """How many images of a set are looked at: few where they are volumes."""
    return VOLUMES_COMPARED if is_volume(Locator.parse(mask.entry.locator).path) else IMAGES_COMPARED


def _spread(items: Sequence[_Item], count: int) -> Sequence[_Item]:
    return items[:: max(1, -(-len(items) // count))]


def object_in(locator: str, image: str = "") -> _Shown | None:
    """What a mask shows as object; None where it cannot be read, which is told when it is decoded.

    Args:
        locator: of the mask.
        image: that it was drawn on: DICOM segmentations have a grid of their own, and contours none.
    """
    target = Locator.parse(locator)
    try:
        if image and not target.member and is_dicom(target.path):
            return object_mask(locator, on_image(Path(image), target.path))
        if not target.member and is_volume(target.path):
            return object_mask(locator, np.asarray(read_volume(Path(locator)).voxels))
        return object_mask(locator, read_mask(locator))
    except DataError:
        return None
