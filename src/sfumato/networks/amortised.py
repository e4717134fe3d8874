"""See once, draw many: a network of masks that encodes an image once, and draws from it cheaply.

    image --E--> features at several strides, and logits of its own at full size         once for an image      (1)
    x_t, t, features --D--> output at stride s                                            once for a call        (2)
    x0_hat at stride s, fine features --refine--> logits at full size                     once for a mask        (3)

The state of the process lives at stride s: x0 is the mean of the one-hot mask over blocks of s pixels. Samplers and
processes see a smaller array and nothing else of it. K masks of S calls cost E + K S D + K refinements; D and (3) are
made so small that they hardly show beside E.

Two answers start as that of the image itself, with corrections that are zero at first. Where a process reads logits,

    output = coarse + correction,    coarse = ln mean softmax(own) over the blocks                        (4)

which is the own answer seen at stride s. And what a draw says otherwise at that stride it says at full size,

    logits = own + [ln p - coarse] + correction,    p = (x0_hat + 1) / 2, the bracket between its pixels   (5)

so a draw is no nearer to the own answer, which is a mean of all readings, than it means to be.

E and D are the same pyramid: a U-Net whose way up is light, one block a level and sums in place of second inputs. E
alone with its head is the deterministic twin.

The noise may lie around an answer mu of E instead of zero (Ribeiro et al. 2025, Flow-SSN: a learnt prior): to the state
x_t = (1 - sigma) x0 + sigma n of a flow is added what the prior has more,

    D sees x_t + sigma mu,    sigma = 1 / (1 + 1 / s), s the noise-to-signal ratio that D is told                   (6)

so that process, samplers and losses are those of noise around zero. D may then do without the features of E.

A stride is a power of 2 that counts halvings: of volumes an axis may be left out of some (`networks.halving`), so that
stride 4 is blocks of 2 x 4 x 4 pixels, say. The stem makes the first of them, D goes on where the state is.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, repeat
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.axes import PerAxis, per_axis
from sfumato.diffusion.loss import LEAST
from sfumato.diffusion.process import Condition, DrawAnswers, EncodedImages
from sfumato.errors import UsageError
from sfumato.networks.blocks import (
    Dimensions,
    ResidualBlock,
    block_mean,
    channels_last,
    checkpointed,
    convolution,
    crop,
    depth_to_space,
    double,
    halve,
    pad_to_multiple,
    zero,
)
from sfumato.networks.embedding import Embedding
from sfumato.networks.halving import Halvings
from sfumato.networks.normalisation import Normalisation
from sfumato.typing import Data, Output, PerItem

STEMS = (1, 2, 4)
"""Strides at which E may begin."""

DRAW_BLOCKS = (0, 1)
"""Residual blocks of each level of D on its way down."""

DRAWN_LEVELS = len(DRAW_BLOCKS)
"""Levels of D, at strides 2 s and 4 s: a block of the state's pixels is one of its own, as with E's stem."""

DRAW_STEM = 2
"""Stride of D's first level in pixels of the state."""

FINE_CHANNELS = 8
"""Of the refinement."""


