"""A schedule is s(t) and its inverse, guidance is a denoiser around a denoiser: write your own. No network needed."""

from dataclasses import dataclass

import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.guidance import Guided
from sfumato.diffusion.level.schedule import StateScaling, log_snr_grid
from sfumato.diffusion.process import Condition, Denoise
from sfumato.diffusion.sampler.multistep import dpmpp_2m
from sfumato.randomness import Noise


@dataclass(frozen=True)
class Cosine:
    """The cosine schedule without a table, s = tan(a t) up to 80; a `schedule.Schedule`."""

    angle: float = 1.5583  # atan(80)
    scaling: StateScaling = "variance_preserving"

    def ratio(self, t: torch.Tensor) -> torch.Tensor:
        """s(t)."""
        return torch.tan(self.angle * t)

    def time(self, ratio: torch.Tensor) -> torch.Tensor:
        """t(s)."""
        return torch.atan(ratio) / self.angle

    def label(self, t: torch.Tensor) -> torch.Tensor:
        """What the network is told: ln(s) / 4."""
        return torch.log(self.ratio(t)) / 4


def within(denoise: Denoise, limit: float) -> Denoise:
    """Guidance may overshoot; an estimate that leaves the range of the data is pulled back into it."""
    return lambda x_t, t, condition: denoise(x_t, t, condition).clamp(-limit, limit)


points = torch.tensor([[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0], [1.0, 1.0]]).view(4, 2, 1)
classes = torch.tensor([0, 0, 1, 1])  # label 2 is 'no class'
process = Gaussian(schedule=Cosine(), prediction="v")


def denoise(x_t: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:
    """E[x0 | x_t, class]."""
    score = torch.stack([process.log_marginal(x_t, point.expand_as(x_t), t) for point in points], 1)
    other = (condition.label[:, None] != classes) & (condition.label[:, None] != 2)
    return torch.einsum("bk,kcs->bcs", score.masked_fill(other, -torch.inf).softmax(1), points)


guided = within(Guided(process, denoise, scale=2.0, unlabelled=2, interval=(0.1, 5.0)), limit=1.0)
label = torch.arange(200) % 2
times = log_snr_grid(process.schedule, 18)
x = process.prior(torch.empty(200, 2, 1), noise := Noise(range(200)))
*_, last = dpmpp_2m(process, guided, x, Condition(label=label), noise, times=times)
assert torch.equal((last.x[:, 0, 0] > 0).long(), label), "every sample is of the class that was asked for"
