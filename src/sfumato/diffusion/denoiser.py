"""A denoiser is process + network: x_t, t, condition -> x0_hat.

Samplers call a denoiser and know neither what the network predicts nor that guidance exists.

A self-conditioned network also looks at its last estimate, as further channels of the conditioning image (Chen et al.
2023, Analog Bits): x0_hat <- f(x_t, t, x0_hat), zeros at first. In training the last estimate is a first pass at the
same time, without gradient, for a share of the items.
"""

from dataclasses import dataclass, field, replace

import torch

from sfumato.diffusion.process import Condition, Denoise, Network, Process
from sfumato.diffusion.representation import PIXELS, Representation, clipped
from sfumato.typing import Data, Output, Times


@dataclass(frozen=True)
class Denoiser:
    """The estimate of a network.

    Args:
        process: turns states into network inputs, and outputs into estimates.
        network: the neural network.
        clip: limit of |x0_hat| (1 for images, which end in [-1, 1]) in pixels; None for no limit.
        representation: what x0_hat is in place of pixels.
    """

    process: Process
    network: Network
    clip: float | None = None
    representation: Representation = PIXELS

    def __call__(self, x_t: Data, t: Times, condition: Condition) -> Output:
        """x0_hat, in the dtype of `x_t`."""
        x, level = self.process.network_input(x_t, t)
        x0_hat = self.process.estimate(self.network(x, level, condition).to(x_t.dtype), x_t, t)
        if self.clip is None:
            return x0_hat
        data, rest = x0_hat[:, : x_t.shape[1]], x0_hat[:, x_t.shape[1] :]
        within = clipped(self.representation, data, self.clip)
        return torch.cat([within, rest], 1) if rest.shape[1] else within


@dataclass
class SelfConditioned:
    """A denoiser that is shown its last estimate; it remembers, so each walk needs a fresh one.

    Args:
        denoise: of a network that was trained with self-conditioning.
        channels: of the data.
    """

    denoise: Denoise
    channels: int
    last: Output | None = field(default=None, init=False)

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Output:
        """x0_hat, from the one before."""
        self.last = self.denoise(x_t, t, with_estimate(condition, self._last(x_t)))
        return self.last

    def _last(self, x_t: Data) -> Output:
        """The last estimate for as many rows; guidance doubles the batch, the branch to keep first."""
        if self.last is None:
            return x_t.new_zeros(len(x_t), self.channels, *x_t.shape[2:])
        x0_hat = self.last[:, : self.channels]
        return torch.cat([x0_hat, x0_hat]) if len(x0_hat) < len(x_t) else x0_hat[: len(x_t)]


def with_estimate(condition: Condition, x0_hat: Output) -> Condition:
    """The condition with an estimate beside its image."""
    image = x0_hat if condition.image is None else torch.cat([condition.image, x0_hat], 1)
    return replace(condition, image=image)
