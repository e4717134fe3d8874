"""By what pictures are known again: a thumbnail, a digest of equal ones, a hash of similar ones.

Thumbnails are worked on as a stack: a call of NumPy costs more than the arithmetic on one of them.
"""

import hashlib
import zlib

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image

_THUMB = 32
"""Side of the thumbnail that near duplicates are compared by; the one that a pHash is made from."""

LOWEST = 8
"""Cosine components of a thumbnail, along each axis, that make its perceptual hash."""

COSINES = np.cos(np.pi / _THUMB * np.outer(np.arange(LOWEST), np.arange(_THUMB) + 0.5))


def grey_picture(values: UInt8[np.ndarray, "..."]) -> Image.Image:
    """A grey picture of the values that shares their memory."""
    rows = np.ascontiguousarray(values).reshape(len(values), -1)
    return Image.frombuffer("L", rows.shape[::-1], rows, "raw", "L", 0, 1)


def shrunk(pixels: Shaped[np.ndarray, "h w c"]) -> Shaped[np.ndarray, "32 32"]:
    """The picture's brightness, small: its first channel, or the mean of three."""
    grey = pixels[..., 0] if pixels.shape[2] != 3 else pixels @ np.full(3, 1 / 3, np.float32)
    picture = grey_picture(grey) if grey.dtype == np.uint8 else Image.fromarray(grey.astype(np.float32))
    return np.asarray(picture.resize((_THUMB, _THUMB), Image.Resampling.LANCZOS, reducing_gap=1.0))


def thumbnails(small: Shaped[np.ndarray, "n 32 32"]) -> UInt8[np.ndarray, "n 32 32"]:
    """Small pictures (`shrunk`), the brightness of each stretched to 0..255."""
    largest = float(np.finfo(np.float32).max)  # beyond it lies what shrinking made of numbers near it
    bright = np.nan_to_num(small.astype(np.float64), posinf=largest, neginf=-largest)
    low, high = bright.min(axis=(1, 2), keepdims=True), bright.max(axis=(1, 2), keepdims=True)
    ranges = np.where(high > low, high - low, 1)
    return np.asarray(np.rint((bright - low) * (255 / ranges)).astype(np.uint8))


def perceptual_hashes(small: UInt8[np.ndarray, "n 32 32"]) -> list[str]:
    """pHash of each thumbnail: which of its lowest cosine components are above their median (64 bits).

    Rounding makes components that are 0 by symmetry the same on all machines. Source: ImageHash's `phash`.
    """
    components = (COSINES @ small @ COSINES.T).round(6).reshape(-1, LOWEST**2)
    middle = np.partition(components, (31, 32), axis=1)[:, 31:33].mean(axis=1, keepdims=True)
    return [row.tobytes().hex() for row in np.packbits(components > middle, axis=1)]


def checksum(pixels: np.ndarray) -> int:
    """CRC-32 of all pixels: several times as fast as a cryptographic digest, it misses one difference in 2^32."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def pixel_digest(shape: tuple[int, ...], whole: int, small: UInt8[np.ndarray, "32 32"]) -> str:
    """Equal for equal pictures, however they were encoded.

    Args:
        shape: of the picture.
        whole: its `checksum`.
        small: its thumbnail.
    """
    content = hashlib.blake2b(repr((shape, whole)).encode(), digest_size=16)
    content.update(small.data)
    return content.hexdigest()
