"""A denoiser is process + network: x_t, t, condition -> x0_hat. Guidance is a denoiser around a denoiser.

Samplers call a denoiser and know neither what the network predicts nor that guidance exists.
"""

from dataclasses import dataclass

import torch

from sfumato.diffusion.process import Condition, Denoise, Network, Process
from sfumato.typing import Data


@dataclass(frozen=True)
class Denoiser:
    """The estimate of a network.

    Args:
        process: turns states into network inputs, and outputs into estimates.
        network: the neural network.
        clip: limit of |x0_hat| (1 for images, which end in [-1, 1]); None for no limit.
    """

    process: Process
    network: Network
    clip: float | None = None

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Data:
        """x0_hat, in the dtype of `x_t`."""
        x, level = self.process.network_input(x_t, t)
        x0_hat = self.process.estimate(self.network(x, level, condition).to(x_t.dtype), x_t, t)
        return x0_hat if self.clip is None else x0_hat.clamp(-self.clip, self.clip)


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance (Ho & Salimans 2022): plain + scale (conditional - plain); scale 1 means none.

    Both branches are one batch, so the network is called once.

    Args:
        denoise: the denoiser to guide; trained with labels dropped.
        scale: guidance weight; 0 is unconditional, 1 conditional.
        unlabelled: the label that means 'no class', i.e. the number of classes.
    """

    denoise: Denoise
    scale: float
    unlabelled: int

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Data:
        """The guided estimate."""
        if self.scale == 1:
            return self.denoise(x_t, t, condition)
        both = self.denoise(torch.cat([x_t, x_t]), t, condition.twice(self.unlabelled))
        conditional, plain = both.chunk(2)
        return torch.lerp(plain, conditional, self.scale)
