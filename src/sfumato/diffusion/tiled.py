"""A denoiser of large images and volumes around a denoiser of windows.

The state of the whole canvas is one; at every call of the sampler the network sees overlapping windows of it, and the
estimate is their weighted mean,

    x0_hat(p) = sum_k w_k(p) f_k(p) / sum_k w_k(p),      w_k(p) = prod over axes of exp(-(p - centre_k)^2 / 2 s^2)   (1)

with s an eighth of the window's side (Isensee et al. 2021, nnU-Net, where it is done once, at the end). So samplers,
guidance, ensembles and starts know nothing of windows, and the members of an ensemble agree across their borders: they
are drawn on one canvas and not stitched afterwards.

The weights of (1) are products over axes, and so are the sums of them: each window is weighted with factors that add up
to one over the windows, and only the canvas and the estimate are whole in memory.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from types import EllipsisType

import torch
from torch import Tensor

from sfumato.axes import PerAxis, per_axis
from sfumato.diffusion.process import Condition, Denoise, EncodedImages
from sfumato.typing import Data, Output

OVERLAP = 0.5
"""Share of a window that the next one covers too, at least."""

_WIDTH = 1 / 8
"""Standard deviation of the weights as a share of the window's side."""

_FLOOR = 1e-3
"""Smallest weight within a window, as a share of the largest on each axis."""


def starts(length: int, window: int, overlap: float = OVERLAP, step: int = 1) -> list[int]:
    """Where windows begin on an axis: evenly spaced from one end to the other, as few as cover it with this overlap.

    Args:
        length: of the axis.
        window: of the windows on it; no window is longer than the axis.
        overlap: share of a window that the next one covers too, at least; in [0, 1).
        step: windows begin at multiples of it, and it divides the length and the window.
    """
    room = max(0, length - window) // step
    stride = max(1, int(window // step * (1 - overlap)))
    count = math.ceil(room / stride) + 1
    return [step * round(place * room / max(1, count - 1)) for place in range(count)]


@lru_cache(maxsize=64)
def _axis_weights(length: int, window: int, overlap: float, step: int) -> Tensor:
    """The weights of equation (1) on an axis, (windows, window): at every place those of all windows add up to one."""
    side = min(window, length)
    offset = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    bell = torch.exp(-0.5 * (offset / (side * _WIDTH)) ** 2).clamp(min=_FLOOR)
    total, places = torch.zeros(length, dtype=torch.float64), starts(length, side, overlap, step)
    for start in places:
        total[start : start + side] += bell
    return torch.stack([bell / total[start : start + side] for start in places])


Place = tuple[EllipsisType | slice, ...]
"""Where a window lies: the index of an array whose last axes are those of the canvas."""


@dataclass(frozen=True)
class Windows:
    """The windows of a canvas.

    Args:
        canvas: its spatial size.
        window: their sides; on a shorter axis they are as long as the axis.
        overlap: share of a window that the next one covers too, at least.
        step: windows begin at multiples of it, on each axis, and it divides the sides of canvas and windows.
    """

    canvas: tuple[int, ...]
    window: tuple[int, ...]
    overlap: float = OVERLAP
    step: PerAxis = 1

    @property
    def size(self) -> tuple[int, ...]:
        """The sides of every window."""
        return tuple(map(min, self.window, self.canvas))

    @property
    def places(self) -> list["Place"]:
        """Where each window lies, the last axis fastest."""
        axes = [
            [slice(start, start + side) for start in starts(length, side, self.overlap, step)]
            for length, side, step in self._axes
        ]
        return [(..., *place) for place in product(*axes)]

    def weights(self, like: Tensor) -> Iterator[Tensor]:
        """The weights of each window, of its size, in the dtype and on the device of `like`."""
        axes = [_axis_weights(length, side, self.overlap, step) for length, side, step in self._axes]
        for each in product(*axes):
            whole = each[0]
            for axis in each[1:]:
                whole = whole[..., None] * axis
            yield whole.to(like)

    @property
    def _axes(self) -> list[tuple[int, int, int]]:
        """Length, side of a window and step of each axis."""
        return list(zip(self.canvas, self.size, per_axis(self.step, len(self.canvas)), strict=True))


@dataclass(frozen=True)
class Tiled:
    """A denoiser of whole canvases.

    Args:
        denoise: of windows.
        window: their sides; a window that covers the canvas changes nothing.
        at_once: windows that are handed over in one call; decides time and memory, not the result.
        overlap: share of a window that the next one covers too, at least.
        known: what the network knows of the windows of these numbers, in place of their images; a row for each item.
    """

    denoise: Denoise
    window: tuple[int, ...]
    at_once: int = 1
    overlap: float = OVERLAP
    known: Callable[[Sequence[int]], EncodedImages] | None = None

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Output:
        """x0_hat of the canvas, equation (1).

        Args:
            x_t: (b, c, *space).
            t: its time.
            condition: its image has the spatial size of `x_t`.
        """
        windows = Windows(tuple(x_t.shape[2:]), self.window, self.overlap)
        places = windows.places
        if len(places) == 1:
            return self.denoise(x_t, t, self._told(condition, [0], places))
        whole: Tensor | None = None
        weights = windows.weights(x_t)
        for first in range(0, len(places), self.at_once):
            part = places[first : first + self.at_once]
            told = self._told(condition, range(first, first + len(part)), part)
            estimates = self.denoise(_cut(x_t, part), t, told)
            if whole is None:
                whole = x_t.new_zeros(len(x_t), estimates.shape[1], *x_t.shape[2:])
            for place, estimate in zip(part, torch.split(estimates, len(x_t)), strict=True):
                whole[place].addcmul_(estimate, next(weights))
        assert whole is not None
        return whole

    def _told(self, condition: Condition, numbers: Sequence[int], part: Sequence[Place]) -> Condition:
        """The condition for some windows, that of all items for one window side by side."""
        image, known = condition.image, None if self.known is None else self.known(numbers)
        return replace(
            condition,
            image=None if image is None or known is not None else _cut(image, part),
            encoded=known,
            label=_repeated(condition.label, len(part)),
            augment=_repeated(condition.augment, len(part)),
        )


def _cut(values: Tensor, part: Sequence[Place]) -> Tensor:
    """Some windows of (b, c, *space), those of all items for one window side by side."""
    return torch.cat([values[place] for place in part])


def _repeated(values: Tensor | None, times: int) -> Tensor | None:
    return None if values is None else values.repeat(times, *(1,) * (values.ndim - 1))
