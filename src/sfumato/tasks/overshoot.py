"""Whether a sampler overshoots in the steps that it is given, before any network is asked.

For data x0 ~ N(0, d^2) of independent pixels the perfect denoiser is known,

    x0_hat = alpha d^2 / (alpha^2 d^2 + sigma^2) x_t                                                       (1)

and what is drawn with it should have the deviation d. A method of higher order takes long steps along a slope that
holds for short ones only: Heun in 2 steps, 3 network calls, from a ratio of 80 ends at 79 d. The limits of an image
cut that to black and white.
"""

import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Process
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.randomness import Noise
from sfumato.tasks.task import Sampler, last
from sfumato.typing import Data, Output

LARGEST_SPREAD = 1.5
"""A sampler whose results spread further than this many times the data overshoots."""

_SIDE = 64
"""Of the picture of independent pixels that is drawn: the spread is then known to 1 %."""


def sampled_deviation(process: Process, sampler: Sampler, *, deviation: float) -> float:
    """Standard deviation of what is drawn, in that of the data, with the denoiser (1).

    1.0 for a sampler that draws each state from its posterior: it cannot overshoot.

    Args:
        process: the process that is sampled.
        sampler: how.
        deviation: d, the standard deviation of the data.
    """
    sampled = SAMPLERS[sampler.name].sampled_process(process)
    if SAMPLERS[sampler.name].any_process or not isinstance(sampled, Gaussian):
        return 1.0
    gaussian = sampled

    def denoise(x_t: Data, t: float, condition: Condition) -> Output:  # noqa: ARG001
        alpha, sigma = (float(each) for each in gaussian.coefficients(t))
        return alpha * deviation**2 / (alpha**2 * deviation**2 + sigma**2) * x_t

    like, noise = torch.zeros(1, 1, _SIDE, _SIDE, dtype=torch.float64), Noise([0])
    x = gaussian.corrupt(deviation * noise.normal(like), sampler.times[0], noise)
    drawn = last(sampler.sampling_loop(gaussian, denoise, x, Condition(), noise)).x
    return float(drawn.std()) / deviation
