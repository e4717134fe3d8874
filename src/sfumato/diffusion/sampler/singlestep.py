"""Single-step samplers: a step knows the state it starts from and the estimates that it asks for itself.

In y = x / alpha and s = sigma / alpha the probability-flow ODE of every Gaussian process is dy/ds = (y - x0_hat) / s.
A method goes from s to a smaller s' in stages; stage j, the last of which is the next state, is

    y_j = k_j y + sum_(i <= j) w_ji x0_hat_i + c_j n      at s_j,      x0_hat_i asked at y_(i-1), s_(i-1)    (1)

with y_0 = y, s_0 = s: so a method is no more than the numbers k, w, c, and all are computed before the first call. They
are written as sums of `LinearForm`s, which read like the papers. Along a straight line, and exactly if x0_hat stands
still,

    y' = (s' / s) y + (1 - s' / s) x0_hat.                                                                (2)

Noise comes in three ways: churn before a step (Karras et al. 2022, alg. 2); an ancestral step, which overshoots to
`down` and returns with noise, down^2 + up^2 = s'^2; and within a stage (dpmpp_sde).
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise, repeat, zip_longest
from typing import NamedTuple

import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import NoiseLevels
from sfumato.diffusion.process import Condition, Denoise, Step
from sfumato.diffusion.sampler.ancestral import levels_at
from sfumato.randomness import Noise
from sfumato.typing import Data


@dataclass(frozen=True)
class LinearForm:
    """A linear form in the state and the estimates of a step.

    Args:
        parts: k, w_1, w_2, ... of equation (1); those left out are zero.
    """

    parts: tuple[float, ...]

    def __add__(self, other: "LinearForm") -> "LinearForm":
        return LinearForm(tuple(a + b for a, b in zip_longest(self.parts, other.parts, fillvalue=0.0)))

    def __sub__(self, other: "LinearForm") -> "LinearForm":
        return self + -1.0 * other

    def __rmul__(self, scale: float) -> "LinearForm":
        return LinearForm(tuple(scale * part for part in self.parts))

    def __truediv__(self, divisor: float) -> "LinearForm":
        return LinearForm(tuple(part / divisor for part in self.parts))


Y = LinearForm((1.0,))
"""The state at the start of a step."""

X0 = (LinearForm((0.0, 1.0)), LinearForm((0.0, 0.0, 1.0)), LinearForm((0.0, 0.0, 0.0, 1.0)))
"""The estimates that a step asks for, in order."""


class Stage(NamedTuple):
    """One line of equation (1).

    Attributes:
        ratio: s_j.
        form: k_j and w_j.
        spread: c_j, standard deviation of the fresh noise in y.
    """

    ratio: float
    form: LinearForm
    spread: float = 0.0


Method = Callable[[float, float], Sequence[Stage]]
"""From s to s' >= 0 in stages."""


def toward(y: LinearForm, x0: LinearForm, s: float, end: float) -> LinearForm:
    """Equation (2)."""
    return (end / s) * y + (1 - end / s) * x0


def split(s: float, end: float, eta: float) -> tuple[float, float]:
    """`down` and `up` of an ancestral step; eta 0 is no noise, eta 1 the posterior's."""
    q = (end / s) ** 2
    return end * math.sqrt(max((1 - eta**2) + eta**2 * q, 0.0)), end * min(eta * math.sqrt(1 - q), 1.0)


def ancestral_step(method: Method, *, eta: float, scale: float) -> Method:
    """The method, ending below the ratio that was asked for and returning to it with noise (times `scale`)."""

    def noisy(s: float, end: float) -> Sequence[Stage]:
        down, up = split(s, end, eta)
        *inner, last = method(s, down)
        return [*inner, Stage(end, last.form, scale * up)]

    return noisy


@dataclass(frozen=True, kw_only=True)
class Churn:
    """Noise added before a step (Karras et al. 2022, alg. 2).

    Args:
        amount: S_churn, spread over the steps.
        low: S_min, no churn below this noise-to-signal ratio.
        high: S_max, no churn above it.
        scale: S_noise, standard deviation of the added noise.
    """

    amount: float = 0.0
    low: float = 0.0
    high: float = math.inf
    scale: float = 1.0

    def gain(self, ratio: float, steps: int) -> float:
        """The relative increase gamma of the ratio."""
        return min(self.amount / steps, math.sqrt(2) - 1) if self.low <= ratio <= self.high else 0.0


CALM = Churn()
"""No churn."""


def dpm_2(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    churn: Churn = CALM,
) -> Iterator[Step]:
    """The midpoint rule, the midpoint taken in ln s: DPM-Solver-2 of Karras et al. (2022), with optional churn."""
    yield from sampling_loop(
        denoise, x, condition, noise, table=plan_leaps(process, times, repeat(_midpoint), churn=churn)
    )


def dpm_2_ancestral(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    eta: float = 1.0,
    scale: float = 1.0,
) -> Iterator[Step]:
    """`dpm_2` in ancestral steps; `scale` multiplies the noise."""
    method = ancestral_step(_midpoint, eta=eta, scale=scale)
    yield from sampling_loop(denoise, x, condition, noise, table=plan_leaps(process, times, repeat(method)))


def dpmpp_2s_ancestral(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    eta: float = 1.0,
    scale: float = 1.0,
) -> Iterator[Step]:
    """DPM-Solver++(2S) (Lu et al. 2022, alg. 1) in ancestral steps; eta 0 is the deterministic solver."""
    method = ancestral_step(_exponential_midpoint, eta=eta, scale=scale)
    yield from sampling_loop(denoise, x, condition, noise, table=plan_leaps(process, times, repeat(method)))


