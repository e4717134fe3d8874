"""Grey and colour."""

import numpy as np
from jaxtyping import Shaped

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey. Source: ITU-R BT.601."""

Pixels = Shaped[np.ndarray, "h w c"]
Converted = Shaped[np.ndarray, "height width channels"]


def has_colour(pixels: Pixels) -> bool:
    """Whether three channels differ anywhere."""
    return pixels.shape[2] == 3 and bool((pixels[..., :1] != pixels[..., 1:]).any())


def without_copies(pixels: Pixels) -> Converted:
    """One channel where three are the same: grey that was saved as RGB."""
    return pixels if pixels.shape[2] != 3 or has_colour(pixels) else pixels[..., :1]


def with_channels(pixels: Pixels, channels: int) -> Converted:
    """The image in grey or RGB, same dtype. Grey is repeated; colours are weighted (`LUMA`)."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=2)
    if not has_colour(pixels):
        return pixels[..., :1]
    grey = (pixels @ np.asarray(LUMA))[..., None]
    return np.asarray((grey if pixels.dtype.kind == "f" else np.rint(grey)).astype(pixels.dtype))