class AmortisedSizes(NamedTuple):
    """The measures of the network.

    Attributes:
        widths: channels of each level of E.
        blocks: residual blocks of a level of E on its way down.
        stem: stride of E's first level in pixels.
        stride: of the state in pixels.
        draw_channels: of D at its first level.
        dimensions: 2 or 3.
        recompute: whether blocks are computed again in the backward pass.
        halvings: by how much each axis is divided from one stride to the next, 1 or 2, from stride 1 on; None: by 2.
    """

    widths: tuple[int, ...]
    blocks: int
    stem: int
    stride: int
    draw_channels: int
    dimensions: Dimensions
    recompute: bool
    halvings: Sequence[Sequence[int]] | None = None

    @property
    def between(self) -> Halvings:
        """What happens to each axis between the strides 1, 2, 4, ..., of which E begins at its stem."""
        levels = halvings_before(self.stem) + len(self.widths)
        return Halvings.of(self.halvings, levels=levels, dimensions=self.dimensions)

    def sides(self, stride: int) -> tuple[int, ...]:
        """Sides in pixels of what is one pixel at a stride."""
        return self.between.sides(halvings_before(stride))

    def kernel(self, stride: int) -> tuple[int, ...]:
        """Sides of the convolutions at a stride."""
        return self.between.kernel(halvings_before(stride))

    def block(self, stride: int) -> tuple[int, ...]:
        """Sides of a block of the pixels at a stride that is one pixel at the next."""
        return self.between.factors[halvings_before(stride)]

    @property
    def strides(self) -> tuple[int, ...]:
        """Stride of each level of E."""
        return tuple(self.stem * 2**level for level in range(len(self.widths)))

    @property
    def drawn_levels(self) -> tuple[int, ...]:
        """The levels of E that D is told of."""
        first = self.strides.index(DRAW_STEM * self.stride)
        return tuple(range(first, first + DRAWN_LEVELS))

    def check(self) -> None:
        """Refuse what does not fit together.

        Raises:
            UsageError: no level or block, a stem that is none, a stride beyond which E has no two levels, or halvings
                of other strides or axes.
        """
        if not self.widths or self.blocks < 1 or self.stem not in STEMS:
            raise UsageError(
                f"an amortised network with {len(self.widths)} levels of {self.blocks} blocks and stem {self.stem}",
                expected=f"at least one multiplier and one block, and one of the stems {STEMS}",
            )
        fitting = self.strides[:-DRAWN_LEVELS]
        if self.stride not in fitting:
            raise UsageError(
                f"network.stride={self.stride}, but the encoder has levels at the strides {self.strides}",
                expected=f"one of {fitting or 'more levels'}, behind which the encoder has {DRAWN_LEVELS} levels more",
                remedy="change network.stride, network.stem or the number of network.multipliers",
            )
        _ = self.between


def halvings_before(stride: int) -> int:
    """How many halvings lead to a stride."""
    return stride.bit_length() - 1


class Pyramid(nn.Module):
    """Down by means of neighbours, up by nearest neighbours that are added; see the head of this file.

    Args:
        sizes: dimensions, halvings, and whether blocks are computed again in the backward pass.
        widths: channels of each level, the finest first.
        blocks: residual blocks of each level on the way down.
        stride: of its first level.
        modulated: whether an embedding modulates the blocks.

    Attributes:
        entered: channels with which each level begins.
    """

    def __init__(
        self, sizes: AmortisedSizes, widths: Sequence[int], *, blocks: Sequence[int], stride: int, modulated: bool
    ) -> None:
        super().__init__()
        self.recompute = sizes.recompute
        strides = [stride * 2**level for level in range(len(widths))]
        self.factors = [sizes.block(each) for each in strides[:-1]]

        def block(channels_in: int, width: int, stride: int) -> ResidualBlock:
            kernel = sizes.kernel(stride)
            return ResidualBlock(
                channels_in, width, dimensions=sizes.dimensions, dropout=0.0, modulated=modulated, kernel=kernel
            )

        self.entered = (widths[0], *widths[:-1])
        self.down = nn.ModuleList(
            nn.ModuleList(block(first if index == 0 else width, width, stride) for index in range(count))
            for first, width, count, stride in zip(self.entered, widths, blocks, strides, strict=True)
        )
        self.narrow = nn.ModuleList(
            convolution(deeper, width, kernel=1, dimensions=sizes.dimensions) for width, deeper in pairwise(widths)
        )
        self.up = nn.ModuleList(
            block(width, width, stride) for width, stride in zip(widths[:-1], strides[:-1], strict=True)
        )

    def forward(
        self, x: Data, modulations: Iterator[Tensor | None], beside: Sequence[Tensor] | None = None
    ) -> list[Tensor]:
        """Features of every level, the finest first; `beside` is added to what each level begins with."""
        levels: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            x = x if level == 0 else halve(x, self.factors[level - 1])
            x = x if beside is None else x + beside[level]
            for block in blocks.children():
                x = checkpointed(block, next(modulations), x, recompute=self.recompute)
            levels.append(x)
        for level in reversed(range(len(self.up))):
            x = levels[level] + double(self.narrow[level](levels[level + 1]), self.factors[level])
            levels[level] = checkpointed(self.up[level], next(modulations), x, recompute=self.recompute)
        return levels


