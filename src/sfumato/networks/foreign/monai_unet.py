"""The U-Net of MONAI behind our call."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.networks.blocks import Dimensions, crop, pad_to_multiple, with_image
from sfumato.networks.embedding import labels_or_none
from sfumato.networks.foreign.package import common_divisor, imported
from sfumato.typing import Data, PerItem


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
        imported("einops", extra="monai")  # MONAI's attention needs it and does not ask for it when it is installed
        self.network = imported("monai.networks.nets", extra="monai").DiffusionModelUNet(
            spatial_dims=dimensions,
            in_channels=channels_in + channels_condition,
            out_channels=channels_out,
            channels=widths,
            num_res_blocks=blocks,
            attention_levels=[level in attention for level in range(len(widths))],
            num_head_channels=common_divisor(widths, limit=head_channels),
            norm_num_groups=common_divisor(widths, limit=32),
            num_class_embeds=classes + 1 if classes else None,
            use_flash_attention=True,
        )

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Float[Tensor, "b out *space"]:
        """One prediction (b, channels_out, *space); `level` is the timestep index of each item."""
        labels = labels_or_none(condition, classes=self.classes, like=level) if self.classes else condition.label
        padded = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.multiple)
        return crop(self.network(padded, level, class_labels=labels), x.shape[2:])
