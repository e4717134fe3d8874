"""How an image of any number of channels is shown: grey and RGB as they are, others as a grey panel for each channel.

A second or fourth channel is no opacity and no colour, and the first alone would hide what the others hold: of a BraTS
case four panels are seen, of PET/CT two. All pictures of images are made through `as_picture`: previews, sheets,
overlays, films and the report.
"""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

AnyImage = UInt8[np.ndarray, "h w channels"]
"""An image of any number of channels, 0..255."""

DisplayImage = UInt8[np.ndarray, "h w c"]
"""What can be seen: 1 channel (grey) or 3 (red, green, blue), 0..255."""

SEAM = 96
"""Grey between the panels of one image, where the gaps between images are white."""

_MOST = 16
"""Panels of an image at most: of more channels those that are equally spaced."""


def as_picture(
    image: AnyImage, drawn: Callable[[DisplayImage], np.ndarray] = lambda picture: picture
) -> UInt8[np.ndarray, "height width c"]:
    """The image as it can be seen.

    Args:
        image: height x width x channels.
        drawn: what is drawn onto it, such as the outline of a mask; onto each panel where there are several.
    """
    height, width, channels = image.shape
    if channels in (1, 3):
        return drawn(image)
    chosen = [place * channels // min(channels, _MOST) for place in range(min(channels, _MOST))]
    parts = [drawn(np.ascontiguousarray(image[..., channel : channel + 1])) for channel in chosen]
    shown = np.stack(parts or [np.zeros((height, width, 1), np.uint8)])
    return arranged(shown, math.ceil(len(shown) ** 0.5), shade=SEAM)


def arranged(
    pictures: UInt8[np.ndarray, "n h w c"], columns: int, *, shade: int = 255
) -> UInt8[np.ndarray, "height width c"]:
    """Pictures in rows of `columns`; the thin gaps between them, and the places left over, have a shade of grey."""
    count, height, width, channels = pictures.shape
    rows, gap = math.ceil(count / columns), max(1, round(min(height, width) / 32))
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, channels), shade, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = (place // columns) * (height + gap), (place % columns) * (width + gap)
        whole[top : top + height, left : left + width] = picture
    return whole
