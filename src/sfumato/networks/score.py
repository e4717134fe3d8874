"""The U-Nets of score-based models: DDPM++, NCSN++ (Song et al. 2021) and ADM (Dhariwal & Nichol 2021).

In the form of Karras et al. 2022 (EDM, appendix F.2 and table 7) they are one network with different `Design`s. A stage
with input x (and skip), told m by the embedding, is

    h = W1 r(silu(norm([x, skip])))                                                                      (1)
    h = W2 drop(silu(n(h)))          n(h) = norm(h + m)  or  (1 + m') norm(h) + m''                      (2)
    y = s (r([x, skip]) + h)         then  y = s (y + attention(y))  where it is wished                  (3)

r halves or doubles the size with the design's filter, or does nothing; a matrix stands before r([x, skip]) in (3) where
the numbers of channels differ. s = sqrt(1/2) keeps the variance of a sum. NCSN++ has a residual encoder besides: what
is above, convolved and halved, joins the features of every resolution, y_l = s (y_l + r(W y_(l-1))); above the first is
the input image.

As in our own U-Net, x and skip are normalised and convolved separately and added: groups do not reach across the two.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.axes import PerAxis, per_axis
from sfumato.diffusion.process import Condition
from sfumato.networks.blocks import (
    Attention,
    Dimensions,
    Entrance,
    channels_last,
    convolution,
    crop,
    double,
    halve,
    pad_to_multiple,
    with_image,
    zero,
)
from sfumato.networks.embedding import Embedding, Fourier, RandomFourier
from sfumato.networks.normalisation import Normalisation, per_channel
from sfumato.networks.unet import UNetSizes
from sfumato.networks.unet_stages import StageSpec, UNetStages
from sfumato.typing import Data, PerItem


@dataclass(frozen=True, kw_only=True)
class Design:
    """What tells the three networks apart.

    Attributes:
        waves: features of the level: a geometric row of frequencies from 1e-4 to 1 radian, or random frequencies.
        features: number of these features, in units of the network's channels.
        early: whether class and augmentation join these features, or the embedding made of them.
        smooth: whether the filter along each dimension is [1, 3, 3, 1], which doubles by linear interpolation, instead
            of [1, 1], which is the mean of neighbours and the nearest neighbour.
        pyramid: whether there is a residual encoder.
        projected: whether the shortcut of a stage that changes the size is a matrix.
        adaptive: whether the embedding scales and shifts (2), or shifts alone.
        scale: s of (3).
        head_channels: width of an attention head; None: a single head.
        attention: which decoder stages of a level with attention have it.
        variance: of the initial weights, times the number of inputs.
    """

    waves: Literal["positional", "random"]
    features: int
    early: bool
    smooth: bool
    pyramid: bool
    projected: bool
    adaptive: bool
    scale: float
    head_channels: int | None
    attention: Literal["last", "every"]
    variance: float


DDPMPP = Design(
    waves="positional",
    features=1,
    early=True,
    smooth=False,
    pyramid=False,
    projected=True,
    adaptive=False,
    scale=math.sqrt(0.5),
    head_channels=None,
    attention="last",
    variance=1.0,
)
NCSNPP = Design(
    waves="random",
    features=2,
    early=True,
    smooth=True,
    pyramid=True,
    projected=True,
    adaptive=False,
    scale=math.sqrt(0.5),
    head_channels=None,
    attention="last",
    variance=1.0,
)
ADM = Design(
    waves="positional",
    features=1,
    early=False,
    smooth=False,
    pyramid=False,
    projected=False,
    adaptive=True,
    scale=1.0,
    head_channels=64,
    attention="every",
    variance=1 / 3,
)

BANDWIDTH = 16.0
"""Standard deviation of NCSN++'s frequencies (Song et al. 2021)."""


