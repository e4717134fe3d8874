"""GroupNorm, scale, shift and SiLU in one function with its own derivative.

Outside convolutions, a U-Net spends most of its time here. Three things make it fast, on a CPU above all:

1. Normalising and modulating are one multiply-add per pixel: y = silu(slope x + offset), both numbers per channel.
2. Only x is kept for the backward pass (torch keeps three tensors of this size), the rest is computed again.
3. The derivative is written as channel sums and multiply-adds. torch's own derivative of GroupNorm takes twice as long
   in the channels-last format as channels first (4 times with two threads).
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.typing import Data

EPSILON = 1e-5


def largest_divisor(number: int, *, limit: int) -> int:
    """The largest divisor of `number` that is at most `limit` (and 1 if there is no other)."""
    return max(divisor for divisor in range(1, max(limit, 1) + 1) if number % divisor == 0)


def groups_of(channels: int) -> int:
    """How many groups of channels are normalised: at most 32, of at least four channels each where they divide.

    Groups of one channel would wipe out what a bottleneck of few pixels knows.
    """
    return largest_divisor(channels, limit=min(32, channels // 4))


def per_channel(values: Tensor, *, like: Tensor) -> Tensor:
    """(b, c) -> (b, c, 1, ...), ready to be broadcast over the pixels of `like`."""
    return values.reshape(*values.shape, *(1,) * (like.ndim - 2))


def _moments(x: Data, groups: int) -> tuple[Tensor, Tensor]:
    """Mean and 1 / standard deviation of each group of channels, (b, groups), at least in float32."""
    x = x if x.dtype == torch.float64 else x.float()
    batch, channels, *space = x.shape
    if x.device.type == "cpu":  # var_mean is 5 to 10 times slower there; a GPU would copy x for this kernel
        _, mean, scale = torch.native_group_norm(x, None, None, batch, channels, math.prod(space), groups, EPSILON)
        return mean, scale
    variance, mean = torch.var_mean(x.reshape(batch, groups, -1, *space), dim=tuple(range(2, x.ndim + 1)), correction=0)
    return mean, torch.rsqrt(variance + EPSILON)


class NormaliseActivate(torch.autograd.Function):
    """y = silu(z),  z = scale * (x - mean) / std + shift, with mean and std of each group of channels.

    With g = dL/dz, u = (x - mean) / std, and <.> the mean over a group:  dL/dshift = sum g,  dL/dscale = sum g u,
    dL/dx = (scale * g - <scale * g> - u <scale * g * u>) / std.   (Wu & He 2018, Group Normalization)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, shift: Tensor, groups: int) -> Tensor:
        """y of `x` (b, c, *space) for `scale` and `shift` (b or 1, c)."""
        mean, inverse = (value.repeat_interleave(x.shape[1] // groups, dim=1) for value in _moments(x, groups))
        slope = scale * inverse
        offset = shift - slope * mean
        ctx.groups = groups
        ctx.save_for_backward(x, scale, shift, mean, inverse)
        z = torch.addcmul(per_channel(offset, like=x), x, per_channel(slope, like=x))
        y = functional.silu(z, inplace=not torch.compiler.is_compiling())
        # compiled by torch 2.11, what is changed in place or passed on as it is has a gradient of zero
        return y if y.dtype == x.dtype else y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of x, scale and shift; z is computed again instead of kept."""
        x, scale, shift, mean, inverse = ctx.saved_tensors
        pixels = tuple(range(2, x.ndim))
        slope = scale * inverse
        offset = shift - slope * mean
        g = torch.ops.aten.silu_backward(
            grad, torch.addcmul(per_channel(offset, like=x), x, per_channel(slope, like=x))
        )
        along_shift = g.sum(pixels)
        along_scale = ((g * x).sum(pixels) - mean * along_shift) * inverse
        flat = NormaliseActivate.group_mean(scale * along_shift, like=x, groups=ctx.groups)
        tilt = NormaliseActivate.group_mean(scale * along_scale, like=x, groups=ctx.groups) * inverse
        level = per_channel((mean * tilt - flat) * inverse, like=x)
        along_x = torch.addcmul(level, x, per_channel(-tilt * inverse, like=x)).addcmul_(g, per_channel(slope, like=x))
        return along_x.to(x.dtype), along_scale.sum_to_size(scale.shape), along_shift.sum_to_size(shift.shape), None

    @staticmethod
    def group_mean(totals: Tensor, *, like: Tensor, groups: int) -> Tensor:
        """Mean over a group's channels and pixels from each channel's total over its pixels, (b, c)."""
        count = math.prod(like.shape[1:]) // groups
        grouped = totals.reshape(len(totals), groups, -1)
        return (grouped.sum(2, keepdim=True) / count).expand_as(grouped).flatten(1)


class Normalisation(nn.Module):
    """GroupNorm with scale and shift, then SiLU.

    Args:
        channels: number of channels; `groups_of` them are normalised together.
        modulated: whether scale and shift come from the embedding at each call instead of being learned here.
    """

    def __init__(self, channels: int, *, modulated: bool = False) -> None:
        super().__init__()
        self.groups, self.learned = groups_of(channels), not modulated
        if self.learned:
            self.scale = nn.Parameter(torch.ones(channels))
            self.shift = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Data, modulation: Float[Tensor, "b 2*c"] | None = None) -> Data:
        """`modulation` (b, 2 c) holds scale - 1 and shift of each item, on top of those learned here."""
        if x.is_meta and not torch.is_grad_enabled():  # without numbers torch asks Python about each operation
            return torch.empty_like(x)
        if modulation is None:
            scale, shift = self.scale[None], self.shift[None]
        else:
            scale, shift = modulation.chunk(2, dim=1)
            scale = scale + 1
            if self.learned:
                scale, shift = scale * self.scale, torch.addcmul(shift, scale, self.shift)
        result: Tensor = NormaliseActivate.apply(x, scale, shift, self.groups)  # type: ignore[no-untyped-call]
        return result
