"""Samplers: generators that walk down a list of times and yield a `Step` after each move.

`ancestral` works with any process. The others solve the probability-flow ODE of the Gaussian family

    d(x / alpha) / ds = (x / alpha - x0_hat) / s,      s = sigma / alpha                                  (1)

whose coefficients are computed once, as floats, before the loop; nothing inside asks the device for a number.
All take `(process, denoise, x, condition, noise, *, times)`: `x` is the state at `times[0]`, from `process.prior`, or
from `process.corrupt` where something is known already; it is not written to. `times` falls from there to 0, one
network call per step (Heun: two, but for the last).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal

import torch

from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Denoise, Noise, Process, Step
from sfumato.typing import Data


def ancestral(
    process: Process, denoise: Denoise, x: Data, condition: Condition, noise: Noise, *, times: Sequence[float]
) -> Iterator[Step]:
    """x_s ~ q(x_s | x_t, x0_hat) down the times: DDPM's sampler (Ho et al. 2020, alg. 2), for any process."""
    for t, s in pairwise(times):
        x0 = denoise(x, t, condition)
        x = process.reverse(x, x0, t, s, noise)
        yield Step(s, x, x0)


def ddim(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    eta: float = 0.0,
) -> Iterator[Step]:
    """x_s = alpha_s x0_hat + sqrt(sigma_s^2 - c^2) eps_hat + c n, c = eta posterior std (Song et al. 2021, eq. 12).

    eta 0 is deterministic (Euler's method for (1)), eta 1 is `ancestral`.
    """
    levels = _levels(process, times)
    for t, s, (alpha_t, sigma_t), (alpha_s, sigma_s) in zip(times, times[1:], levels, levels[1:], strict=False):
        x0 = denoise(x, t, condition)
        fresh = eta * math.sqrt(1 - (sigma_s * alpha_t / (alpha_s * sigma_t)) ** 2)
        along = sigma_s * math.sqrt(1 - fresh**2) / sigma_t
        x = (along * x).add_(x0, alpha=alpha_s - along * alpha_t)
        if fresh * sigma_s > 0:
            x.add_(noise.normal(x), alpha=fresh * sigma_s)
        yield Step(s, x, x0)


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


def euler(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    churn: Churn = Churn(),
) -> Iterator[Step]:
    """Euler's method for (1), with optional churn."""
    yield from _euler_heun(process, denoise, x, condition, noise, times=times, churn=churn, correct=False)


def heun(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    churn: Churn = Churn(),
) -> Iterator[Step]:
    """Heun's method for (1) with optional churn: EDM's sampler (Karras et al. 2022, alg. 2); 2 n - 1 calls."""
    yield from _euler_heun(process, denoise, x, condition, noise, times=times, churn=churn, correct=True)


def _euler_heun(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    churn: Churn,
    correct: bool,
) -> Iterator[Step]:
    steps = len(times) - 1
    levels = _levels(process, times)
    for (t, s), (alpha_t, sigma_t), (alpha_s, sigma_s) in zip(pairwise(times), levels, levels[1:], strict=False):
        t_hat, alpha_hat, sigma_hat = t, alpha_t, sigma_t
        gamma = churn.gain(sigma_t / alpha_t, steps)
        if gamma > 0:
            t_hat, alpha_hat, sigma_hat = _at_ratio(process, sigma_t / alpha_t * (1 + gamma))
            scaled = alpha_hat / alpha_t
            added = churn.scale * math.sqrt(max(sigma_hat**2 - (scaled * sigma_t) ** 2, 0.0))
            x = (scaled * x).add_(noise.normal(x), alpha=added)
        x0 = denoise(x, t_hat, condition)
        along = sigma_s / sigma_hat
        moved = (along * x).add_(x0, alpha=alpha_s - along * alpha_hat)
        if correct and s > 0:
            # Mean of the slopes (x / alpha - x0_hat) / ratio at both ends, over the distance between the ratios.
            distance = alpha_s * (sigma_s / alpha_s - sigma_hat / alpha_hat)
            x0_end = denoise(moved, s, condition)
            moved = (
                (alpha_s / alpha_hat + distance / (2 * sigma_hat)) * x
                + (distance / (2 * sigma_s)) * moved
                - (distance * alpha_hat / (2 * sigma_hat)) * x0
                - (distance * alpha_s / (2 * sigma_s)) * x0_end
            )
        x = moved
        yield Step(s, x, x0)


