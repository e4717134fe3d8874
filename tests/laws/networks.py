"""Every network of ours, small: a new one is under the laws by one line here."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

from sfumato.networks.unet import UNet


class Entry(NamedTuple):
    """A network under the laws.

    Attributes:
        build: makes it from channels_in, channels_out, channels_condition, classes, augment_labels,
            gradient_checkpointing and, where it does volumes, dimensions.
        volumes: whether it does volumes.
    """

    build: Callable[..., nn.Module]
    volumes: bool = True


def _unet(**common) -> nn.Module:
    return UNet(channels=8, multipliers=(1, 2, 3), blocks=1, attention=(2,), head_channels=8, **common)


NETWORKS = {
    "unet": Entry(_unet),
}


def awake(name: str, **common) -> nn.Module:
    """A network whose branches are all awake: no parameter is zero."""
    torch.manual_seed(0)
    network = NETWORKS[name].build(**{"channels_in": 2, "channels_out": 2, **common}).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network
