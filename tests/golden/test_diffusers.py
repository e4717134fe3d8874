"""Schedulers of diffusers 0.42.1 at every step, to the 2e-4 that its float32 tables allow.

Left out, because diffusers does not walk to the next entry of its own table there: DDIM steps from t to t - 1000 // n,
which is the next entry for `leading` and, where n divides 1000, for `trailing`. `ddim_clip` clips x0_hat but moves
along the unclipped noise; ours moves along the noise that belongs to the clipped estimate. Heun down the whole cosine
table starts at s = 20291 and multiplies the error of its second slope by the width of the first step, 8000.
"""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.denoiser import Denoiser
from sfumato.diffusion.gaussian import Gaussian, Prediction
from sfumato.diffusion.process import Step
from sfumato.diffusion.sampler import ancestral, ddim, dpmpp_2m, dpmpp_3m, euler, heun
from sfumato.diffusion.schedule import EDM, VP, cosine, linear, ratio_grid

from .gmm import Trace, arrays, close, exact_network, walk

TABLES = {"linear": linear(1000), "squaredcos_cap_v2": cosine(1000)}
PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}


def runs(*prefixes: str) -> list[str]:
    """The stored runs below the prefixes."""
    keys = arrays("diffusers")
    return sorted({key.removesuffix("/x") for key in keys if key.endswith("/x") and key.startswith(prefixes)})


def compare(run: str, trace: Trace, *, states: list[Tensor]) -> None:
    """The final state, and the state before each network call where it is stored."""
    stored = arrays("diffusers")
    tolerance = 2e-4 if trace.ratios[0] < 1e4 else 6e-4  # float32 holds x0_hat to 6e-4 at s = 20291
    close(trace.final, stored[f"{run}/x"], tolerance=tolerance)
    if f"{run}/x_step" in stored:
        golden = stored[f"{run}/x_step"]
        assert len(states) == len(golden) - 1
        for state, expected in zip(states, golden, strict=False):
            close(state, expected, tolerance=tolerance)


def scaled(process: Gaussian, trace: Trace) -> list[Tensor]:
    """The states that the denoiser saw, in the scale of the process."""
    alphas = [1 / (1 + ratio**2) ** 0.5 if process.schedule.variance_preserving else 1.0 for ratio in trace.ratios]
    return [alpha * asked for alpha, asked in zip(alphas, trace.asked, strict=True)]


def walk_table(
    run: str, process: Gaussian, sampler: Callable[..., Iterator[Step]], *, clip: float | None = None
) -> Trace:
    """Down the run's own timesteps and then to 0, from unit noise, through a network that knows the answer."""
    problem, timesteps = arrays("gmm"), arrays("diffusers")[f"{run}/timesteps"]
    times = [*((timesteps + 1) / 1000).tolist(), 0.0]
    denoise = Denoiser(process, exact_network(process), clip)
    return walk(sampler, process, times, start=problem["latents"], noise=problem["noise"], denoise=denoise)


@pytest.mark.parametrize("run", runs("ddpm/"))
def test_ddpm(run: str):
    _, table, _, prediction, variance, _ = run.split("/")
    process = Gaussian(
        schedule=TABLES[table],
        prediction=PREDICTIONS[prediction],
        label="schedule",
        variance="small" if variance == "fixed_small" else "large",
    )
    trace = walk_table(run, process, ancestral)
    compare(run, trace, states=scaled(process, trace))


@pytest.mark.parametrize("run", runs("ddpm_clip/"))
def test_ddpm_clips_the_estimate(run: str):
    process = Gaussian(schedule=TABLES[run.split("/")[1]], prediction="eps", label="schedule")
    trace = walk_table(run, process, ancestral, clip=1.0)
    compare(run, trace, states=scaled(process, trace))


@pytest.mark.parametrize("run", runs("ddim/"))
def test_ddim(run: str):
    _, table, _, prediction, eta, _, _ = run.split("/")
    process = Gaussian(schedule=TABLES[table], prediction=PREDICTIONS[prediction], label="schedule")
    trace = walk_table(run, process, partial(ddim, eta=float(eta.removeprefix("eta"))))
    compare(run, trace, states=scaled(process, trace))


def multistep(order: int, steps: int) -> Callable[..., Iterator[Step]]:
    """DPM-Solver++ as diffusers sets it up."""
    if order == 3:
        return partial(dpmpp_3m, second="midpoint", lower_final=steps < 15)
    return {1: euler, 2: dpmpp_2m}[order]


@pytest.mark.parametrize("run", runs("dpmsolver_multistep/"))
def test_dpm_solver(run: str):
    # Given the ratios, every variance-preserving schedule walks alike; VP() has no largest ratio, while the float32
    # of the stored ones lies 7e-6 above the end of our cosine table.
    process = Gaussian(schedule=VP(), prediction="eps")
    ratios = arrays("diffusers")[f"{run}/sigmas"][:-1]
    sampler = multistep(int(run.split("order")[1][0]), len(ratios))
    trace = walk(sampler, process, ratio_grid(process.schedule, ratios), start=arrays("gmm")["latents"])
    compare(run, trace, states=scaled(process, trace))


@pytest.mark.parametrize("run", runs("heun/", "euler/"))
def test_euler_and_heun(run: str):
    """Their state is x_t / alpha; the start is unit noise times s, or sqrt(s^2 + 1) with leading spacing."""
    name, _, spacing, *_ = run.split("/")
    process = Gaussian(schedule=VP(), prediction="eps")
    ratios = arrays("diffusers")[f"{run}/sigmas"][:-1]
    sampler = euler
    if name == "heun":  # which lists the end of each step twice
        ratios, sampler = torch.cat([ratios[:1], ratios[1::2]]), heun
    scale = (ratios[0] ** 2 + (spacing == "leading")).sqrt()
    times = ratio_grid(process.schedule, ratios)
    alpha, _ = process.coefficients(times[0])
    trace = walk(sampler, process, times, start=arrays("gmm")["latents"] * scale * alpha)
    compare(run, trace, states=trace.asked)


@pytest.mark.parametrize("run", runs("edm_euler/", "edm_dpmsolver/"))
def test_edm_schedulers(run: str):
    process = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
    ratios = arrays("diffusers")[f"{run}/sigmas"][:-1]
    sampler = euler if run.startswith("edm_euler") else multistep(int(run.split("order")[1][0]), len(ratios))
    start = arrays("gmm")["latents"] * (80**2 + 1) ** 0.5
    trace = walk(sampler, process, ratio_grid(process.schedule, ratios), start=start)
    compare(run, trace, states=trace.asked)


def test_nothing_is_missing():
    """An empty list of parameters would test nothing."""
    names = ("ddpm", "ddim", "ddpm_clip", "dpmsolver_multistep", "heun", "euler", "edm_euler", "edm_dpmsolver")
    counts = [len(runs(f"{name}/")) for name in names]
    assert counts == [60, 68, 10, 100, 35, 60, 10, 30]
