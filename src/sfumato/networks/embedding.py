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
        lowest: cycles per unit of level; 0.5 cycles over a range of 8.
        highest: cycles per unit of level; 0.2 cycles over 0.1 nats = 0.025 units.
    """

    def __init__(self, features: int, *, lowest: float = 1 / 16, highest: float = 8.0) -> None:
        super().__init__()
        exponents = torch.linspace(math.log(lowest), math.log(highest), features // 2)
        self.frequencies: Tensor
        self.register_buffer("frequencies", 2 * math.pi * exponents.exp(), persistent=False)

    def forward(self, level: PerItem) -> Tensor:
        """(b,) -> (b, features)."""
        angles = level[:, None] * self.frequencies
        return torch.cat([angles.cos(), angles.sin()], dim=1)


class RandomFourier(nn.Module):
    """Waves of random frequencies: y = a cos(2 pi (f level + phi)), f ~ N(0, bandwidth^2).

    Args:
        features: number of values; even, where they come in pairs.
        bandwidth: standard deviation of the frequencies, in cycles per unit of level.
        paired: cosine and sine of each frequency (Song et al. 2021). Otherwise every wave has a random phase and
            a = sqrt(2), so that each value has a mean square of one (Karras et al. 2024).
    """

    def __init__(self, features: int, *, bandwidth: float, paired: bool) -> None:
        super().__init__()
        self.amplitude = 1.0 if paired else math.sqrt(2)
        frequencies = bandwidth * torch.randn(features // 2 if paired else features)
        phases = torch.tensor([0.0, -0.25]).repeat_interleave(features // 2) if paired else torch.rand(features)
        self.frequencies: Tensor
        self.phases: Tensor
        self.register_buffer("frequencies", frequencies.repeat(2) if paired else frequencies)
        self.register_buffer("phases", phases)

    def forward(self, level: PerItem) -> Tensor:
        """(b,) -> (b, features)."""
        cycles = torch.addcmul(self.phases, level[:, None], self.frequencies)
        return self.amplitude * torch.cos(2 * math.pi * cycles)


def refuse_unknown(condition: Condition, *, classes: int, augment_labels: int) -> None:
    """A network does not pass over what it was not built for.

    Raises:
        UsageError: class or augmentation labels for a network without them.
    """
    if condition.label is not None and not classes:
        raise UsageError(
            "class labels for a network that was built without classes",
            remedy="build it with the number of classes, or give no labels",
        )
    if condition.augment is not None and not augment_labels:
        raise UsageError(
            "augmentation labels for a network that was built without them",
            remedy="build it with their number, or give none",
        )


class Embedding(nn.Module):
    """What every block is told: noise level, class and augmentation in one vector.

    Args:
        features: number of Fourier features of the level.
        width: length of the vector.
        classes: number of classes, or 0; one more row is learned for 'no class'.
        augment_labels: how many numbers describe the augmentation, or 0; all zero means none.
        waves: makes the features of the level; `Fourier` if None.
        early: whether class and augmentation join the features of the level (Karras et al. 2022) rather than the
            vector (Dhariwal & Nichol 2021).
    """

    def __init__(
        self,
        *,
        features: int,
        width: int,
        classes: int,
        augment_labels: int,
        waves: nn.Module | None = None,
        early: bool = False,
    ) -> None:
        super().__init__()
        even = features // 2 * 2
        joined = even if early else width
        self.classes, self.augment_labels, self.early = classes, augment_labels, early
        self.fourier = Fourier(features) if waves is None else waves
        self.enter = nn.Linear(even, width)
        self.leave = nn.Linear(width, width)
        self.label = nn.Embedding(classes + 1, joined) if classes else None
        self.augment = nn.Linear(augment_labels, joined, bias=False) if augment_labels else None
        if self.label is not None:
            nn.init.normal_(self.label.weight)  # std 1: with less, many classes are learned slowly

    def forward(self, level: PerItem, condition: Condition) -> Tensor:
        """(b, width), after its last SiLU."""
        refuse_unknown(condition, classes=self.classes, augment_labels=self.augment_labels)
        features = self.fourier(level).to(self.enter.weight.dtype)
        if self.early:
            features = self._told(features, condition)
        vector: Tensor = self.leave(functional.silu(self.enter(features)))
        return functional.silu(vector if self.early else self._told(vector, condition))

    def _told(self, vector: Tensor, condition: Condition) -> Tensor:
        if self.label is not None:
            vector = vector + self.label(labels_or_none(condition, classes=self.classes, like=vector[:, 0]))
        if self.augment is not None and condition.augment is not None:
            vector = vector + self.augment(condition.augment.to(vector.dtype))
        return vector
