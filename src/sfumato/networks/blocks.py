"""What the U-Net is made of: residual block, attention, resampling, padding.

Everything works on two or three spatial dimensions and keeps the channels-last memory format that it is given. In this
format a CPU convolves 64 channels 1.3 times as fast, resamples several times as fast, and an image already is the
token-major matrix that attention wants.

Two more choices follow from measuring (`benchmarks/network.py --profile`):

1. Skips are not concatenated: a convolution of [x, skip] is a convolution of x plus one of the skip.
2. Sums go into the memory of a convolution's output: on a CPU fresh memory costs more than the addition.
"""

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from sfumato.axes import PerAxis, per_axis
from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.normalisation import EPSILON, Normalisation, groups_of, largest_divisor
from sfumato.typing import Data

Dimensions = Literal[2, 3]
"""How many spatial dimensions an image has."""


def channels_last(dimensions: Dimensions) -> torch.memory_format:
    """The channels-last memory format of images with so many spatial dimensions."""
    return torch.channels_last if dimensions == 2 else torch.channels_last_3d


def convolution(
    channels_in: int,
    channels_out: int,
    *,
    kernel: PerAxis,
    dimensions: Dimensions,
    bias: bool = True,
    margin: PerAxis = 0,
) -> nn.Conv2d | nn.Conv3d:
    """A convolution that keeps the spatial size (odd `kernel`), with `margin` pixels more on either side of an axis."""
    sides, more = per_axis(kernel, dimensions), per_axis(margin, dimensions)
    padding = tuple(side // 2 + beyond for side, beyond in zip(sides, more, strict=True))
    kind: Callable[..., nn.Conv2d | nn.Conv3d] = nn.Conv2d if dimensions == 2 else nn.Conv3d
    return kind(channels_in, channels_out, sides, padding=padding, bias=bias)


def zero(module: nn.Module) -> None:
    """Set all parameters to zero, so that a residual branch starts as nothing."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)


def checkpointed(block: nn.Module, *inputs: Tensor | None, recompute: bool) -> Tensor:
    """The output of a block.

    Args:
        block: its forward pass depends on its inputs and weights alone.
        *inputs: of the block.
        recompute: gradient checkpointing (Chen et al. 2016): keep the inputs only, and compute the rest again in the
            backward pass.
    """
    if recompute and torch.is_grad_enabled():
        result: Tensor = checkpoint(block, *inputs, use_reentrant=False)
    else:
        result = block(*inputs)
    return result


def pad_to_multiple(x: Data, multiple: PerAxis) -> Float[Tensor, "b c *padded"]:
    """Repeat the last row, column (and slice) until every size is a multiple of its `multiple`; `crop` undoes it."""
    sizes = x.shape[2:]
    missing = [-size % each for size, each in zip(sizes, per_axis(multiple, len(sizes)), strict=True)]
    if not any(missing):
        return x
    return functional.pad(x, [amount for size in reversed(missing) for amount in (0, size)], mode="replicate")


def with_image(x: Data, condition: Condition, *, channels: int) -> Float[Tensor, "b more *space"]:
    """The state and the image it is conditioned on, one above the other.

    Args:
        x: the state.
        condition: its image has `channels` channels; no image if that is 0.
        channels: what the network was built for.

    Raises:
        UsageError: another number of channels than the network was built for.
    """
    found = 0 if condition.image is None else condition.image.shape[1]
    if found != channels:
        raise UsageError(
            f"a conditioning image of {found} channels for a network that was built for {channels}",
            remedy="give the network the kind of image that it was trained with",
        )
    return x if condition.image is None else torch.cat([x, condition.image.to(x.dtype)], dim=1)


def crop(x: Data, size: torch.Size) -> Float[Tensor, "b c *cropped"]:
    """The first `size` pixels of every spatial dimension."""
    if x.shape[2:] == size:
        return x
    for dim, length in enumerate(size, start=2):
        x = x.narrow(dim, 0, length)
    return x


class _Features(NamedTuple):
    """What a residual block makes of one input: the hidden features, and what passes by them."""

    hidden: Tensor
    shortcut: Tensor


class Entrance(nn.Module):
    """First half of a residual block, for one of its inputs.

    Args:
        channels_in: channels of this input.
        channels_all: channels of all inputs together; the weights start as those of one convolution of all of them.
        channels_out: channels of the block.
        dimensions: 2 or 3.
        bias: whether this input brings the biases of the sum.
        kernel: sides of the convolution.
        resample: changes the size of what is convolved and of what passes by.
        projected: whether the shortcut is a matrix even where the number of channels stays.
    """

    def __init__(
        self,
        channels_in: int,
        *,
        channels_all: int,
        channels_out: int,
        dimensions: Dimensions,
        bias: bool,
        kernel: PerAxis = 3,
        resample: nn.Module | None = None,
        projected: bool = False,
    ) -> None:
        super().__init__()
        self.normalise = Normalisation(channels_in)
        self.resample = nn.Identity() if resample is None else resample
        self.convolve = convolution(channels_in, channels_out, kernel=kernel, dimensions=dimensions, bias=bias)
        self.shortcut: nn.Module = nn.Identity()
        if projected or channels_all != channels_out:
            self.shortcut = convolution(channels_in, channels_out, kernel=1, dimensions=dimensions, bias=bias)
        with torch.no_grad():
            for parameter in (*self.convolve.parameters(), *self.shortcut.parameters()):
                parameter.mul_(math.sqrt(channels_in / channels_all))

    def forward(self, x: Data) -> _Features:
        """Hidden features and shortcut of `x`, both with the block's channels."""
        hidden = self.convolve(self.resample(self.normalise(x)))
        return _Features(hidden, self.shortcut(self.resample(x)))


class ResidualBlock(nn.Module):
    """x + f(x) with two 3x3 convolutions, the second one modulated by the embedding and zero at the start.

    Args:
        channels_in: channels of x.
        channels_out: channels of the result.
        channels_skip: channels of the skip that joins x (decoder), or 0.
        dimensions: 2 or 3.
        dropout: probability that a hidden feature is dropped in training.
        modulated: whether an embedding modulates it; else scale and shift are learned, and it takes None.
        kernel: sides of the convolutions.

    Source: Dhariwal & Nichol 2021 (ADM), without its resampling inside the block.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        channels_skip: int = 0,
        dimensions: Dimensions,
        dropout: float,
        modulated: bool = True,
        kernel: PerAxis = 3,
    ) -> None:
        super().__init__()
        self.channels_out = channels_out
        inputs = [channels for channels in (channels_in, channels_skip) if channels]
        self.entrances = nn.ModuleList(
            Entrance(
                channels,
                channels_all=sum(inputs),
                channels_out=channels_out,
                dimensions=dimensions,
                bias=index == 0,
                kernel=kernel,
            )
            for index, channels in enumerate(inputs)
        )
        self.normalise = Normalisation(channels_out, modulated=modulated)
        self.dropout = nn.Dropout(dropout)
        self.convolve = convolution(channels_out, channels_out, kernel=kernel, dimensions=dimensions)
        zero(self.convolve)

    def forward(self, modulation: Tensor | None, *inputs: Tensor) -> Tensor:
        """The features after this block; `inputs` are x and, in the decoder, the skip."""
        parts = [entrance(x) for entrance, x in zip(self.entrances, inputs, strict=True)]
        hidden, shortcut = parts[0]
        for part in parts[1:]:
            hidden, shortcut = hidden.add_(part.hidden), shortcut.add_(part.shortcut)
        hidden = self.dropout(self.normalise(hidden, modulation))
        result: Tensor = self.convolve(hidden).add_(shortcut)
        return result


class Attention(nn.Module):
    """x + projection(softmax(q k / sqrt(d)) v) over all pixels, zero at the start.

    Args:
        channels: channels of x.
        head_channels: wished width of a head; the nearest number of heads that divides `channels` is taken.
    """

    def __init__(self, channels: int, *, head_channels: int) -> None:
        super().__init__()
        self.heads = largest_divisor(channels, limit=channels // head_channels)
        self.normalise = nn.GroupNorm(groups_of(channels), channels, eps=EPSILON)
        self.inwards = nn.Linear(channels, 3 * channels)
        self.outwards = nn.Linear(channels, channels)
        zero(self.outwards)

    def forward(self, x: Data) -> Data:
        """The features after attention; tokens are rows of the channels-last view, so nothing is copied."""
        norm = self.normalise  # its own call refuses a single pixel of a single item, which is fine here
        normal = torch.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)
        tokens = normal.flatten(2).transpose(1, 2)
        query, key, value = self.inwards(tokens).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        result: Tensor = x + self.outwards(mixed).transpose(1, 2).unflatten(2, x.shape[2:])
        return result


def halve(x: Data, factor: PerAxis = 2) -> Float[Tensor, "b c *half"]:
    """Half the size, or on each axis divided by 1 or 2: the mean of neighbours."""
    sides = per_axis(factor, x.ndim - 2)
    half: Tensor = functional.avg_pool2d(x, sides) if x.ndim == 4 else functional.avg_pool3d(x, sides)
    return half


def double(x: Data, factor: PerAxis = 2) -> Float[Tensor, "b c *double"]:
    """Twice the size, or on each axis times 1 or 2: the nearest neighbour."""
    return functional.interpolate(
        x, scale_factor=[float(each) for each in per_axis(factor, x.ndim - 2)], mode="nearest"
    )


def block_mean(x: Data, side: PerAxis) -> Float[Tensor, "b c *blocks"]:
    """The mean of each block of `side` pixels along an axis; of what there is of it at the far borders."""
    pool = functional.avg_pool2d if x.ndim == 4 else functional.avg_pool3d
    sizes = x.shape[2:]
    sides = tuple(map(min, per_axis(side, len(sizes)), sizes))  # torch pools no volume that is shorter than a block
    mean: Tensor = pool(x, sides, ceil_mode=True)
    return mean


def depth_to_space(x: Data, side: PerAxis) -> Float[Tensor, "b fewer *larger"]:
    """(b, c * product of sides, *space) -> (b, c, *space * sides): a pixel becomes a block with channels of its own."""
    axes, sizes = x.ndim - 2, x.shape[2:]
    sides = per_axis(side, axes)
    channels = x.shape[1] // math.prod(sides)
    apart = x.reshape(len(x), channels, *sides, *sizes)
    order = [place for axis in range(2, 2 + axes) for place in (axis + axes, axis)]
    larger = [size * each for size, each in zip(sizes, sides, strict=True)]
    return apart.permute(0, 1, *order).reshape(len(x), channels, *larger)


class Downsample(nn.Module):
    """Half the size: mean of neighbours, then a convolution (as costly as a strided one, and faster).

    Args:
        channels: of input and output.
        dimensions: 2 or 3.
        factor: by which each axis is divided, 1 or 2.
        kernel: sides of the convolution, which is at the smaller size.
    """

    def __init__(self, channels: int, *, dimensions: Dimensions, factor: PerAxis = 2, kernel: PerAxis = 3) -> None:
        super().__init__()
        self.factor = factor
        self.convolve = convolution(channels, channels, kernel=kernel, dimensions=dimensions)

    def forward(self, x: Data) -> Tensor:
        """(b, c, *space) -> (b, c, *space / factor)."""
        result: Tensor = self.convolve(halve(x, self.factor))
        return result


class Upsample(nn.Module):
    """Twice the size: nearest neighbour, then a convolution.

    Args:
        channels: of input and output.
        dimensions: 2 or 3.
        factor: by which each axis is multiplied, 1 or 2.
        kernel: sides of the convolution, which is at the larger size.
    """

    def __init__(self, channels: int, *, dimensions: Dimensions, factor: PerAxis = 2, kernel: PerAxis = 3) -> None:
        super().__init__()
        self.factor = factor
        self.convolve = convolution(channels, channels, kernel=kernel, dimensions=dimensions)

    def forward(self, x: Data) -> Tensor:
        """(b, c, *space) -> (b, c, factor * *space)."""
        result: Tensor = self.convolve(double(x, self.factor))
        return result
