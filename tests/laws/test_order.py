"""Law 3: the error on an exact Gaussian falls at the sampler's nominal order.

Data N(m, v), state x = x_t / alpha: D(x; s) = m + v (x - m) / (v + s^2), and the ODE dx/ds = (x - D) / s is solved by

    x(s) - m = (x(S) - m) sqrt((v + s^2) / (v + S^2)).

The published weights of DPM-Solver++(3M) halve the curvature, so its nominal order is two; with the exact ones three.
"""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Noise

from .families import DETERMINISTIC, GAUSSIANS, grid

ORDERS = {"ddim": 1, "euler": 1, "heun": 2, "dpmpp_2m": 2, "dpmpp_3m": 2, "dpmpp_3m-exact": 3}
MEAN, VARIANCE = 0.4, 0.3
LOW, HIGH = 0.05, 100.0


def error(sampler: str, process: Gaussian, steps: int) -> float:
    """Largest error at s = LOW after a walk from s = HIGH, before the closing step to 0."""

    def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        alpha, sigma = process.coefficients(t)
        return MEAN + VARIANCE * (x_t / alpha - MEAN) / (VARIANCE + (sigma / alpha) ** 2)

    times = grid(process, steps + 1, low=LOW, high=HIGH)
    like = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    x = process.prior(like, Noise([0]), t=times[0])
    start = x / process.coefficients(times[0])[0]
    exact = MEAN + (start - MEAN) * math.sqrt((VARIANCE + LOW**2) / (VARIANCE + HIGH**2))
    walk = DETERMINISTIC[sampler](process, denoise, x, Condition(), Noise([0]), times=times)
    end = list(walk)[-2]
    assert end.t == times[-2]
    return float((end.x / process.coefficients(end.t)[0] - exact).abs().max())


@pytest.mark.parametrize("name", GAUSSIANS)
@pytest.mark.parametrize("sampler", ORDERS)
def test_order(sampler: str, name: str):
    coarse, fine = (error(sampler, GAUSSIANS[name], steps) for steps in (100, 200))
    assert ORDERS[sampler] - 0.1 < math.log2(coarse / fine) < ORDERS[sampler] + 0.5


def test_every_deterministic_sampler_has_an_order():
    assert ORDERS.keys() == DETERMINISTIC.keys()
