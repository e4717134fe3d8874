"""Samplers: generators that walk down a list of times and yield a `Step` after each move.

`ancestral` works with any process. The others solve the probability-flow ODE of the Gaussian family

    d(x / alpha) / ds = (x / alpha - x0_hat) / s,      s = sigma / alpha                                  (1)

whose coefficients are computed once, as floats, before the loop; nothing inside asks the device for a number.
All take `(process, denoise, x, condition, noise, *, times)`: `x` is the state at `times[0]`, from `process.prior`, or
from `process.corrupt` where something is known already; it is not written to. `times` falls from there to 0, one
network call per step; other modules have samplers with several.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Denoise, Process, Step
from sfumato.randomness import Noise
from sfumato.typing import Data


def ancestral(
    process: Process, denoise: Denoise, x: Data, condition: Condition, noise: Noise, *, times: Sequence[float]
) -> Iterator[Step]:
    """x_s ~ q(x_s | x_t, x0_hat) down the times: DDPM's sampler (Ho et al. 2020, alg. 2), for any process."""
    for t, s in pairwise(times):
        x0 = denoise(x, t, condition)
        x = process.reverse(x, x0, t, s, noise)
        yield Step(s, x, process.data(x0))


def ddim(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    eta: float = 0.0,
    scale: float = 1.0,
) -> Iterator[Step]:
    """x_s = alpha_s x0_hat + sqrt(sigma_s^2 - c^2) eps_hat + c n, c = eta posterior std (Song et al. 2021, eq. 12).

    eta 0 is deterministic (Euler's method for (1)), eta 1 is `ancestral`. `scale` multiplies n (S_noise).
    In the ratio s this is the ancestral step of `singlestep`, so with eta 1 it is also Euler ancestral.
    """
    levels = levels_at(process, times)
    for t, s, (alpha_t, sigma_t), (alpha_s, sigma_s) in zip(times, times[1:], levels, levels[1:], strict=False):
        x0 = denoise(x, t, condition)
        fresh = eta * math.sqrt(1 - (sigma_s * alpha_t / (alpha_s * sigma_t)) ** 2)
        along = sigma_s * math.sqrt(1 - fresh**2) / sigma_t
        x = (along * x).add_(x0, alpha=alpha_s - along * alpha_t)
        if fresh * sigma_s > 0:
            x.add_(noise.normal(x), alpha=scale * fresh * sigma_s)
        yield Step(s, x, x0)


def jump(
    process: Gaussian, denoise: Denoise, x: Data, condition: Condition, noise: Noise, *, times: Sequence[float]
) -> Iterator[Step]:
    """x_s = x_t - (sigma_t - sigma_s) u(x_t, t, sigma_t - sigma_s), u the mean velocity in between (Geng et al. 2025).

    Euler's step along a straight path, which is `ddim`, by a network that is told how far it goes: see `tasks.jumps`.
    """
    levels = levels_at(process, times)
    for t, s, (_, sigma_t), (_, sigma_s) in zip(times, times[1:], levels, levels[1:], strict=False):
        told = replace(condition, jump=torch.full((len(x),), sigma_t - sigma_s, device=x.device))
        (step,) = ddim(process, denoise, x, told, noise, times=(t, s))
        x = step.x
        yield step


def levels_at(process: Gaussian, times: Sequence[float]) -> list[tuple[float, float]]:
    """Alpha and sigma at each time, as floats."""
    return [(float(alpha), float(sigma)) for alpha, sigma in (process.coefficients(float(t)) for t in times)]
