"""A U-Net of transformers that look within shifted windows (Liu et al. 2021, Swin; Cao et al. 2021, Swin-Unet).

    noise level, label, augmentation --embed--> e --one matrix--> shift, scale and gate of every block
    [x, condition.image] --patches, linear--> encoder --skips--> decoder --head--> patches of the output

A level's tokens are cut into windows of w tokens a side; a token looks at those of its window. Every second block
shifts the windows by s = w // 2, so that neighbours meet. The window of token i on an axis of n tokens is

    r(i) = (i + w - s) // w + 1    for i < n,      0 for padding                                         (1)

Shifted windows that stick out at both ends are computed as one, by rolling the tokens around; two tokens of it see each
other only where (1) agrees on every axis. Where an axis is not longer than w, it is one window and nothing shifts.
What a token gives another is biased by a learned number for each head and each offset between them.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.blocks import Dimensions, checkpointed, crop, pad_to_multiple, with_image, zero
from sfumato.networks.embedding import Embedding
from sfumato.networks.tokens import (
    Head,
    Modulations,
    SelfAttention,
    Tokens,
    TransformerBlock,
    gather_tokens,
    initialise,
    join_tiles,
    spread_tokens,
    tiles,
)
from sfumato.typing import Data, PerItem

_FEATURES = 256
"""Fourier features of the noise level, as many as the diffusion transformer has."""


def _windows(x: Tensor, sides: Sequence[int]) -> Tensor:
    """The windows of (b, *space, c) one after the other, and the tokens of each: (b, windows, n, c)."""
    dimensions = len(sides)
    return tiles(x, sides).flatten(1, dimensions).flatten(2, -2)


def window_regions(
    size: Sequence[int], *, sides: Sequence[int], shifts: Sequence[int], device: torch.device
) -> Int[Tensor, "*padded"]:
    """Equation (1) on every axis as one number for each token; the axes are padded to whole windows."""
    region = torch.zeros((1,) * len(size), dtype=torch.int64, device=device)
    for axis, (length, side, shift) in enumerate(zip(size, sides, shifts, strict=True)):
        index = torch.arange(length + -length % side, device=device)
        along = torch.where(index < length, (index + side - shift) // side + 1, 0)
        others = [len(along) if other == axis else 1 for other in range(len(size))]
        region = region * (length + 2) + along.reshape(others)
    return region


class WindowAttention(nn.Module):
    """Attention within windows.

    Args:
        width: channels of a token.
        window: side w of a window in tokens.
        shifted: whether windows are shifted by half a window.
        head_channels: wished width of a head.
        dimensions: 2 or 3.
    """

    def __init__(self, width: int, *, window: int, shifted: bool, head_channels: int, dimensions: Dimensions) -> None:
        super().__init__()
        self.window, self.shifted = window, shifted
        self.attention = SelfAttention(width, head_channels=head_channels)
        self.bias = nn.Parameter(torch.zeros(self.attention.heads, (2 * window - 1) ** dimensions))

    def forward(self, tokens: Tokens) -> Tokens:
        """What each token finds in its window."""
        size = tokens.shape[1:-1]
        sides = [min(self.window, length) for length in size]
        shifts = [side // 2 if self.shifted and length > side else 0 for length, side in zip(size, sides, strict=True)]
        axes, back = list(range(1, len(size) + 1)), [-shift for shift in shifts]
        missing = [-length % side for length, side in zip(size, sides, strict=True)]
        padded = functional.pad(tokens, [0, 0, *(amount for more in reversed(missing) for amount in (0, more))])
        grouped = _windows(padded.roll(back, axes), sides)
        bias = self.offset_bias(sides)[None]
        if any(shifts) or any(missing):
            region = window_regions(size, sides=sides, shifts=shifts, device=tokens.device)[None, ..., None]
            group = _windows(region.roll(back, axes), sides)[0]
            bias = bias.masked_fill((group != group.transpose(1, 2))[:, None], -torch.inf)
        mixed = self.attention(grouped, bias)
        counts = [length // side for length, side in zip(padded.shape[1:-1], sides, strict=True)]
        whole = join_tiles(mixed.unflatten(2, sides).unflatten(1, counts)).roll(shifts, axes)
        return crop(whole.movedim(-1, 1), size).movedim(1, -1)

    def offset_bias(self, sides: Sequence[int]) -> Float[Tensor, "h n n"]:
        """The bias between every two tokens of a window; windows smaller than w know fewer offsets."""
        axes = [torch.arange(side, device=self.bias.device) for side in sides]
        index = torch.zeros((), dtype=torch.int64, device=self.bias.device)
        for place in torch.meshgrid(*axes, indexing="ij"):
            offset = place.flatten()[:, None] - place.flatten() + self.window - 1
            index = index * (2 * self.window - 1) + offset
        return self.bias[:, index]


class Merge(nn.Module):
    """Half the size: the tokens of every tile of two become one (Liu et al. 2021, patch merging).

    Args:
        width: channels before.
        width_out: channels after.
        dimensions: 2 or 3.
    """

    def __init__(self, width: int, width_out: int, *, dimensions: Dimensions) -> None:
        super().__init__()
        self.normalise = nn.LayerNorm(width * 2**dimensions)
        self.outwards = nn.Linear(width * 2**dimensions, width_out)

    def forward(self, h: Tokens) -> Float[Tensor, "b *half out"]:
        """(b, *space, width) -> (b, *space / 2, width_out)."""
        result: Tensor = self.outwards(self.normalise(gather_tokens(h, 2)))
        return result


class Expand(nn.Module):
    """Twice the size, and the skip beside it (Cao et al. 2021, patch expanding).

    Args:
        width: channels before.
        width_out: channels after, and of the skip.
        dimensions: 2 or 3.
    """

    def __init__(self, width: int, width_out: int, *, dimensions: Dimensions) -> None:
        super().__init__()
        self.grow = nn.Linear(width, width_out * 2**dimensions)
        self.normalise = nn.LayerNorm(width_out)
        self.outwards = nn.Linear(2 * width_out, width_out)

    def forward(self, h: Tokens, skip: Float[Tensor, "b *twice out"]) -> Float[Tensor, "b *twice out"]:
        """(b, *space, width) and a skip (b, *2 space, width_out) -> (b, *2 space, width_out)."""
        grown = self.normalise(spread_tokens(self.grow(h), 2))
        result: Tensor = self.outwards(torch.cat([grown, skip], dim=-1))
        return result


class Neighbours(nn.Module):
    """h plus a depthwise convolution of h, zero at the start (Chu et al. 2023, conditional positions).

    Windows alone let the borders of coarse tokens show in pictures for long: here tokens hear of those beside them,
    across windows, and of the edge of the image.

    Args:
        width: channels of a token.
        dimensions: 2 or 3.
    """

    def __init__(self, width: int, *, dimensions: Dimensions) -> None:
        super().__init__()
        kind: type[nn.Conv2d | nn.Conv3d] = nn.Conv2d if dimensions == 2 else nn.Conv3d
        self.convolve = kind(width, width, 3, padding=1, groups=width)
        zero(self.convolve)

    def forward(self, h: Tokens) -> Tokens:
        """(b, *space, width) -> (b, *space, width)."""
        result: Tensor = h + self.convolve(h.movedim(-1, 1)).movedim(1, -1)
        return result


class SwinUNet(nn.Module):
    """A U-Net of shifted windows over images of any size.

    Args:
        channels_in: channels of the state x_t.
        channels_out: channels of the output.
        channels_condition: channels of `condition.image`, or 0.
        classes: number of classes of `condition.label`, or 0.
        augment_labels: length of `condition.augment`, or 0.
        dimensions: 2 for images, 3 for volumes.
        patch: side of a patch in pixels; a patch is a token of level 0.
        channels: channels in units of which the multipliers count.
        multipliers: width of each level; their number is the number of levels.
        blocks: blocks of a level, in the encoder and in the decoder; every second one shifts its windows.
        window: side of a window in tokens.
        head_channels: width of an attention head.
        gradient_checkpointing: compute activations again for the backward pass instead of keeping them.

    Raises:
        UsageError: no level, or no block.
    """

    def __init__(
        self,
        *,
        channels_in: int,
        channels_out: int,
        channels_condition: int = 0,
        classes: int = 0,
        augment_labels: int = 0,
        dimensions: Dimensions = 2,
        patch: int = 2,
        channels: int = 96,
        multipliers: Sequence[int] = (1, 2, 4),
        blocks: int = 2,
        window: int = 8,
        head_channels: int = 32,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if not multipliers or blocks < 1:
            raise UsageError(
                f"a Swin-UNet with {len(multipliers)} levels of {blocks} blocks",
                expected="at least one multiplier and one block",
            )
        widths = [channels * multiplier for multiplier in multipliers]

        def stages(width: int) -> nn.ModuleList:
            attentions = (
                WindowAttention(
                    width, window=window, shifted=index % 2 == 1, head_channels=head_channels, dimensions=dimensions
                )
                for index in range(blocks)
            )
            level = [TransformerBlock(width, attention) for attention in attentions]
            return nn.ModuleList([Neighbours(width, dimensions=dimensions), *level])

        self.patch, self.multiple = patch, patch * 2 ** (len(widths) - 1)
        self.channels_condition, self.recompute = channels_condition, gradient_checkpointing
        self.embed = Embedding(features=_FEATURES, width=4 * channels, classes=classes, augment_labels=augment_labels)
        self.enter = nn.Linear((channels_in + channels_condition) * patch**dimensions, widths[0])
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(stages(width) for width in widths)
        self.merge = nn.ModuleList(Merge(above, below, dimensions=dimensions) for above, below in pairs)
        self.expand = nn.ModuleList(Expand(below, above, dimensions=dimensions) for above, below in reversed(pairs))
        self.up = nn.ModuleList(stages(above) for above, _ in reversed(pairs))
        initialise(self.down)
        initialise(self.up)
        self.head = Head(widths[0], channels_out * patch**dimensions)
        self.modulate = Modulations(4 * channels, self)

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Float[Tensor, "b out *space"]:
        """One prediction.

        Args:
            x: standardised state (b, channels_in, *space); any spatial size.
            level: noise level of each item, ln(sigma / alpha) / 4.
            condition: image of the spatial size of x, label (None: no class), augmentation (None: none).

        Returns:
            The prediction (b, channels_out, *space), in the channels-last format.

        Raises:
            UsageError: a condition that the network was not built for.
        """
        size = x.shape[2:]
        modulations = iter(self.modulate(self.embed(level, condition)))
        x = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.multiple)
        h = self.enter(gather_tokens(x.movedim(1, -1), self.patch))
        skips: list[Tensor] = []
        for depth, stages in enumerate(self.down.children()):
            if depth > 0:
                skips.append(h)
                h = self.merge[depth - 1](h)
            h = self._through(stages, h, modulations)
        for expand, stages in zip(self.expand.children(), self.up.children(), strict=True):
            h = self._through(stages, expand(h, skips.pop()), modulations)
        return crop(spread_tokens(self.head(next(modulations), h), self.patch).movedim(-1, 1), size)

    def _through(self, stages: nn.Module, h: Tokens, modulations: Iterator[Tensor]) -> Tokens:
        """The tokens after the blocks of a level."""
        first, *rest = stages.children()
        h = first(h)
        for block in rest:
            h = checkpointed(block, next(modulations), h, recompute=self.recompute)
        return h
