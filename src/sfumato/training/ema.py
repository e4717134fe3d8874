"""The exponential moving average of a network's weights: what samples are drawn with.

With H the half-life in images, the average after a step over `batch` images is

    theta_ema <- beta theta_ema + (1 - beta) theta,    beta = 0.5 ** (batch / H),    H = min(half_life, ramp * images)

(Karras et al. 2022, appendix F.3). The ramp keeps the average of a young run from remembering its random start.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn


def decay(images: int, *, half_life: float, batch: int, ramp: float = 0.05) -> float:
    """The weight beta of the old average.

    Args:
        images: images seen before this step.
        half_life: images after which a weight counts half.
        batch: images of this step.
        ramp: half-life of a young run as a fraction of `images`.

    Returns:
        A number in [0, 1); 0 at the first step, when the average becomes the weights.
    """
    ramped = min(half_life, ramp * images)
    return 0.5 ** (batch / ramped) if ramped > 0 else 0.0


class EMA:
    """A copy of a network that follows it slowly.

    Args:
        network: the trained network, not compiled or wrapped.
        half_life: half-life in images.
        ramp: half-life of a young run as a fraction of the images seen.

    Attributes:
        network: the averaged network, in evaluation mode, without gradients. Buffers are copied, not averaged.
    """

    def __init__(self, network: nn.Module, *, half_life: float, ramp: float = 0.05) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life, self.ramp = half_life, ramp

    @torch.no_grad()
    def update(self, network: nn.Module, *, images: int, batch: int) -> None:
        """Move towards `network` after a step over `batch` images, `images` of them seen before."""
        beta = decay(images, half_life=self.half_life, batch=batch, ramp=self.ramp)
        averages = [weight.detach() for weight in self.network.parameters()]
        weights = [weight.detach() for weight in network.parameters()]
        torch._foreach_lerp_(averages, weights, weight=1 - beta)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights and buffers, under the network's own names."""
        return dict(self.network.state_dict())

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from stored averages."""
        self.network.load_state_dict(tensors)
