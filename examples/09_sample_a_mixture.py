"""Sampling without any network: the exact denoiser of four points, walked down by DPM-Solver++(2M)."""

import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, log_snr_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.multistep import dpmpp_2m
from sfumato.randomness import Noise

points = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]).view(4, 2, 1)
process = Gaussian(schedule=EDM(), prediction="F", sigma_data=1.0)


def denoise(x_t: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:  # noqa: ARG001
    """E[x0 | x_t]: a softmax over the points by their likelihood."""
    score = torch.stack([process.log_marginal(x_t, point.expand_as(x_t), t) for point in points])
    return torch.einsum("kb,kcs->bcs", score.softmax(0), points)


noise = Noise(seeds=range(1000))
times = log_snr_grid(process.schedule, 18)
x = process.prior(torch.empty(1000, 2, 1), noise)
*_, last = dpmpp_2m(process, denoise, x, Condition(), noise, times=times)
nearest = torch.cdist(last.x.flatten(1), points.flatten(1)).min(1)
assert nearest.values.max() < 0.05, "every sample lies on a point"
assert nearest.indices.bincount().min() > 200, "each point gets its share"
