"""Our U-Net, for two and three dimensions, written to be fast.

    noise level, label, augmentation --embed--> e --one matrix--> scale and shift of every residual block
    [x, condition.image] --stem--> encoder --skips--> bottleneck and decoder --head--> output

Level 0 is the full resolution; every further level halves it, or of volumes the axes that are fine enough
(`networks.halving`). The encoder has `blocks` residual blocks a level and the
decoder one more, so that each of the encoder's outputs (the stem, every block, every halving) meets a decoder block.

There is no branch on a tensor's value: the whole forward pass is one graph for `torch.compile`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Float
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.blocks import (
    Attention,
    Dimensions,
    Downsample,
    ResidualBlock,
    Upsample,
    channels_last,
    checkpointed,
    convolution,
    crop,
    pad_to_multiple,
    with_image,
    zero,
)
from sfumato.networks.embedding import Embedding
from sfumato.networks.halving import Halvings
from sfumato.networks.normalisation import Normalisation
from sfumato.typing import Data, PerItem


class _Stage(nn.Module):
    """A residual block, followed by attention where it is wished."""

    def __init__(self, block: ResidualBlock, attention: Attention | None) -> None:
        super().__init__()
        self.block, self.attention = block, attention

    def forward(self, modulation: Tensor, *inputs: Tensor) -> Tensor:
        """The features after this stage; `inputs` are x and, in the decoder, the skip."""
        x: Tensor = self.block(modulation, *inputs)
        return x if self.attention is None else self.attention(x)


@dataclass(frozen=True, kw_only=True)
class UNetSizes:
    """The measures of a U-Net.

    Attributes:
        widths: channels of each level.
        blocks: residual blocks of a level in the encoder.
        attention: levels with attention.
        head_channels: width of an attention head.
        dimensions: 2 or 3.
        dropout: probability that a hidden feature is dropped in training.
        recompute: whether stages are computed again in the backward pass.
        halvings: by how much each axis is divided from one level to the next, 1 or 2, the finest first; None: by 2.
    """

    widths: tuple[int, ...]
    blocks: int
    attention: tuple[int, ...]
    head_channels: int
    dimensions: Dimensions
    dropout: float
    recompute: bool
    halvings: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        if not self.widths or self.blocks < 1:
            raise UsageError(
                f"a U-Net with {len(self.widths)} levels of {self.blocks} blocks",
                expected="at least one multiplier and one block",
            )
        if unknown := sorted(set(self.attention) - set(range(len(self.widths)))):
            raise UsageError(
                f"attention at levels {unknown}, but the network has {len(self.widths)} levels",
                expected=f"levels between 0 (full resolution) and {len(self.widths) - 1}",
            )
        _ = self.between  # refuses what is no halving

    @cached_property
    def between(self) -> Halvings:
        """What happens to each axis between the levels."""
        return Halvings.of(self.halvings, levels=len(self.widths), dimensions=self.dimensions)

    @property
    def multiple(self) -> tuple[int, ...]:
        """Of what the size of each axis is to be a multiple, in pixels."""
        return self.between.sides(len(self.widths) - 1)

    def stage(self, level: int, channels_in: int, *, channels_skip: int = 0) -> _Stage:
        """A stage of this level."""
        width = self.widths[level]
        block = ResidualBlock(
            channels_in,
            width,
            channels_skip=channels_skip,
            dimensions=self.dimensions,
            dropout=self.dropout,
            kernel=self.between.kernel(level),
        )
        attention = Attention(width, head_channels=self.head_channels) if level in self.attention else None
        return _Stage(block, attention)

    def shrink(self, level: int, channels: int) -> Downsample:
        """From the level above to this one."""
        factor, kernel = self.between.factors[level - 1], self.between.kernel(level)
        return Downsample(channels, dimensions=self.dimensions, factor=factor, kernel=kernel)

    def grow(self, level: int, channels: int) -> Upsample:
        """From the level below to this one."""
        factor, kernel = self.between.factors[level], self.between.kernel(level)
        return Upsample(channels, dimensions=self.dimensions, factor=factor, kernel=kernel)


class Encoder(nn.Module):
    """From full resolution down. `channels` lists the channels of what it returns."""

    def __init__(self, plan: UNetSizes) -> None:
        super().__init__()
        self.recompute = plan.recompute
        self.levels, self.shrink = nn.ModuleList(), nn.ModuleList()
        self.channels = [plan.widths[0]]
        for level, width in enumerate(plan.widths):
            if level > 0:
                self.shrink.append(plan.shrink(level, self.channels[-1]))
                self.channels.append(self.channels[-1])
            stages = nn.ModuleList()
            for _ in range(plan.blocks):
                stages.append(plan.stage(level, self.channels[-1]))
                self.channels.append(width)
            self.levels.append(stages)

    def forward(self, x: Data, modulations: Iterator[Tensor]) -> list[Tensor]:
        """x, the features after every block, and after every halving."""
        outputs = [x]
        for level, stages in enumerate(self.levels):
            if level > 0:
                outputs.append(self.shrink[level - 1](outputs[-1]))
            for stage in stages.children():
                outputs.append(checkpointed(stage, next(modulations), outputs[-1], recompute=self.recompute))
        return outputs


class Decoder(nn.Module):
    """Back up to full resolution, one skip for each block."""

    def __init__(self, plan: UNetSizes, skips: Sequence[int]) -> None:
        super().__init__()
        self.recompute = plan.recompute
        self.levels, self.grow = nn.ModuleList(), nn.ModuleList()
        remaining, before = list(skips), plan.widths[-1]
        for level in reversed(range(len(plan.widths))):
            if self.levels:
                self.grow.append(plan.grow(level, before))
            stages = nn.ModuleList()
            for _ in range(plan.blocks + 1):
                stages.append(plan.stage(level, before, channels_skip=remaining.pop()))
                before = plan.widths[level]
            self.levels.append(stages)

    def forward(self, x: Data, skips: list[Tensor], modulations: Iterator[Tensor]) -> Tensor:
        """Features at full resolution; `skips` is emptied from its end."""
        for depth, stages in enumerate(self.levels):
            if depth > 0:
                x = self.grow[depth - 1](x)
            for stage in stages.children():
                x = checkpointed(stage, next(modulations), x, skips.pop(), recompute=self.recompute)
        return x


class UNet(nn.Module):
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
        blocks: residual blocks of a level in the encoder; the decoder has one more.
        attention: levels (0 = full resolution) with attention; the bottleneck follows the last level.
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
        channels: int = 64,
        multipliers: Sequence[int] = (1, 2, 2, 4),
        blocks: int = 2,
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
        first, deepest = plan.widths[0], len(plan.widths) - 1
        self.memory_format = channels_last(dimensions)
        self.multiple, self.channels_condition = plan.multiple, channels_condition
        self.embed = Embedding(features=channels, width=4 * channels, classes=classes, augment_labels=augment_labels)
        kernel = plan.between.kernel(0)
        self.stem = convolution(channels_in + channels_condition, first, kernel=kernel, dimensions=dimensions)
        self.encoder = Encoder(plan)
        self.descend = plan.stage(deepest, plan.widths[-1])
        self.ascend = plan.stage(deepest, plan.widths[-1]).block
        self.decoder = Decoder(plan, self.encoder.channels)
        self.normalise = Normalisation(first)
        self.head = convolution(first, channels_out, kernel=kernel, dimensions=dimensions)
        zero(self.head)
        self.modulated = [2 * block.channels_out for block in self.modules() if isinstance(block, ResidualBlock)]
        self.modulate = nn.Linear(4 * channels, sum(self.modulated))
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload] # missing in torch's annotations

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
        features = self.stem(x).contiguous(memory_format=self.memory_format)
        skips = self.encoder(features, modulations)
        x = self.descend(next(modulations), skips[-1])
        x = self.ascend(next(modulations), x)
        x = self.decoder(x, skips, modulations)
        return crop(self.head(self.normalise(x)), size)
