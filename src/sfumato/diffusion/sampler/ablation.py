"""Euler's and two-stage methods for the probability-flow ODE, in any schedule and scaling (Karras et al. 2022, alg. 1).

Every schedule sigma(t) and scaling c(t) describe the same noise levels, but a solver goes straight in z = c y and t:

    dz/dt = (c' / c + sigma' / sigma) z - (sigma' c / sigma) x0_hat                                        (1)
    z'    = z + h [(1 - 1/(2a)) dz/dt(z, t) + 1/(2a) dz/dt(z + a h dz/dt, t + a h)]                        (2)

a = 1 is Heun's method, 1/2 the midpoint rule, 2/3 Ralston's. The first three samplers' questions of Karras et al. are
then arguments: schedule and scaling (`Path`), a, and the discretisation, which is a list of times like any grid. The
network and its process play no part: a process of one schedule is sampled along the path of another.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import repeat
from typing import Literal, assert_never

import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import VE, VP, cosine
from sfumato.diffusion.process import Condition, Denoise, Step
from sfumato.diffusion.sampler.singlestep import (
    CALM,
    X0,
    Churn,
    LinearForm,
    Stage,
    Y,
    plan_leaps,
    sampling_loop,
    time_at,
)
from sfumato.randomness import Noise
from sfumato.typing import Data

PathSchedule = Literal["linear", "ve", "vp"]
Scaling = Literal["none", "vp"]

LINEAR = VE(1.0, 1.0)
SQUARE_ROOT = VE(1.0, 0.5)

VP_END = 1e-3
"""The time at which the VP schedule has its lowest ratio."""


@dataclass(frozen=True)
class Path:
    """How sigma and the scale move with time.

    Args:
        schedule: sigma(t).
        scaled: c = 1 / sqrt(1 + sigma^2), so that z keeps its variance; else c = 1.
    """

    schedule: VE | VP
    scaled: bool = False

    def time(self, sigma: float) -> float:
        """The inverse of `sigma`; 0 at 0, where a fitted VP schedule may not start."""
        return 0.0 if sigma == 0 else time_at(self.schedule, sigma)

    def sigma(self, t: float) -> float:
        """The noise level at a time."""
        return float(self.schedule.ratio(torch.tensor([t], dtype=torch.float64)))

    def scale(self, sigma: float) -> float:
        """c at a noise level."""
        return 1 / math.sqrt(1 + sigma**2) if self.scaled else 1.0

    def slope(self, z: LinearForm, x0: LinearForm, sigma: float, t: float) -> LinearForm:
        """Equation (1); c'/c = -sigma sigma' c^2, so that the first bracket is c^2 sigma'/sigma where c is not 1."""
        c, speed = self.scale(sigma), self._speed(sigma, t)
        return (c**2 * speed / sigma) * z - (c * speed / sigma) * x0

    def _speed(self, sigma: float, t: float) -> float:
        """The derivative of `sigma`."""
        if isinstance(self.schedule, VE):
            return self.schedule.warp * sigma / t
        return (self.schedule.beta_min + self.schedule.beta_d * t) * (sigma + 1 / sigma) / 2


def path(schedule: PathSchedule, scaling: Scaling, *, low: float, high: float) -> Path:
    """sigma = t, sigma = sqrt(t), or VP with sigma(1) = `high` and sigma(VP_END) = `low`."""
    match schedule:
        case "linear":
            return Path(LINEAR, scaling == "vp")
        case "ve":
            return Path(SQUARE_ROOT, scaling == "vp")
        case "vp":
            return Path(fitted_vp(low, high), scaling == "vp")
        case _ as never:
            assert_never(never)


