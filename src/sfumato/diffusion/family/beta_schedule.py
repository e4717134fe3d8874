"""How the signal of a Beta or Dirichlet process fades.

The signal left at time t is alpha in (0, 1], with

    logit alpha(t) = start + (end - start) t^power,    alpha(0) = 1                                        (1)

Data are squeezed into [shift, shift + scale], and the state is the logarithm of the ratio of two Gamma numbers (see
`dirichlet`), of which everything below -floor counts as -infinity. Two values of a component, low and high, give it the
concentrations a_0 < a_1 and the background b_0 > b_1. The mean log-likelihood ratio between them, averaged over which
of them is true, is half of Jeffreys' divergence

    2 J = (a_1 - a_0) (M_1 - M_0) - ln(a_1 / a_0) (P_1 - P_0)                                             (2)
    P = e^(-a floor) / (a B(a, b)),        M = psi(a) - psi(b) + P / a                                    (3)

with P the chance of the floor and M the mean of the floored state (the density below the floor is that of an
exponential law, since e^(-floor) is next to nothing). A Gaussian state of entries -1 and 1 has J = 2 / s^2 for each
entry on which two readings differ: so every noise level has a noise-to-signal ratio s, and the grids of `schedule`
have a meaning.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sfumato.diffusion.level.schedule import NoiseLevels

_DEEPEST = 690.0
"""The floor where none is given: e^-690 is next to the smallest double."""

FAINTEST = 1e-12
"""The smallest concentration of which equations (2) and (3) keep digits in double precision."""

_GEOMETRIC = 350
"""The largest number of steps for which the published sampler spaces alpha geometrically."""

_TABLE = 1024


@dataclass(frozen=True, kw_only=True)
class BetaSchedule(NoiseLevels):
    """The noise levels of a Beta or Dirichlet process.

    Args:
        eta: concentration: how little noise there is.
        shift: data value of 'nothing', above 0.
        scale: how far it is from there to 'all'.
        start: logit alpha at t -> 0.
        end: logit alpha at t = 1.
        power: of the time.
        floor: L, the state -L and everything below it means 'no mass'; None for as deep as double precision goes.
        foreground: components beside the background in a group: 1 for a Beta process.
        entries: of the data, on which two readings of a pixel differ: 1 for images, 2 for one-hot masks.

    Raises:
        ValueError: the numbers allow no such process.
    """

    eta: float
    shift: float
    scale: float
    start: float = 10.0
    end: float = -13.0
    power: float = 1.0
    floor: float | None = None
    foreground: int = 1
    entries: int = 1
    log_ratios: Tensor = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.eta, self.shift, self.scale, self.power) <= 0:
            raise ValueError("eta, shift, scale and power must be above 0")
        if self.foreground * self.shift + self.scale >= 1:
            total = self.foreground * self.shift + self.scale
            raise ValueError(f"{self.foreground} shift + scale is {total:g}; it must stay below 1")
        if self.end >= self.start:
            raise ValueError(f"the signal must fade: end {self.end:g} is not below start {self.start:g}")
        if self.floor is not None and not 0 < self.floor <= _DEEPEST:
            raise ValueError(f"the floor {self.floor:g} is not in (0, {_DEEPEST:g}]")
        faintest = self.eta * self.shift * float(self.log_alpha(torch.ones(1, dtype=torch.float64)).exp())
        if faintest < FAINTEST:
            raise ValueError(f"the concentration falls to {faintest:.1g}; below {FAINTEST:g} it is lost in rounding")
        object.__setattr__(self, "log_ratios", self._table())

    @property
    def depth(self) -> float:
        """The floor, or where double precision ends."""
        return _DEEPEST if self.floor is None else self.floor

    def logit(self, t: Tensor) -> Tensor:
        """Logit alpha, equation (1), at t = 0 its limit."""
        return self.start + (self.end - self.start) * t**self.power

    def log_alpha(self, t: Tensor) -> Tensor:
        """Ln alpha; 0 at t = 0."""
        return torch.where(t > 0, torch.nn.functional.logsigmoid(self.logit(t)), 0.0)

    def time_of(self, logit: Tensor) -> Tensor:
        """The inverse of `logit`."""
        return ((logit - self.start) / (self.end - self.start)).clamp(0, 1) ** (1 / self.power)

    def ratio(self, t: Tensor) -> Tensor:
        """The ratio s of the Gaussian state that tells as much; log-linear between table entries, linear below them."""
        position = t.clamp(0, 1) * _TABLE
        lower = position.floor().clamp(1, _TABLE - 1).long()
        table = self.log_ratios.to(t.device)
        between = table[lower - 1] + (position - lower) * (table[lower] - table[lower - 1])
        return torch.where(position < 1, position * table[0].exp(), between.exp())

    def time(self, ratio: Tensor) -> Tensor:
        """The inverse of `ratio`; 1 for ratios that the process does not reach."""
        table = self.log_ratios.to(ratio.device)
        log_ratio = ratio.log().clamp(max=float(table[-1]))
        lower = torch.searchsorted(table, log_ratio, right=True).clamp(1, _TABLE - 1)
        between = lower + (log_ratio - table[lower - 1]) / (table[lower] - table[lower - 1])
        return torch.where(log_ratio < table[0], (log_ratio - table[0]).exp(), between) / _TABLE

    def concentrations(self, alpha: Tensor, *, present: bool) -> tuple[Tensor, Tensor]:
        """Of a component and of the background, where the component is all there is, or where nothing is there."""
        a = self.eta * alpha * (self.shift + self.scale * present)
        return a, self.eta - a - self.eta * alpha * (self.foreground - 1) * self.shift

    def _table(self) -> Tensor:
        """Ln s at t = 1 / TABLE, 2 / TABLE, ..., 1, strictly rising."""
        alpha = self.log_alpha(torch.arange(1, _TABLE + 1, dtype=torch.float64) / _TABLE).exp()
        (a_0, mass_0, mean_0), (a_1, mass_1, mean_1) = (
            self._floored(*self.concentrations(alpha, present=present)) for present in (False, True)
        )
        twice = (a_1 - a_0) * (mean_1 - mean_0) - (a_1 / a_0).log() * (mass_1 - mass_0)
        log_ratio = (4 * self.entries / twice).log() / 2
        return log_ratio.cummax(0).values + 1e-9 * torch.arange(_TABLE, dtype=torch.float64)

    def _floored(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A, and P and M of equation (3)."""
        log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
        mass = torch.exp(-a * self.depth - a.log() - log_beta).clamp(max=1)
        return a, mass, torch.digamma(a) - torch.digamma(b) + mass / a


def geometric_grid(schedule: BetaSchedule, steps: int) -> list[float]:
    """The grid of the published sampler: alpha geometric from alpha(1) to 1, or times linear beyond 350 steps.

    Args:
        schedule: the noise levels.
        steps: network calls.
    """
    index = torch.arange(steps, dtype=torch.float64)
    if steps > _GEOMETRIC:
        return [*(1 - index / (steps - 1) * (1 - 1e-5)).tolist(), 0.0]
    log_alpha = (1 - index / steps) * -math.log1p(math.exp(-schedule.end))
    logit = log_alpha - torch.log(-torch.expm1(log_alpha))
    return [1.0, *schedule.time_of(logit)[1:].tolist(), 0.0]
