"""The coefficients of multistep samplers: how a step weighs the estimates of the steps before it.

With y = x / alpha, s = sigma / alpha and eps = (y - x0) / s, every eta >= 0 in

    dy = (1 + eta) eps ds + sqrt(2 eta s |ds|) n,   s falling,                                            (1)

has the marginals of the forward process; eta 0 is the probability-flow ODE, eta 1 the reverse SDE (Song et al. 2021).
A step from s to s' is solved exactly but for what the network knows, x0 or eps along the way. With the width
h = ln(s / s') and the place v on the way, from 0 at s to 1 at s',

    y' = (s'/s)^(1+eta) y + int k(v) x0(v) dv + s' sqrt(1 - (s'/s)^(2 eta)) n                             (2)
    y' = y - (1 + eta) s int k(v) eps(v) dv + sqrt(eta (s^2 - s'^2)) n                                    (3)
    y' = y - s int k(v) eps(v) dv                                                                         (4)

where v is linear in ln s in (2) and (3), k = (1 + eta) h e^(-(1 + eta) h (1 - v)) and k = h e^(-h v), and linear in s
in (4), k = 1 - s'/s. Along the way stands the polynomial through the estimates at places v_i: 0 for the newest, below
0 for those before it, 1 for one made at the end, with which a step is taken again. The weights of the estimates are

    w_i = int k(v) L_i(v) dv,   L_i Lagrange's polynomials,   made from the moments m_j = int k(v) v^j dv.     (5)

Published solvers put simpler numbers in the place of some moments; see `Slope` and `Curvature`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Slope = Literal["exact", "midpoint", "width"]
"""m_1 of a polynomial through two estimates: as it is; m_0 / 2 (DPM-Solver's midpoint form, UniPC with
B_2 = e^h - 1); or h / 2 (UniPC with B_1 = h)."""

Curvature = Literal["exact", "published"]
"""m_2 of a polynomial through three estimates: as it is, or half of it (the code of Lu et al. and its descendants)."""


class NoiseLevel(NamedTuple):
    """Alpha and sigma at a time of the walk."""

    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """s = sigma / alpha; infinite where alpha is 0."""
        return self.sigma / self.alpha if self.alpha > 0 else math.inf


class StepCoefficients(NamedTuple):
    """x_s = base b + sum_i weights_i estimate_i + fresh n, the newest estimate first.

    b is x_t where the estimates are of data. Where they are of noise it is x0_hat, with x_t = alpha x0_hat + sigma eps
    put in, because x_t / alpha would lose the digits of x0_hat where s is large.
    """

    base: float
    weights: tuple[float, ...]
    fresh: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A multistep method.

    Attributes:
        order: most estimates in a step.
        target: what the polynomial goes through, x0_hat or eps_hat.
        along: what it is a polynomial in; the ratio s stands for equation (4), which is of noise and has no eta.
        eta: of equation (1).
        slope: see `Slope`.
        curvature: see `Curvature`.
        falling: the order of the last steps falls from this number to 1; 0 for a walk that does not lower it. A step
            to s = 0 in ln s, whose width is infinite, is of first order always.
        corrects: whether a step is taken again once the estimate at its end is known (Zhao et al. 2023, UniC).
    """

    order: int
    target: Literal["data", "noise"] = "data"
    along: Literal["log_ratio", "ratio"] = "log_ratio"
    eta: float = 0.0
    slope: Slope = "exact"
    curvature: Curvature = "exact"
    falling: int = 0
    corrects: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 4:
            raise ValueError(f"a multistep method has order 1 to 4, not {self.order}")
        if self.eta < 0:
            raise ValueError(f"eta is a share of noise, 0 or more, not {self.eta}")
        if self.along == "ratio" and (self.target == "data" or self.eta > 0):
            raise ValueError("polynomials in s are for noise estimates without eta")

    def rows(self, levels: Sequence[NoiseLevel]) -> list[StepCoefficients]:
        """The coefficients of each step between the levels."""
        return [self._row(levels, step, ahead=False) for step in range(len(levels) - 1)]

    def corrections(self, levels: Sequence[NoiseLevel]) -> list[StepCoefficients]:
        """Those that take each step but the last one again, the estimate at its end included."""
        return [self._row(levels, step, ahead=True) for step in range(len(levels) - 2)] if self.corrects else []

    def _row(self, levels: Sequence[NoiseLevel], step: int, *, ahead: bool) -> StepCoefficients:
        start, end = levels[step], levels[step + 1]
        if self.target == "noise" and start.alpha == 0:
            raise ValueError("a sampler in terms of noise cannot start at alpha = 0, where the noise is all there is")
        places = self._places(levels, step)
        if ahead:
            places = [1.0, *places]
        weights = lagrange(places, self._moments(start, end, len(places)))
        kept = end.ratio / start.ratio
        if self.target == "data":
            fresh = end.sigma * math.sqrt(1 - kept ** (2 * self.eta))
            return StepCoefficients(end.sigma / start.sigma * kept**self.eta, _scaled(end.alpha, weights), fresh)
        eta = self.eta if end.ratio > 0 else 0.0  # there is no step left that could remove the noise
        first, *others = _scaled(-(1 + eta) * start.ratio, weights)
        fresh = end.alpha * math.sqrt(eta * (start.ratio**2 - end.ratio**2))
        return StepCoefficients(end.alpha, _scaled(end.alpha, [start.ratio + first, *others]), fresh)

    def _places(self, levels: Sequence[NoiseLevel], step: int) -> list[float]:
        """v of the estimates that a step uses, newest first; none that lies infinitely far back."""
        left = len(levels) - 1 - step
        used = min(self.order, step + 1, left if left <= self.falling else self.order)
        end, here, *before = (self._position(level) for level in reversed(levels[step + 1 - used : step + 2]))
        if math.isinf(end - here):
            return [0.0]
        return [0.0, *((there - here) / (end - here) for there in before if math.isfinite(there))]

    def _position(self, level: NoiseLevel) -> float:
        if self.along == "ratio":
            return level.ratio
        return math.log(level.ratio) if level.ratio > 0 else -math.inf

    def _moments(self, start: NoiseLevel, end: NoiseLevel, count: int) -> list[float]:
        kept = end.ratio / start.ratio
        width = -math.log(kept) if kept > 0 else math.inf
        if self.along == "ratio":
            return [(1 - kept) / (power + 1) for power in range(count)]
        moments = _rising(width * (1 + self.eta), count) if self.target == "data" else _falling(width, count)
        if count == 2 and self.slope != "exact" and math.isfinite(width):
            moments[1] = (moments[0] if self.slope == "midpoint" else width) / 2
        if count == 3 and self.curvature == "published":
            moments[2] /= 2
        return moments


