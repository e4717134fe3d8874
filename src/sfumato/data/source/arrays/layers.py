"""Masks whose last axis (or first) is one of channels: a class each, as PanNuke has them, readers, or parts of a mask.

A channel shows something wherever it is not 0: 1, 255, or numbers that count objects. Channels are classes by
themselves where no two of them show one pixel, or where one of them is the background: the first or last, if it shows
just what no other does (the larger of both where both do). Channels that overlap may be classes, readers or parts, and
a person says which. Where classes overlap, the smaller object is on top.

Only a few cases are looked at; what a channel holds is checked wherever it is read.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.archive import Array, read_array
from sfumato.data.formats.joined import LARGEST_CLASS, MaskPart, joined_name
from sfumato.data.source.arrays.axes import Axes
from sfumato.data.source.arrays.stored import StoredArray
from sfumato.data.source.discovered import ReadOptions
from sfumato.errors import DataError

CASES_TRIED = 8
"""Cases that are looked at."""

_FLAGS = (
    "say what they are: --classes-by suffix (a class each), --readers-by suffix (a reader each) or --join-masks (parts "
    "of one mask)"
)


class Layers(NamedTuple):
    """What the channels of masks are.

    Attributes:
        kind: "classes", "readers", "parts", or "grey" where all are the same.
        channels: those that are used, counted from 0.
        note: what was found, in a sentence.
    """

    kind: str
    channels: tuple[int, ...]
    note: str

    def masks(self, stored: StoredArray, axes: Axes, row: int, plane: int | None) -> tuple[str, ...]:
        """The names of the masks of an image, or of a plane of a volume: one for each reader."""
        names = [stored.locator(_member(axes, row, plane, channel)) for channel in self.channels]
        if self.kind == "grey":
            return (names[0],)
        if self.kind == "readers":
            return tuple(joined_name([MaskPart("1", name)]) for name in names)
        values = range(1, len(names) + 1) if self.kind == "classes" else [1] * len(names)
        return (joined_name([MaskPart(str(value), name) for value, name in zip(values, names, strict=True)]),)


def layered(images: Axes, masks: tuple[int, ...]) -> Axes | None:
    """The axes of masks that have channels; None where their shape is another.

    Args:
        images: the axes of their images.
        masks: the shape of the masks.
    """
    counted = (images.cases,) if images.counted else ()
    place = len(counted)
    if masks[:-1] == (*counted, *images.extent) and masks[-1] > 1:
        return images._replace(shape=masks, first=0)
    if masks[:place] == counted and masks[place + 1 :] == images.extent and masks[place] > 1:
        return images._replace(shape=masks, first=masks[place])
    return None


def layers_of(masks: Sequence[tuple[StoredArray, Axes]], hints: ReadOptions) -> Layers:
    """What the channels of masks are, by a few of them and by what a person says.

    Args:
        masks: arrays with the axes of `layered`, all with as many channels.
        hints: whether a person said that they are classes, readers or parts.

    Raises:
        DataError: nobody can know it, they are no whole numbers, or there are too many.
    """
    stored = masks[0][0]
    samples = _samples(masks)
    count = samples[0].shape[-1]
    _refuse_fractions(stored, samples)
    if all((sample == sample[..., :1]).all() for sample in samples):
        return Layers("grey", (0,), f"the {count} channels of the masks are the same: the first was taken")
    shown = [sample != 0 for sample in samples]
    background = _background(stored, samples, shown)
    channels = tuple(channel for channel in range(count) if channel != background)
    if len(channels) > LARGEST_CLASS:
        raise DataError(
            f"{stored} has {count} channels (shape {stored.shape})",
            expected=f"at most {LARGEST_CLASS} classes",
            remedy="store the class of each pixel as a number, in an array without channels",
            code="DATA-014",
        )
    overlap = any((show[..., list(channels)].sum(-1) > 1).any() for show in shown)
    kind = _said(hints)
    if not kind and (background is not None or not overlap):
        kind = "classes"
    if not kind:
        raise DataError(
            f"{stored} has {count} channels that overlap, and what they are is not clear (shape {stored.shape})",
            expected="channels that do not overlap, or a background as the last or the first of them",
            remedy=_FLAGS,
            code="DATA-064",
        )
    return Layers(kind, channels, _told(kind, channels, background, overlap=overlap))


def _refuse_fractions(stored: StoredArray, samples: Sequence[Array]) -> None:
    """Refuse channels that are no whole numbers.

    Raises:
        DataError: they are none.
    """
    if all(sample.dtype.kind in "biuf" and _are_whole(sample) for sample in samples):
        return
    count = samples[0].shape[-1]
    raise DataError(
        f"{stored} has {count} channels of fractions or negative numbers (shape {stored.shape})",
        expected="channels that are 0 where they show nothing: truth values, or numbers of objects",
        remedy="store the class of each pixel as a number, in an array without channels",
        code="DATA-014",
    )


def _member(axes: Axes, row: int, plane: int | None, channel: int) -> str:
    """What a locator says after the array, for one channel of a mask."""
    places = [":"] * axes.spatial
    if plane is not None:
        places[axes.cut] = str(plane)
    counted = [str(row)] if axes.counted else []
    order = [*counted, str(channel), *places] if axes.first else [*counted, *places, str(channel)]
    while order[-1] == ":":
        order.pop()
    return "/".join(order)


def _samples(masks: Sequence[tuple[StoredArray, Axes]]) -> list[Array]:
    """A few cases, their channels last."""
    every = [(stored, axes, row) for stored, axes in masks for row in _some(axes.cases)]
    chosen = [every[place] for place in _some(len(every))]
    return [_case(stored, axes, row) for stored, axes, row in chosen]


def _some(count: int) -> list[int]:
    """A few places, spread evenly."""
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, CASES_TRIED))})


def _case(stored: StoredArray, axes: Axes, row: int) -> Array:
    values = read_array(stored.path, stored.key)
    case = np.asarray(values[row] if axes.counted else values)
    return np.moveaxis(case, 0, -1) if axes.first else case


def _are_whole(sample: Array) -> bool:
    """Whether no value is negative or a fraction."""
    return sample.dtype.kind == "b" or bool((sample >= 0).all() and (sample == np.rint(sample)).all())


def _background(where: StoredArray, samples: Sequence[Array], shown: Sequence[Array]) -> int | None:
    """The first or last channel, where it has one value, and shows just what no other does; the larger of two.

    Raises:
        DataError: of two channels the second is the larger one.
    """
    count = samples[0].shape[-1]
    found = [channel for channel in (0, count - 1) if _is_rest(channel, samples, shown)]
    areas = {channel: sum(int(show[..., channel].sum()) for show in shown) for channel in found}
    if count == 2 and len(found) == 2 and areas[1] > areas[0]:
        raise DataError(
            f"{where} has two channels, each of which shows what the other does not; which one is the background?",
            expected="the background as the first channel, and larger than what is drawn",
            remedy="store what is drawn alone, in an array without channels: masks[..., 1]",
            code="DATA-064",
        )
    return max(found, key=lambda channel: areas[channel], default=None)


def _is_rest(channel: int, samples: Sequence[Array], shown: Sequence[Array]) -> bool:
    """Whether a channel has one value, and shows just what no other does."""
    values = {int(value) for sample in samples for value in np.unique(sample[..., channel])} - {0}
    others = [place for place in range(samples[0].shape[-1]) if place != channel]
    return len(values) == 1 and all((show[..., channel] == ~show[..., others].any(-1)).all() for show in shown)


def _said(hints: ReadOptions) -> str:
    """What a person said the masks of an image are."""
    if hints.join_masks:
        return "parts"
    if hints.readers_by:
        return "readers"
    return "classes" if hints.classes_by else ""


def _told(kind: str, channels: Sequence[int], background: int | None, *, overlap: bool) -> str:
    if kind != "classes":
        return f"each of {len(channels)} channels of the masks is {'a reader' if kind == 'readers' else 'a part'}"
    without = "" if background is None else f"; the {'last' if background else 'first'} one is the background"
    above = "; where they overlap, the smaller object is on top" if overlap else ""
    return f"each of {len(channels)} channels of the masks is a class, 1 to {len(channels)}{without}{above}"
