"""Noise schedules of the Gaussian family, and the time grids on which samplers walk.

A Gaussian process sees `x_t = alpha(t) x0 + sigma(t) n`. All that matters is the noise-to-signal ratio

    s(t) = sigma(t) / alpha(t)      (EDM's sigma; log-SNR = -2 ln s)                                         (1)

because `x_t / alpha(t) = x0 + s(t) n` is the same for every member of the family. A schedule therefore is `s(t)`, its
inverse, the scaling, and the number by which its paper tells the network the noise level. Time runs from 0 (data) to 1
(noise) and `s(0) = 0`. Tables are float64 and every difference of nearly equal numbers is written with log1p / expm1.

Grids are lists of times from the noisiest to 0; a list of n + 1 times is n steps.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import torch
from torch import Tensor

StateScaling = Literal["variance_preserving", "variance_exploding", "straight"]
"""Alpha: 1 / sqrt(1 + s^2), 1, or 1 / (1 + s), where alpha and sigma add up to 1."""


@runtime_checkable
class NoiseLevels(Protocol):
    """Time -> noise level: what a grid needs of any process. Float64 tensors of any one shape."""

    def ratio(self, t: Tensor) -> Tensor:
        """The noise-to-signal ratio s(t), equation (1), or that of a Gaussian state that tells as much of the data."""
        ...

    def time(self, ratio: Tensor) -> Tensor:
        """The inverse of `ratio`."""
        ...


@runtime_checkable
class Schedule(NoiseLevels, Protocol):
    """The noise levels of a Gaussian process."""

    @property
    def scaling(self) -> StateScaling:
        """What alpha is; sigma = s alpha."""
        ...

    def label(self, t: Tensor) -> Tensor:
        """The network's noise label in the paper that introduced the schedule."""
        ...

    def __hash__(self) -> int:
        """Schedules are immutable."""
        ...


@dataclass(frozen=True, eq=False)
class Discrete:
    """A table of T steps, variance preserving: DDPM (Ho et al. 2020) and its relatives; t = k / T is the k-th step.

    Between two entries ln s is linear in t, so a network trained on the table can be sampled at any noise level. Before
    an infinite last entry (see `zero_terminal`) 1 / s is.

    Args:
        betas: variances of the T >= 2 forward steps, float64, in (0, 1); the last one may be 1.

    Raises:
        ValueError: fewer than two betas, or betas out of range.
    """

    betas: Tensor
    ratios: Tensor = field(init=False)
    scaling: StateScaling = field(default="variance_preserving", init=False)

    def __post_init__(self) -> None:
        if len(self.betas) < 2 or not (float(self.betas.min()) > 0 and float(self.betas[:-1].max()) < 1):
            raise ValueError("a table needs two betas at least, all in (0, 1)")
        log_alpha_bar = torch.cumsum(torch.log1p(-self.betas.double()), 0)
        ratios = torch.expm1(-log_alpha_bar).sqrt()
        object.__setattr__(self, "ratios", torch.cat([ratios.new_zeros(1), ratios]))

    def __len__(self) -> int:
        return len(self.betas)

    def ratio(self, t: Tensor) -> Tensor:
        """s(t): linear from 0 to the first entry, then log-linear between entries."""
        position = t.clamp(0, 1) * len(self)
        lower = position.floor().clamp(1, len(self) - 1).long()
        table = self.ratios.to(t.device)
        low, high, share = table[lower], table[lower + 1], position - lower
        between = torch.where(high.isinf(), low / (1 - share), low * (high / low) ** share)
        return torch.where(position < 1, position * table[1], between)

    def time(self, ratio: Tensor) -> Tensor:
        """The inverse of `ratio`, within the table's range."""
        table = self.ratios.to(ratio.device)
        ratio = ratio.clamp(max=float(table[-1]))
        lower = (torch.searchsorted(table, ratio, right=True) - 1).clamp(1, len(self) - 1)
        low, high = table[lower], table[lower + 1]
        share = torch.where(high.isinf(), 1 - low / ratio, torch.log(ratio / low) / torch.log(high / low))
        return torch.where(ratio < table[1], ratio / table[1], lower + share) / len(self)

    def label(self, t: Tensor) -> Tensor:
        """The step's index, 0 to T - 1."""
        return t * len(self) - 1


LARGEST_BETA = 0.999
"""More would destroy in one step what is left of the data (Nichol & Dhariwal 2021, section 3.2)."""


def linear(steps: int = 1000, *, ends: tuple[float, float] | None = None) -> Discrete:
    """Betas equally spaced from 1e-4 to 0.02 times 1000 / T (Ho et al. 2020; Nichol & Dhariwal 2021), or `ends`."""
    start, end = ends or _usual_ends(steps)
    return Discrete(torch.linspace(start, min(end, LARGEST_BETA), steps, dtype=torch.float64))


