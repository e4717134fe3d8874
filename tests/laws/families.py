"""The processes and samplers over which the laws run: a new one is tested by adding one line."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from sfumato.diffusion.deterministic import Deterministic
from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.process import Condition, Denoise, Noise, Process, Step
from sfumato.diffusion.sampler import Churn, ancestral, ddim, dpmpp_2m, dpmpp_3m, euler, heun
from sfumato.diffusion.schedule import EDM, VE, VP, cosine, linear, log_snr_grid

Sampler = Callable[..., Iterator[Step]]

GAUSSIANS: dict[str, Gaussian] = {
    "ddpm-linear": Gaussian(schedule=linear(1000), prediction="eps"),
    "ddpm-cosine": Gaussian(schedule=cosine(1000), prediction="v"),
    "edm": Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5),
    "vp": Gaussian(schedule=VP(), prediction="eps"),
    "ve": Gaussian(schedule=VE(), prediction="score"),
}
PROCESSES: dict[str, Process] = {**GAUSSIANS, "deterministic": Deterministic()}

DETERMINISTIC: dict[str, Sampler] = {
    "ddim": ddim,
    "euler": euler,
    "heun": heun,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_3m": dpmpp_3m,
    "dpmpp_3m-exact": partial(dpmpp_3m, third="exact"),
}
STOCHASTIC: dict[str, Sampler] = {
    "ancestral": ancestral,
    "ddim-eta1": partial(ddim, eta=1.0),
    "ddim-eta0.5": partial(ddim, eta=0.5),
    "heun-churn": partial(heun, churn=Churn(amount=10.0, low=0.05, high=20.0)),
    "euler-churn": partial(euler, churn=Churn(amount=10.0)),
}
SAMPLERS = DETERMINISTIC | STOCHASTIC


def ideal(process: Process, images: Tensor, shares: Tensor) -> Denoise:
    """The exact denoiser of a data set: images in the given shares, weighted by how well they explain the state."""

    def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        likelihoods = [process.log_marginal(x_t, image.expand_as(x_t), t) for image in images]
        posterior = (torch.stack(likelihoods, 1) + shares.log()).softmax(1)
        return torch.einsum("bk,k...->b...", posterior, images)

    return denoise


def sample(
    sampler: Sampler,
    process: Process,
    denoise: Denoise,
    *,
    like: Tensor,
    seeds: Sequence[int],
    times: Sequence[float],
    condition: Condition | None = None,
) -> Tensor:
    """The last state of a walk."""
    noise = Noise(seeds)
    x = process.prior(like, noise, t=times[0])
    *_, last = sampler(process, denoise, x, condition or Condition(), noise, times=times)
    return last.x


def grid(process: Gaussian, steps: int, *, low: float = 0.01, high: float = 60.0) -> list[float]:
    """Times that every schedule has."""
    return log_snr_grid(process.schedule, steps, low=low, high=high)
