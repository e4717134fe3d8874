"""U-Nets of other libraries behind our call: `network(x, level, condition)`.

They take the keywords of `UNet` where they have the same thing, join the conditioning image to the state, know
'no class', and accept any image size. Two differences remain: `level` is the timestep index (a float is allowed), as
these networks expect it, and both have fixed sinusoidal embeddings made for 0 ... 1000.

diffusers and MONAI are imported when a network is built, not before.
"""

import math
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.blocks import Dimensions, crop, pad_to_multiple, with_image
from sfumato.networks.embedding import labels_or_none
from sfumato.networks.normalisation import largest_divisor
from sfumato.typing import Data, PerItem


def _imported(module: str, *, extra: str) -> Any:
    """The module, or the person is told what to install."""
    try:
        return import_module(module)
    except ImportError as error:
        raise UsageError(
            f"this network needs the package {extra}, which cannot be imported ({error})",
            remedy=f"pip install sfumato[{extra}]",
        ) from error


def _common_divisor(widths: Sequence[int], *, limit: int) -> int:
    """The largest number up to `limit` that divides the width of every level."""
    return largest_divisor(math.gcd(*widths), limit=limit)


class DiffusersUNet(nn.Module):
    """`UNet2DModel` of diffusers (Apache-2.0), for images.

    Args:
        channels_in: channels of the state x_t.
        channels_out: channels of the output.
        channels_condition: channels of `condition.image`, or 0.
        classes: number of classes of `condition.label`, or 0.
        dimensions: 2; diffusers has no volumes.
        channels: channels in units of which the multipliers count.
        multipliers: width of each level.
        blocks: residual blocks of a level.
        attention: levels (0 = full resolution) with attention; the bottleneck follows the last level.
        head_channels: width of an attention head, at most (it has to divide every width).
        dropout: probability that a hidden feature is dropped in training.

    Raises:
        UsageError: diffusers is not installed, or three dimensions are asked for.
    """

    def __init__(
        self,
        *,
        channels_in: int,
        channels_out: int,
        channels_condition: int = 0,
        classes: int = 0,
        dimensions: Dimensions = 2,
        channels: int = 64,
        multipliers: Sequence[int] = (1, 2, 2, 4),
        blocks: int = 2,
        attention: Sequence[int] = (),
        head_channels: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if dimensions != 2:
            raise UsageError(
                "the diffusers U-Net for volumes",
                expected="dimensions: 2",
                remedy="use our U-Net or MONAI's for volumes",
            )
        widths = [channels * multiplier for multiplier in multipliers]
        attends = [level in attention for level in range(len(widths))]
        self.classes, self.channels_condition, self.multiple = classes, channels_condition, 2 ** (len(widths) - 1)
        self.network = _imported("diffusers", extra="diffusers").UNet2DModel(
            in_channels=channels_in + channels_condition,
            out_channels=channels_out,
            block_out_channels=tuple(widths),
            layers_per_block=blocks,
            down_block_types=tuple("AttnDownBlock2D" if wished else "DownBlock2D" for wished in attends),
            up_block_types=tuple("AttnUpBlock2D" if wished else "UpBlock2D" for wished in reversed(attends)),
            add_attention=attends[-1],
            attention_head_dim=_common_divisor(widths, limit=head_channels),
            norm_num_groups=_common_divisor(widths, limit=32),
            dropout=dropout,
            num_class_embeds=classes + 1 if classes else None,
        )

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Float[Tensor, "b out *space"]:
        """One prediction (b, channels_out, *space); `level` is the timestep index of each item."""
        labels = labels_or_none(condition, classes=self.classes, like=level) if self.classes else condition.label
        padded = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.multiple)
        return crop(self.network(padded, level, class_labels=labels, return_dict=False)[0], x.shape[2:])


class MonaiUNet(nn.Module):
    """`DiffusionModelUNet` of MONAI (Apache-2.0), for images and volumes; its bottleneck always has attention.

    Args:
        channels_in: channels of the state x_t.
        channels_out: channels of the output.
        channels_condition: channels of `condition.image`, or 0.
        classes: number of classes of `condition.label`, or 0.
        dimensions: 2 for images, 3 for volumes.
        channels: channels in units of which the multipliers count.
        multipliers: width of each level.
        blocks: residual blocks of a level.
        attention: levels (0 = full resolution) with attention.
        head_channels: width of an attention head, at most (it has to divide every width).

    Raises:
        UsageError: MONAI is not installed.
    """

    def __init__(
        self,
        *,
        channels_in: int,
        channels_out: int,
        channels_condition: int = 0,
        classes: int = 0,
        dimensions: Dimensions = 2,
        channels: int = 64,
        multipliers: Sequence[int] = (1, 2, 2, 4),
        blocks: int = 2,
        attention: Sequence[int] = (),
        head_channels: int = 64,
    ) -> None:
        super().__init__()
        widths = [channels * multiplier for multiplier in multipliers]
        self.classes, self.channels_condition, self.multiple = classes, channels_condition, 2 ** (len(widths) - 1)
        _imported("einops", extra="monai")  # MONAI's attention needs it and does not ask for it when it is installed
        self.network = _imported("monai.networks.nets", extra="monai").DiffusionModelUNet(
            spatial_dims=dimensions,
            in_channels=channels_in + channels_condition,
            out_channels=channels_out,
            channels=widths,
            num_res_blocks=blocks,
            attention_levels=[level in attention for level in range(len(widths))],
            num_head_channels=_common_divisor(widths, limit=head_channels),
            norm_num_groups=_common_divisor(widths, limit=32),
            num_class_embeds=classes + 1 if classes else None,
            use_flash_attention=True,
        )

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Float[Tensor, "b out *space"]:
        """One prediction (b, channels_out, *space); `level` is the timestep index of each item."""
        labels = labels_or_none(condition, classes=self.classes, like=level) if self.classes else condition.label
        padded = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.multiple)
        return crop(self.network(padded, level, class_labels=labels), x.shape[2:])
