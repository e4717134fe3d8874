"""What every block of a network is told: noise level, class and augmentation, in one vector.

The level is ln(sigma / alpha) / 4, roughly in [-4, 4] (Karras et al. 2022 call it c_noise).
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.typing import Labels, PerItem


def labels_or_none(condition: Condition, *, classes: int, like: Tensor) -> Labels:
    """The label of each item; `classes`, which stands for 'no class', where none is given.

    Args:
        condition: what the network was given.
        classes: number of classes that it knows.
        like: any tensor (b,) on the network's device.
    """
    if condition.label is None:
        return torch.full(like.shape, classes, device=like.device)
    return condition.label


class Fourier(nn.Module):
    """Sines and cosines of the noise level at fixed frequencies, one geometric row.

    The lowest frequency turns half a circle over the whole range of levels [-4, 4]. The highest turns a fifth of a
    circle in 0.1 nats of ln(sigma / alpha), so neighbouring steps of a sampler can be told apart, but no faster, so the
    embedding stays smooth in the level.

    Args:
        features: number of values, rounded down to an even number.
    """

    LOWEST = 1 / 16  # cycles per unit of level: 0.5 cycles over a range of 8
    HIGHEST = 8.0  # 0.2 cycles over 0.1 nats = 0.025 units

    def __init__(self, features: int) -> None:
        super().__init__()
        exponents = torch.linspace(math.log(self.LOWEST), math.log(self.HIGHEST), features // 2)
        self.frequencies: Tensor
        self.register_buffer("frequencies", 2 * math.pi * exponents.exp(), persistent=False)

    def forward(self, level: PerItem) -> Tensor:
        """(b,) -> (b, features)."""
        angles = level[:, None] * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedding(nn.Module):
    """What every block is told: noise level, class and augmentation in one vector.

    Args:
        features: number of Fourier features of the level.
        width: length of the vector.
        classes: number of classes, or 0; one more row is learned for 'no class'.
        augment_labels: how many numbers describe the augmentation, or 0; all zero means none.
    """

    def __init__(self, *, features: int, width: int, classes: int, augment_labels: int) -> None:
        super().__init__()
        self.classes = classes
        self.fourier = Fourier(features)
        self.enter = nn.Linear(features // 2 * 2, width)
        self.leave = nn.Linear(width, width)
        self.label = nn.Embedding(classes + 1, width) if classes else None
        self.augment = nn.Linear(augment_labels, width, bias=False) if augment_labels else None
        if self.label is not None:
            nn.init.normal_(self.label.weight)  # std 1: with less, many classes are learned slowly

    def forward(self, level: PerItem, condition: Condition) -> Tensor:
        """(b, width), after its last SiLU."""
        self._check(condition)
        features = self.fourier(level).to(self.enter.weight.dtype)
        vector: Tensor = self.leave(functional.silu(self.enter(features)))
        if self.label is not None:
            vector = vector + self.label(labels_or_none(condition, classes=self.classes, like=level))
        if self.augment is not None and condition.augment is not None:
            vector = vector + self.augment(condition.augment.to(vector.dtype))
        return functional.silu(vector)

    def _check(self, condition: Condition) -> None:
        if condition.label is not None and self.label is None:
            raise UsageError(
                "class labels for a network that was built without classes",
                remedy="build it with the number of classes, or give no labels",
            )
        if condition.augment is not None and self.augment is None:
            raise UsageError(
                "augmentation labels for a network that was built without them",
                remedy="build it with their number, or give none",
            )
