"""DPM-Solver (Lu et al. 2022a) in single steps: `dpm_fast` for a budget of calls, `dpm_adaptive` for a tolerance.

In y = x / alpha, with the noise estimate e = (y - x0_hat) / s and h = ln(s / s'), a step from s to s' is of order

    1:  y' = y - s' (e^h - 1) e                                                                           (1)
    2:  y' = (1) - s' (e^h - 1) / (2 r) (e_r - e)                                                         (2)
    3:  y' = (1) - s' ((e^h - 1) / h - 1) / r (e_r - e)                                                   (3)

where e_r is asked at s e^(-r h): r = 1/2 in (2), reached by (1); r = 2/3 in (3), reached by (3) from r = 1/3.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Denoise, Step
from sfumato.diffusion.sampler.ancestral import levels_at
from sfumato.diffusion.sampler.singlestep import (
    X0,
    Leap,
    LinearForm,
    Method,
    Stage,
    TimedLevel,
    Y,
    in_scale,
    level_at,
    plan_leaps,
    sampling_loop,
    take_leap,
    toward,
)
from sfumato.randomness import Noise
from sfumato.typing import Data

FIRST_WIDTH = 0.05
"""Of adaptive steps, in ln s."""

ACCEPTED = 0.81
"""A step whose successor would be shorter than this share of it is taken again."""

SMALLEST_ERROR = 1e-8


def dpm_fast(
    process: Gaussian, denoise: Denoise, x: Data, condition: Condition, noise: Noise, *, times: Sequence[float]
) -> Iterator[Step]:
    """As many third-order steps as n calls allow, ending in one of second or first order; then one call to 0.

    The n + 1 steps of `times` are calls; the solver's own, fewer and longer steps divide the same grid evenly.
    """
    calls = len(times) - 2
    orders = _orders(calls)
    methods = [_METHODS[order] for order in orders]
    edges = [_between(process, times, calls * step / len(orders)) for step in range(1, len(orders))]
    ends = [times[-2]] if orders else []
    table = plan_leaps(process, [times[0], *edges, *ends, 0.0], [*methods, _first])
    yield from sampling_loop(denoise, x, condition, noise, table=table)


def _orders(calls: int) -> list[int]:
    """Orders of the steps, which are also their calls."""
    threes, rest = divmod(calls, 3)
    if rest:
        return [3] * threes + [rest]
    return [3] * (threes - 1) + [2, 1] if threes else []


def _between(process: Gaussian, times: Sequence[float], position: float) -> float:
    """The time at a fractional position of a grid, interpolated in ln s."""
    index = math.floor(position)
    near, far = (sigma / alpha for alpha, sigma in levels_at(process, times[index : index + 2]))
    return level_at(process, near * (far / near) ** (position - index)).t


def dpm_adaptive(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    order: int = 3,
    relative: float = 0.05,
    absolute: float = 0.0078,
) -> Iterator[Step]:
    """Steps as long as the difference of two orders allows, from the first of `times` to the last but one, then to 0.

    It looks at numbers after every step, and the length of a step is that of the whole batch: an item depends on the
    company it is in. For that reason, and because its calls are not known before, it has no name in recipes.

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time.
        condition: handed to the denoiser.
        noise: not used.
        times: only the ends are used.
        order: 2 (compared with 1) or 3 (compared with 2).
        relative: tolerance as a share of the state.
        absolute: tolerance in the units of the data.
    """
    here, final, zero = (TimedLevel(t, *levels_at(process, [t])[0]) for t in (times[0], times[-2], times[-1]))
    method, lower = _PAIRS[order]
    width, before, known = FIRST_WIDTH, x, list[Data]()
    while here.ratio > final.ratio:
        left = math.log(here.ratio / final.ratio)
        width = min(width, left)
        end = final if width == left else level_at(process, here.ratio * math.exp(-width))  # no step of a rounding
        moves = in_scale(process, here, method(here.ratio, end.ratio), end)
        *_, low_move = in_scale(process, here, lower(here.ratio, end.ratio), end)
        high, estimates = take_leap(denoise, x, condition, noise, Leap(here.t, None, moves), known=known)
        low = low_move(x, estimates, noise)
        # The tolerances are those of y = x / alpha.
        allowed = (low / end.alpha).abs().maximum((before / here.alpha).abs()).mul(relative).clamp(min=absolute)
        error = float(((low - high) / end.alpha / allowed).square().mean().sqrt())
        factor = 1 + math.atan((error + SMALLEST_ERROR) ** (-1 / order) - 1)
        width, known = width * factor, estimates[:1]
        if factor >= ACCEPTED:
            x, before, here, known = high, low, end, []
            yield Step(end.t, x, estimates[0])
    yield from sampling_loop(denoise, x, condition, noise, table=plan_leaps(process, [here.t, zero.t], [_first]))


def _first(s: float, end: float) -> Sequence[Stage]:
    """Equation (1), which is DDIM."""
    return [Stage(end, toward(Y, X0[0], s, end))]


def _second(s: float, end: float, *, r: float = 1 / 2) -> Sequence[Stage]:
    """Equation (2)."""
    h = math.log(s / end)
    near = s * math.exp(-r * h)
    u = toward(Y, X0[0], s, near)
    turn = _noise(u, X0[1], near) - _noise(Y, X0[0], s)
    return [Stage(near, u), Stage(end, toward(Y, X0[0], s, end) - end * math.expm1(h) / (2 * r) * turn)]


def _third(s: float, end: float) -> Sequence[Stage]:
    """Equation (3), twice."""
    h = math.log(s / end)
    near, far = s * math.exp(-h / 3), s * math.exp(-2 * h / 3)
    e, u = _noise(Y, X0[0], s), toward(Y, X0[0], s, near)
    v = toward(Y, X0[0], s, far) - _bend(2 * h / 3, far, 1 / 2) * (_noise(u, X0[1], near) - e)
    last = toward(Y, X0[0], s, end) - _bend(h, end, 2 / 3) * (_noise(v, X0[2], far) - e)
    return [Stage(near, u), Stage(far, v), Stage(end, last)]


def _bend(h: float, end: float, r: float) -> float:
    """The factor of (e_r - e) in equation (3)."""
    return end * (math.expm1(h) / h - 1) / r


def _noise(y: LinearForm, x0: LinearForm, s: float) -> LinearForm:
    """The noise estimate e."""
    return (y - x0) / s


_METHODS: Mapping[int, Method] = {1: _first, 2: _second, 3: _third}
_PAIRS: Mapping[int, tuple[Method, Method]] = {2: (_second, _first), 3: (_third, partial(_second, r=1 / 3))}
"""Order -> the method and the one of the order below that asks for the same estimates."""
