"""The order of the stages of a U-Net that changes the size inside its stages.

    encoder:  level 0: blocks x stage;  every further level: a halving stage, blocks x stage
    decoder:  two stages of the bottleneck, the first with attention;
              level L: (blocks + 1) x stage with a skip;  every further level: a doubling stage, (blocks + 1) x the same

Skips are the stem's output and that of every stage of the encoder: one for each stage with a skip. What a stage is, the
network says; it is made from its `StageSpec` and called as `stage(modulation, x)` or `stage(modulation, x, skip)`.
(Song et al. 2021, Dhariwal & Nichol 2021, Karras et al. 2022 and 2024)
"""

from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from jaxtyping import Float
from torch import Tensor, nn

from sfumato.axes import PerAxis
from sfumato.networks.blocks import checkpointed
from sfumato.networks.unet import UNetSizes
from sfumato.typing import Data


class StageSpec(NamedTuple):
    """Where a stage stands.

    Attributes:
        channels_in: channels of x.
        channels_out: channels of the result.
        channels_skip: channels of the skip, or 0.
        side: encoder or decoder.
        size: what happens to the size.
        attention: whether attention is wished.
        factor: by how much each axis is divided or multiplied where the size changes.
        kernel: sides of the convolutions.
    """

    channels_in: int
    channels_out: int
    channels_skip: int = 0
    side: Literal["encoder", "decoder"] = "encoder"
    size: Literal["half", "same", "double"] = "same"
    attention: bool = False
    factor: PerAxis = 2
    kernel: PerAxis = 3


Make = Callable[[StageSpec], nn.Module]
"""Makes the stage of a place."""


def encoder(plan: UNetSizes, *, stem: int) -> list[StageSpec]:
    """The encoder's places, from full resolution down, behind a stem of so many channels."""
    places, before = [], stem
    for level, width in enumerate(plan.widths):
        kernel = plan.between.kernel(level)
        if level > 0:
            factor = plan.between.factors[level - 1]
            places.append(StageSpec(before, before, size="half", factor=factor, kernel=kernel))
        for _ in range(plan.blocks):
            places.append(StageSpec(before, width, attention=level in plan.attention, kernel=kernel))
            before = width
    return places


def decoder(plan: UNetSizes, *, stem: int, attention: Literal["last", "every"]) -> list[StageSpec]:
    """The decoder's places, bottleneck first.

    Args:
        plan: measures of the network.
        stem: channels of the stem.
        attention: which stages of a level with attention have it.
    """
    skips = [stem, *(place.channels_out for place in encoder(plan, stem=stem))]
    before, deepest = plan.widths[-1], len(plan.widths) - 1
    here = StageSpec(before, before, side="decoder", kernel=plan.between.kernel(deepest))
    places = [here._replace(attention=True), here]
    for level in reversed(range(len(plan.widths))):
        here = StageSpec(before, before, side="decoder", kernel=plan.between.kernel(level))
        if level < deepest:
            places.append(here._replace(size="double", factor=plan.between.factors[level]))
        for index in range(plan.blocks + 1):
            wished = level in plan.attention and (attention == "every" or index == plan.blocks)
            width, skip = plan.widths[level], skips.pop()
            places.append(here._replace(channels_in=before, channels_out=width, channels_skip=skip, attention=wished))
            before = width
    return places


class UNetStages(nn.Module):
    """All stages between stem and head.

    Args:
        plan: measures of the network.
        make: makes a stage.
        stem: channels of the stem.
        attention: which stages of a level with attention have it in the decoder.
        pyramid: what is added to the output of every halving stage, from what was there one level above and, at first,
            the network's input; None for nothing.
    """

    def __init__(
        self,
        plan: UNetSizes,
        make: Make,
        *,
        stem: int,
        attention: Literal["last", "every"],
        pyramid: nn.ModuleList | None = None,
    ) -> None:
        super().__init__()
        self.recompute, self.pyramid = plan.recompute, pyramid
        down, up = encoder(plan, stem=stem), decoder(plan, stem=stem, attention=attention)
        self.halves = [place.size == "half" for place in down]
        self.skipped = [place.channels_skip > 0 for place in up]
        self.places = [*down, *up]
        self.encoder = nn.ModuleList(make(place) for place in down)
        self.decoder = nn.ModuleList(make(place) for place in up)

    def forward(self, image: Float[Tensor, "b given *space"], x: Data, modulations: Iterator[Tensor]) -> Tensor:
        """Features at full resolution.

        Args:
            image: the network's input, where the pyramid begins.
            x: the stem's output.
            modulations: what each stage is told, in the order of `places`.
        """
        skips = self._descend(image, x, modulations)
        x = skips[-1]
        for stage, skipped in zip(self.decoder, self.skipped, strict=True):
            inputs = (x, skips.pop()) if skipped else (x,)
            x = checkpointed(stage, next(modulations), *inputs, recompute=self.recompute)
        return x

    def _descend(self, image: Tensor, x: Tensor, modulations: Iterator[Tensor]) -> list[Tensor]:
        outputs, pyramid = [x], iter(self.pyramid or ())
        for stage, halves in zip(self.encoder, self.halves, strict=True):
            x = checkpointed(stage, next(modulations), outputs[-1], recompute=self.recompute)
            if halves and self.pyramid is not None:
                x = image = next(pyramid)(image, x)
            outputs.append(x)
        return outputs
