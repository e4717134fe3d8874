"""The categorical process of masks: noise that replaces classes, Bernoulli noise where there are two.

With K classes and the matrix Q(a) = a I + (1 - a) / K, whose products are Q(a) Q(b) = Q(a b), every pixel by itself

    q(x_t = j | x0 = k) = Q(abar_t)_jk,    abar = 1 / sqrt(1 + s^2)                                       (1)
    q(x_t = j | x_s = i) = Q(abar_t / abar_s)_ji,    s < t                                               (2)
    q(x_s = i | x_t = j, x0 = k) = Q(abar_t / abar_s)_ji Q(abar_s)_ik / Q(abar_t)_jk                     (3)
    q(x_s | x_t, x0_hat) = sum_k p_k q(x_s | x_t, x0 = k),    p = (x0_hat + 1) / 2                        (4)

A step from t to s may skip what lies between them, because (3) has the ratio abar_t / abar_s. The state is the one-hot
mask of the classes drawn, in [-1, 1], so whatever is said of one-hot masks elsewhere holds. x0 may be soft: its classes
are then mixed as in (4).

abar is alpha of the Gaussian process on the same schedule, which makes both tell about as much of the data at the same
noise-to-signal ratio s. Where two masks differ in a pixel, the expected log-likelihood ratio between them is

    categorical    abar ln(1 + K abar / (1 - abar)) = K abar^2 + O(abar^3)                                (5)
    Gaussian       4 alpha^2 / sigma^2 = 4 SNR        (two entries of the one-hot mask, each +-2)          (6)

equal at K = 4 where noise prevails. With K classes masks separate at a log-SNR of ln(4 / K) above the Gaussian one, 0.7
nats for K = 2, which is little beside the 8 nats of a critical grid: schedules, the laws of training times and all
grids carry over.

Sources: Hoogeboom et al. 2021 (Multinomial diffusion), Austin et al. 2021 (D3PM, uniform transitions).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Coefficient, broadcast, snr_label
from sfumato.diffusion.guidance import guide_one_hot
from sfumato.diffusion.level.schedule import Schedule
from sfumato.diffusion.level.training_noise import TrainingNoise, Uniform, training_times
from sfumato.diffusion.loss import cross_entropy, per_item_mean
from sfumato.randomness import Noise
from sfumato.typing import Data, Output, PerItem, Times

_EARLIER = 0.95
"""s / t in the loss `posterior_kl`."""


@dataclass(frozen=True, kw_only=True)
class Categorical:
    """The categorical process of one-hot masks in [-1, 1]; the network answers with logits of the classes.

    Args:
        schedule: variance preserving, its alpha is the share of pixels that keep their class.
        training: the law of the training times.
        objective: `cross_entropy` of the clean mask; or `posterior_kl`, the divergence of the reverse step to
            s = 0.95 t from the true one, mean over pixels, divided by t ln(t / s). With times uniform on (0, 1] its
            mean is the variational bound of -ln p(x0), in nats per pixel, but for what is left of the data at t = 1.

    Raises:
        ValueError: the schedule is not variance preserving.
    """

    schedule: Schedule
    training: TrainingNoise = Uniform()
    objective: Literal["cross_entropy", "posterior_kl"] = "cross_entropy"

    def __post_init__(self) -> None:
        if self.schedule.scaling != "variance_preserving":
            raise ValueError("the share of pixels that keep their class is alpha of a variance-preserving schedule")

    def channels(self, data: int) -> tuple[int, int]:
        """One for each class."""
        return data, data

    def prior(self, like: Data, noise: Noise, *, t: float = 1.0) -> Data:  # noqa: ARG002 - the same at any time
        """Every class as likely as any other."""
        return _drawn(torch.full_like(like, 1 / like.shape[1]), noise)

    def times(self, u: PerItem) -> PerItem:
        """Training times: the quantile function of `training` at u in (0, 1)."""
        return training_times(self.training, self.schedule, u)

    def corrupt(self, x0: Data, t: Times, noise: Noise) -> Data:
        """Equation (1)."""
        return _drawn(_mixed(_shares(x0), self._log_kept(t, x0)), noise)

    def log_marginal(self, x_t: Data, x0: Data, t: Times) -> PerItem:
        """Log q(x_t | x0), exactly."""
        likelihood = (_shares(x_t) * _mixed(_shares(x0), self._log_kept(t, x_t))).sum(1, keepdim=True)
        return likelihood.log().flatten(1).sum(1)

    def network_input(self, x_t: Data, t: Times) -> tuple[Data, PerItem]:
        """The state as it is, and ln(s) / 4."""
        if isinstance(t, float):
            return x_t, torch.full((len(x_t),), _at(self.schedule, t)[1], device=x_t.device)
        return x_t, snr_label(self.schedule.ratio(t.double())).float()

    def estimate(self, output: Data, x_t: Data, t: Times) -> Data:  # noqa: ARG002
        """The classes' probabilities, in [-1, 1]."""
        return 2 * output.softmax(1) - 1

    def loss(self, output: Data, x0: Data, x_t: Data, t: Times) -> PerItem:
        """The objective, in nats."""
        if self.objective == "cross_entropy":
            return cross_entropy(output, x0)
        sooner = _EARLIER * t
        true = self.posterior(x_t, x0, t, sooner)
        found = self.posterior(x_t, self.estimate(output, x_t, t), t, sooner)
        divergence = per_item_mean((torch.xlogy(true, true) - torch.xlogy(true, found)).sum(1, keepdim=True))
        return divergence / (-math.log(_EARLIER) * t)

    def reverse(self, x_t: Data, x0_hat: Data, t: float, s: float, noise: Noise) -> Data:
        """x_s ~ q(x_s | x_t, x0_hat), equation (4); at s = 0 the estimate itself."""
        return x0_hat if s == 0 else _drawn(self.posterior(x_t, x0_hat, t, s), noise)

    def posterior(self, x_t: Data, x0_hat: Data, t: Times, s: Times) -> Data:
        """The classes' probabilities in equation (4), by one sum: Q_ji sum_k Q_ik p_k / Q_jk, all k at once."""
        state, later, sooner = _shares(x_t), self._log_kept(t, x_t), self._log_kept(s, x_t)
        explained = _shares(x0_hat) / _mixed(state, later)
        return _mixed(state, later - sooner) * _mixed(explained, sooner)

    def data(self, estimate: Output) -> Data:
        """All of it."""
        return estimate

    def guide(self, weak: Data, strong: Data, scale: float) -> Data:
        """In log-probabilities."""
        return guide_one_hot(weak, strong, scale)

    def _log_kept(self, t: Times, like: Data) -> Coefficient:
        """Ln abar: a float for a float t, else in a shape that broadcasts over `like`."""
        if isinstance(t, float):
            return _at(self.schedule, t)[0]
        return broadcast(_log_alpha(self.schedule, t.double()), like)