class Amortised(nn.Module):
    """A network of masks that sees an image once and draws many masks of it.

    Args:
        channels_in: channels of the state x_t.
        channels_out: channels of the output.
        channels_mask: channels of a one-hot mask.
        channels_condition: channels of `condition.image`.
        classes: number of classes of `condition.label`, or 0.
        augment_labels: length of `condition.augment`, or 0.
        dimensions: 2 for images, 3 for volumes.
        channels: channels of E in units of which the multipliers count.
        multipliers: width of each level of E; their number is the number of levels.
        blocks: residual blocks of a level of E on its way down.
        stem: stride of E's first level in pixels: 1, 2 or 4.
        stride: of the state in pixels, that of one of E's levels but the last two.
        draw_channels: of D at its first level, twice as many at its second.
        logits: whether the process reads the output as logits of the mask, equation (4).
        features: whether D sees the features of E; without them (4) is not added either.
        prior: whether the noise lies around an answer of E, equation (6).
        twin: whether this is E alone: the state is zeros of full size, the output is E's answer.
        gradient_checkpointing: compute activations again for the backward pass instead of keeping them.
        halvings: by how much each axis is divided, 1 or 2, from full resolution to stride 2, from there to stride 4 and
            so on, to the stride of E's last level; None: by 2.

    Attributes:
        stride: sides in pixels of what is one pixel of the state, of each axis; 1 of a twin.

    Raises:
        UsageError: no image, or measures that do not fit together.
    """

    def __init__(
        self,
        *,
        channels_in: int,
        channels_out: int,
        channels_mask: int,
        channels_condition: int,
        classes: int = 0,
        augment_labels: int = 0,
        dimensions: Dimensions = 2,
        channels: int = 32,
        multipliers: Sequence[int] = (1, 2, 4, 8),
        blocks: int = 1,
        stem: int = 2,
        stride: int = 4,
        draw_channels: int = 16,
        logits: bool = True,
        features: bool = True,
        prior: bool = False,
        twin: bool = False,
        gradient_checkpointing: bool = False,
        halvings: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        widths = tuple(channels * multiplier for multiplier in multipliers)
        sizes = AmortisedSizes(
            widths, blocks, stem, stride, draw_channels, dimensions, gradient_checkpointing, halvings
        )
        sizes.check()
        if channels_condition < 1:
            raise UsageError("an amortised network without an image", expected="an image that is encoded once")
        self.logits, self.features, self.prior, self.twin = logits and features, features, prior, twin
        self.stride, self.stem = sizes.sides(1 if twin else stride), sizes.sides(stem)
        self.memory_format = channels_last(dimensions)
        self.multiple, self.channels_condition = sizes.sides(sizes.strides[-1]), channels_condition
        fine = sizes.kernel(stem)
        self.look = _patches(channels_condition, widths[0], sides=self.stem, kernel=fine)
        self.encoder = Pyramid(sizes, widths, blocks=[blocks] * len(widths), stride=stem, modulated=False)
        self.normalise = Normalisation(widths[0])
        self.head = _to_blocks(widths[0], channels_mask, sides=self.stem, kernel=fine)
        if not twin:
            self.levels = sizes.drawn_levels
            self.draw = _Draw(sizes, channels_in, channels_out, classes=classes, augment_labels=augment_labels)
            if features:
                self.tell = nn.ModuleList(
                    _Projection(widths[level], entered, kernel=1, dimensions=dimensions)
                    for level, entered in zip(self.levels, self.draw.pyramid.entered, strict=True)
                )
            if prior:
                self.level, kernel = sizes.strides.index(stride), sizes.kernel(stride)
                self.centre = _Projection(widths[self.level], channels_in, kernel=kernel, dimensions=dimensions)
            self.tell_fine = _Projection(widths[0], FINE_CHANNELS, kernel=fine, dimensions=dimensions)
            self.read_estimate = convolution(
                channels_mask, FINE_CHANNELS, kernel=fine, dimensions=dimensions, bias=False
            )
            self.correct = _to_blocks(FINE_CHANNELS, channels_mask, sides=self.stem, kernel=fine)
            zero(self.correct)
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload] # missing in torch's annotations

    def encode(self, image: Data) -> EncodedImages:
        """What is to be known of images (b, channels_condition, *space) of any size: equation (1).

        The features are `_Told`; a twin has none.

        Raises:
            UsageError: another number of channels than the network was built for.
        """
        if image.shape[1] != self.channels_condition:
            raise UsageError(
                f"a conditioning image of {image.shape[1]} channels for a network that was built for "
                f"{self.channels_condition}",
                remedy="give the network the kind of image that it was trained with",
            )
        x = self.look(pad_to_multiple(image, self.multiple)).contiguous(memory_format=self.memory_format)
        levels = self.encoder(x, repeat(None))
        own = crop(depth_to_space(self.head(self.normalise(levels[0])), self.stem), image.shape[2:])
        if self.twin:
            return EncodedImages((), own)
        told = [self.tell_fine(levels[0])]
        if self.features:
            told += [tell(levels[level]) for tell, level in zip(self.tell.children(), self.levels, strict=True)]
        told.append(block_mean(own.float().softmax(1), self.stride).clamp(min=LEAST).log())
        if self.prior:
            small = torch.Size(-(-size // side) for size, side in zip(image.shape[2:], self.stride, strict=True))
            told.append(crop(self.centre(levels[self.level]), small))
        return EncodedImages(tuple(told), own)

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Output | DrawAnswers:
        """One prediction for r draws of each of b images.

        Args:
            x: standardised states (b * r, channels_in, *small), small = space / stride rounded up, those of one image
                side by side; of a twin (b, channels_in, *space).
            level: noise level of each item, ln(sigma / alpha) / 4.
            condition: `encoded`, or an `image` (b, channels_condition, *space) of any size; label, augmentation.

        Returns:
            The prediction (b * r, channels_out, *small), of a twin (b, channels_mask, *space); all `DrawAnswers` where
            `condition.estimate_of` is given.

        Raises:
            UsageError: a condition that the network was not built for.
        """
        encoded = self._seen(condition)
        if self.twin:
            return encoded.logits
        output = self._drawn(x, level, condition, encoded)
        if condition.estimate_of is None:
            return output
        return DrawAnswers(output, self.refine(condition.estimate_of(output), encoded), encoded.logits)

    def refine(self, x0_hat: Output, encoded: EncodedImages) -> Float[Tensor, "n classes *pixels"]:
        """Logits at full size from estimated masks (b * r, channels_mask, *small) in [-1, 1]: equation (5)."""
        told = encoded.repeated(len(x0_hat) // len(encoded.logits))
        fine, _, own, _ = self._parts(told)
        sizes, space = fine.shape[2:], told.logits.shape[2:]
        small = [size * few // many for size, few, many in zip(sizes, self.stem, self.stride, strict=True)]
        otherwise = _between(((x0_hat.float() + 1) / 2).clamp(min=LEAST).log() - own, self.stride)
        hidden = self.read_estimate(_between(_filled(x0_hat.to(fine.dtype), small), sizes=sizes)).add_(fine)
        correction = depth_to_space(self.correct(functional.relu_(hidden)), self.stem)
        return told.logits + crop(otherwise, space) + crop(correction, space)

    def _seen(self, condition: Condition) -> EncodedImages:
        if condition.encoded is not None:
            return condition.encoded
        if condition.image is None:
            raise UsageError("an amortised network was given no image", expected="an image, or what it knows of it")
        return self.encode(condition.image)

    def _drawn(self, x: Data, level: PerItem, condition: Condition, encoded: EncodedImages) -> Output:
        """Equation (2)."""
        told = self._parts(encoded.repeated(len(x) // len(encoded.logits)))
        if told.centre is not None:
            x = x + _sigma(level).to(x.dtype).view(-1, *(1,) * (x.ndim - 1)) * told.centre
        whole = [-(-size // side) * side for side, size in zip(self.draw.multiple, x.shape[2:], strict=True)]
        if told.beside:
            whole = [side * size for side, size in zip(self.draw.stem, told.beside[0].shape[2:], strict=True)]
        filled = _filled(x, whole).contiguous(memory_format=self.memory_format)
        output = crop(self.draw(filled, level, condition, told.beside or None), x.shape[2:])
        return output + told.own if self.logits else output

    def _parts(self, encoded: EncodedImages) -> "_Told":
        """The features by what they are for."""
        fine, *others = encoded.features
        centre = others.pop() if self.prior else None
        own = others.pop()
        return _Told(fine, tuple(others), own, centre)


class _Told(NamedTuple):
    """What E tells of images.

    Attributes:
        fine: to the refinement.
        beside: to each level of D; nothing where D sees no features.
        own: E's answer at the stride of the state, `coarse` in equations (4) and (5).
        centre: mu of equation (6); None where the noise lies around zero.
    """

    fine: Tensor
    beside: tuple[Tensor, ...]
    own: Tensor
    centre: Tensor | None


def _between(values: Tensor, stride: PerAxis = 1, sizes: Sequence[int] | None = None) -> Tensor:
    """Values between the pixels of a coarser grid, at so many pixels each, or at the sizes."""
    sides = per_axis(stride, values.ndim - 2)
    sizes = sizes or [size * side for size, side in zip(values.shape[2:], sides, strict=True)]
    return functional.interpolate(values, size=list(sizes), mode="bilinear" if values.ndim == 4 else "trilinear")


def _sigma(level: PerItem) -> PerItem:
    """Sigma of a straight path, from ln(s) / 4."""
    return torch.sigmoid(4 * level.float())


class _Projection(nn.Sequential):
    """Features for another part of the network, normalised first."""

    def __init__(self, channels_in: int, channels_out: int, *, kernel: PerAxis, dimensions: Dimensions) -> None:
        super().__init__(
            Normalisation(channels_in), convolution(channels_in, channels_out, kernel=kernel, dimensions=dimensions)
        )


class _Draw(nn.Module):
    """D: a modulated pyramid at the stride of the state; its head is zero at the start."""

    def __init__(
        self, sizes: AmortisedSizes, channels_in: int, channels_out: int, *, classes: int, augment_labels: int
    ) -> None:
        super().__init__()
        width, stride = sizes.draw_channels, DRAW_STEM * sizes.stride
        self.stem, kernel = sizes.block(sizes.stride), sizes.kernel(stride)
        self.multiple = tuple(a * b for a, b in zip(self.stem, sizes.block(stride), strict=True))
        widths = tuple(width * 2**level for level in range(DRAWN_LEVELS))
        self.embed = Embedding(features=width, width=4 * width, classes=classes, augment_labels=augment_labels)
        self.enter = _patches(channels_in, width, sides=self.stem, kernel=kernel)
        self.pyramid = Pyramid(sizes, widths, blocks=DRAW_BLOCKS, stride=stride, modulated=True)
        self.normalise = Normalisation(width)
        self.head = _to_blocks(width, channels_out, sides=self.stem, kernel=kernel)
        zero(self.head)
        self.modulated = [2 * block.channels_out for block in self.modules() if isinstance(block, ResidualBlock)]
        self.modulate = nn.Linear(4 * width, sum(self.modulated))

    def forward(self, x: Data, level: PerItem, condition: Condition, beside: Sequence[Tensor] | None) -> Output:
        """The output of (2), of the size of `x`."""
        modulations = iter(self.modulate(self.embed(level, condition)).split(self.modulated, dim=1))
        features = self.pyramid(self.enter(x), modulations, beside)
        return depth_to_space(self.head(self.normalise(features[0])), self.stem)


def _patches(
    channels_in: int, channels_out: int, *, sides: Sequence[int], kernel: Sequence[int]
) -> nn.Conv2d | nn.Conv3d:
    """A convolution whose stride is a block: each pixel sees its block and, of a `kernel` of 3, those beside it."""
    kind: Callable[..., nn.Conv2d | nn.Conv3d] = nn.Conv2d if len(sides) == 2 else nn.Conv3d
    seen = tuple(side * blocks for side, blocks in zip(sides, kernel, strict=True))
    before = tuple(side * (blocks // 2) for side, blocks in zip(sides, kernel, strict=True))
    return kind(channels_in, channels_out, seen, stride=tuple(sides), padding=before)


def _to_blocks(
    channels_in: int, channels_out: int, *, sides: Sequence[int], kernel: Sequence[int]
) -> nn.Conv2d | nn.Conv3d:
    """A convolution before `depth_to_space`; at first all pixels of a block say the same (Aitken et al. 2017)."""
    dimensions: Dimensions = 2 if len(sides) == 2 else 3
    pixels = math.prod(sides)
    convolve = convolution(channels_in, channels_out * pixels, kernel=kernel, dimensions=dimensions)
    with torch.no_grad():
        for parameter in convolve.parameters():
            parameter.copy_(parameter[::pixels].repeat_interleave(pixels, 0))
    return convolve


def _filled(x: Data, size: Sequence[int]) -> Float[Tensor, "b c *filled"]:
    """The last row, column (and slice) again until `x` has the size."""
    missing = [wanted - found for wanted, found in zip(size, x.shape[2:], strict=True)]
    if not any(missing):
        return x
    return functional.pad(x, [amount for each in reversed(missing) for amount in (0, each)], mode="replicate")