class Resample(nn.Module):
    """Half or twice the size, smoothed by a filter.

    Args:
        smooth: see `Design`.
        size: half or double.
        dimensions: 2 or 3.
        factor: by how much each axis is divided or multiplied: 1 or 2.
        margin: pixels that x brings along for the filter on either side of the axes that are halved; the others are
            zero.
    """

    def __init__(
        self,
        *,
        smooth: bool,
        size: Literal["half", "double"],
        dimensions: Dimensions,
        factor: PerAxis = 2,
        margin: int = 0,
    ) -> None:
        super().__init__()
        self.size, self.smooth, self.factor = size, smooth, per_axis(factor, dimensions)
        self.padding = [1 - margin if each == 2 else 0 for each in self.factor]
        self.mode = "bilinear" if dimensions == 2 else "trilinear"
        line, kept = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8, torch.ones(1)
        kernel, *others = (line if each == 2 else kept for each in self.factor)
        for other in others:
            kernel = kernel[..., None] * other
        self.kernel: Tensor
        self.register_buffer("kernel", kernel[None, None], persistent=False)

    def forward(self, x: Data) -> Tensor:
        """(b, c, *space) -> (b, c, *space / factor) or (b, c, factor * *space)."""
        if not self.smooth:
            return halve(x, self.factor) if self.size == "half" else double(x, self.factor)
        if self.size == "double":
            return functional.interpolate(x, scale_factor=[float(each) for each in self.factor], mode=self.mode)
        kernel = self.kernel.to(x.dtype).expand(x.shape[1], *self.kernel.shape[1:])
        convolve = functional.conv2d if x.ndim == 4 else functional.conv3d
        return convolve(x, kernel, stride=self.factor, padding=self.padding, groups=x.shape[1])


class ScoreStage(nn.Module):
    """Equations (1) to (3).

    Args:
        place: where it stands.
        plan: measures of the network.
        design: the network's design.
    """

    def __init__(self, place: StageSpec, *, plan: UNetSizes, design: Design) -> None:
        super().__init__()
        inputs = [channels for channels in (place.channels_in, place.channels_skip) if channels]
        width, resampled = place.channels_out, place.size != "same"
        self.scale, self.adaptive = design.scale, design.adaptive
        resample = None
        if place.size != "same":
            resample = Resample(smooth=design.smooth, size=place.size, dimensions=plan.dimensions, factor=place.factor)
        self.entrances = nn.ModuleList(
            Entrance(
                channels,
                channels_all=sum(inputs),
                channels_out=width,
                dimensions=plan.dimensions,
                bias=index == 0,
                kernel=place.kernel,
                resample=resample,
                projected=resampled and design.projected,
            )
            for index, channels in enumerate(inputs)
        )
        self.normalise = Normalisation(width)
        self.dropout = nn.Dropout(plan.dropout)
        self.convolve = convolution(width, width, kernel=place.kernel, dimensions=plan.dimensions)
        self.attention: Attention | None = None
        if place.attention:
            self.attention = Attention(width, head_channels=design.head_channels or width)

    def forward(self, modulation: Tensor, *inputs: Tensor) -> Tensor:
        """The features after this stage; `inputs` are x and, in the decoder, the skip."""
        parts = [entrance(x) for entrance, x in zip(self.entrances, inputs, strict=True)]
        hidden, shortcut = parts[0]
        for part in parts[1:]:
            hidden, shortcut = hidden.add_(part.hidden), shortcut.add_(part.shortcut)
        if self.adaptive:
            hidden = self.normalise(hidden, modulation)
        else:
            hidden = self.normalise(hidden.add_(per_channel(modulation, like=hidden)))
        x = self._scaled(self.convolve(self.dropout(hidden)).add_(shortcut))
        return x if self.attention is None else self._scaled(self.attention(x))

    def _scaled(self, x: Tensor) -> Tensor:
        return x if self.scale == 1 else x.mul_(self.scale)


class PyramidLevel(nn.Module):
    """A level of the residual encoder: what was there one level above joins the features of this one.

    Args:
        channels_in: channels above.
        channels_out: channels here.
        plan: measures of the network.
        design: the network's design.
        level: its number (0 = full resolution).
    """

    def __init__(self, channels_in: int, channels_out: int, *, plan: UNetSizes, design: Design, level: int = 1) -> None:
        super().__init__()
        self.scale, dimensions = design.scale, plan.dimensions
        factor, kernel = plan.between.factors[level - 1], plan.between.kernel(level - 1)
        margin = int(design.smooth)
        beyond = [margin if each == 2 else 0 for each in factor]
        self.convolve = convolution(channels_in, channels_out, kernel=kernel, dimensions=dimensions, margin=beyond)
        self.resample = Resample(smooth=design.smooth, size="half", dimensions=dimensions, factor=factor, margin=margin)

    def forward(self, above: Tensor, x: Tensor) -> Tensor:
        """The features of this level and the next rung's `above`."""
        result: Tensor = self.resample(self.convolve(above)).add_(x).mul_(self.scale)
        return result


