"""Which samplers overshoot in few steps: measured with the perfect denoiser of a Gaussian, and of a mixture."""

import pytest
import torch

from sfumato.builder.process import build_process
from sfumato.builder.sampling import build_sampler
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.catalogue import SAMPLERS
from sfumato.randomness import Noise
from sfumato.recipe import load_recipe
from sfumato.tasks.overshoot import LARGEST_SPREAD, sampled_deviation
from sfumato.tasks.task import Sampler, last

KINDS = {"edm": "{kind: edm, sigma_data: 0.5}", "ddpm": "{kind: gaussian}", "ve": "{kind: ve}"}


def drawn(name: str, steps: int, kind: str = "edm", grid: str = "log_snr") -> tuple[Gaussian, Sampler]:
    words = [f"process={KINDS[kind]}", f"sample.sampler={name}", f"sample.steps={steps}", f"sample.grid={grid}"]
    recipe = load_recipe("generate", settings=words)
    process = build_process(recipe)
    assert isinstance(process, Gaussian)
    return process, build_sampler(recipe.sample, process, critical=None)


def of_mixture(process: Gaussian, sampler: Sampler) -> float:
    """Spread of what is drawn of two narrow Gaussians at -0.5 and 0.5, over that of the mixture."""
    middle, width = 0.5, 0.1

    def denoise(x: torch.Tensor, t: float, condition: Condition) -> torch.Tensor:
        alpha, sigma = process.coefficients(t)
        y, s2 = x / alpha, (sigma / alpha) ** 2
        right = torch.sigmoid(2 * middle * y / (width**2 + s2))
        centre = middle * (2 * right - 1)
        return centre + width**2 / (width**2 + s2) * (y - centre)

    like, noise = torch.zeros(1, 1, 64, 64, dtype=torch.float64), Noise([0])
    x = process.prior(like, noise, t=sampler.times[0])
    x = last(sampler.sampling_loop(process, denoise, x, Condition(), noise)).x  # type: ignore[arg-type]
    return float(x.std()) / (middle**2 + width**2) ** 0.5


def test_heun_in_three_calls() -> None:
    process, sampler = drawn("heun", 2)
    assert sampler.calls == 3
    assert sampled_deviation(process, sampler, deviation=0.5) > 50 and of_mixture(process, sampler) > 50


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name, entry in SAMPLERS.items() if not entry.jumps])  # of flows alone
def test_who_overshoots(name: str, kind: str) -> None:
    """What is measured on a Gaussian holds on a mixture: who spreads far there does here, and who does not does not."""
    calm = SAMPLERS[name].calm_from
    spreads = {
        steps: sampled_deviation(*drawn(name, steps, kind), deviation=0.5)
        for steps in {1, 2, 3, 4, 5, 6, 8, 12, 18, calm}
    }
    assert (max(spreads.values()) > LARGEST_SPREAD) == (calm > 1)
    assert all(spread < LARGEST_SPREAD for steps, spread in spreads.items() if steps >= calm)
    for steps in (3, 6, 18):
        mixed = of_mixture(*drawn(name, steps, kind))
        assert mixed > 1.3 if spreads[steps] > 2 else mixed < 2.5


@pytest.mark.parametrize("name", ["dpmpp_2m", "ddim"])
@pytest.mark.parametrize("grid", ["log_snr", "karras", "uniform", "polyexponential", "leading", "linspace", "trailing"])
def test_what_is_advised_never_overshoots(name: str, grid: str) -> None:
    for steps in range(2, 24):
        assert sampled_deviation(*drawn(name, steps, "ddpm", grid), deviation=0.5) < LARGEST_SPREAD


def test_many_steps_are_right() -> None:
    for name in ("heun", "ddim", "dpmpp_2m", "dpm_2"):
        assert sampled_deviation(*drawn(name, 100), deviation=0.25) == pytest.approx(1, abs=0.03)


def test_a_draw_from_the_posterior_is_left_alone() -> None:
    assert sampled_deviation(*drawn("ancestral", 2), deviation=0.5) == 1
    recipe = load_recipe("segment", settings=["process={kind: categorical, critical_log_snr: -5}"])
    process = build_process(recipe)
    assert sampled_deviation(process, build_sampler(recipe.sample, process, critical=-5.0), deviation=1.0) == 1
