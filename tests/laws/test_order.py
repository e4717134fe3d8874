"""Law 3: the error on an exact Gaussian falls at the sampler's nominal order.

Data N(m, v), state x = x_t / alpha: D(x; s) = m + v (x - m) / (v + s^2), and the ODE dx/ds = (x - D) / s is solved by

    x(s) - m = (x(S) - m) sqrt((v + s^2) / (v + S^2)).

The process cancels but for rounding, so a table and a continuous schedule stand for all. `dpm_fast` ends in the same
low orders at both numbers of steps, which are multiples of three. The published weights of DPM-Solver++(3M) halve the
curvature, so its nominal order is two; with the exact ones three.
"""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import karras_grid
from sfumato.diffusion.process import Condition
from sfumato.randomness import Noise

from .families import GAUSSIANS, ORDERS, SAMPLERS

MEAN, VARIANCE = 0.4, 0.3
LOW, HIGH = 0.05, 100.0


def error(sampler: str, process: Gaussian, steps: int) -> float:
    """Largest error at s = LOW after a walk from s = HIGH, before the closing step to 0."""

    def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        alpha, sigma = process.coefficients(t)
        return MEAN + VARIANCE * (x_t / alpha - MEAN) / (VARIANCE + (sigma / alpha) ** 2)

    # On a grid of equal steps in ln s the leading errors of some samplers cancel, for this mean and variance.
    times = karras_grid(process.schedule, steps + 1, low=LOW, high=HIGH)
    like = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    x = process.prior(like, Noise([0]), t=times[0])
    start = x / process.coefficients(times[0])[0]
    exact = MEAN + (start - MEAN) * math.sqrt((VARIANCE + LOW**2) / (VARIANCE + HIGH**2))
    sampling_loop = SAMPLERS[sampler](process, denoise, x, Condition(), Noise([0]), times=times)
    end = list(sampling_loop)[-2]
    assert end.t == times[-2]
    return float((end.x / process.coefficients(end.t)[0] - exact).abs().max())


@pytest.mark.parametrize("name", ["ddpm-cosine", "edm"])
@pytest.mark.parametrize("sampler", ORDERS)
def test_order(sampler: str, name: str):
    coarse, fine = (error(sampler, GAUSSIANS[name], steps) for steps in (90, 180))
    assert ORDERS[sampler] - 0.2 < math.log2(coarse / fine) < ORDERS[sampler] + 0.5
