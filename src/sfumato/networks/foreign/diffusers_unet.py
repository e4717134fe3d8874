"""`UNet2DModel` of diffusers (Apache-2.0) behind our call, with any configuration that it can have.

A configuration is what diffusers writes to `config.json`. Four of its settings follow the data and not the file:
`in_channels`, `out_channels`, `num_class_embeds` (the classes, and one row more for 'no class') and `sample_size`,
which changes nothing in the network.
"""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.errors import SfumatoError, UsageError
from sfumato.memory import out_of_memory
from sfumato.networks.blocks import Dimensions, crop, pad_to_multiple, with_image
from sfumato.networks.embedding import labels_or_none
from sfumato.networks.foreign.package import common_divisor, imported
from sfumato.typing import Data, PerItem

SKIPPED_IMAGE = 3
"""Channels of the image that blocks named Skip...2D are shown beside the features; fixed in diffusers."""


class DiffusersUNet(nn.Module):
    """A `UNet2DModel` of any configuration, for images.

    Args:
        config: its settings by name; those that are missing have diffusers' defaults.
        channels_in: channels of the state x_t.
        channels_out: channels of the output.
        channels_condition: channels of `condition.image`, or 0.
        classes: number of classes of `condition.label`, or 0.
        gradient_checkpointing: compute activations again for the backward pass instead of keeping them.

    Raises:
        UsageError: diffusers is not installed, it refuses the configuration, or ours has no place for it.
    """

    def __init__(
        self,
        *,
        config: Mapping[str, Any],
        channels_in: int,
        channels_out: int,
        channels_condition: int = 0,
        classes: int = 0,
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        inputs, kind = channels_in + channels_condition, config.get("class_embed_type")
        _check(config, channels={inputs, channels_out}, classes=classes)
        self.classes, self.channels_condition = classes, channels_condition
        following = {
            "in_channels": inputs,
            "out_channels": channels_out,
            "num_class_embeds": classes + 1 if classes and kind is None else None,
        }
        self.network = _built({**config, **following})
        self.multiple = 2 ** (len(self.network.config.block_out_channels) - 1)
        if gradient_checkpointing:
            self.network.enable_gradient_checkpointing()

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Float[Tensor, "b out *space"]:
        """One prediction (b, channels_out, *space); `level` is the timestep index of each item."""
        labels = labels_or_none(condition, classes=self.classes, like=level) if self.classes else condition.label
        padded = pad_to_multiple(with_image(x, condition, channels=self.channels_condition), self.multiple)
        return crop(self.network(padded, level, class_labels=labels, return_dict=False)[0], x.shape[2:])


def diffusers_unet(
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
) -> DiffusersUNet:
    """The `UNet2DModel` that is most like our U-Net of the same keywords.

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
    if dimensions != 2:
        raise UsageError(
            "the diffusers U-Net for volumes", expected="dimensions: 2", remedy="use our U-Net or MONAI's for volumes"
        )
    widths = [channels * multiplier for multiplier in multipliers]
    attends = [level in attention for level in range(len(widths))]
    config = {
        "block_out_channels": tuple(widths),
        "layers_per_block": blocks,
        "down_block_types": tuple("AttnDownBlock2D" if wished else "DownBlock2D" for wished in attends),
        "up_block_types": tuple("AttnUpBlock2D" if wished else "UpBlock2D" for wished in reversed(attends)),
        "add_attention": attends[-1],
        "attention_head_dim": common_divisor(widths, limit=head_channels),
        "norm_num_groups": common_divisor(widths, limit=32),
        "dropout": dropout,
    }
    return DiffusersUNet(
        config=config,
        channels_in=channels_in,
        channels_out=channels_out,
        channels_condition=channels_condition,
        classes=classes,
    )


class Described(NamedTuple):
    """What a configuration means.

    Attributes:
        config: every setting written out, as plain JSON.
        weights: name -> tensor without numbers, of the network that it describes.
        unknown: settings that the installed diffusers does not know.
    """

    config: dict[str, Any]
    weights: dict[str, Tensor]
    unknown: tuple[str, ...]


def described(config: Mapping[str, Any]) -> Described:
    """Read a configuration as it stands in `config.json`.

    Raises:
        UsageError: diffusers is not installed or refuses it.
    """
    known = signature(imported("diffusers", extra="diffusers").UNet2DModel.__init__).parameters
    given = {name: value for name, value in config.items() if not name.startswith("_")}
    with torch.device("meta"):
        network = _built({name: value for name, value in given.items() if name in known})
    plain = {name: list(value) if isinstance(value, tuple) else value for name, value in network.config.items()}
    return Described(
        {name: value for name, value in plain.items() if not name.startswith("_")},
        network.state_dict(),
        tuple(sorted(given.keys() - known)),
    )


def _built(config: Mapping[str, Any]) -> Any:
    """The `UNet2DModel`, or in words why there is none."""
    try:
        return imported("diffusers", extra="diffusers").UNet2DModel(**config)
    except Exception as error:  # of many kinds, from a setting of another type to numbers that overflow
        if isinstance(error, SfumatoError) or out_of_memory(error):
            raise
        raise UsageError(
            f"diffusers builds no UNet2DModel with these settings: {str(error)[:400]}",
            expected="a config.json of the diffusers that is installed",
            remedy="pip install -U diffusers, or correct network.config",
        ) from error


def _check(config: Mapping[str, Any], *, channels: set[int], classes: int) -> None:
    """Refuse what a network that is told a step, a class number and any channels cannot be."""
    time, kind = config.get("time_embedding_type", "positional"), config.get("class_embed_type")
    types = [str(name) for part in ("down_block_types", "up_block_types") for name in config.get(part, ())]
    found, expected = "", ""
    if time != "positional":
        found, expected = f"time_embedding_type {time}", "positional, which is told steps of a table and between them"
    elif kind not in (None, "timestep"):
        found, expected = f"class_embed_type {kind}, which takes vectors", "a network that is told class numbers"
    elif kind == "timestep" and not classes:
        found, expected = "class_embed_type timestep, which needs a class", "data with classes"
    elif any("Skip" in name for name in types) and channels != {SKIPPED_IMAGE}:
        found, expected = "Skip blocks, which look at an RGB image", "RGB images and no conditioning image"
    if found:
        raise UsageError(f"a diffusers network with {found}", expected=expected, remedy="start from another network")
