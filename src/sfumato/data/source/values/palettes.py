"""In which colours a palette shows the values of masks: what a person sees of them in any viewer."""

from collections.abc import Sequence

import numpy as np

from sfumato.data.formats.image import is_image_name, read_image, read_mask
from sfumato.data.formats.locator import Locator
from sfumato.errors import DataError

_LOOKED_AT = 3
"""Masks whose colours are told: the first may lack a value."""


def told_palette(files: Sequence[str]) -> str:
    """The colours of the values of a few masks, as the end of a sentence; empty where they have no palette.

    Args:
        files: locators of masks.
    """
    colours = dict[int, tuple[int, ...]]()
    for locator in files[:_LOOKED_AT]:
        colours |= _colours(locator)
    if all(set(colour) == {value} for value, colour in colours.items()):  # greys, which say no more than the values
        return ""
    shown = ", ".join(f"{value} in {_hexadecimal(colour)}" for value, colour in sorted(colours.items()))
    return f"; their palette shows {shown} (red, green, blue)"


def _colours(locator: str) -> dict[int, tuple[int, ...]]:
    """The colour of each value of a picture of 8 bits; none where it is no picture, or cannot be read."""
    if not is_image_name(Locator.parse(locator).path.name):
        return {}
    try:
        values, pixels = read_mask(locator), read_image(locator)
    except DataError:
        return {}
    if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
        return {}
    found, first = np.unique(values, return_index=True)
    of_first = pixels.reshape(-1, 3)[first]
    return {int(value): tuple(map(int, colour)) for value, colour in zip(found, of_first, strict=True)}


def _hexadecimal(colour: tuple[int, ...]) -> str:
    return "#" + "".join(f"{part:02x}" for part in colour)
