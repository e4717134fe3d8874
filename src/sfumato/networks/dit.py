"""The diffusion transformer (Peebles & Xie 2023, Scalable diffusion models with transformers).

    noise level, label, augmentation --embed--> e --one matrix--> shift, scale and gate of every block
    [x, condition.image] --patches, linear, + positions--> tokens --blocks--> tokens --head--> patches of the output

Every token looks at all others. The positions are sines and cosines of the size at hand, so the network takes any
size; sizes that the patch does not divide are padded by their own border. A fresh network says zero.
"""

from jaxtyping import Float
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.blocks import Dimensions, checkpointed, crop, pad_to_multiple, with_image
from sfumato.networks.embedding import Embedding
from sfumato.networks.tokens import (
    Everywhere,
    Head,
    Modulations,
    TransformerBlock,
    gather_tokens,
    initialise,
    positions,
    spread_tokens,
)
from sfumato.typing import Data, PerItem

_FEATURES = 256
"""Fourier features of the noise level (Peebles & Xie 2023)."""


class DiT(nn.Module):
    """A transformer over the patches of images of any size.

    Args:
        channels_in: channels of the state x_t.
        channels_out: channels of the output.
        channels_condition: channels of `condition.image`, or 0.
        classes: number of classes of `condition.label`, or 0.
        augment_labels: length of `condition.augment`, or 0.
        dimensions: 2 for images, 3 for volumes.
        patch: side of a patch in pixels.
        width: channels of a token.
        depth: number of blocks.
        head_channels: width of an attention head.
        gradient_checkpointing: compute activations again for the backward pass instead of keeping them.

    Raises:
        UsageError: too few channels for a sine and a cosine of each axis.
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
        width: int = 384,
        depth: int = 12,
        head_channels: int = 64,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if width < 2 * dimensions:
            raise UsageError(
                f"a transformer of width {width} for {dimensions} dimensions",
                expected=f"at least {2 * dimensions}, a sine and a cosine of the position on each axis",
            )
        self.patch, self.width, self.recompute = patch, width, gradient_checkpointing
        self.channels_condition = channels_condition
        self.embed = Embedding(features=_FEATURES, width=width, classes=classes, augment_labels=augment_labels)
        self.enter = nn.Linear((channels_in + channels_condition) * patch**dimensions, width)
        self.blocks = nn.ModuleList(
            TransformerBlock(width, Everywhere(width, head_channels=head_channels)) for _ in range(depth)
        )
        initialise(self.blocks)
        self.head = Head(width, channels_out * patch**dimensions)
        self.modulate = Modulations(width, self)

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
        *modulations, last = self.modulate(self.embed(level, condition))
        x = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.patch)
        h = self.enter(gather_tokens(x.movedim(1, -1), self.patch))
        h = h + positions(h.shape[1:-1], width=self.width, like=h)
        for block, modulation in zip(self.blocks.children(), modulations, strict=True):
            h = checkpointed(block, modulation, h, recompute=self.recompute)
        return crop(spread_tokens(self.head(last, h), self.patch).movedim(-1, 1), size)
