"""Masks from queries, in the manner of Mask2Former (Cheng et al. 2022), behind the encoder of our U-Net.

    [x, condition.image] --encoder--> --pixel decoder--> features of every level, e(pixel) at full resolution
    N learned queries --masked attention to the levels in turn, from coarse to fine--> N queries

Query q says what it is, a distribution c_q over K classes and 'nothing', and where, m_q(pixel) = <mask_q, e(pixel)>.
The output is the semantic score of each class (Cheng et al. 2021, MaskFormer, section 3.4), as a logarithm:

    out_k(pixel) = ln sum_q c_q(k) sigmoid(m_q(pixel))                                                   (1)

Any process that predicts `logits` takes softmax(out), so (1) is trained by the process's own loss: no query is matched
to an object. A query looks only where it has its mask so far, and everywhere if it has none:

    allowed_q(pixel) = m_q(pixel) > 0,  or true if no pixel has it                                       (2)

m_q on a coarser level is its mean over the pixels there, which is <mask_q, mean of e>.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.blocks import (
    Dimensions,
    ResidualBlock,
    channels_last,
    checkpointed,
    convolution,
    crop,
    pad_to_multiple,
    with_image,
)
from sfumato.networks.embedding import Embedding
from sfumato.networks.tokens import CrossAttention, SelfAttention, feed_forward, positions
from sfumato.networks.unet import Encoder, UNetSizes
from sfumato.typing import Data, PerItem


def semantic(classes: Float[Tensor, "b q k_and_nothing"], masks: Float[Tensor, "b q *space"]) -> Data:
    """Equation (1), (b, k, *space) in float32, from logits of classes ('nothing' last) and of masks.

    Both factors are divided by their largest over the queries before they are multiplied, so that no logit is too
    large or too small; a class that stays more than 87 below another query's is taken to be 87 below.
    """
    place = "cpu" if masks.is_meta else masks.device.type  # torch knows no autocast for shapes alone
    with torch.autocast(place, enabled=False):
        what = classes.float().log_softmax(2)[..., :-1]
        where = functional.logsigmoid(masks.float()).flatten(2)
        most, nearest = what.amax(1, keepdim=True).detach(), where.amax(1, keepdim=True).detach()
        shares = (what - most).exp().transpose(1, 2) @ (where - nearest).exp()
        scores = shares.clamp(min=torch.finfo(shares.dtype).tiny).log() + most.transpose(1, 2) + nearest
        return torch.unflatten(scores, 2, masks.shape[2:])


def allowed(masks: Float[Tensor, "b q n"]) -> Bool[Tensor, "b q n"]:
    """Equation (2)."""
    inside = masks > 0
    return inside | ~inside.any(dim=2, keepdim=True)


class PixelDecoder(nn.Module):
    """Back up to full resolution, one stage and one skip for each level.

    Args:
        plan: measures of the encoder.
    """

    def __init__(self, plan: UNetSizes) -> None:
        super().__init__()
        self.recompute = plan.recompute
        deepest = len(plan.widths) - 1
        self.stages = nn.ModuleList([plan.stage(deepest, plan.widths[-1])])
        self.grow = nn.ModuleList()
        for level in reversed(range(deepest)):
            self.grow.append(plan.grow(level, plan.widths[level + 1]))
            self.stages.append(plan.stage(level, plan.widths[level + 1], channels_skip=plan.widths[level]))

    def forward(self, levels: Sequence[Tensor], modulations: Iterator[Tensor]) -> list[Tensor]:
        """Features of every level, the deepest first; `levels` are those of the encoder, the finest first."""
        first, *others = self.stages.children()
        outputs = [checkpointed(first, next(modulations), levels[-1], recompute=self.recompute)]
        for stage, grow, skip in zip(others, self.grow.children(), reversed(levels[:-1]), strict=True):
            outputs.append(checkpointed(stage, next(modulations), grow(outputs[-1]), skip, recompute=self.recompute))
        return outputs


class QueryLayer(nn.Module):
    """Queries look at pixels, then at each other, then each thinks alone (Cheng et al. 2022, section 3.2).

    Args:
        width: channels of queries and pixels.
        head_channels: wished width of a head.
    """

    def __init__(self, width: int, *, head_channels: int) -> None:
        super().__init__()
        self.normalise = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.look = CrossAttention(width, head_channels=head_channels)
        self.talk = SelfAttention(width, head_channels=head_channels)
        self.think = feed_forward(width)

    def forward(
        self, queries: Float[Tensor, "b q c"], pixels: Float[Tensor, "b n c"], where: Bool[Tensor, "b q n"]
    ) -> Float[Tensor, "b q c"]:
        """The queries after this layer; `where` says at which pixels a query may look."""
        before_look, before_talk, before_think = self.normalise.children()
        queries = queries + self.look(before_look(queries), pixels, where)
        queries = queries + self.talk(before_talk(queries)[:, None])[:, 0]
        result: Tensor = queries + self.think(before_think(queries))
        return result


class MaskHead(nn.Module):
    """Logarithms of the shares of each class in every pixel of images of any size.

    Args:
        channels_in: channels of the state x_t.
        channels_out: number of classes of the masks.
        channels_condition: channels of `condition.image`, or 0.
        classes: number of classes of `condition.label`, or 0.
        augment_labels: length of `condition.augment`, or 0.
        dimensions: 2 for images, 3 for volumes.
        channels: channels in units of which the multipliers count.
        multipliers: width of each level; their number is the number of levels.
        blocks: residual blocks of a level in the encoder; the pixel decoder has one.
        queries: how many.
        width: channels of a query, and of the embedding of a pixel.
        layers: layers of the queries.
        head_channels: width of an attention head.
        gradient_checkpointing: compute activations again for the backward pass instead of keeping them.
        halvings: by how much each axis is divided from one level to the next, 1 or 2, the finest first; None: by 2.

    Raises:
        UsageError: no level, no block, halvings of other levels or axes, or too few channels for a sine and a cosine of
            each axis.
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
        queries: int = 32,
        width: int = 128,
        layers: int = 6,
        head_channels: int = 64,
        gradient_checkpointing: bool = False,
        halvings: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        plan = UNetSizes(
            widths=tuple(channels * multiplier for multiplier in multipliers),
            blocks=blocks,
            attention=(),
            head_channels=head_channels,
            dimensions=dimensions,
            dropout=0.0,
            recompute=gradient_checkpointing,
            halvings=halvings,
        )
        if width < 2 * dimensions:
            raise UsageError(
                f"queries of width {width} for {dimensions} dimensions",
                expected=f"at least {2 * dimensions}, a sine and a cosine of the position on each axis",
            )
        self.memory_format = channels_last(dimensions)
        self.multiple, self.channels_condition = plan.multiple, channels_condition
        self.width, self.recompute, self.blocks = width, gradient_checkpointing, blocks
        self.embed = Embedding(features=channels, width=4 * channels, classes=classes, augment_labels=augment_labels)
        first, kernel = plan.widths[0], plan.between.kernel(0)
        self.stem = convolution(channels_in + channels_condition, first, kernel=kernel, dimensions=dimensions)
        self.encoder, self.decoder = Encoder(plan), PixelDecoder(plan)
        self.modulated = [2 * block.channels_out for block in self.modules() if isinstance(block, ResidualBlock)]
        self.modulate = nn.Linear(4 * channels, sum(self.modulated))
        self.embed_pixels = convolution(first, width, kernel=1, dimensions=dimensions)
        looked_at = (list(reversed(plan.widths[1:])) or [first])[:layers]
        self.enter = nn.ModuleList(nn.Linear(channels, width) for channels in looked_at)
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.layers = nn.ModuleList(QueryLayer(width, head_channels=head_channels) for _ in range(layers))
        self.normalise = nn.LayerNorm(width)
        self.what = nn.Linear(width, channels_out + 1)
        self.where = nn.Sequential(
            nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.to(memory_format=self.memory_format)  # type: ignore[call-overload] # missing in torch's annotations

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Float[Tensor, "b out *space"]:
        """One prediction.

        Args:
            x: standardised state (b, channels_in, *space); any spatial size.
            level: noise level of each item, ln(sigma / alpha) / 4.
            condition: image of the spatial size of x, label (None: no class), augmentation (None: none).

        Returns:
            Equation (1), (b, channels_out, *space), in float32.

        Raises:
            UsageError: a condition that the network was not built for.
        """
        size = x.shape[2:]
        modulations = iter(self.modulate(self.embed(level, condition)).split(self.modulated, dim=1))
        x = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.multiple)
        features = self.stem(x).contiguous(memory_format=self.memory_format)
        levels = self.encoder(features, modulations)[self.blocks :: self.blocks + 1]
        features = self.decoder(levels, modulations)
        embedding = self.embed_pixels(features[-1])
        queries = self.normalise(self._ask(features[: len(self.enter)], embedding))
        masks = torch.einsum("bqc,bc...->bq...", self.where(queries), embedding)
        return crop(semantic(self.what(queries), masks), size)

    def _ask(self, features: Sequence[Tensor], embedding: Tensor) -> Float[Tensor, "b q c"]:
        """The queries after their last layer."""
        pixels, means = [], []
        for enter, found in zip(self.enter.children(), features, strict=True):
            tokens = enter(found.movedim(1, -1))  # its bias tells the levels apart
            pixels.append((tokens + positions(found.shape[2:], width=self.width, like=tokens)).flatten(1, -2))
            means.append(functional.interpolate(embedding.detach(), size=found.shape[2:], mode="area").flatten(2))
        queries = self.queries.repeat(len(embedding), 1, 1)  # no view: torch's counter of operations fails on one
        for index, layer in enumerate(self.layers.children()):
            level = index % len(pixels)
            with torch.no_grad():
                where = allowed(self.where(self.normalise(queries)) @ means[level])
            queries = checkpointed(layer, queries, pixels[level], where, recompute=self.recompute)
        return queries
