"""The magnitude-preserving U-Net of EDM2 (Karras et al. 2024, configuration G).

Every operation keeps the expected magnitude (root mean square) of what flows through it, so nothing drifts in training,
and neither biases nor group norms are needed:

    w x,  |w| = 1 for each filter                         convolutions and matrices                      (1)
    silu(x) / 0.596                                       0.596 is its magnitude for normal x            (2)
    ((1 - t) a + t b) / sqrt((1 - t)^2 + t^2)             sum                                            (3)
    [a sqrt(n / 2 n_a), b sqrt(n / 2 n_b)]                concatenation, n = n_a + n_b channels          (4)
    x / |x| sqrt(n)                                       pixel norm, over the n channels of a pixel     (5)

An encoder stage normalises its input by (5). Then every stage is x <- sum(x, w2 silu((1 + g m) w1 silu(x)), t = 0.3)
with m from the embedding, then sum(x, attention(x), t = 0.3) with queries, keys and values normalised by (5). The gains
g and that of the output are learned and start at zero. A channel of ones does the work of biases.

In the paper, weights have the norm sqrt(n) for n inputs and are divided by it in (1). Adam moves every number by about
the learning rate, so norm 1 wants a rate that is lower by sqrt(n), 0.0003 for 0.01, which is usual elsewhere. Gains are
`GAIN` times their parameter for the same reason.

(1) holds in the forward pass, where it is part of the derivative, so it holds for an average of weights too. Besides,
`constrain` puts the weights themselves back to norm 1 and is to be called once after every step of the optimiser:
otherwise they would grow, and so learn ever more slowly. Factors that are known beforehand are part of (1).
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.axes import PerAxis, per_axis
from sfumato.diffusion.process import Condition
from sfumato.networks.blocks import (
    Dimensions,
    channels_last,
    crop,
    double,
    halve,
    pad_to_multiple,
    with_image,
)
from sfumato.networks.embedding import RandomFourier, labels_or_none, refuse_unknown
from sfumato.networks.normalisation import largest_divisor, per_channel
from sfumato.networks.unet import UNetSizes
from sfumato.networks.unet_stages import StageSpec, UNetStages
from sfumato.typing import Data, PerItem

SILU = 0.596
"""Magnitude of silu(x) for normal x, equation (2)."""

_SHARE = 0.3
"""t of the sums in a stage, equation (3)."""

KEPT, ADDED = (part / math.hypot(1 - _SHARE, _SHARE) for part in (1 - _SHARE, _SHARE))
"""What the two terms of these sums are multiplied with."""

GAIN = 30.0
"""sqrt(n) of a convolution of a hundred channels, the unit of all gains."""

_LARGEST = 256.0
"""To which features are cut in float16, where an attention over larger ones would overflow."""

_EPSILON = 1e-8


def unit(x: Tensor) -> Tensor:
    """Equation (5) along the last dimension."""
    wide = x.float() if x.dtype == torch.float16 else x
    if x.device.type == "cpu":  # a third faster there than the mean of squares, forward and backward
        mean = torch.linalg.vecdot(wide, wide).unsqueeze(-1) / x.shape[-1]
    else:
        mean = wide.float().square().mean(-1, keepdim=True)
    return x * torch.rsqrt(mean + _EPSILON).to(x.dtype)


def pixel_norm(x: Data) -> Data:
    """Equation (5); fast for channels-last images, whose pixels are rows."""
    return unit(x.movedim(1, -1)).movedim(-1, 1)


def join_skip(x: Data, skip: Float[Tensor, "b more *space"]) -> Float[Tensor, "b both *space"]:
    """Equation (4)."""
    both = x.shape[1] + skip.shape[1]
    parts = (part if 2 * part.shape[1] == both else part * math.sqrt(both / (2 * part.shape[1])) for part in (x, skip))
    return torch.cat(list(parts), dim=1)


class Filters(nn.Module):
    """Equation (1): a matrix, or a convolution that keeps the spatial size.

    Args:
        channels_in: number of inputs.
        channels_out: number of filters.
        kernel: sides of a filter; None for a matrix over the last dimension.
        dimensions: 2 or 3; spatial dimensions of a convolution.
        factor: what the result is multiplied with.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        *,
        kernel: PerAxis | None = None,
        dimensions: Dimensions = 2,
        factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.factor = factor
        sides = () if kernel is None else per_axis(kernel, dimensions)
        self.padding = [side // 2 for side in sides]
        self.weight = nn.Parameter(torch.randn(channels_out, channels_in, *sides))
        self.constrain()

    def filters(self) -> Tensor:
        """The weights of norm `factor`."""
        return self.weight * (self.factor / self._norms())

    def forward(self, x: Tensor) -> Tensor:
        """The filters applied to `x`."""
        if not self.padding:
            return functional.linear(x, self.filters())
        convolve = functional.conv2d if self.weight.ndim == 4 else functional.conv3d
        result: Tensor = convolve(x, self.filters(), padding=self.padding)
        return result

    @torch.no_grad()
    def constrain(self) -> None:
        """Give every filter the norm 1, in place."""
        self.weight.div_(self._norms())

    def _norms(self) -> Tensor:
        dims = tuple(range(1, self.weight.ndim))
        norms: Tensor = torch.linalg.vector_norm(self.weight, dim=dims, keepdim=True) + _EPSILON
        return norms


class MagnitudeEmbedding(nn.Module):
    """What every stage is told: noise level, class and augmentation in one vector.

    Args:
        features: number of Fourier features of the level.
        width: length of the vector.
        classes: number of classes, or 0; one more column is learned for 'no class'.
        augment_labels: how many numbers describe the augmentation, or 0; all zero means none.
    """

    def __init__(self, *, features: int, width: int, classes: int, augment_labels: int) -> None:
        super().__init__()
        self.classes, self.augment_labels = classes, augment_labels
        self.fourier = RandomFourier(features, bandwidth=1.0, paired=False)
        self.enter = Filters(features, width)
        self.label = Filters(classes + 1, width, factor=math.sqrt(classes + 1)) if classes else None
        self.augment = Filters(augment_labels, width) if augment_labels else None

    def forward(self, level: PerItem, condition: Condition) -> Tensor:
        """(b, width), after its SiLU without the factor of (2)."""
        refuse_unknown(condition, classes=self.classes, augment_labels=self.augment_labels)
        vector = self.enter(self.fourier(level))
        if self.label is not None:
            labels = labels_or_none(condition, classes=self.classes, like=level)
            vector = (vector + self.label.filters().t()[labels]) * math.sqrt(0.5)
        if self.augment is not None and condition.augment is not None:
            vector = vector + self.augment(condition.augment.to(vector.dtype))
        return functional.silu(vector)


class MagnitudeAttention(nn.Module):
    """sum(x, w softmax(q k / sqrt(d)) v, t = 0.3) over all pixels, each q, k and v normalised by (5).

    Args:
        channels: channels of x.
        head_channels: wished width of a head; the nearest number of heads that divides `channels` is taken.
    """

    def __init__(self, channels: int, *, head_channels: int) -> None:
        super().__init__()
        self.heads = largest_divisor(channels, limit=channels // head_channels)
        self.inwards = Filters(channels, 3 * channels)
        self.outwards = Filters(channels, channels, factor=ADDED)

    def forward(self, x: Data) -> Data:
        """The features after attention; tokens are rows of the channels-last view, so nothing is copied."""
        tokens = self.inwards(x.flatten(2).transpose(1, 2)).unflatten(2, (3, self.heads, -1))
        query, key, value = unit(tokens).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        return torch.add(self.outwards(mixed).transpose(1, 2).unflatten(2, x.shape[2:]), x, alpha=KEPT)


class MagnitudeStage(nn.Module):
    """A stage of the encoder or of the decoder.

    Args:
        place: where it stands.
        plan: measures of the network.
    """

    def __init__(self, place: StageSpec, *, plan: UNetSizes) -> None:
        super().__init__()
        self.size, self.factor, self.encoder = place.size, place.factor, place.side == "encoder"
        received, width = place.channels_in + place.channels_skip, place.channels_out
        make = partial(Filters, dimensions=plan.dimensions)
        self.kept = 1.0 if received != width and not self.encoder else KEPT  # else within the shortcut
        self.shortcut: Filters | None = None
        if received != width:
            self.shortcut = make(received, width, kernel=1, factor=1.0 if self.encoder else KEPT)
        self.enter = make(width if self.encoder else received, width, kernel=place.kernel, factor=1 / SILU)
        self.gain = nn.Parameter(torch.zeros(()))
        self.dropout = nn.Dropout(plan.dropout)
        self.leave = make(width, width, kernel=place.kernel, factor=ADDED / SILU)
        self.attention: MagnitudeAttention | None = None
        if place.attention:
            self.attention = MagnitudeAttention(width, head_channels=plan.head_channels)

    def forward(self, modulation: Tensor, x: Tensor, skip: Tensor | None = None) -> Tensor:
        """The features after this stage."""
        x = self._resized(x if skip is None else join_skip(x, skip))
        shortcut = x if self.shortcut is None else self.shortcut(x)
        if self.encoder:
            x = shortcut = pixel_norm(shortcut)
        hidden = self.enter(functional.silu(x))
        slope = per_channel(1 + GAIN * self.gain * modulation, like=hidden)
        hidden = self.dropout(functional.silu(hidden * slope.to(hidden.dtype)))
        result: Tensor = self.leave(hidden).add_(shortcut, alpha=self.kept)
        if self.attention is not None:
            result = self.attention(result)
        return result.clamp(-_LARGEST, _LARGEST) if result.dtype == torch.float16 else result

    def _resized(self, x: Data) -> Tensor:
        if self.size == "same":
            return x
        return halve(x, self.factor) if self.size == "half" else double(x, self.factor)


class MagnitudeUNet(nn.Module):
    """A U-Net over images of any size: state and condition in, a prediction of the state's size out.

    Args:
        channels_in: channels of the state x_t.
        channels_out: channels of the output.
        channels_condition: channels of `condition.image`, or 0.
        classes: number of classes of `condition.label`, or 0.
        augment_labels: length of `condition.augment`, or 0.
        dimensions: 2 for images, 3 for volumes.
        channels: channels in units of which the multipliers count.
        multipliers: width of each level; their number is the number of levels.
        blocks: stages of a level in the encoder; the decoder has one more.
        attention: levels (0 = full resolution) with attention; the bottleneck always has it.
        head_channels: width of an attention head.
        dropout: probability that a hidden feature is dropped in training.
        gradient_checkpointing: compute activations again for the backward pass instead of keeping them.
        halvings: by how much each axis is divided from one level to the next, 1 or 2, the finest first; None: by 2.

    Raises:
        UsageError: attention at a level that does not exist, no level, no block, or halvings of other levels or axes.
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
        channels: int = 128,
        multipliers: Sequence[int] = (1, 2, 3, 4),
        blocks: int = 3,
        attention: Sequence[int] = (),
        head_channels: int = 64,
        dropout: float = 0.0,
        gradient_checkpointing: bool = False,
        halvings: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        plan = UNetSizes(
            widths=tuple(channels * multiplier for multiplier in multipliers),
            blocks=blocks,
            attention=tuple(attention),
            head_channels=head_channels,
            dimensions=dimensions,
            dropout=dropout,
            recompute=gradient_checkpointing,
            halvings=halvings,
        )
        first, widest, kernel = plan.widths[0], max(plan.widths), plan.between.kernel(0)
        self.memory_format = channels_last(dimensions)
        self.multiple, self.channels_condition = plan.multiple, channels_condition
        self.embed = MagnitudeEmbedding(features=first, width=widest, classes=classes, augment_labels=augment_labels)
        self.stem = Filters(channels_in + channels_condition + 1, first, kernel=kernel, dimensions=dimensions)
        self.skeleton = UNetStages(plan, partial(MagnitudeStage, plan=plan), stem=first, attention="every")
        self.modulated = [place.channels_out for place in self.skeleton.places]
        self.modulate = Filters(widest, sum(self.modulated), factor=1 / SILU)
        self.head = Filters(first, channels_out, kernel=kernel, dimensions=dimensions)
        self.gain = nn.Parameter(torch.zeros(()))
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload] # missing in torch's annotations

    def constrain(self) -> None:
        """Put the weights back to norm 1 after a step of the optimiser; frozen ones keep their bits."""
        for module in self.modules():
            if isinstance(module, Filters) and module.weight.requires_grad:
                module.constrain()

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
        modulations = iter(self.modulate(self.embed(level, condition)).split(self.modulated, dim=1))
        x = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.multiple)
        image = torch.cat([x, torch.ones_like(x[:, :1])], dim=1).contiguous(memory_format=self.memory_format)
        x = self.skeleton(image, self.stem(image), modulations)
        return crop(GAIN * self.gain * self.head(x), size)
