"""improved-diffusion: tables and respacing exactly; losses, ancestral and DDIM walks to their float32 (1e-4).

Its likelihood of a grey level, at the first step alone, replaces the normal distribution function by a curve in tanh
that is off by up to 3e-4 (docs/goldens.md); with that curve in the place of the exact one the bound is met there too.
"""

from functools import partial
from typing import get_args

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.family.learned import LearnedVariance, LossType
from sfumato.diffusion.level.schedule import Discrete, cosine, linear
from sfumato.diffusion.level.spacing import kept, respaced_grid
from sfumato.diffusion.process import Condition, Network
from sfumato.diffusion.sampler.ancestral import ancestral, ddim

from .gmm import Recorded, arrays, close, exact_network, exact_output, mixture, sampling_loop

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


@pytest.mark.parametrize("run", [key for key in arrays("iddpm") if key.startswith("respace/")])
def test_respacing(run: str):
    _, length, spacing = run.split("/")
    assert kept(int(length.removeprefix("T")), spacing) == arrays("iddpm")[run].tolist()


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
    assert isinstance(process.schedule, Discrete)
    is_ddpm = sampler.startswith("FIXED")
    run = f"ddpm/{name}/{spec}/{sampler}" if is_ddpm else f"ddim_{sampler}/{name}/{spec}"
    golden = stored[f"{run}/clip{0 if clip is None else 1}"]
    trace = sampling_loop(
        ancestral if is_ddpm else partial(ddim, eta=float(sampler.removeprefix("eta"))),
        process,
        respaced_grid(process.schedule, spec),
        start=problem["latents"].view_as(golden),
        noise=problem["noise"],
        denoise=Denoiser(process, exact_network(process), clip),
    )
    close(trace.final, golden, tolerance=tolerance(name, spec))


def tolerance(name: str, spec: str) -> float:
    """At step 999 of the cosine table s = 20291, and float32 there holds x0_hat to 5e-4 only."""
    return 5e-4 if name == "cosine" and not spec.startswith("ddim") else 1e-4


def two_halves(network: Network) -> Network:
    """The network with a second half that says something of the variance."""

    def both(x_t: Tensor, level: Tensor, condition: Condition) -> Tensor:
        return torch.cat([network(x_t, level, condition), 0.7 * torch.tanh(x_t)], 1)

    return both


@pytest.mark.parametrize("clip", [None, 1.0])
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", SCHEDULES)
def test_walks_with_a_learned_variance(name: str, spec: str, clip: float | None):
    problem, schedule = arrays("gmm"), SCHEDULES[name](1000)
    process = Gaussian(schedule=schedule, prediction="eps", label="schedule")
    learned = LearnedVariance(process=process)
    golden = arrays("iddpm")[f"ddpm/{name}/{spec}/LEARNED_RANGE/clip{0 if clip is None else 1}"]
    noise = Recorded(problem["noise"])
    denoise = Denoiser(learned, two_halves(exact_network(process)), clip)
    start = problem["latents"].view_as(golden)
    *_, last = ancestral(learned, denoise, start, Condition(), noise, times=respaced_grid(schedule, spec))
    close(last.x, golden, tolerance=tolerance(name, spec))


def by_tanh(x: Tensor) -> Tensor:
    """The logarithm of the reference's curve for the normal distribution function."""
    return ((1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))) / 2).log()


@pytest.mark.parametrize("objective", get_args(LossType))
@pytest.mark.parametrize("name", SCHEDULES)
def test_losses(name: str, objective: LossType, monkeypatch: pytest.MonkeyPatch):
    stored = arrays("iddpm")
    process = Gaussian(schedule=SCHEDULES[name](1000), prediction="eps")
    learned = LearnedVariance(process=process, objective=objective)
    x0, t = stored["losses/images"], (stored[f"losses/{name}/t"] + 1) / 1000
    assert t[0] * 1000 == 1, "the first step has a term of its own"
    x_t = learned.corrupt(x0, t, Recorded([stored["losses/noise"]]))
    alpha, sigma = process.coefficients(t, x0)
    x0_hat = mixture().denoised((x_t / alpha).flatten(1), (sigma / alpha).flatten()).view_as(x0)
    eps, v = exact_output("eps", x0_hat, x_t, alpha, sigma), 0.7 * torch.tanh(x_t)
    golden = {key: stored.get(f"losses/{name}/{objective.upper()}/{key}") for key in ("loss", "mse", "vb")}
    found = {
        "loss": lambda: learned.loss(torch.cat([eps, v], 1), x0, x_t, t),
        "mse": lambda: process.loss(eps, x0, x_t, t),
        "vb": lambda: learned.bound(x0_hat, v, x0, t),
    }
    for key, expected in golden.items():
        if expected is not None:
            close(found[key]()[1:], expected[1:], tolerance=1e-5)
            close(found[key](), expected, tolerance=2e-4)
            with monkeypatch.context() as patch:
                patch.setattr(torch.special, "log_ndtr", by_tanh)
                close(found[key](), expected, tolerance=1e-5)