def scaled_linear(steps: int = 1000, *, ends: tuple[float, float] | None = None) -> Discrete:
    """Square roots of the betas equally spaced, ends as in `linear` (Rombach et al. 2022)."""
    start, end = ends or _usual_ends(steps)
    roots = torch.linspace(math.sqrt(start), math.sqrt(end), steps, dtype=torch.float64)
    return Discrete((roots**2).clamp(max=LARGEST_BETA))


def sigmoid(steps: int = 1000, *, ends: tuple[float, float] | None = None) -> Discrete:
    """Betas between the ends of `linear` along a logistic curve over [-6, 6] (Xu et al. 2022, GeoDiff)."""
    start, end = ends or _usual_ends(steps)
    curve = torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()
    return Discrete((start + (end - start) * curve).clamp(max=LARGEST_BETA))


def _usual_ends(steps: int) -> tuple[float, float]:
    """First and last beta: 1e-4 and 0.02 at T = 1000; with fewer steps each destroys more."""
    return 1000 / steps * 1e-4, 1000 / steps * 0.02


def cosine(steps: int = 1000, *, offset: float = 0.008, largest: float = LARGEST_BETA) -> Discrete:
    """alpha_bar = cos^2((t + offset) / (1 + offset) * pi / 2), betas up to `largest` (Nichol & Dhariwal 2021, eq. 17).

    Read from its end this is the table u_j of the iDDPM preconditioning, C_2 = offset and C_1 = 1 - largest (Karras et
    al. 2022, table 1): u_j = ratios[M - j].
    """
    angle = (torch.arange(steps + 1, dtype=torch.float64) / steps + offset) / (1 + offset) * math.pi / 2
    start, end = angle[:-1], angle[1:]
    # 1 - cos^2(end) / cos^2(start), without the difference of nearly equal numbers
    betas = torch.sin(end + start) * torch.sin(end - start) / torch.cos(start) ** 2
    return Discrete(betas.clamp(max=largest))


def zero_terminal(schedule: Discrete) -> Discrete:
    """The table with alpha shifted and stretched so that its last entry is 0 and its first one stays (Lin et al. 2024).

    Nothing of the data is left at t = 1, where a network can predict data or velocity but learns nothing from noise.
    """
    alpha = torch.cat([schedule.betas.new_ones(1), torch.cumsum(torch.log1p(-schedule.betas) / 2, 0).exp()])
    falls = -alpha[:-1] * torch.expm1(torch.log1p(-schedule.betas) / 2)  # alpha_(k-1) - alpha_k
    left = falls.flip(0).cumsum(0).flip(0) - falls  # alpha_k - alpha_T
    betas = falls[1:] * (left[:-1] + left[1:]) / left[:-1] ** 2  # whatever the stretch: 1 - left_k^2 / left_(k-1)^2
    betas[-1] = 1
    return Discrete(torch.cat([schedule.betas[:1], betas]))


def shifted(schedule: Discrete, factor: float) -> Discrete:
    """The table with every noise-to-signal ratio times `factor`: a log-SNR lower by 2 ln(factor).

    Neighbouring pixels of a larger image repeat each other, so more noise is needed to hide as much: factor is its side
    over the side for which the schedule was made (Hoogeboom et al. 2023, eq. 4).
    """
    ratios = factor * schedule.ratios
    low, high = ratios[:-1], ratios[1:]
    return Discrete(torch.where(high.isinf(), 1.0, (high - low) * (high + low) / (1 + high**2)))


@dataclass(frozen=True, eq=False)
class VP:
    """Continuous variance-preserving schedule (Song et al. 2021): s^2 = expm1(beta_d t^2 / 2 + beta_min t)."""

    beta_d: float = 19.9
    beta_min: float = 0.1
    labels: int = 1000
    scaling: StateScaling = field(default="variance_preserving", init=False)

    def ratio(self, t: Tensor) -> Tensor:
        """s(t)."""
        return torch.expm1(self.beta_d * t**2 / 2 + self.beta_min * t).sqrt()

    def time(self, ratio: Tensor) -> Tensor:
        """t(s); in the form that keeps its digits at small s."""
        gain = 2 * torch.log1p(ratio**2)
        return gain / ((self.beta_min**2 + self.beta_d * gain).sqrt() + self.beta_min)

    def label(self, t: Tensor) -> Tensor:
        """(M - 1) t."""
        return (self.labels - 1) * t


