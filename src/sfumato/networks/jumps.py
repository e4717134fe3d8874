"""Networks that are told how far their answer is to carry (see `tasks.jumps`).

Of a jump h = sigma(t) - sigma(r) >= 0 down a straight path the network is told

    h-features = (sin(pi j h), 1 - cos(pi j h)),  j = 1 ... 4                                             (1)

behind the augmentation labels. All are 0 at h = 0: the network then is the plain one, and a network that was trained
without jumps starts as itself.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sfumato.typing import PerItem

_WAVES = 4
JUMP_LABELS = 2 * _WAVES
"""Numbers that describe a jump."""


def jump_labels(jump: PerItem) -> Tensor:
    """Equation (1), (b,) in [0, 1] -> (b, `JUMP_LABELS`)."""
    angles = math.pi * jump[:, None] * torch.arange(1, _WAVES + 1, device=jump.device, dtype=jump.dtype)
    return torch.cat([angles.sin(), 1 - angles.cos()], 1)


def tell_jumps(network: nn.Module, *, augment: int) -> None:
    """Tell a network of `condition.jump` from now on, in the last `JUMP_LABELS` of its augmentation labels.

    Its tensors keep their names, so that it can start from the plain network, and be one.

    Args:
        network: takes (x, level, condition), built with `augment` + `JUMP_LABELS` augmentation labels.
        augment: augmentation labels besides.
    """
    network.register_forward_pre_hook(partial(_tell, augment))


def _tell(augment: int, _network: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    x, level, condition = given
    if condition.jump is None and condition.augment is None:
        return given
    jump = torch.zeros_like(level) if condition.jump is None else condition.jump.to(level.dtype)
    others = level.new_zeros(len(level), augment) if condition.augment is None else condition.augment.to(level.dtype)
    return x, level, replace(condition, augment=torch.cat([others, jump_labels(jump)], 1), jump=None)