def _shares(mask: Data) -> Data:
    """Probabilities from a mask in [-1, 1]."""
    return (mask + 1) / 2


def _mixed(weights: Data, log_kept: Coefficient) -> Data:
    """Q(a) times a vector over classes, given ln a, so that 1 - a keeps its digits where little noise was added."""
    kept, lost = (
        (log_kept.exp(), -torch.expm1(log_kept))
        if isinstance(log_kept, Tensor)
        else (math.exp(log_kept), -math.expm1(log_kept))
    )
    return kept * weights + lost * weights.mean(1, keepdim=True)


def _drawn(probabilities: Data, noise: Noise) -> Data:
    """One-hot masks in [-1, 1]: each pixel the first class whose cumulated probability exceeds a uniform number."""
    uniform = noise.uniform(*probabilities.shape[2:])[:, None]
    classes = (probabilities.cumsum(1)[:, :-1] <= uniform).sum(1, keepdim=True)
    return torch.full_like(probabilities, -1.0).scatter_(1, classes, 1.0)


def _log_alpha(schedule: Schedule, t: Tensor) -> Tensor:
    return -torch.log1p(schedule.ratio(t) ** 2) / 2


@lru_cache(maxsize=4096)
def _at(schedule: Schedule, t: float) -> tuple[float, float]:
    """Ln abar and the noise label as floats: a sampler's coefficients are computed once."""
    time = torch.tensor([t], dtype=torch.float64)
    return float(_log_alpha(schedule, time)), float(snr_label(schedule.ratio(time)))
