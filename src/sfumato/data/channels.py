"""The channels of an image: files of their own, values or planes of one volume, grey and colour."""

from typing import Literal

import numpy as np
from jaxtyping import Shaped

from sfumato.data.formats.image import Pixels, read_image
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.volume import named_place
from sfumato.data.manifest import Case
from sfumato.errors import DataError

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey. Source: ITU-R BT.601."""

FEW_ROWS = 16
"""Every so many rows are looked at for colour before all are."""

_Converted = Shaped[np.ndarray, "height width channels"]


def read_case(case: Case) -> Pixels:
    """The image of a case with all its channels, height x width x channels.

    Measured numbers of several kinds (CT in whole numbers, PET in fractions) are all of the kind that holds each.

    Raises:
        DataError: as for `read_image`, and for channels of different sizes, or of 8 and of 16 bits.
    """
    parts = [read_image(locator) for locator in (case.image, *case.channels)]
    first = parts[0]
    for locator, part in zip(case.channels, parts[1:], strict=True):
        if part.shape[:2] != first.shape[:2] or not _go_together(part.dtype, first.dtype):
            raise DataError(
                f"{locator} is {part.shape[1]} x {part.shape[0]} {part.dtype}, "
                f"the first channel {case.image} is {first.shape[1]} x {first.shape[0]} {first.dtype}",
                expected="channels of one size and one kind of numbers",
                remedy="export them at one size, and all in 8 bits or all in 16",
                code="DATA-012",
            )
    return np.concatenate(parts, axis=2) if len(parts) > 1 else first


def _go_together(one: np.dtype, other: np.dtype) -> bool:
    """Whether numbers are of one kind, or measured ones among them: those of pictures are shares of the largest."""
    return one == other or not {one.kind, other.kind} <= {"u", "b"}


def channels_within(case: Case) -> Literal["all", "planes"] | None:
    """What of one volume the channels of an image are: all values of a voxel, all planes; None where they are not.

    Planes beside a plane (`volumes.with_neighbours`) are not: it is of a volume itself.
    """
    target = Locator.parse(case.image)
    place = named_place(target.member)
    if (
        place is None
        or (place.component is None and case.volume is not None)
        or all(Locator.parse(channel).path != target.path for channel in case.channels)
    ):
        return None
    return "planes" if place.component is None else "all"


def has_colour(pixels: Pixels) -> bool:
    """Whether three channels differ anywhere; a few rows settle it for most pictures."""
    return pixels.shape[-1] == 3 and (_differ(pixels[::FEW_ROWS]) or _differ(pixels))


def _differ(pixels: Pixels) -> bool:
    red, green, blue = (pixels[..., channel] for channel in range(3))
    return bool((red != green).any() or (green != blue).any())


def without_copies(pixels: Pixels) -> _Converted:
    """One channel where three are the same: grey that was saved as RGB."""
    return pixels if pixels.shape[2] != 3 or has_colour(pixels) else pixels[..., :1]


def with_channels(pixels: Pixels, channels: int) -> _Converted:
    """The image in grey or RGB, same dtype. Grey is repeated; colours are weighted (`_LUMA`)."""
    if pixels.shape[-1] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    if not has_colour(pixels):
        return pixels[..., :1]
    grey = (pixels @ np.asarray(_LUMA))[..., None]
    return np.asarray((grey if pixels.dtype.kind == "f" else np.rint(grey)).astype(pixels.dtype))
