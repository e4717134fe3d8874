"""Every network of ours, small: a new one is under the laws by one line here."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.networks.amortised import Amortised
from sfumato.networks.blocks import with_image
from sfumato.networks.dit import DiT
from sfumato.networks.magnitude import MagnitudeUNet
from sfumato.networks.maskhead import MaskHead
from sfumato.networks.score import ADM, DDPMPP, NCSNPP, ScoreUNet
from sfumato.networks.swin import SwinUNet
from sfumato.networks.unet import UNet


class Entry(NamedTuple):
    """A network under the laws.

    Attributes:
        build: makes it from channels_in, channels_out, channels_condition, classes, augment_labels,
            gradient_checkpointing and, where it does volumes, dimensions; where it halves axis by axis, halvings
            between three levels.
        volumes: whether it does volumes.
        halvings: whether it halves axis by axis.
    """

    build: Callable[..., nn.Module]
    volumes: bool = True
    halvings: bool = True


def _unet(**common) -> nn.Module:
    return UNet(channels=8, multipliers=(1, 2, 3), blocks=1, attention=(2,), head_channels=8, **common)


def _dit(**common) -> nn.Module:
    return DiT(patch=2, width=32, depth=3, head_channels=16, **common)


def _swin(**common) -> nn.Module:
    return SwinUNet(channels=16, multipliers=(1, 2), blocks=2, patch=2, window=3, head_channels=8, **common)


def _maskhead(**common) -> nn.Module:
    shape = {"channels": 16, "multipliers": (1, 2, 3), "blocks": 1, "queries": 12, "width": 32, "layers": 2}
    return MaskHead(**shape, head_channels=8, **common)


class _SeenOnce(nn.Module):
    """An amortised network with a state of full size; where a law shows it no image, its image is the state.

    Its answer is the sum of the output and of the refined one, so that every part of it is under the laws.
    """

    def __init__(self, *, channels_in: int, channels_out: int, channels_condition: int = 0, **common) -> None:
        super().__init__()
        self.channels_condition = channels_condition
        self.network = Amortised(
            channels_in=channels_in, channels_out=channels_out, channels_mask=channels_out,
            channels_condition=channels_condition or channels_in, channels=8, multipliers=(1, 2, 3), blocks=1, stem=1,
            stride=1, draw_channels=8, **common,
        )  # fmt: skip

    def forward(self, x: Tensor, level: Tensor, condition: Condition) -> Tensor:
        with_image(x, condition, channels=self.channels_condition)
        image = x if condition.image is None else condition.image
        answers = self.network(x, level, replace(condition, image=image, estimate_of=torch.tanh))
        return answers.output + answers.refined


def _score(design):
    return partial(ScoreUNet, design, channels=8, multipliers=(1, 2, 3), blocks=1, attention=(2,))


def _magnitude(**common) -> nn.Module:
    return MagnitudeUNet(channels=8, multipliers=(1, 2, 3), blocks=1, attention=(2,), head_channels=8, **common)


NETWORKS = {
    "unet": Entry(_unet),
    "dit": Entry(_dit, halvings=False),
    "swin": Entry(_swin, halvings=False),
    "maskhead": Entry(_maskhead),
    "amortised": Entry(_SeenOnce),
    "ddpmpp": Entry(_score(DDPMPP)),
    "ncsnpp": Entry(_score(NCSNPP)),
    "adm": Entry(_score(ADM)),
    "edm2": Entry(_magnitude),
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
