"""Learned variance of the reverse step (Nichol & Dhariwal 2021, section 3.1).

The posterior's variance lies between two bounds, beta tilde (x0 known) and beta (x0 unit normal). A network that has
twice the channels says with the second half, v, where between their logarithms:

    ln variance = w ln beta + (1 - w) ln beta tilde,    w = (v + 1) / 2                                  (1)

of the step that is walked: with fewer steps than in training, each is wider and its bounds move along. The mean is
unchanged, so v is trained by the variational bound, per dimension and in bits,

    L_vb = KL(q(x_s | x_t, x0) || p(x_s | x_t)) / ln 2,     at s = 0  -log2 p(x0 | x_t)                  (2)

where p(x0 | x_t) is the probability of x0's grey level, one of 256 in [-1, 1]. Both are means over the entries. The
steps are those of the schedule's table: t = k / T, s = (k - 1) / T. At k = 1 beta tilde is 0; that of k = 2 stands in.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Coefficient, Gaussian, broadcast
from sfumato.diffusion.level.schedule import Discrete
from sfumato.diffusion.loss import per_item_mean
from sfumato.randomness import Noise
from sfumato.typing import Data, Output, PerItem, Times

LossType = Literal["mse", "rescaled_mse", "kl", "rescaled_kl"]
"""Names of improved-diffusion. `rescaled_mse` is L_hybrid of the paper, eq. 16."""

HALF_GREY_LEVEL = 1 / 255
"""Half the distance of two of 256 grey levels in [-1, 1]."""

FARTHEST_DEVIATION = 1e4
"""So many standard deviations away lies nothing, and its logarithm is finite."""


@dataclass(frozen=True, kw_only=True)
class LearnedVariance:
    """A Gaussian process whose reverse step has a learned variance.

    Its estimate has x0_hat in the first half of the channels and v in the second. Samplers of the probability-flow ODE
    need no variance: they take `process`, which looks at the first half of the same network's output alone.

    Args:
        process: the process without it; on a table of steps.
        objective: `mse` is the process's own loss + L_vb, the mean detached in (2); `rescaled_mse` L_vb times T / 1000;
            `kl` L_vb alone; `rescaled_kl` times T, the whole bound.
    """

    process: Gaussian
    objective: LossType = "rescaled_mse"

    def __post_init__(self) -> None:
        if not isinstance(self.process.schedule, Discrete):
            raise ValueError("a learned variance needs the steps of a table, such as cosine(1000)")
        if self.process.prediction == "logits":
            raise ValueError("a learned variance needs squared errors; logits are trained by cross-entropy")

    @property
    def schedule(self) -> Discrete:
        """The table of steps."""
        assert isinstance(self.process.schedule, Discrete)
        return self.process.schedule

    @property
    def steps(self) -> int:
        """Steps of the table, T."""
        return len(self.schedule)

    def channels(self, data: int) -> tuple[int, int]:
        """The output has twice the channels of the data."""
        return data, 2 * data

    def prior(self, like: Data, noise: Noise, *, t: float = 1.0) -> Data:
        """That of the process."""
        return self.process.prior(like, noise, t=t)

    def times(self, u: PerItem) -> PerItem:
        """Those of the process, moved up to the next step of the table."""
        return (self.process.times(u) * self.steps).ceil().clamp(1, self.steps) / self.steps

    def corrupt(self, x0: Data, t: Times, noise: Noise) -> Data:
        """That of the process."""
        return self.process.corrupt(x0, t, noise)

    def log_marginal(self, x_t: Data, x0: Data, t: Times) -> PerItem:
        """That of the process."""
        return self.process.log_marginal(x_t, x0, t)

    def network_input(self, x_t: Data, t: Times) -> tuple[Data, PerItem]:
        """That of the process."""
        return self.process.network_input(x_t, t)

    def estimate(self, output: Output, x_t: Data, t: Times) -> Output:
        """x0_hat and v, (b, 2 c, *space)."""
        _, v = output.chunk(2, 1)
        return torch.cat([self.process.estimate(output, x_t, t), v], 1)

    def loss(self, output: Output, x0: Data, x_t: Data, t: Times) -> PerItem:
        """The objective; t must be steps of the table."""
        prediction, v = output.chunk(2, 1)
        simple = self.objective in ("mse", "rescaled_mse")
        x0_hat = self.process.estimate(prediction.detach() if simple else prediction, x_t, t)
        bound = self.bound(x0_hat, v, x0, t)
        match self.objective:
            case "mse":
                return self.process.loss(prediction, x0, x_t, t) + bound
            case "rescaled_mse":
                return self.process.loss(prediction, x0, x_t, t) + self.steps / 1000 * bound
            case "kl":
                return bound
            case "rescaled_kl":
                return self.steps * bound

    def bound(self, x0_hat: Data, v: Data, x0: Data, t: Times) -> PerItem:
        """L_vb, equation (2), in bits per dimension."""
        step = (torch.as_tensor(t, dtype=torch.float64, device=x0.device) * self.steps).round().expand(len(x0))
        end, start = step / self.steps, (step - 1) / self.steps
        tilde, beta = (broadcast(bound, x0) for bound in self._log_bounds(step))
        log_std = _log_std(v, tilde, beta)
        off = broadcast(self.process.posterior(end, start)[1], x0) * (x0_hat - x0) * torch.exp(-log_std)
        divergence = log_std - tilde + torch.expm1(2 * (tilde - log_std)) / 2 + off**2 / 2
        likelihood = _log_likelihood(x0, x0_hat, log_std)
        nats = torch.where(step < 2, -per_item_mean(likelihood), per_item_mean(divergence))
        return nats / math.log(2)

    def reverse(self, x_t: Data, x0_hat: Output, t: float, s: float, noise: Noise) -> Data:
        """x_s with the variance (1); with that of the process where the estimate says nothing of it (c channels)."""
        if x0_hat.shape[1] == x_t.shape[1]:
            return self.process.reverse(x_t, x0_hat, t, s, noise)
        estimate, v = x0_hat.chunk(2, 1)
        from_state, from_estimate, _ = self.process.posterior(t, s)
        mean = from_state * x_t + from_estimate * estimate
        if s == 0:
            return mean
        log_std = _log_std(v, *(math.log(spread) for spread in self.process.spreads(t, s)))
        return mean + log_std.exp() * noise.normal(x_t)

    def data(self, estimate: Output) -> Data:
        """The first half."""
        return estimate.chunk(2, 1)[0]

    def guide(self, weak: Output, strong: Output, scale: float) -> Output:
        """Of the data as the process does; the variance is the strong one's."""
        (x0_weak, _), (x0_strong, v) = weak.chunk(2, 1), strong.chunk(2, 1)
        return torch.cat([self.process.guide(x0_weak, x0_strong, scale), v], 1)

    def _log_bounds(self, step: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of the bounds' standard deviations at steps of the table, beta tilde's first."""
        second = step.clamp(min=2)
        small, _ = self.process.spreads(second / self.steps, (second - 1) / self.steps)
        _, large = self.process.spreads(step / self.steps, (step - 1) / self.steps)
        return torch.as_tensor(small).log(), torch.as_tensor(large).log()


def _log_std(v: Data, tilde: Coefficient, beta: Coefficient) -> Data:
    """Half of equation (1), from the logarithms of the bounds' standard deviations."""
    log_std: Data = tilde + (v + 1) / 2 * (beta - tilde)
    return log_std


def _log_likelihood(x0: Data, mean: Data, log_std: Data) -> Data:
    """Log-probability of a grey level in [-1, 1] under a normal law; the outermost levels reach to infinity."""
    centred, half = (x0 - mean) * torch.exp(-log_std), HALF_GREY_LEVEL * torch.exp(-log_std)
    low = torch.where(x0 < -0.999, -FARTHEST_DEVIATION, centred - half)
    high = torch.where(x0 > 0.999, FARTHEST_DEVIATION, centred + half)
    # Both tails by the lower one, whose logarithm keeps its digits.
    mirrored = low + high > 0
    below, above = torch.where(mirrored, -high, low), torch.where(mirrored, -low, high)
    log_above = torch.special.log_ndtr(above)
    log_probability: Data = log_above + torch.log(-torch.expm1(torch.special.log_ndtr(below) - log_above))
    return log_probability
