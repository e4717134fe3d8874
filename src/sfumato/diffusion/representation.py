"""What a process diffuses in place of an image: the image itself, or its Haar packet, which is exact and untrained.

One level of the orthonormal packet, of pairs a, b of neighbours along each of the d axes in turn:

    low = (a + b) / sqrt(2)          high = (a - b) / sqrt(2)                                             (1)

turns (c, *space) into (2^d c, *space / 2): of images four bands in quarters of the pixels, of volumes eight. The next
level divides all bands again, so after l levels there are 2^(dl) c channels; the first c of them are the image at
1 / 2^l of its sides, times 2^(dl / 2). Each channel is divided by its standard deviation on the training set:

    encode(x) = W x / deviation          decode(z) = W' (deviation z),   W' W = 1                         (2)

W keeps energy, and white noise white; with (2) every band of the data has unit variance. An image in pixels is in
[-1, 1]; an encoded one is in no box of its own, so estimates are clipped to that of the pixels (`clipped`). After
Friedrich et al. 2024 (WDM), who diffuse such bands of volumes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from sfumato.typing import Data

Bands = Float[Tensor, "b bands *halved"]
"""What is diffused in place of images: more channels, and smaller sides; or the images themselves."""


@runtime_checkable
class Representation(Protocol):
    """An exact linear map between images and what is diffused."""

    def shape(self, channels: int, space: Sequence[int]) -> tuple[int, ...]:
        """Channels and sides of what is diffused, for images of so many channels and such sides."""
        ...

    def encode(self, images: Data) -> Bands:
        """What is diffused in place of images."""
        ...

    def decode(self, encoded: Bands) -> Data:
        """The images of what was diffused."""
        ...


@dataclass(frozen=True)
class _Pixels:
    """The images themselves."""

    def shape(self, channels: int, space: Sequence[int]) -> tuple[int, ...]:
        """As they are."""
        return channels, *space

    def encode(self, images: Data) -> Bands:
        """As they are."""
        return images

    def decode(self, encoded: Bands) -> Data:
        """As they are."""
        return encoded


PIXELS = _Pixels()
"""The images themselves, where nothing else is said."""


@dataclass(frozen=True)
class Haar:
    """The Haar packet, each channel in units of its standard deviation; equations (1) and (2).

    Args:
        levels: how often the sides are halved.
        deviations: of each channel of the packet; none: the packet in its own units, which is orthonormal.
    """

    levels: int = 1
    deviations: tuple[float, ...] = ()

    def shape(self, channels: int, space: Sequence[int]) -> tuple[int, ...]:
        """Channels and sides of the packet.

        Raises:
            ValueError: a side cannot be halved so often.
        """
        block = 2**self.levels
        if uneven := [side for side in space if side % block]:
            raise ValueError(f"{self.levels} levels of Haar halve sides that divide by {block}, not {uneven[0]}")
        return channels * block ** len(space), *(side // block for side in space)

    def encode(self, images: Data) -> Bands:
        """The packet (b, 2^(dl) c, *space / 2^l) of images (b, c, *space).

        Raises:
            ValueError: a side cannot be halved so often.
        """
        self.shape(images.shape[1], images.shape[2:])
        for _ in range(self.levels):
            images = _halved(images)
        return images if not self.deviations else images / self._units(images)

    def decode(self, encoded: Bands) -> Data:
        """The images of a packet, exactly but for rounding."""
        packet = encoded if not self.deviations else encoded * self._units(encoded)
        for _ in range(self.levels):
            packet = _doubled(packet)
        return packet

    def _units(self, like: Bands) -> Tensor:
        """The deviations (1, channels, 1, ...)."""
        return like.new_tensor(self.deviations).view(1, -1, *[1] * (like.ndim - 2))


def clipped(representation: Representation, encoded: Bands, limit: float) -> Bands:
    """Encoded images whose pixels are brought within +- limit."""
    return representation.encode(representation.decode(encoded).clamp(-limit, limit))


def _halved(x: Data) -> Bands:
    """One level of the packet."""
    for axis in range(2, x.ndim):
        a, b = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :]).unbind(axis + 1)
        x = torch.cat([a + b, a - b], 1)
    return x * _unit(x)


def _doubled(x: Bands) -> Data:
    """The inverse of `_halved`."""
    for axis in reversed(range(2, x.ndim)):
        low, high = x.chunk(2, 1)
        x = torch.stack([low + high, low - high], axis + 1).flatten(axis, axis + 1)
    return x * _unit(x)


def _unit(x: Data) -> float:
    """By which a level in d dimensions is orthonormal: the factor of (1) for all axes at once, exact in two."""
    return 0.5 if x.ndim == 4 else math.sqrt(0.5) ** (x.ndim - 2)
