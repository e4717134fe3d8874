"""Whole readings in one call: logits that are normally distributed over the image, their covariance of low rank.

The network answers with a mean m, a diagonal d and R factors F of every class score (Monteiro et al. 2020, Stochastic
Segmentation Networks, arXiv 2006.06015). A reading has the logits

    l = m + sqrt(d) e + sum_r F_r z_r,    e ~ N(0, I) for every score,    z ~ N(0, I_R) once for the image         (1)

so one z moves all pixels together: a draw is a whole outline, not a pixelwise guess. A reader's mask y of N pixels is
as likely as the mean over K draws says,

    loss = - (1 / N) [ ln sum_k exp( sum_i ln p(y_i | l_k,i) ) - ln K ]                                            (2)

with K / 2 draws of (e, z) and their mirror images (-e, -z).

The state holds the draws, and the network never sees it: a state is e beside z, z as R channels that are constant over
the image; of a training state there are K / 2 of these, one behind the other. There are no noise levels and one call.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from sfumato.diffusion.guidance import guide_one_hot
from sfumato.randomness import Noise
from sfumato.typing import Data, Output, PerItem, State, Times

_SMALLEST = 1e-3
"""Of d."""

_CALM = 3.0
"""What is taken off the network's answer before d is made of it: an untrained network says sqrt(d) = 0.22."""

_FACTOR = 0.1
"""What the network says of F is worth so much: equation (2) hardly punishes a draw that is wrong all over, only that it
is no use, so what draws have in common must not begin as noise."""


@dataclass(frozen=True, kw_only=True)
class LowRankLogits:
    """Normally distributed logits of masks.

    Args:
        classes: of the masks, with the background.
        rank: R, the number of factors; 0 leaves each pixel by itself.
        pairs: K / 2, the draws of each item in training, each with its mirror image.

    Raises:
        ValueError: no pair, or a negative rank.
    """

    classes: int
    rank: int = 8
    pairs: int = 4

    def __post_init__(self) -> None:
        if self.rank < 0 or self.pairs < 1:
            raise ValueError(f"rank {self.rank} with {self.pairs} pairs: at least 0 and 1")

    def channels(self, data: int) -> tuple[int, int]:
        """Of the zeros that the network is given in place of a state, and of m, d and F together."""
        return data, data * (2 + self.rank)

    def prior(self, like: Data, noise: Noise, *, t: float = 1.0) -> State:  # noqa: ARG002
        """One draw: e in the channels of the data, z in R more."""
        e, z = noise.normal(like), noise.normal(like.new_empty(len(like), self.rank))
        everywhere = z.view(*z.shape, *(1,) * (like.ndim - 2)).expand(-1, -1, *like.shape[2:])
        return torch.cat([e, everywhere], 1)

    def times(self, u: PerItem) -> PerItem:
        """Always 1."""
        return torch.ones_like(u)

    def corrupt(self, x0: Data, t: Times, noise: Noise) -> State:  # noqa: ARG002
        """As many draws as there are pairs."""
        return torch.cat([self.prior(x0, noise) for _ in range(self.pairs)], 1)

    def log_marginal(self, x_t: State, x0: Data, t: Times) -> PerItem:  # noqa: ARG002
        """Zero: the state tells nothing of the data."""
        return x_t.new_zeros(len(x_t))

    def network_input(self, x_t: State, t: Times) -> tuple[Data, PerItem]:  # noqa: ARG002
        """Zeros and level 0."""
        return torch.zeros_like(x_t[:, : self.classes]), x_t.new_zeros(len(x_t))

    def estimate(self, output: Output, x_t: State, t: Times) -> Data:  # noqa: ARG002
        """The probabilities of the classes in the first draw of the state, in [-1, 1]."""
        return 2 * self.logits(output, self._draws(x_t)[0]).softmax(1) - 1

    def logits(self, output: Output, draw: State, sign: float = 1.0) -> Data:
        """Equation (1).

        Args:
            output: m, d before its softplus and F in tenths, each with a channel for every class: (b, k (2 + R),
                *space).
            draw: e and z, (b, k + R, *space).
            sign: -1 for the mirror image.
        """
        mean, spread, *factors = torch.split(output, self.classes, 1)
        e, along = draw[:, : self.classes], draw[:, self.classes :].flatten(2)[..., 0]  # z is the same everywhere
        logits = mean + sign * deviation(spread) * e
        for factor, z in zip(factors, along.unbind(1), strict=True):
            logits = torch.addcmul(logits, factor, sign * _FACTOR * z.view(-1, *(1,) * (factor.ndim - 1)))
        return logits

    def loss(self, output: Output, x0: Data, x_t: State, t: Times) -> PerItem:  # noqa: ARG002
        """Equation (2), in nats for each pixel; less than the cross-entropy where readings differ as wholes."""
        shares, draws = (x0 + 1) / 2, self._draws(x_t)
        found = [
            (shares * self.logits(output, draw, sign).log_softmax(1)).flatten(1).sum(1)
            for draw in draws
            for sign in (1.0, -1.0)
        ]
        together = torch.stack(found, 1).logsumexp(1) - math.log(len(found))
        return -together / x0[0, 0].numel()

    def reverse(self, x_t: State, x0_hat: Data, t: float, s: float, noise: Noise) -> Data:  # noqa: ARG002
        """The reading at the end, the draw itself before."""
        return x0_hat if s == 0 else x_t

    def data(self, estimate: Output) -> Data:
        """All of it."""
        return estimate

    def guide(self, weak: Data, strong: Data, scale: float) -> Data:
        """In log-probabilities, of the same draw."""
        return guide_one_hot(weak, strong, scale)

    def _draws(self, x_t: State) -> Sequence[Tensor]:
        """The draws of a state, one behind the other in its channels."""
        return torch.split(x_t, self.classes + self.rank, 1)


def deviation(spread: Tensor) -> Tensor:
    """sqrt(d) of each score from what the network says of it."""
    return (functional.softplus(spread - _CALM) + _SMALLEST).sqrt()
