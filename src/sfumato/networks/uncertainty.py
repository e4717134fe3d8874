"""Loss weights that are learned: how uncertain the estimate is at each noise level (Karras et al. 2024, EDM2, eq. 14).

    loss = error / exp(u(s)) + u(s)                                                                      (1)

Its minimum over u is u = ln(mean error at s), where every level's error counts as 1: no level drowns the others,
however the error changes during training. u is a linear layer on Fourier features of the level ln(s) / 4; it is trained
with the network, kept beside it, and not looked at when sampling.
"""

import torch
from torch import Tensor, nn

from sfumato.diffusion.process import Condition
from sfumato.networks.embedding import Fourier
from sfumato.typing import Constrained, Data, PerItem

_FEATURES = 128
"""Fourier features of the noise level (Karras et al. 2024, section 2.1)."""


def weighted_loss(error: PerItem, log_variance: PerItem) -> PerItem:
    """Equation (1)."""
    return error * torch.exp(-log_variance) + log_variance


class Uncertainty(nn.Module):
    """u of a noise level; 0 before training, when (1) is the plain error."""

    def __init__(self) -> None:
        super().__init__()
        self.fourier = Fourier(_FEATURES)
        self.weight = nn.Parameter(torch.zeros(_FEATURES))
        self.bias = nn.Parameter(torch.zeros(()))

    def forward(self, level: PerItem) -> PerItem:
        """u(s) of levels ln(s) / 4, float32 whatever the precision of the network."""
        features: Tensor = self.fourier(level)
        return (features * self.weight).sum(1) + self.bias


class Weighted(nn.Module):
    """A network and the uncertainty of its estimate; as a network it is the network alone.

    Args:
        network: any network that is told ln(s) / 4.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.uncertainty = Uncertainty()

    def forward(self, x: Data, level: PerItem, condition: Condition) -> Data:
        """The network's output."""
        output: Data = self.network(x, level, condition)
        return output

    def constrain(self) -> None:
        """The network's own, if it has one."""
        if isinstance(self.network, Constrained):
            self.network.constrain()

    def log_variance(self, level: PerItem) -> PerItem:
        """u(s), equation (1)."""
        u: PerItem = self.uncertainty(level)
        return u