def dpmpp_2m(
    process: Gaussian, denoise: Denoise, x: Data, condition: Condition, noise: Noise, *, times: Sequence[float]
) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022, alg. 2): second order, one call a step."""
    weights = partial(_multistep_weights, second="midpoint", third="published")
    yield from _multistep(process, denoise, x, condition, noise, times=times, used=_growing(times, 2), weights=weights)


def dpmpp_3m(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    second: Literal["midpoint", "exact"] = "exact",
    third: Literal["published", "exact"] = "published",
    lower_final: bool = False,
) -> Iterator[Step]:
    """DPM-Solver++(3M): three estimates a step, one call a step.

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time.
        condition: handed to the denoiser.
        noise: not used.
        times: from the start down to 0.
        second: weight of the slope in the second step, which has only one predecessor.
        third: weight of the curvature. The published code takes half of the exact one: its error falls with the second
            order only, but in the 10 to 25 calls that one can afford it is the smaller of the two (`exact` is 0.95 to
            1.04 times it on a log-SNR grid, 1.2 to 2.3 times on a Karras grid; at 100 calls 0.3 and 0.6 times; on the
            mixture of tests/golden).
        lower_final: take the step before the last with second order (for fewer than 15 steps, Lu et al. 2022).
    """
    weights = partial(_multistep_weights, second=second, third=third)
    used = _growing(times, 3)
    if lower_final:
        used[-2:-1] = [min(count, 2) for count in used[-2:-1]]
    yield from _multistep(process, denoise, x, condition, noise, times=times, used=used, weights=weights)


def _growing(times: Sequence[float], order: int) -> list[int]:
    """How many estimates each step uses: one more than the step before, up to `order`."""
    return [min(step + 1, order) for step in range(len(times) - 1)]


def _multistep(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,  # noqa: ARG001 - every sampler takes it
    *,
    times: Sequence[float],
    used: Sequence[int],
    weights: Callable[[float, Sequence[float]], tuple[float, ...]],
) -> Iterator[Step]:
    """x_s = (sigma_s / sigma_t) x + alpha_s sum_i w_i x0_hat_i over the last `used` estimates, newest first."""
    levels = _levels(process, times)
    log_ratio = [math.log(sigma / alpha) if sigma > 0 else -math.inf for alpha, sigma in levels]
    widths = [a - b for a, b in pairwise(log_ratio)]
    estimates: list[Data] = []
    for i, (t, s) in enumerate(pairwise(times)):
        estimates = [denoise(x, t, condition), *estimates[: max(used) - 1]]
        alpha_s, sigma_s = levels[i + 1]
        x = (sigma_s / levels[i][1]) * x
        before = [widths[i - j] for j in range(1, used[i])]
        for estimate, weight in zip(estimates, weights(widths[i], before), strict=False):
            x.add_(estimate, alpha=alpha_s * weight)
        yield Step(s, x, estimates[0])


def _multistep_weights(
    width: float,
    before: Sequence[float],
    *,
    second: Literal["midpoint", "exact"],
    third: Literal["published", "exact"],
) -> tuple[float, ...]:
    """Weights of the newest, second and third estimate for a step of `width` in ln(alpha / sigma).

    With h = width: phi_1 = 1 - e^-h, phi_2 = (e^-h - 1) / h + 1, phi_3 = 2 (phi_2 / h - 1/2), D' and D'' the divided
    differences of the estimates: phi_1 D + phi_2 D' - phi_3 D'', the exact integral of a parabola through them.
    `midpoint` replaces phi_2 by phi_1 / 2, `published` phi_3 by its half.
    """
    if math.isinf(width):
        return (1.0,)
    phi_1 = -math.expm1(-width)
    phi_2 = 1 - phi_1 / width
    if not before:
        return (phi_1,)
    r_0 = before[0] / width
    if len(before) == 1:
        slope = (phi_1 / 2 if second == "midpoint" else phi_2) / r_0
        return phi_1 + slope, -slope
    r_1 = before[1] / width
    phi_3 = (phi_2 / width - 0.5) * (2 if third == "exact" else 1)
    near = (phi_2 * (1 + r_0 / (r_0 + r_1)) - phi_3 / (r_0 + r_1)) / r_0
    far = (phi_2 * r_0 - phi_3) / (r_0 + r_1) / r_1
    return phi_1 + near, -near - far, far


def _levels(process: Gaussian, times: Sequence[float]) -> list[tuple[float, float]]:
    """Alpha and sigma at each time, as floats."""
    return [(float(alpha), float(sigma)) for alpha, sigma in (process.coefficients(float(t)) for t in times)]


def _at_ratio(process: Gaussian, ratio: float) -> tuple[float, float, float]:
    """Time, alpha and sigma at a noise-to-signal ratio."""
    t = float(process.schedule.time(torch.tensor([ratio], dtype=torch.float64)))
    (level,) = _levels(process, [t])
    return t, *level
