"""Guidance: a denoiser around a denoiser, which moves an estimate away from a weaker one.

    x0_hat = weak + scale (strong - weak)          scale 1 means none                                     (1)

Classifier-free guidance (Ho & Salimans 2022) takes the same network without the class as the weak one. Where an
estimate is a probability, (1) is taken of its logits, which is the same product of densities and stays within bounds.
A process says which of the two holds for it (`Process.guide`).
"""

from dataclasses import dataclass

import torch

from sfumato.diffusion.process import Condition, Denoise, Process
from sfumato.typing import Data

SMALLEST = 1e-20
"""A probability below it counts as this: its logarithm stays finite."""


def guide_linear(weak: Data, strong: Data, scale: float) -> Data:
    """Equation (1): for estimates that are a linear function of noise, data, score or velocity."""
    return torch.lerp(weak, strong, scale)


def guide_one_hot(weak: Data, strong: Data, scale: float) -> Data:
    """Equation (1) of the log-probabilities of classes (axis 1), given as one-hot masks in [-1, 1]."""
    return 2 * torch.lerp(_log_probability(weak), _log_probability(strong), scale).softmax(1) - 1


def _log_probability(x0_hat: Data) -> Data:
    return ((x0_hat + 1) / 2).clamp(min=SMALLEST).log()


@dataclass(frozen=True)
class Guided:
    """Classifier-free guidance; both branches are one batch, so the network is called once.

    Args:
        process: says how estimates are combined.
        denoise: the denoiser to guide; trained with labels dropped.
        scale: guidance weight; 0 is unconditional, 1 conditional.
        unlabelled: the label that means 'no class', i.e. the number of classes.
    """

    process: Process
    denoise: Denoise
    scale: float
    unlabelled: int

    def __call__(self, x_t: Data, t: float, condition: Condition) -> Data:
        """The guided estimate."""
        if self.scale == 1:
            return self.denoise(x_t, t, condition)
        both = self.denoise(torch.cat([x_t, x_t]), t, condition.twice(self.unlabelled))
        strong, weak = both.chunk(2)
        return self.process.guide(weak, strong, self.scale)
