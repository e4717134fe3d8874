"""The processes and samplers over which the laws run: a new one is tested by adding one line."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.deterministic import Deterministic
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance
from sfumato.diffusion.level.schedule import EDM, VE, VP, Flow, cosine, linear, log_snr_grid
from sfumato.diffusion.process import Condition, Denoise, Process, Step
from sfumato.diffusion.sampler.catalogue import SAMPLERS as CATALOGUE
from sfumato.diffusion.sampler.singlestep import Churn
from sfumato.randomness import Noise

Sampler = Callable[..., Iterator[Step]]

GAUSSIANS: dict[str, Gaussian] = {
    "ddpm-linear": Gaussian(schedule=linear(1000), prediction="eps"),
    "ddpm-cosine": Gaussian(schedule=cosine(1000), prediction="v"),
    "iddpm": Gaussian(schedule=cosine(4000), prediction="eps", label="schedule"),
    "edm": Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5),
    "vp": Gaussian(schedule=VP(), prediction="eps"),
    "ve": Gaussian(schedule=VE(), prediction="score"),
    "flow": Gaussian(schedule=Flow(), prediction="velocity"),
    "flow-shifted": Gaussian(schedule=Flow(3.0), prediction="x0", least_sigma=0.05),
}
CATEGORICALS: dict[str, Categorical] = {
    "categorical": Categorical(schedule=cosine(1000)),
    "categorical-linear": Categorical(schedule=linear(250)),
}
"""Processes of one-hot masks."""

LEARNED = LearnedVariance(process=GAUSSIANS["ddpm-cosine"])
LEVELLED: dict[str, Gaussian | Categorical | LearnedVariance] = {**GAUSSIANS, **CATEGORICALS, "learned": LEARNED}
"""Processes whose noise levels are those of a schedule."""

PROCESSES: dict[str, Process] = {**GAUSSIANS, "learned": LEARNED, "deterministic": Deterministic()}

CHURN = Churn(amount=10.0, low=0.05, high=20.0)


class Variant(NamedTuple):
    """A sampler of the catalogue with options; `order` where it then solves the probability-flow ODE."""

    name: str
    options: dict[str, Any]
    order: int | None = None


VARIANTS = {
    "dpmpp_3m-exact": Variant("dpmpp_3m", {"third": "exact"}, 3),
    "ralston": Variant("heun", {"alpha": 2 / 3}, 2),
    "midpoint-vp": Variant("heun", {"alpha": 0.5, "schedule": "vp", "scaling": "vp"}, 2),
    "heun-ve": Variant("heun", {"schedule": "ve"}, 2),
    "euler-vp": Variant("euler", {"schedule": "vp", "scaling": "vp"}, 1),
    "dpm_2_ancestral-eta0": Variant("dpm_2_ancestral", {"eta": 0.0}, 2),
    "dpmpp_2s_ancestral-eta0": Variant("dpmpp_2s_ancestral", {"eta": 0.0}, 2),
    "dpmpp_sde-eta0": Variant("dpmpp_sde", {"eta": 0.0}, 2),
    "ddim-eta0.5": Variant("ddim", {"eta": 0.5}),
    "heun-churn": Variant("heun", {"churn": CHURN}),
    "euler-churn": Variant("euler", {"churn": Churn(amount=10.0)}),
    "dpm_2-churn": Variant("dpm_2", {"churn": CHURN}),
}
"""Samplers with options under which they are another method."""

LEAVES_NOISE = {"midpoint-vp", "heun-ve", "euler-vp"}
"""Their last step goes straight to 0 in a time in which the way is bent, and leaves about half of the last noise."""

SUITABLE = {name: entry for name, entry in CATALOGUE.items() if entry.suits(GAUSSIANS["edm"])}
STRAIGHT = {name: entry for name, entry in CATALOGUE.items() if entry.jumps}
"""Samplers of straight paths alone."""

ORDERS: dict[str, int] = {
    **{name: entry.order for name, entry in SUITABLE.items() if entry.order is not None},
    **{name: variant.order for name, variant in VARIANTS.items() if variant.order is not None},
}
"""Samplers of the probability-flow ODE -> order."""

SAMPLERS: dict[str, Sampler] = {
    **{name: entry.sampling_loop for name, entry in (SUITABLE | STRAIGHT).items()},
    **{name: partial(CATALOGUE[base].sampling_loop, **options) for name, (base, options, _) in VARIANTS.items()},
}

PAIRS: list[tuple[str, str]] = [
    *product(GAUSSIANS, [name for name in SAMPLERS if name not in STRAIGHT]),
    *((name, of) for name, of in product(GAUSSIANS, STRAIGHT) if CATALOGUE[of].suits(GAUSSIANS[name])),
    *((name, of) for name, process in CATEGORICALS.items() for of in CATALOGUE if CATALOGUE[of].suits(process)),
    ("learned", "ancestral"),
    ("learned", "dpmpp_2m"),  # one stands for all that walk the process without its variance, see `walked`
]
"""Process and sampler, wherever they go together."""


def walked(name: str, sampler: str) -> Process:
    """The process of a pair as the sampler needs it."""
    return CATALOGUE[sampler].sampled_process(LEVELLED[name]) if sampler in CATALOGUE else LEVELLED[name]


def ideal(process: Process, images: Tensor, shares: Tensor) -> Denoise:
    """The exact denoiser of a data set: images in the given shares, weighted by how well they explain the state.

    A learned variance is the geometric mean of its bounds.
    """

    def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        likelihoods = [process.log_marginal(x_t, image.expand(len(x_t), *image.shape), t) for image in images]
        posterior = (torch.stack(likelihoods, 1) + shares.log()).softmax(1)
        x0_hat = torch.einsum("bk,k...->b...", posterior, images)
        return torch.cat([x0_hat, torch.zeros_like(x0_hat)], 1) if isinstance(process, LearnedVariance) else x0_hat

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


def grid(
    process: Gaussian | Categorical | LearnedVariance, steps: int, *, low: float = 0.01, high: float = 60.0
) -> list[float]:
    """Times that every schedule has."""
    return log_snr_grid(process.schedule, steps, low=low, high=high)
