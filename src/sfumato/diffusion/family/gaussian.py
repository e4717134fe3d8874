"""The Gaussian process: DDPM/VP, VE, iDDPM and EDM as one family.

    x_t = alpha x0 + sigma n                                                                             (1)
    q(x_s | x_t, x0):  q = (s_s / s_t)^2,  mean = alpha_s (q x_t / alpha_t + (1 - q) x0),
                       variance = sigma_s^2 (1 - q)                         with s = sigma / alpha          (2)

What the network's output means is its prediction; each has a regression target and an inverse:

    eps     n                             x0_hat = (x_t - sigma eps) / alpha                              (3)
    score   -n (sigma times the score)    x0_hat = (x_t + sigma score) / alpha                            (4)
    x0      x0                            x0_hat = output                                                 (5)
    v       alpha n - sigma x0            x0_hat = (alpha x_t - sigma v) / (alpha^2 + sigma^2)            (6)
    velocity n - x0 (of a flow)           x0_hat = (x_t - sigma velocity) / (alpha + sigma)               (7)
    F       (x0 - c_skip x) / c_out       x0_hat = c_skip x + c_out F,  x = x_t / alpha                   (8)
            c_skip = sd^2 / (s^2 + sd^2), c_out = s sd / sqrt(s^2 + sd^2)    (Karras et al. 2022, table 1)
    logits  class scores of each pixel    x0_hat = 2 softmax(output) - 1, trained by cross-entropy       (9)

(3) to (8) are linear in x_t and output. Their weights are computed in float64 and in forms that hold from s = 0 to
infinity, where alpha is 0 (`zero_terminal`); only then do they take the dtype of the images.

Sources: Ho et al. 2020 (DDPM), Song et al. 2021 (VP, VE), Nichol & Dhariwal 2021 (iDDPM), Salimans & Ho 2022 (v),
Karras et al. 2022 (EDM), Liu et al. 2023 and Lipman et al. 2023 (flow), Hang et al. 2023 (min-SNR).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, assert_never

import torch
from torch import Tensor

from sfumato.diffusion.guidance import guide_linear, guide_one_hot
from sfumato.diffusion.level.schedule import Schedule
from sfumato.diffusion.level.training_noise import TrainingNoise, Uniform, training_times
from sfumato.diffusion.loss import cross_entropy, per_item_mean
from sfumato.randomness import Noise
from sfumato.typing import Data, Output, PerItem, Times

PredictionType = Literal["eps", "score", "x0", "v", "velocity", "F", "logits"]
Coefficient = float | Tensor
"""One number for the batch, or one for each item in a shape that broadcasts over it."""

HIGHEST_LEVEL = 4.0
"""The largest ln(s) / 4 that networks are told: their embedding spans [-4, 4], and s may be infinite."""


@dataclass(frozen=True, kw_only=True)
class Gaussian:
    """A Gaussian diffusion process.

    Args:
        schedule: the noise schedule.
        prediction: what the network's output means, equations (3) to (9).
        sigma_data: standard deviation of the data; with it the network sees x_t / sqrt(alpha^2 sd^2 + sigma^2),
            without it x_t as it is.
        training: the law of the training times.
        label: the noise label that the network is told: `snr` is ln(s) / 4, the same scale for every schedule;
            `schedule` is that of the schedule's paper, which networks from elsewhere expect.
        variance: of the reverse step: `small` is the posterior (2), `large` that of the forward step (Ho et al. 2020).
        min_snr: gamma of the min-SNR loss weight, None for the prediction's own weight.
        least_sigma: errors of x0 count as those of a velocity, 1 / max(sigma, least_sigma)^2; None: all alike.
    """

    schedule: Schedule
    prediction: PredictionType
    sigma_data: float | None = None
    training: TrainingNoise = Uniform()
    label: Literal["snr", "schedule"] = "snr"
    variance: Literal["small", "large"] = "small"
    min_snr: float | None = None
    least_sigma: float | None = None

    def __post_init__(self) -> None:
        if self.prediction == "F" and self.sigma_data is None:
            raise ValueError("prediction F needs sigma_data")
        if self.prediction == "logits" and self.min_snr is not None:
            raise ValueError("min_snr weighs squared errors; logits are trained by cross-entropy")
        if self.least_sigma is not None and (self.prediction != "x0" or self.min_snr is not None):
            raise ValueError("least_sigma weighs errors of x0 where nothing else does")
        if self.prediction in ("eps", "score") and _at(self.schedule, 1.0)[0] == 0:
            raise ValueError("where no signal is left, noise says nothing about the data; predict v or x0")

    def channels(self, data: int) -> tuple[int, int]:
        """State and output have the channels of the data."""
        return data, data

    def coefficients(self, t: Times, like: Data | None = None) -> tuple[Coefficient, Coefficient]:
        """Alpha and sigma at t: floats for a float t, else tensors that broadcast over `like`."""
        if isinstance(t, float):
            return _at(self.schedule, t)[:2]
        alpha, sigma = _alpha_sigma(self.schedule, t.double())
        return (alpha, sigma) if like is None else (broadcast(alpha, like), broadcast(sigma, like))

    def prior(self, like: Data, noise: Noise, *, t: float = 1.0) -> Data:
        """Sigma(t) times unit normal noise."""
        return noise.normal(like) * self.coefficients(t)[1]

    def times(self, u: PerItem) -> PerItem:
        """Training times: the quantile function of `training` at u in (0, 1)."""
        return training_times(self.training, self.schedule, u)

    def corrupt(self, x0: Data, t: Times, noise: Noise) -> Data:
        """Equation (1)."""
        alpha, sigma = self.coefficients(t, x0)
        return alpha * x0 + sigma * noise.normal(x0)

    def log_marginal(self, x_t: Data, x0: Data, t: Times) -> PerItem:
        """Log q(x_t | x0) up to a constant: -|x_t - alpha x0|^2 / (2 sigma^2)."""
        alpha, sigma = self.coefficients(t, x_t)
        return (-(((x_t - alpha * x0) / sigma) ** 2) / 2).flatten(1).sum(1)

    def network_input(self, x_t: Data, t: Times) -> tuple[Data, PerItem]:
        """The state, scaled to unit variance if `sigma_data` is given, and the noise label."""
        level = self._level(t, x_t)
        if self.sigma_data is None:
            return x_t, level
        alpha, sigma = self.coefficients(t, x_t)
        return x_t / _root(alpha**2 * self.sigma_data**2 + sigma**2), level

    def estimate(self, output: Output, x_t: Data, t: Times) -> Data:
        """x0_hat, equations (3) to (9). Further channels of the output are not looked at."""
        output = output[:, : x_t.shape[1]]
        if self.prediction == "logits":
            return (output.softmax(1) - 0.5).mul_(2)
        if self.prediction == "x0":
            return output
        from_state, from_output = self._inverse(t, x_t)
        if isinstance(from_output, Tensor):
            return from_state * x_t + from_output * output
        return (from_state * x_t).add_(output, alpha=from_output)

    def loss(self, output: Data, x0: Data, x_t: Data, t: Times) -> PerItem:
        """Mean squared error to the prediction's target, or cross-entropy for logits."""
        if self.prediction == "logits":
            return cross_entropy(output, x0)
        from_state, from_output = self._inverse(t, x_t)
        target = (x0 - from_state * x_t) / from_output
        squared = per_item_mean((output - target) ** 2)
        if self.least_sigma is not None:
            sigma = torch.as_tensor(self.coefficients(t)[1], dtype=squared.dtype)
            return squared / sigma.clamp(min=self.least_sigma) ** 2
        return squared if self.min_snr is None else squared * broadcast(self._min_snr_weight(t), squared)

    def reverse(self, x_t: Data, x0_hat: Data, t: float, s: float, noise: Noise) -> Data:
        """x_s ~ q(x_s | x_t, x0_hat), equation (2)."""
        from_state, from_estimate, spread = self.posterior(t, s)
        mean = from_state * x_t + from_estimate * x0_hat
        return mean if s == 0 else mean + spread * noise.normal(x_t)

    def data(self, estimate: Output) -> Data:
        """All of it."""
        return estimate

    def guide(self, weak: Data, strong: Data, scale: float) -> Data:
        """Linear; of class scores in log-probabilities."""
        return (guide_one_hot if self.prediction == "logits" else guide_linear)(weak, strong, scale)

    def posterior(self, t: Times, s: Times) -> tuple[Coefficient, Coefficient, Coefficient]:
        """The two weights of the mean and the standard deviation in equation (2)."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.coefficients(t), self.coefficients(s)
        quotient = sigma_s * alpha_t / (alpha_s * sigma_t)  # the root of q
        small, large = self.spreads(t, s)
        spread = small if self.variance == "small" else large
        return quotient * sigma_s / sigma_t, alpha_s * (1 - quotient) * (1 + quotient), spread

    def spreads(self, t: Times, s: Times) -> tuple[Coefficient, Coefficient]:
        """Standard deviations of q(x_s | x_t, x0) and of q(x_t | x_s): the least and the most of a reverse step.

        DDPM writes their squares beta tilde and beta (Ho et al. 2020, section 3.2).
        """
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.coefficients(t), self.coefficients(s)
        quotient = sigma_s * alpha_t / (alpha_s * sigma_t)
        lost = _root((1 - quotient) * (1 + quotient))
        return sigma_s * lost, sigma_t * lost

    def _level(self, t: Times, like: Data) -> PerItem:
        if isinstance(t, float):
            _, _, labels = _at(self.schedule, t)
            return torch.full((len(like),), labels[self.label], device=like.device)
        if self.label == "schedule":
            return self.schedule.label(t.double()).float()
        return snr_label(self.schedule.ratio(t.double())).float()

    def _inverse(self, t: Times, like: Data) -> tuple[Coefficient, Coefficient]:
        """The weights of x_t and of the output in x0_hat, ready to be multiplied with images."""
        from_state, from_output = self._weights(*self.coefficients(t))
        return broadcast(from_state, like), broadcast(from_output, like)

    def _weights(self, alpha: Coefficient, sigma: Coefficient) -> tuple[Coefficient, Coefficient]:
        """The weights of x_t and of the output in x0_hat, equations (3) to (8)."""
        match self.prediction:
            case "eps":
                return 1 / alpha, -sigma / alpha
            case "score":
                return 1 / alpha, sigma / alpha
            case "x0":
                return 0.0, 1.0
            case "v":
                total = alpha**2 + sigma**2
                return alpha / total, -sigma / total
            case "velocity":
                total = alpha + sigma
                return 1 / total, -sigma / total
            case "F":
                assert self.sigma_data is not None
                total = alpha**2 * self.sigma_data**2 + sigma**2
                return alpha * self.sigma_data**2 / total, sigma * self.sigma_data / _root(total)
            case "logits":
                raise AssertionError("class scores have no linear inverse")
            case _ as never:
                assert_never(never)

    def _min_snr_weight(self, t: Times) -> Coefficient:
        """Weight min(SNR, gamma) on |x0_hat - x0|^2 (Hang et al. 2023), in units of the output's squared error."""
        assert self.min_snr is not None
        alpha, sigma = self.coefficients(t)
        snr = (alpha / sigma) ** 2
        limited = snr.clamp(max=self.min_snr) if isinstance(snr, Tensor) else min(snr, self.min_snr)
        return limited * self._weights(alpha, sigma)[1] ** 2


