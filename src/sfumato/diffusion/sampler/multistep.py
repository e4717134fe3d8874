"""Multistep samplers: each step combines the estimates of the steps before it, at one network call a step.

All are one method, `_walk`, with the coefficients of a `Scheme` (see `coefficients`, whose equations are cited here):

    sampler          polynomial through    in      order   noise       source
    dpmpp_2m         x0_hat, (2)           ln s    2       with eta    Lu et al. 2022b (DPM-Solver++)
    dpmpp_3m         x0_hat, (2)           ln s    3       with eta    Lu et al. 2022b; Crowson, k-diffusion (SDE)
    unipc            x0_hat, (2)           ln s    1 to 4  none        Zhao et al. 2023 (UniPC)
    dpm_multistep    eps_hat, (3)          ln s    1 to 3  with eta    Lu et al. 2022a (DPM-Solver)
    deis             eps_hat, (3)          ln s    1 to 4  none        Zhang & Chen 2023 (DEIS, log rho)
    lms              eps_hat, (4)          s       1 to 4  none        Zhang & Chen 2023 (rho AB), k-diffusion

Sampling may end anywhere; at s = 0 it returns the last x0_hat, but for `lms`. With `eta` above 0 there is
noise in each step: 1 is the reverse SDE with the posterior's amount, as in `ancestral`.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Literal

import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Denoise, Step
from sfumato.diffusion.sampler.ancestral import levels_at
from sfumato.diffusion.sampler.coefficients import Curvature, NoiseLevel, Scheme, StepCoefficients
from sfumato.randomness import Noise
from sfumato.typing import Data


def dpmpp_2m(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    eta: float = 0.0,
    second: Literal["midpoint", "exact"] = "midpoint",
    falling: int = 0,
) -> Iterator[Step]:
    """DPM-Solver++(2M) (Lu et al. 2022b, alg. 2) and, with eta, SDE-DPM-Solver++(2M).

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time.
        condition: handed to the denoiser.
        noise: used only with eta.
        times: from the start down to 0.
        eta: share of noise, equation (1).
        second: weight of the slope; `exact` is the form that other programs call "heun".
        falling: how many of the last steps have an order lowered down to 1.
    """
    scheme = Scheme(order=2, eta=eta, slope=second, falling=falling)
    return _walk(process, denoise, x, condition, noise, times=times, scheme=scheme)


def dpmpp_3m(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    eta: float = 0.0,
    second: Literal["midpoint", "exact"] = "exact",
    third: Curvature = "published",
    falling: int = 0,
) -> Iterator[Step]:
    """DPM-Solver++(3M) and, with eta, its SDE form: three estimates a step.

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time.
        condition: handed to the denoiser.
        noise: used only with eta.
        times: from the start down to 0.
        eta: share of noise, equation (1).
        second: weight of the slope in a step of two estimates.
        third: weight of the curvature. The published code takes half of the exact one: its error falls with the second
            order only, but in the 10 to 25 calls that one can afford it is the smaller of the two (`exact` is 0.95 to
            1.04 times it on a log-SNR grid, 1.2 to 2.3 times on a Karras grid; at 100 calls 0.3 and 0.6 times; on the
            mixture of tests/golden).
        falling: how many of the last steps have an order lowered down to 1; 2 for fewer than 15 steps in the code of
            Lu et al.
    """
    scheme = Scheme(order=3, eta=eta, slope=second, curvature=third, falling=falling)
    return _walk(process, denoise, x, condition, noise, times=times, scheme=scheme)


def unipc(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    order: int = 2,
    form: Literal["bh1", "bh2"] = "bh2",
) -> Iterator[Step]:
    """UniPC (Zhao et al. 2023, alg. 1 and 2): a step is taken again when the estimate at its end is known.

    Its weights are the exact ones of equation (5), whichever B(h) the paper's equations are written with, but for
    polynomials through two estimates. The last steps have falling order.

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time.
        condition: handed to the denoiser.
        noise: not used.
        times: from the start down to 0.
        order: estimates in a step, 1 to 4; its correction has one more. 2 is the better in up to 10 calls.
        form: B(h) is h or e^h - 1, see `Slope`.
    """
    slope: Literal["width", "midpoint"] = "width" if form == "bh1" else "midpoint"
    scheme = Scheme(order=order, slope=slope, falling=order, corrects=True)
    return _walk(process, denoise, x, condition, noise, times=times, scheme=scheme)


def dpm_multistep(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    order: int = 2,
    eta: float = 0.0,
    second: Literal["midpoint", "exact"] = "midpoint",
    third: Curvature = "published",
    falling: int = 0,
) -> Iterator[Step]:
    """DPM-Solver in multistep form (Lu et al. 2022a): like `dpmpp_2m` and `dpmpp_3m` in terms of noise; to compare.

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time, where alpha is not 0.
        condition: handed to the denoiser.
        noise: used only with eta.
        times: from the start down to 0.
        order: estimates in a step, 1 to 3.
        eta: share of noise, equation (1).
        second: weight of the slope in a step of two estimates.
        third: weight of the curvature.
        falling: how many of the last steps have an order lowered down to 1.
    """
    scheme = Scheme(order=order, target="noise", eta=eta, slope=second, curvature=third, falling=falling)
    return _walk(process, denoise, x, condition, noise, times=times, scheme=scheme)


def deis(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    order: int = 3,
    falling: int = 0,
) -> Iterator[Step]:
    """DEIS with polynomials in ln s (Zhang & Chen 2023): exact integrals of the noise estimates, equation (3).

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time, where alpha is not 0.
        condition: handed to the denoiser.
        noise: not used.
        times: from the start down to 0.
        order: estimates in a step, 1 to 4.
        falling: how many of the last steps have an order lowered down to 1.
    """
    scheme = Scheme(order=order, target="noise", falling=falling)
    return _walk(process, denoise, x, condition, noise, times=times, scheme=scheme)


def lms(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    order: int = 4,
) -> Iterator[Step]:
    """The linear multistep method of Adams and Bashforth in s, equation (4), on any grid; the last step included.

    Args:
        process: a Gaussian process.
        denoise: the denoiser.
        x: the state at the first time, where alpha is not 0.
        condition: handed to the denoiser.
        noise: not used.
        times: from the start down to 0.
        order: estimates in a step, 1 to 4.
    """
    scheme = Scheme(order=order, target="noise", along="ratio")
    return _walk(process, denoise, x, condition, noise, times=times, scheme=scheme)


def _walk(
    process: Gaussian,
    denoise: Denoise,
    x: Data,
    condition: Condition,
    noise: Noise,
    *,
    times: Sequence[float],
    scheme: Scheme,
) -> Iterator[Step]:
    """The steps of a scheme. A correction moves the state before the next step; the network saw the uncorrected one."""
    levels = [NoiseLevel(*level) for level in levels_at(process, times)]
    rows, corrections = scheme.rows(levels), [None, *scheme.corrections(levels)]
    estimates: list[Data] = []
    before = x
    for (t, s), level, row, correction in zip_longest(pairwise(times), levels[:-1], rows, corrections):
        x0 = denoise(x, t, condition)
        newest = x0 if scheme.target == "data" else torch.sub(x, x0, alpha=level.alpha).div_(level.sigma)
        estimates = [newest, *estimates[: scheme.order]]
        if scheme.target == "noise":
            before = x0
        else:
            before = x if correction is None else _combined(before, estimates, correction)
        x = _combined(before, estimates, row)
        if row.fresh > 0:
            x.add_(noise.normal(x), alpha=row.fresh)
        yield Step(s, x, x0)


def _combined(base: Data, estimates: Sequence[Data], row: StepCoefficients) -> Data:
    moved = row.base * base
    for estimate, weight in zip(estimates, row.weights, strict=False):
        moved.add_(estimate, alpha=weight)
    return moved