@dataclass(frozen=True, eq=False)
class Flow:
    """The straight path x_t = (1 - sigma) x0 + sigma n (Liu et al. 2023, Lipman et al. 2023), on which sigma is time.

    With a factor f it is reached later, sigma = f t / (1 + (f - 1) t), so that s = f t / (1 - t), infinite at 1: the
    straight path's form of `shifted` (Esser et al. 2024, section 5.3.2). Euler's step along the path is that of `ddim`.

    Args:
        factor: f, of every noise-to-signal ratio.
    """

    factor: float = 1.0
    scaling: StateScaling = field(default="straight", init=False)

    def ratio(self, t: Tensor) -> Tensor:
        """s(t)."""
        return self.factor * t / (1 - t)

    def time(self, ratio: Tensor) -> Tensor:
        """t(s) = 1 / (1 + f / s)."""
        return 1 / (1 + self.factor / ratio)

    def label(self, t: Tensor) -> Tensor:
        """Sigma."""
        return 1 / (1 + 1 / self.ratio(t))


@dataclass(frozen=True, eq=False)
class VE:
    """Variance exploding, x_t = x0 + s n, with the time warp s = s_max t^7 of Karras et al. (2022), eq. 5."""

    maximum: float = 100.0
    warp: float = 7.0
    scaling: StateScaling = field(default="variance_exploding", init=False)

    def ratio(self, t: Tensor) -> Tensor:
        """s(t) = s_max t^7."""
        return self.maximum * t**self.warp

    def time(self, ratio: Tensor) -> Tensor:
        """t(s)."""
        return (ratio / self.maximum) ** (1 / self.warp)

    def label(self, t: Tensor) -> Tensor:
        """ln(s / 2) (Song et al. 2021)."""
        return torch.log(self.ratio(t) / 2)


@dataclass(frozen=True, eq=False)
class EDM(VE):
    """The schedule of Karras et al. (2022): as VE, s_max = 80, label ln(s) / 4."""

    maximum: float = 80.0

    def label(self, t: Tensor) -> Tensor:
        """ln(s) / 4."""
        return torch.log(self.ratio(t)) / 4


def uniform_grid(steps: int) -> list[float]:
    """Times equally spaced from 1 to 0."""
    return [1 - step / steps for step in range(steps)] + [0.0]


def ratio_grid(schedule: NoiseLevels, ratios: Tensor) -> list[float]:
    """Times at which the schedule has the given noise-to-signal ratios, then 0."""
    return [*schedule.time(ratios.double()).tolist(), 0.0]


def karras_grid(
    schedule: NoiseLevels, steps: int, *, low: float = 0.002, high: float = 80.0, rho: float = 7.0
) -> list[float]:
    """Ratios s with s^(1/rho) equally spaced from `high` to `low` (Karras et al. 2022, eq. 5), then 0."""
    warped = torch.linspace(high ** (1 / rho), low ** (1 / rho), steps, dtype=torch.float64)
    return ratio_grid(schedule, warped**rho)


def polyexponential_grid(
    schedule: NoiseLevels, steps: int, *, low: float = 0.002, high: float = 80.0, rho: float = 1.5
) -> list[float]:
    """Ln s = ln low + u^rho ln(high / low), u equally spaced from 1 to 0, then s = 0 (Crowson, k-diffusion).

    rho 1 is `log_snr_grid`; a larger one dwells on little noise.
    """
    share = torch.linspace(1, 0, steps, dtype=torch.float64) ** rho
    return ratio_grid(schedule, low * torch.exp(share * math.log(high / low)))


def log_snr_grid(schedule: NoiseLevels, steps: int, *, low: float = 0.002, high: float = 80.0) -> list[float]:
    """Ratios equally spaced in log-SNR from `high` to `low`, then 0: the grid for DPM-Solver++ in few calls."""
    return polyexponential_grid(schedule, steps, low=low, high=high, rho=1.0)


def shifted_grid(schedule: NoiseLevels, times: Sequence[float], factor: float) -> list[float]:
    """The grid with every noise-to-signal ratio times `factor`, as far as the schedule goes (see `shifted`)."""
    return ratio_grid(schedule, factor * schedule.ratio(torch.tensor(times[:-1], dtype=torch.float64)))


def critical_grid(schedule: NoiseLevels, steps: int, *, centre: float, width: float = 4.0) -> list[float]:
    """Steps equally spaced in log-SNR within `centre` +- `width`, then 0: for masks.

    The readings of an ambiguous mask separate at log-SNR = -ln(number of entries on which they differ); steps spent
    elsewhere decide nothing. Where the interval goes beyond what the schedule reaches it ends there.

    Args:
        schedule: the noise schedule.
        steps: network calls.
        centre: the critical log-SNR.
        width: half the interval, in nats.

    Raises:
        ValueError: the schedule reaches none of the interval.
    """
    ends = torch.exp(torch.tensor([width - centre, -width - centre], dtype=torch.float64) / 2)
    first, last = (-2 * schedule.ratio(schedule.time(ends)).log()).tolist()
    if first >= last:
        raise ValueError(f"no noise level lies within {width:g} nats of the log-SNR {centre:g}")
    log_snr = torch.linspace(first, last, steps, dtype=torch.float64)
    return ratio_grid(schedule, torch.exp(-log_snr / 2))
