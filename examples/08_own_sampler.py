"""A sampler of one's own is a generator of steps: the midpoint rule on the probability-flow ODE, and its order."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM
from sfumato.diffusion.process import Condition, Denoise, Step
from sfumato.diffusion.sampler.ancestral import levels_at
from sfumato.randomness import Noise
from sfumato.typing import Data


def midpoint(
    process: Gaussian, denoise: Denoise, x: Data, condition: Condition, noise: Noise, *, times: Sequence[float]
) -> Iterator[Step]:
    """With y = x / alpha and s = sigma / alpha the ODE is dy / ds = (y - x0_hat) / s; two calls a step.

    y_m = y + (s_m - s) (y - x0_hat(y, s)) / s,   y' = y + (s' - s) (y_m - x0_hat(y_m, s_m)) / s_m,   s_m = sqrt(s s')
    """
    del noise  # the ODE draws none; the signature is that of every sampler
    for t, end in pairwise(times):
        (alpha, sigma), (alpha_end, sigma_end) = levels_at(process, [t, end])
        s, s_end = sigma / alpha, sigma_end / alpha_end
        middle = (s * s_end) ** 0.5
        t_m = process.schedule.time(torch.tensor(middle, dtype=torch.float64)).item()
        ((alpha_m, _),) = levels_at(process, [t_m])
        y = x / alpha
        y_m = y + (middle - s) * (y - denoise(x, t, condition)) / s
        x0 = denoise(alpha_m * y_m, t_m, condition)
        x = alpha_end * (y + (s_end - s) * (y_m - x0) / middle)
        yield Step(t=end, x=x, x0=x0)


process = Gaussian(schedule=EDM(), prediction="F", sigma_data=1.0)


def exact(x_t: Data, t: float, condition: Condition) -> Data:
    """E[x0 | x_t] of data from N(0, 1)."""
    del condition
    ((alpha, sigma),) = levels_at(process, [t])
    return alpha / (alpha**2 + sigma**2) * x_t


def error(steps: int) -> float:
    """How far the last state is from the solution, which only stretches what it starts from."""
    ratios = torch.logspace(1, -1, steps + 1, dtype=torch.float64)
    times = process.schedule.time(ratios).tolist()
    start = torch.ones(1, 1, 1, dtype=torch.float64)
    *_, last = midpoint(process, exact, start, Condition(), Noise([0]), times=times)
    before, after = (alpha**2 + sigma**2 for alpha, sigma in levels_at(process, [times[0], times[-1]]))
    return abs(last.x.item() - (after / before) ** 0.5)


errors = [error(steps) for steps in (16, 32, 64)]
print("halving the steps divides the error by", [round(a / b, 1) for a, b in pairwise(errors)])
assert all(3.5 < a / b < 4.5 for a, b in pairwise(errors)), "of second order"