def _alpha_sigma(schedule: Schedule, t: Tensor) -> tuple[Tensor, Tensor]:
    ratio = schedule.ratio(t)
    match schedule.scaling:
        case "variance_preserving":
            return torch.rsqrt(1 + ratio**2), torch.rsqrt(1 + ratio**-2)
        case "variance_exploding":
            return torch.ones_like(ratio), ratio
        case "straight":
            return 1 / (1 + ratio), 1 / (1 + 1 / ratio)
        case _ as never:
            assert_never(never)


@lru_cache(maxsize=4096)
def _at(schedule: Schedule, t: float) -> tuple[float, float, dict[str, float]]:
    """Alpha, sigma and both noise labels as floats: a sampler's coefficients are computed once."""
    time = torch.tensor([t], dtype=torch.float64)
    alpha, sigma = _alpha_sigma(schedule, time)
    labels = {"schedule": float(schedule.label(time)), "snr": float(snr_label(schedule.ratio(time)))}
    return float(alpha), float(sigma), labels


def snr_label(ratio: Tensor) -> Tensor:
    """The noise label of our networks, ln(s) / 4."""
    return (ratio.log() / 4).clamp(max=HIGHEST_LEVEL)


def broadcast(value: Coefficient, like: Tensor) -> Coefficient:
    """One number for each item in the dtype of `like` and in a shape that broadcasts over it; a float as it is."""
    return value.to(like.dtype).view((-1,) + (1,) * (like.ndim - 1)) if isinstance(value, Tensor) else value


def _root(value: Coefficient) -> Coefficient:
    return value.sqrt() if isinstance(value, Tensor) else math.sqrt(value)
