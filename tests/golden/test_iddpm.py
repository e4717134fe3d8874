"""improved-diffusion: schedule and posterior tables exactly; ancestral and DDIM walks to their float32 (1e-4)."""

from functools import partial

import pytest
import torch

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.sampler import ancestral, ddim
from sfumato.diffusion.schedule import cosine, linear

from .gmm import arrays, close, exact_network, walk

SCHEDULES = {"linear": linear, "cosine": cosine}
SPECS = ["5", "10", "18", "25", "50", "ddim5", "ddim10", "ddim25", "ddim50"]


@pytest.mark.parametrize("steps", [50, 100, 1000, 4000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_tables(name: str, steps: int):
    stored = {key: arrays("iddpm")[f"{name}/T{steps}/{key}"] for key in ("betas", "alphas_cumprod")}
    schedule = SCHEDULES[name](steps)
    torch.testing.assert_close(schedule.betas, stored["betas"], rtol=1e-10, atol=0)  # theirs are 1 - a ratio near 1
    alpha_bar = 1 / (1 + schedule.ratios[1:] ** 2)
    torch.testing.assert_close(alpha_bar, stored["alphas_cumprod"], rtol=1e-11, atol=0)


@pytest.mark.parametrize("steps", [50, 100, 1000, 4000])
@pytest.mark.parametrize("name", SCHEDULES)
def test_posterior(name: str, steps: int):
    """Weights and variance of q(x_s | x_t, x0) between neighbours of the table, at its start and 200 places more."""
    kept = [*range(50), *range(50, steps, max(1, steps // 200))]
    variance, of_estimate, of_state = (
        arrays("iddpm")[f"{name}/T{steps}/posterior_{key}"][kept] for key in ("variance", "mean_coef1", "mean_coef2")
    )
    small = Gaussian(schedule=SCHEDULES[name](steps), prediction="eps")
    rows = [small.posterior((k + 1) / steps, k / steps) for k in kept]
    from_state, from_estimate, spread = torch.tensor(rows, dtype=torch.float64).T
    torch.testing.assert_close(from_state, of_state, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(from_estimate, of_estimate, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(spread**2, variance, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("name", SCHEDULES)
def test_large_variance_is_beta(name: str):
    large = Gaussian(schedule=SCHEDULES[name](1000), prediction="eps", variance="large")
    spread = torch.tensor([large.posterior((k + 1) / 1000, k / 1000)[2] for k in range(1, 1000)], dtype=torch.float64)
    torch.testing.assert_close(spread**2, arrays("iddpm")[f"{name}/T1000/betas"][1:], rtol=1e-9, atol=0)


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("sampler", ["FIXED_SMALL", "FIXED_LARGE", "eta0.0", "eta0.5", "eta1.0"])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_walks(name: str, spec: str, sampler: str, clip: float | None):
    """Down the retained steps of a table of 1000 ("respacing"), from unit noise, through an exact network."""
    problem, stored = arrays("gmm"), arrays("iddpm")
    process = Gaussian(
        schedule=SCHEDULES[name](1000),
        prediction="eps",
        label="schedule",
        variance="large" if sampler == "FIXED_LARGE" else "small",
    )
    kept = stored[f"respace/T1000/{spec}"].flip(0)
    is_ddpm = sampler.startswith("FIXED")
    run = f"ddpm/{name}/{spec}/{sampler}" if is_ddpm else f"ddim_{sampler}/{name}/{spec}"
    golden = stored[f"{run}/clip{0 if clip is None else 1}"]
    trace = walk(
        ancestral if is_ddpm else partial(ddim, eta=float(sampler.removeprefix("eta"))),
        process,
        [*((kept + 1) / 1000).tolist(), 0.0],
        start=problem["latents"].view_as(golden),
        noise=problem["noise"],
        denoise=Denoiser(process, exact_network(process), clip),
    )
    # At step 999 of the cosine table s = 20291, and float32 there holds x0_hat to 5e-4 only.
    close(trace.final, golden, tolerance=5e-4 if name == "cosine" and kept[0] == 999 else 1e-4)
