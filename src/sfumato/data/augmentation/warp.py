"""Affine warps that neither blur nor alias: through twice the resolution and back, with an orthogonal wavelet.

    image --reflect--> padded --sym6, up--> twice as fine --bilinear--> warped --sym6, down--> image

Because the wavelet is orthogonal, up and down undo each other: what is not moved comes back as it was. Its twelve taps
are centred almost half a fine pixel off the middle, so fine pixel k lies at k / 2 pixels, not at (k + 1/2) / 2 - 1/2.

Source: Karras et al. 2020, "Training generative adversarial networks with limited data", appendix B.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from sfumato.typing import Data

Maps = Float[Tensor, "b 3 3"]
"""Where each target pixel is read: homogeneous (across, down, 1) in pixels from the centre, target to source."""

_BORDER = 3
"""Pixels around the target that the way down looks at: a quarter of the taps."""

_AHEAD = 5
"""Fine pixels by which the taps reach ahead of the pixel that they belong to."""


class Margin(NamedTuple):
    """Pixels of reflection that a batch needs on each side."""

    left: int
    right: int
    top: int
    bottom: int


@lru_cache(maxsize=1)
def taps() -> Float[Tensor, " taps"]:
    """The low-pass filter of the wavelet sym6, of unit length."""
    import pywt

    return torch.tensor(pywt.Wavelet("sym6").dec_lo)


def warped(images: Data, maps: Maps) -> Data:
    """The images, read where their maps say; images and result have the same shape.

    Args:
        images: (b, c, h, w), sides of at least two pixels.
        maps: on the CPU, as the size of what is padded follows from them.
    """
    height, width = images.shape[-2:]
    margin = _margin(maps, height, width)
    fine = _finer(functional.pad(images, margin, mode="reflect"))
    grid = _grid(maps, height, width, margin).to(images)
    read = functional.grid_sample(fine, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return _coarser(read[..., 2 * _BORDER - _AHEAD :, 2 * _BORDER - _AHEAD :])[..., :height, :width]


def _margin(maps: Maps, height: int, width: int) -> Margin:
    """How far the corners of the targets are read outside; a reflection has at most a side less one pixel."""
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    corners = torch.tensor([[-1.0, -1, 1, 1], [-1, 1, -1, 1], [1, 1, 1, 1]])
    corners[:2] *= half[:, None]
    sources = (maps @ corners)[:, :2].movedim(1, 0).flatten(1)
    outside = [-sources.amin(1), sources.amax(1)]
    sides = torch.stack(outside, 1) - half[:, None] + 2 * _BORDER
    limit = torch.tensor([[width - 1], [height - 1]])
    return Margin(*sides.ceil().long().clamp(min=0).minimum(limit).flatten().tolist())


def _grid(maps: Maps, height: int, width: int, margin: Margin) -> Float[Tensor, "b fine_h fine_w 2"]:
    """Where each fine pixel of the target and its border is read; `grid_sample` counts from -1 to 1 over each side."""
    across = (torch.arange(2 * (width + 2 * _BORDER)) + 1) / 2 - _BORDER - width / 2
    down = (torch.arange(2 * (height + 2 * _BORDER)) + 1) / 2 - _BORDER - height / 2
    sides = torch.tensor([margin.left + width + margin.right, margin.top + height + margin.bottom])
    offset = torch.tensor([margin.left + width / 2, margin.top + height / 2]) - 0.25
    linear = maps[:, :2] * (2 / sides)[:, None]
    constant = linear[:, :, 2] + offset * (2 / sides) - 1
    rows = down[:, None, None] * linear[:, None, None, :, 1] + constant[:, None, None]
    return rows + across[:, None] * linear[:, None, None, :, 0]


def _finer(images: Data) -> Float[Tensor, "b c fine_h fine_w"]:
    """Twice the resolution, columns then rows."""
    channels = images.shape[1]
    kernel = (taps() * 2**0.5).to(images)
    for axis in (2, 3):
        stride, padding = [1, 1], [0, 0]
        stride[axis - 2], padding[axis - 2] = 2, _AHEAD
        images = functional.conv_transpose2d(
            images, _along(kernel, axis, channels), stride=stride, padding=padding, groups=channels
        )
    return images


def _coarser(images: Data) -> Float[Tensor, "b c coarse_h coarse_w"]:
    """Half the resolution: `_finer` turned round."""
    channels = images.shape[1]
    kernel = (taps() * 0.5**0.5).to(images)
    for axis in (2, 3):
        stride = [2 if axis == 2 else 1, 2 if axis == 3 else 1]
        images = functional.conv2d(images, _along(kernel, axis, channels), stride=stride, groups=channels)
    return images


def _along(kernel: Float[Tensor, " taps"], axis: int, channels: int) -> Float[Tensor, "channels 1 h w"]:
    """The filter along one axis of an image, for each channel."""
    shape = (1, 1, -1, 1) if axis == 2 else (1, 1, 1, -1)
    return kernel.view(shape).repeat(channels, 1, 1, 1)
