"""The analytic problem of the golden arrays: a Gaussian mixture, whose posterior mean is known in closed form.

    x0 ~ sum_k w_k N(mu_k, Sigma_k),    x = x0 + s n
    D(x; s) = sum_k r_k [mu_k + Sigma_k (Sigma_k + s^2)^-1 (x - mu_k)],   r_k ~ w_k N(x; mu_k, Sigma_k + s^2)

Any Gaussian process sees x_t = alpha x, s = sigma / alpha, so one mixture serves every schedule.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import Discrete
from sfumato.diffusion.process import Condition, Denoise, Network, Step
from sfumato.randomness import Noise


@cache
def arrays(name: str) -> dict[str, Tensor]:
    """All arrays of one golden file; integers and float64."""
    with np.load(Path(__file__).with_name(f"{name}.npz"), allow_pickle=False) as stored:
        return {key: _tensor(stored[key]) for key in stored.files}


def _tensor(array: np.ndarray) -> Tensor:
    tensor = torch.from_numpy(array)
    return tensor.double() if tensor.is_floating_point() else tensor


class Recorded(Noise):
    """Noise that was written down: hands out the given slices in order."""

    def __init__(self, slices: Iterable[Tensor]) -> None:
        super().__init__([])
        self.slices = iter(slices)

    def normal(self, like: Tensor) -> Tensor:
        return next(self.slices).reshape(like.shape).to(like.dtype)


@dataclass(frozen=True)
class Mixture:
    """The mixture; label 3 means 'no class', i.e. all components."""

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def denoised(self, x: Tensor, s: Tensor, labels: Tensor | None = None) -> Tensor:
        """D(x; s) for x (b, 8) and s (b,)."""
        centred, along, spread = self._principal(x, s)
        logits = self.weights.log() - ((centred**2 / spread + spread.log()).sum(-1)) / 2
        if labels is not None:
            other = torch.arange(len(self.weights)) != labels[:, None]
            logits = logits.masked_fill(other & (labels[:, None] < len(self.weights)), -torch.inf)
        pulled = torch.einsum("kij,bkj->bki", along, centred * (1 - s[:, None, None] ** 2 / spread))
        return (logits.softmax(1)[..., None] * (self.means + pulled)).sum(1)

    def log_density(self, x: Tensor, s: Tensor) -> Tensor:
        """log p(x; s)."""
        centred, _, spread = self._principal(x, s)
        exponents = (centred**2 / spread + (2 * torch.pi * spread).log()).sum(-1) / 2
        return (self.weights.log() - exponents).logsumexp(1)

    def _principal(self, x: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        variances, along = torch.linalg.eigh(self.covariances)
        centred = torch.einsum("kij,bki->bkj", along, x[:, None] - self.means)
        return centred, along, variances + s[:, None, None] ** 2

    def denoise(self, process: Gaussian) -> Denoise:
        """The exact denoiser of a process; conditional where the condition has labels."""

        def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
            alpha, sigma = process.coefficients(t)
            s = x_t.new_full((len(x_t),), sigma / alpha)
            return self.denoised(x_t.flatten(1) / alpha, s, condition.label).view_as(x_t)

        return denoise


@cache
def mixture() -> Mixture:
    """The mixture of the golden arrays."""
    stored = arrays("gmm")
    return Mixture(stored["weights"], stored["mu"], stored["Sigma"])


@dataclass
class Watched:
    """A denoiser that remembers what it was asked: states x_t / alpha and ratios s."""

    process: Gaussian
    denoise: Denoise
    states: list[Tensor] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def __call__(self, x_t: Tensor, t: float, condition: Condition) -> Tensor:
        alpha, sigma = self.process.coefficients(t)
        self.states.append(x_t / alpha)
        self.ratios.append(sigma / alpha)
        return self.denoise(x_t, t, condition)


class Trace(NamedTuple):
    """A sampling run: what the denoiser was asked, and the states after each step."""

    asked: list[Tensor]
    ratios: list[float]
    states: list[Tensor]

    @property
    def final(self) -> Tensor:
        return self.states[-1]


def sampling_loop(
    sampler: Callable[..., Iterator[Step]],
    process: Gaussian,
    times: Sequence[float],
    *,
    start: Tensor,
    noise: Iterable[Tensor] = (),
    denoise: Denoise | None = None,
    condition: Condition | None = None,
) -> Trace:
    """Run a sampler from the state `start` (in the process's own scale) with recorded noise."""
    watched = Watched(process, denoise or mixture().denoise(process))
    recorded = Recorded(list(noise))
    steps = list(sampler(process, watched, start, condition or Condition(), recorded, times=times))
    return Trace(watched.states, watched.ratios, [step.x for step in steps])


def exact_output(prediction: str, x0: Tensor, x_t: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
    """What a perfect network says, from the definitions of the predictions (sigma_data 0.5 for F)."""
    n = (x_t - alpha * x0) / sigma
    s, data = sigma / alpha, 0.5
    match prediction:
        case "eps":
            return n
        case "score":
            return -n
        case "x0":
            return x0
        case "v":
            return alpha * n - sigma * x0
        case "F":
            skip, out = data**2 / (s**2 + data**2), s * data / (s**2 + data**2) ** 0.5
            return (x0 - skip * x_t / alpha) / out
        case _:
            raise ValueError(prediction)


def exact_network(process: Gaussian) -> Network:
    """The network that tells the exact answer in terms of the process's prediction, given the step's index."""
    assert isinstance(process.schedule, Discrete)
    steps = len(process.schedule)

    def network(x_t: Tensor, level: Tensor, condition: Condition) -> Tensor:
        t = (float(level[0].round()) + 1) / steps
        alpha, sigma = process.coefficients(t)
        x0 = mixture().denoise(process)(x_t, t, condition)
        return exact_output(process.prediction, x0, x_t, alpha, sigma)

    return network


def close(actual: Tensor, golden: Tensor, *, tolerance: float) -> None:
    """Largest difference at most `tolerance` times the scale of the golden array."""
    assert actual.shape == golden.shape
    worst = (actual - golden).abs().max() / golden.abs().max().clamp(min=1)
    assert worst <= tolerance, f"off by {worst:.2e}, allowed {tolerance:.0e}"
