"""The moving average of a network's weights: what samples are drawn with.

The average after a step over `batch` images is

    average <- beta average + (1 - beta) weights

With H the half-life in images (Karras et al. 2022, appendix F.3),

    beta = 0.5 ** (batch / H),    H = min(half_life, ramp * images)                                              (1)

The ramp keeps the average of a young run from remembering its random start. An average with a width instead remembers a
constant share of the run, however long it is: `sfumato.training.profile`.
"""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sfumato.errors import UsageError
from sfumato.training.profile import power_decay
from sfumato.training.shard import whole_tensors


def decay(images: int, *, half_life: float, batch: int, ramp: float | None = 0.05) -> float:
    """The weight beta of the old average, (1).

    Args:
        images: images seen before this step.
        half_life: images after which a weight counts half.
        batch: images of this step.
        ramp: half-life of a young run as a fraction of `images`; None for no ramp.

    Returns:
        A number in [0, 1); with a ramp 0 at the first step, when the average becomes the weights.
    """
    ramped = half_life if ramp is None else min(half_life, ramp * images)
    return 0.5 ** (batch / ramped) if ramped > 0 else 0.0


class EMA:
    """A copy of a network that follows it slowly.

    Args:
        network: the trained network, not compiled or wrapped.
        half_life: half-life in images; either this or a width.
        ramp: half-life of a young run as a fraction of the images seen; None for no ramp.
        width: standard deviation of the profile as a share of the run.

    Attributes:
        network: the averaged network, in evaluation mode, without gradients. Buffers are copied, not averaged.

    Raises:
        UsageError: not exactly one of half-life and width is given.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        half_life: float | None = None,
        ramp: float | None = 0.05,
        width: float | None = None,
    ) -> None:
        if (half_life is None) == (width is None):
            raise UsageError("the memory of an average is unclear", expected="one of half_life and width")
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.half_life, self.ramp, self.width = half_life, ramp, width

    def decay(self, *, images: int, batch: int) -> float:
        """The weight of the old average in a step over `batch` images, `images` of them seen before."""
        if self.width is not None:
            return power_decay(images, width=self.width, batch=batch)
        assert self.half_life is not None
        return decay(images, half_life=self.half_life, batch=batch, ramp=self.ramp)

    @torch.no_grad()
    def update(self, network: nn.Module, *, images: int, batch: int) -> None:
        """Move towards `network` after a step over `batch` images, `images` of them seen before."""
        beta = self.decay(images=images, batch=batch)
        averages = [weight.detach() for weight in self.network.parameters()]
        weights = [weight.detach() for weight in network.parameters()]
        torch._foreach_lerp_(averages, weights, weight=1 - beta)
        for kept, buffer in zip(self.network.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights and buffers, under the network's own names."""
        return whole_tensors(self.network.state_dict())

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Continue from stored averages."""
        self.network.load_state_dict(tensors)