class ScoreUNet(nn.Module):
    """A U-Net over images of any size: state and condition in, a prediction of the state's size out.

    Args:
        design: `DDPMPP`, `NCSNPP` or `ADM`.
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
        dropout: probability that a hidden feature is dropped in training.
        gradient_checkpointing: compute activations again for the backward pass instead of keeping them.
        halvings: by how much each axis is divided from one level to the next, 1 or 2, the finest first; None: by 2.

    Raises:
        UsageError: attention at a level that does not exist, no level, no block, or halvings of other levels or axes.
    """

    def __init__(
        self,
        design: Design,
        *,
        channels_in: int,
        channels_out: int,
        channels_condition: int = 0,
        classes: int = 0,
        augment_labels: int = 0,
        dimensions: Dimensions = 2,
        channels: int = 128,
        multipliers: Sequence[int] = (2, 2, 2),
        blocks: int = 4,
        attention: Sequence[int] = (),
        dropout: float = 0.0,
        gradient_checkpointing: bool = False,
        halvings: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        plan = UNetSizes(
            widths=tuple(channels * multiplier for multiplier in multipliers),
            blocks=blocks,
            attention=tuple(attention),
            head_channels=design.head_channels or 0,
            dimensions=dimensions,
            dropout=dropout,
            recompute=gradient_checkpointing,
            halvings=halvings,
        )
        received = channels_in + channels_condition
        self.memory_format = channels_last(dimensions)
        self.multiple, self.channels_condition = plan.multiple, channels_condition
        features = design.features * channels
        self.embed = Embedding(
            features=features,
            width=4 * channels,
            classes=classes,
            augment_labels=augment_labels,
            waves=_waves(design, features),
            early=design.early,
        )
        kernel = plan.between.kernel(0)
        self.stem = convolution(received, channels, kernel=kernel, dimensions=dimensions)
        above = [received, *plan.widths[:-2]]
        rungs = [
            PyramidLevel(n, m, plan=plan, design=design, level=level)
            for level, (n, m) in enumerate(zip(above, plan.widths[:-1], strict=False), start=1)
        ]
        self.skeleton = UNetStages(
            plan,
            partial(ScoreStage, plan=plan, design=design),
            stem=channels,
            attention=design.attention,
            pyramid=nn.ModuleList(rungs) if design.pyramid else None,
        )
        self.normalise = Normalisation(plan.widths[0])
        self.head = convolution(plan.widths[0], channels_out, kernel=kernel, dimensions=dimensions)
        self.modulated = [(1 + design.adaptive) * place.channels_out for place in self.skeleton.places]
        self.modulate = nn.Linear(4 * channels, sum(self.modulated))
        self._start(design)
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload] # missing in torch's annotations

    @torch.no_grad()
    def _start(self, design: Design) -> None:
        """Weights of the design's variance (torch's own are 1/3), no biases; the last of every branch are zero."""
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Conv3d, nn.Linear)):
                module.weight.mul_(math.sqrt(3 * design.variance))
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        zero(self.head)
        for stage in self.modules():
            if isinstance(stage, ScoreStage):
                zero(stage.convolve)
                if stage.attention is not None:
                    zero(stage.attention.outwards)

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
        x = x.contiguous(memory_format=self.memory_format)
        features = self.stem(x).contiguous(memory_format=self.memory_format)
        x = self.skeleton(x, features, modulations)
        return crop(self.head(self.normalise(x)), size)


def _waves(design: Design, features: int) -> nn.Module:
    if design.waves == "random":
        return RandomFourier(features, bandwidth=BANDWIDTH, paired=True)
    return Fourier(features, lowest=1e-4 / (2 * math.pi), highest=1 / (2 * math.pi))
