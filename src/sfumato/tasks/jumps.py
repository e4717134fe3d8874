"""Teaching a flow to jump: images in one, two or four calls.

On the straight path x_t = (1 - sigma) x0 + sigma n the network says a velocity. Told how far it is to carry, it is
to say the mean velocity u(x_t, t, h) of the way from sigma to sigma - h: x_t - h u is the state there. A share k of
a jump and then the rest lead to where the whole leads:

    h u(x_t, t, h) = k h v + (1 - k) h u(x_t - k h v, t', (1 - k) h),     sigma(t') = sigma - k h          (1)

Here v = n - x0 is the item's own velocity, right in the mean for a short way: so k falls in the stages of a
`Curriculum` from 1/2 to 1/32 and the network's own answer, without gradient, carries ever more of the target. A
quarter of the items stays plain (h = 0, target v), a quarter jumps from where sampling begins, the others from
anywhere; where to is drawn by the law of the training times. Squared errors are summed over an item and divided by
themselves, without gradient, so that no item is louder than another; those of jumps weigh k.

Sources: Geng et al. 2025 (MeanFlow: mean velocities, adaptive weights), Zhang et al. 2025 (AlphaFlow: the curriculum).
Nothing here differentiates forwards, so what holds for any loss holds: checkpointing, several processes, exact resume.
"""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from sfumato.diffusion.family.gaussian import Gaussian, broadcast
from sfumato.diffusion.loss import per_item_mean
from sfumato.diffusion.process import Condition
from sfumato.randomness import Noise
from sfumato.typing import Data, PerItem

PLAIN, FROM_THE_START = 0.25, 0.25
"""Shares of the items that do not jump, and that jump from where sampling begins."""

LARGEST_TARGET = 4 * math.sqrt(2)
"""Of the network's answer within a target: four standard deviations of a velocity, data in [-1, 1]."""

_FLOOR = 1e-3
"""Added to the summed squared error by which it is divided."""


class Jumps:
    """The loss of jumps.

    Args:
        process: a straight path whose prediction is the velocity.
        start: the time at which sampling begins.

    Raises:
        ValueError: it is another process.
    """

    def __init__(self, process: Gaussian, *, start: float) -> None:
        if process.schedule.scaling != "straight" or process.prediction != "velocity":
            raise ValueError("jumps go along the straight path of a flow, and are mean velocities")
        self.process, self.start = process, start

    def loss(
        self, network: nn.Module, x0: Data, condition: Condition, t: PerItem, noise: Noise, *, stage: int
    ) -> Mapping[str, Tensor]:
        """Loss terms of each item: what is minimised, and mean squared errors, of a kind's items in units of its share.

        Args:
            network: says velocities, and is told of jumps (`networks.jumps`).
            x0: images (b, c, *space).
            condition: without a jump.
            t: times by the training law (b,).
            noise: of the items.
            stage: of the curriculum, from 1; k = 1 / 2^stage.
        """
        begin, jump = self._ways(t, noise)
        plain, k = jump == 0, 0.5**stage
        x_t = self.process.corrupt(x0, begin, noise)
        sigma = self._sigma(begin)
        velocity = (x_t - x0) / broadcast(sigma, x0)
        with torch.no_grad():
            first = k * jump
            nearer = x_t - broadcast(first, x0) * velocity
            there = torch.where(plain, begin, self._time(sigma - first))
            rest = self._answer(network, nearer, there, condition, jump - first)
            rest = rest.clamp(-LARGEST_TARGET, LARGEST_TARGET)
            target = torch.where(_over(plain, x0), velocity, k * velocity + (1 - k) * rest)
        squared = (self._answer(network, x_t, begin, condition, jump) - target) ** 2
        total, mean = squared.flatten(1).sum(1), per_item_mean(squared.detach())
        weight = torch.where(plain, 1.0, k)
        return {
            "loss": weight * total / (total.detach() + _FLOOR),
            "plain": torch.where(plain, mean, 0.0) / PLAIN,
            "jump": torch.where(plain, 0.0, mean) / (1 - PLAIN),
        }

    def _ways(self, t: PerItem, noise: Noise) -> tuple[PerItem, PerItem]:
        """Where each item begins, and how far in sigma it goes."""
        share, other = noise.uniform(), self.process.times(noise.uniform())
        plain, starts = share < PLAIN, share >= 1 - FROM_THE_START
        begin = torch.where(starts, torch.full_like(t, self.start), torch.maximum(t, other))
        begin, end = torch.where(plain, t, begin), torch.where(plain, t, torch.minimum(t, other))
        return begin, (self._sigma(begin) - self._sigma(end)).clamp(min=0.0)

    def _answer(self, network: nn.Module, x_t: Data, t: PerItem, condition: Condition, jump: PerItem) -> Data:
        x, level = self.process.network_input(x_t, t)
        output: Data = network(x, level, replace(condition, jump=jump)).float()
        return output[:, : x_t.shape[1]]

    def _sigma(self, t: PerItem) -> PerItem:
        return torch.as_tensor(self.process.coefficients(t)[1]).float()

    def _time(self, sigma: PerItem) -> PerItem:
        """The time of a sigma in (0, 1)."""
        return self.process.schedule.time(sigma.double() / (1 - sigma.double())).float()


def _over(items: Bool[Tensor, " b"], like: Data) -> Tensor:
    return items.view(-1, *[1] * (like.ndim - 1))