def lagrange(places: Sequence[float], moments: Sequence[float]) -> tuple[float, ...]:
    """The weights of equation (5): sum_i w_i v_i^j = m_j for as many powers j as there are places."""
    weights = []
    for i, place in enumerate(places):
        basis = [1.0]
        for other in (*places[:i], *places[i + 1 :]):
            basis = [(low - other * high) / (place - other) for low, high in zip([0, *basis], [*basis, 0], strict=True)]
        weights.append(sum(coefficient * moment for coefficient, moment in zip(basis, moments, strict=True)))
    return tuple(weights)


def _rising(width: float, count: int) -> list[float]:
    """m_j = int_0^1 w e^(-w (1 - v)) v^j dv = 1 - j m_(j-1) / w, for the width w."""
    moments = [-math.expm1(-width)]
    for power in range(1, count):
        moments.append(1 - power * moments[-1] / width)
    return moments


def _falling(width: float, count: int) -> list[float]:
    """m_j = int_0^1 w e^(-w v) v^j dv = j m_(j-1) / w - e^-w."""
    moments = [-math.expm1(-width)]
    for power in range(1, count):
        moments.append(power * moments[-1] / width - math.exp(-width))
    return moments


def _scaled(factor: float, weights: Sequence[float]) -> tuple[float, ...]:
    return tuple(factor * weight for weight in weights)