@lru_cache
def fitted_vp(low: float, high: float) -> VP:
    """The VP schedule with s(1) = `high` and s(VP_END) = `low`.

    Raises:
        ValueError: the ends are the same, as in a walk of one step.
    """
    if low >= high:
        raise ValueError(f"a VP path from ratio {high:g} to {low:g}: it needs two noise levels, so two steps")
    top, bottom = math.log1p(high**2), math.log1p(low**2)
    beta_d = 2 * (bottom / VP_END - top) / (VP_END - 1)
    return VP(beta_d, top - beta_d / 2)


def euler(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    churn: Churn = CALM,
    schedule: PathSchedule = "linear",
    scaling: Scaling = "none",
    ends: tuple[float, float] | None = None,
) -> Iterator[Step]:
    """Euler's method for (1), with optional churn; one call a step. For the arguments see `heun`."""
    method = partial(_one_stage, path=_path(process, times, schedule, scaling, ends))
    yield from sampling_loop(
        denoise, x, condition, noise, table=plan_leaps(process, times, repeat(method), churn=churn)
    )


def heun(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    churn: Churn = CALM,
    alpha: float = 1.0,
    schedule: PathSchedule = "linear",
    scaling: Scaling = "none",
    ends: tuple[float, float] | None = None,
) -> Iterator[Step]:
    """Equation (2), with optional churn; two calls a step, one for the last. As it is, EDM's sampler (their alg. 2).

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time.
        condition: handed to the denoiser.
        noise: used for churn.
        times: from the start down to 0.
        churn: noise added before each step.
        alpha: where in the step the second call is, in (0, 1].
        schedule: of the path.
        scaling: of the path.
        ends: lowest and highest ratio of a VP path; by default those of `times`.
    """
    method = partial(_two_stages, path=_path(process, times, schedule, scaling, ends), alpha=alpha)
    yield from sampling_loop(
        denoise, x, condition, noise, table=plan_leaps(process, times, repeat(method), churn=churn)
    )


def _one_stage(s: float, end: float, *, path: Path) -> Sequence[Stage]:
    z, t = path.scale(s) * Y, path.time(s)
    z_end = z + (path.time(end) - t) * path.slope(z, X0[0], s, t)
    return [Stage(end, z_end / path.scale(end))]


def _two_stages(s: float, end: float, *, path: Path, alpha: float) -> Sequence[Stage]:
    if end == 0:
        return _one_stage(s, end, path=path)
    z, t = path.scale(s) * Y, path.time(s)
    h = path.time(end) - t
    slope = path.slope(z, X0[0], s, t)
    t_mid = t + alpha * h
    s_mid = end if alpha == 1 else path.sigma(t_mid)
    z_mid = z + alpha * h * slope
    mean = (1 - 1 / (2 * alpha)) * slope + 1 / (2 * alpha) * path.slope(z_mid, X0[1], s_mid, t_mid)
    return [Stage(s_mid, z_mid / path.scale(s_mid)), Stage(end, (z + h * mean) / path.scale(end))]


def _path(
    process: Gaussian,
    times: Sequence[float],
    schedule: PathSchedule,
    scaling: Scaling,
    ends: tuple[float, float] | None,
) -> Path:
    if ends is None:
        high, low = process.schedule.ratio(torch.tensor([times[0], times[-2]], dtype=torch.float64)).tolist()
        ends = low, high
    return path(schedule, scaling, low=ends[0], high=ends[1])


def vp_ratios(steps: int, *, low: float, high: float) -> Tensor:
    """Ratios at equally spaced times of the VP schedule with these ends (Song et al. 2021)."""
    return fitted_vp(low, high).ratio(torch.linspace(1, VP_END, steps, dtype=torch.float64))


def iddpm_ratios(steps: int, *, low: float, high: float) -> Tensor:
    """Ratios evenly picked from those entries of the cosine table (Nichol & Dhariwal 2021) that lie within the ends."""
    table = cosine(1000).ratios[1:].flip(0)
    within = table[(table >= low) & (table <= high)]
    position = torch.arange(steps, dtype=torch.float64) * ((len(within) - 1) / (steps - 1))
    return within[position.round().long()]
