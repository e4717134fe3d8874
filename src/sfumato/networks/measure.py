"""How large a network is, and how much it computes."""

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count

from sfumato.axes import PerAxis, per_axis
from sfumato.diffusion.process import Condition


def count_parameters(module: nn.Module) -> int:
    """How many numbers of a network are trained."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


class Call(NamedTuple):
    """What one call of a network takes.

    Attributes:
        channels: channels of the state x_t.
        channels_condition: channels of the image beside it, or 0.
        size: spatial size.
        labelled: whether it is told a class.
        stride: sides in pixels of what is one pixel of the state.
    """

    channels: int
    channels_condition: int
    size: tuple[int, ...]
    labelled: bool
    stride: PerAxis = 1

    @property
    def state_size(self) -> tuple[int, ...]:
        """Spatial size of the state."""
        strides = per_axis(self.stride, len(self.size))
        return tuple(-(-side // stride) for side, stride in zip(self.size, strides, strict=True))

    def arguments(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor, Condition]:
        """The arguments of a call with one item."""
        image = torch.zeros(1, self.channels_condition, *self.size, device=device) if self.channels_condition else None
        label = torch.zeros(1, dtype=torch.int64, device=device) if self.labelled else None
        state = torch.zeros(1, self.channels, *self.state_size, device=device)
        return state, torch.zeros(1, device=device), Condition(image=image, label=label)


def _attention(query: Any, key: Any, value: Any, *_: object, **__: object) -> int:
    """Operations of attention from the shapes of its inputs."""
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call] # missing in torch


UNCOUNTED = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention}
"""What torch's counter passes over."""


@torch.no_grad()
def count_flops(network: nn.Module, call: Call) -> int:
    """Floating-point operations of one call with one item: two for each multiply-add of matrices and convolutions."""
    arguments = call.arguments(next(network.parameters()).device)
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED) as counter:
        network(*arguments)
    return int(counter.get_total_flops())