def dpmpp_sde(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    eta: float = 1.0,
    scale: float = 1.0,
) -> Iterator[Step]:
    """SDE-DPM-Solver++ in single steps (Lu et al. 2022): (2S) whose midpoint is drawn too, with noise of its own."""

    def method(s: float, end: float) -> Sequence[Stage]:
        if end == 0:
            return [Stage(end, X0[0])]
        middle = math.sqrt(s * end)
        (near, drawn), (down, up) = split(s, middle, eta), split(s, end, eta)
        return [
            Stage(middle, toward(Y, X0[0], s, near), scale * drawn),
            Stage(end, toward(Y, X0[1], s, down), scale * up),
        ]

    yield from sampling_loop(denoise, x, condition, noise, table=plan_leaps(process, times, repeat(method)))


def _midpoint(s: float, end: float) -> Sequence[Stage]:
    """y' = y + (s' - s) dy/ds at sqrt(s s')."""
    if end == 0:
        return [Stage(end, X0[0])]
    middle = math.sqrt(s * end)
    u = toward(Y, X0[0], s, middle)
    return [Stage(middle, u), Stage(end, Y + (end - s) * (u - X0[1]) / middle)]


def _exponential_midpoint(s: float, end: float) -> Sequence[Stage]:
    """Equation (2) with the estimate at sqrt(s s')."""
    if end == 0:
        return [Stage(end, X0[0])]
    middle = math.sqrt(s * end)
    return [Stage(middle, toward(Y, X0[0], s, middle)), Stage(end, toward(Y, X0[1], s, end))]


class TimedLevel(NamedTuple):
    """A time and its coefficients."""

    t: float
    alpha: float
    sigma: float

    @property
    def ratio(self) -> float:
        """s = sigma / alpha."""
        return self.sigma / self.alpha


class Move(NamedTuple):
    """A stage in the process's own scale: `keep` x + sum_i `weights`_i x0_hat_i + `spread` n, at time t."""

    t: float
    keep: float
    weights: tuple[float, ...]
    spread: float

    def __call__(self, x: Data, estimates: Sequence[Data], noise: Noise) -> Data:
        """The state of the stage."""
        moved = self.keep * x
        for weight, estimate in zip(self.weights, estimates, strict=False):
            if weight != 0:
                moved.add_(estimate, alpha=weight)
        if self.spread > 0:
            moved.add_(noise.normal(x), alpha=self.spread)
        return moved


class Leap(NamedTuple):
    """A step: where it starts, the churn before it if any, and its stages."""

    t: float
    churn: Move | None
    moves: list[Move]


def plan_leaps(
    process: Gaussian, times: Sequence[float], methods: Iterable[Method], *, churn: Churn = CALM
) -> list[Leap]:
    """The coefficients of every step, each with its method."""
    levels = [TimedLevel(t, *pair) for t, pair in zip(times, levels_at(process, times), strict=True)]
    leaps = []
    for (start, end), method in zip(pairwise(levels), methods, strict=False):
        gain = churn.gain(start.ratio, len(times) - 1)
        hat = level_at(process, start.ratio * (1 + gain)) if gain > 0 else start
        stages = method(hat.ratio, end.ratio)
        stirred = _stir(start, hat, churn.scale) if gain > 0 else None
        leaps.append(Leap(hat.t, stirred, in_scale(process, hat, stages, end)))
    return leaps


def in_scale(process: Gaussian, start: TimedLevel, stages: Sequence[Stage], end: TimedLevel) -> list[Move]:
    """Stages in y become moves of x_t = alpha y."""
    moves = []
    for ratio, form, spread in stages:
        level = end if ratio == end.ratio else level_at(process, ratio)
        keep, *weights = form.parts
        scaled = tuple(level.alpha * weight for weight in weights)
        moves.append(Move(level.t, level.alpha / start.alpha * keep, scaled, level.alpha * spread))
    return moves


def sampling_loop(
    denoise: Denoise, x: Data, condition: Condition, noise: Noise, *, table: Iterable[Leap]
) -> Iterator[Step]:
    """Equation (1), step after step; a step shows its first estimate."""
    for leap in table:
        x, estimates = take_leap(denoise, x, condition, noise, leap)
        yield Step(leap.moves[-1].t, x, estimates[0])


def take_leap(
    denoise: Denoise, x: Data, condition: Condition, noise: Noise, leap: Leap, *, known: Sequence[Data] = ()
) -> tuple[Data, list[Data]]:
    """One step: the next state, and the estimates, of which the first few may be known already."""
    start = x if leap.churn is None else leap.churn(x, [], noise)
    x, t = start, leap.t
    estimates = list(known)
    for number, move in enumerate(leap.moves):
        if number == len(estimates):
            estimates.append(denoise(x, t, condition))
        x, t = move(start, estimates, noise), move.t
    return x, estimates


def level_at(process: Gaussian, ratio: float) -> TimedLevel:
    """The level of a noise-to-signal ratio."""
    t = time_at(process.schedule, ratio)
    (pair,) = levels_at(process, [t])
    return TimedLevel(t, *pair)


@lru_cache(maxsize=4096)
def time_at(schedule: NoiseLevels, ratio: float) -> float:
    """The time of a noise-to-signal ratio; remembered, as every batch walks the same times."""
    return float(schedule.time(torch.tensor([ratio], dtype=torch.float64)))


def _stir(start: TimedLevel, hat: TimedLevel, scale: float) -> Move:
    """From s up to s_hat; no noise where a table of noise levels ends at s."""
    grown = hat.alpha / start.alpha
    added = math.sqrt(max(hat.sigma**2 - (grown * start.sigma) ** 2, 0.0))
    return Move(hat.t, grown, (), scale * added)
