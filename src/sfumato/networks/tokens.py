"""What the transformers are made of: tiles, positions, attention, and a block that the embedding modulates.

Tokens are (b, *space, c), the channels-last view of an image, in two or three dimensions. The embedding of level, class
and augmentation gives every block six vectors; all are zero at the start, when a block changes nothing (adaLN-zero):

    n(h) = (h - mean) / std over the channels of a token
    h <- h + gate_a * attention(n(h) * (1 + scale_a) + shift_a)                                          (1)
    h <- h + gate_f * feed_forward(n(h) * (1 + scale_f) + shift_f)                                       (2)

Position p on an axis, for n frequencies (Vaswani et al. 2017), each axis in channels of its own:

    sin(p f_i), cos(p f_i),   f_i = 10000^(-i / n)                                                       (3)

Source of (1) and (2): Peebles & Xie 2023, Scalable diffusion models with transformers, section 3.2.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.networks.blocks import zero
from sfumato.networks.normalisation import EPSILON, largest_divisor

Tokens = Float[Tensor, "b *space c"]
"""An image with its channels last."""

EXPANSION = 4
"""Hidden channels of the feed-forward part, in channels of a token."""

_LONGEST = 10000.0
"""Of (3): the lowest frequency is 1 / LONGEST."""


def tiles(x: Tensor, sides: Sequence[int]) -> Tensor:
    """Cut (b, *space, c) into tiles: (b, *space / sides, *sides, c)."""
    dimensions = len(sides)
    for axis in reversed(range(dimensions)):
        x = torch.unflatten(x, 1 + axis, (-1, sides[axis]))
    outer, inner = range(1, 2 * dimensions, 2), range(2, 2 * dimensions + 1, 2)
    return x.permute(0, *outer, *inner, 2 * dimensions + 1)


def join_tiles(x: Tensor) -> Tensor:
    """Undo `tiles`."""
    dimensions = (x.ndim - 2) // 2
    order = [axis for pair in zip(range(dimensions), range(dimensions, 2 * dimensions), strict=True) for axis in pair]
    x = x.permute(0, *(1 + axis for axis in order), 2 * dimensions + 1)
    for axis in range(dimensions):
        x = x.flatten(1 + axis, 2 + axis)
    return x


def gather_tokens(x: Tokens, side: int) -> Float[Tensor, "b *fewer more"]:
    """One token for every tile of `side` pixels: (b, *space, c) -> (b, *space / side, side^d c)."""
    dimensions = x.ndim - 2
    return tiles(x, (side,) * dimensions).flatten(1 + dimensions)


def spread_tokens(x: Tokens, side: int) -> Float[Tensor, "b *more fewer"]:
    """Undo `gather_tokens`."""
    dimensions = x.ndim - 2
    return join_tiles(torch.unflatten(x, -1, (*(side,) * dimensions, -1)))


def positions(size: Sequence[int], *, width: int, like: Tensor) -> Float[Tensor, "*size width"]:
    """Equation (3) for every token of a grid; channels that are left over are zero.

    Args:
        size: tokens along each axis.
        width: channels of a token, at least two for each axis.
        like: gives device and type.
    """
    count = width // (2 * len(size))
    frequencies = _LONGEST ** (-torch.arange(count, device=like.device) / count)
    features = []
    for axis, length in enumerate(size):
        angles = torch.arange(length, device=like.device)[:, None] * frequencies
        along = torch.cat([angles.sin(), angles.cos()], dim=1)
        others = [length if other == axis else 1 for other in range(len(size))]
        features.append(along.reshape(*others, -1).expand(*size, -1))
    rest = width - 2 * count * len(size)
    return functional.pad(torch.cat(features, dim=-1), (0, rest)).to(like.dtype)


def per_token(values: Float[Tensor, "b c"], *, like: Tokens) -> Tensor:
    """(b, c) -> (b, 1, ..., c), ready to be broadcast over the tokens of `like`."""
    return values.reshape(len(values), *(1,) * (like.ndim - 2), -1)


def modulated(h: Tokens, *, scale: Float[Tensor, "b c"], shift: Float[Tensor, "b c"]) -> Tensor:
    """n(h) * (1 + scale) + shift."""
    normal = functional.layer_norm(h, h.shape[-1:], eps=EPSILON)
    return normal * (1 + per_token(scale, like=h)) + per_token(shift, like=h)


def heads_of(width: int, *, head_channels: int) -> int:
    """How many heads share `width` channels: at most so many that each has `head_channels`."""
    return largest_divisor(width, limit=width // head_channels)


class SelfAttention(nn.Module):
    """projection(softmax(q k / sqrt(d) + bias) v) within groups of tokens.

    Args:
        width: channels of a token.
        head_channels: wished width of a head; the nearest number of heads that divides `width` is taken.
    """

    def __init__(self, width: int, *, head_channels: int) -> None:
        super().__init__()
        self.heads = heads_of(width, head_channels=head_channels)
        self.inwards = nn.Linear(width, 3 * width)
        self.outwards = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "b g n c"], bias: Float[Tensor, "#g h n n"] | None = None
    ) -> Float[Tensor, "b g n c"]:
        """Attention within each of g groups of n tokens; `bias` is -inf where a token must not look.

        Groups and heads share an axis: fused kernels take four axes, and so the bias is not copied for every item.
        """
        groups = tokens.shape[1]
        split = self.inwards(tokens).unflatten(3, (3, self.heads, -1)).permute(3, 0, 1, 4, 2, 5).flatten(2, 3)
        mask = None if bias is None else bias.expand(groups, -1, -1, -1).flatten(0, 1)[None].to(split.dtype)
        mixed = functional.scaled_dot_product_attention(*split, attn_mask=mask)
        result: Tensor = self.outwards(torch.unflatten(mixed, 1, (groups, self.heads)).transpose(2, 3).flatten(3))
        return result


class CrossAttention(nn.Module):
    """projection(softmax(q k / sqrt(d)) v), where the keys and values are of other tokens.

    Args:
        width: channels of both kinds of tokens.
        head_channels: wished width of a head; the nearest number of heads that divides `width` is taken.
    """

    def __init__(self, width: int, *, head_channels: int) -> None:
        super().__init__()
        self.heads = heads_of(width, head_channels=head_channels)
        self.ask = nn.Linear(width, width)
        self.answer = nn.Linear(width, 2 * width)
        self.outwards = nn.Linear(width, width)

    def forward(
        self, tokens: Float[Tensor, "b q c"], others: Float[Tensor, "b n c"], allowed: Bool[Tensor, "b q n"]
    ) -> Float[Tensor, "b q c"]:
        """What each token finds among the others that it is allowed to look at; there must be one."""
        query = self.ask(tokens).unflatten(2, (self.heads, -1)).transpose(1, 2)
        key, value = self.answer(others).unflatten(2, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=allowed[:, None])
        result: Tensor = self.outwards(mixed.transpose(1, 2).flatten(2))
        return result


class Everywhere(nn.Module):
    """Self-attention of all tokens of an image.

    Args:
        width: channels of a token.
        head_channels: wished width of a head.
    """

    def __init__(self, width: int, *, head_channels: int) -> None:
        super().__init__()
        self.attention = SelfAttention(width, head_channels=head_channels)

    def forward(self, tokens: Tokens) -> Tokens:
        """One group that holds every token."""
        result: Tensor = self.attention(tokens.flatten(1, -2)[:, None])
        return result.reshape(tokens.shape)


def feed_forward(width: int) -> nn.Sequential:
    """Linear, GELU, linear, for each token alone."""
    return nn.Sequential(
        nn.Linear(width, EXPANSION * width), nn.GELU(approximate="tanh"), nn.Linear(EXPANSION * width, width)
    )


class TransformerBlock(nn.Module):
    """Equations (1) and (2).

    Args:
        width: channels of a token.
        attention: from tokens to tokens.
    """

    def __init__(self, width: int, attention: nn.Module) -> None:
        super().__init__()
        self.modulation = 6 * width
        self.attention = attention
        self.feed_forward = feed_forward(width)

    def forward(self, modulation: Float[Tensor, "b six_c"], h: Tokens) -> Tokens:
        """The tokens after this block; `modulation` holds shift, scale and gate of (1), then those of (2)."""
        shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = modulation.chunk(6, dim=1)
        h = h + per_token(gate_a, like=h) * self.attention(modulated(h, scale=scale_a, shift=shift_a))
        result: Tensor = h + per_token(gate_f, like=h) * self.feed_forward(modulated(h, scale=scale_f, shift=shift_f))
        return result


class Head(nn.Module):
    """The modulated tokens, then a linear layer that is zero at the start.

    Args:
        width: channels of a token.
        channels_out: numbers that each token becomes.
    """

    def __init__(self, width: int, channels_out: int) -> None:
        super().__init__()
        self.modulation = 2 * width
        self.outwards = nn.Linear(width, channels_out)
        zero(self.outwards)

    def forward(self, modulation: Float[Tensor, "b two_c"], h: Tokens) -> Float[Tensor, "b *space out"]:
        """(b, *space, channels_out); `modulation` holds shift and scale."""
        shift, scale = modulation.chunk(2, dim=1)
        result: Tensor = self.outwards(modulated(h, scale=scale, shift=shift))
        return result


class Modulations(nn.Module):
    """From the embedding to the vectors of every block and head, in one matrix that is zero at the start.

    Args:
        width: length of the embedding.
        modulated: the network whose blocks and heads are modulated, in the order of its modules.
    """

    def __init__(self, width: int, modulated: nn.Module) -> None:
        super().__init__()
        self.lengths = [part.modulation for part in modulated.modules() if isinstance(part, (TransformerBlock, Head))]
        self.outwards = nn.Linear(width, sum(self.lengths))
        zero(self.outwards)

    def forward(self, embedding: Float[Tensor, "b width"]) -> tuple[Tensor, ...]:
        """One (b, modulation) for each block or head."""
        result: tuple[Tensor, ...] = self.outwards(embedding).split(self.lengths, dim=1)
        return result


def initialise(blocks: nn.Module) -> None:
    """Start the linear layers of blocks as Peebles & Xie do: Xavier's uniform law, no biases."""
    for part in blocks.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_uniform_(part.weight)
            nn.init.zeros_(part.bias)
