"""Grids and samplers of k-diffusion: Euler, Heun with and without churn, DPM-Solver++ 2M and 3M, to 1e-10."""

from functools import partial

import pytest
import torch

from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.sampler import Churn, dpmpp_2m, dpmpp_3m, euler, heun
from sfumato.diffusion.schedule import EDM, VP, cosine, karras_grid, linear, log_snr_grid, ratio_grid

from .gmm import arrays, close, walk

STEPS = [5, 10, 18, 25, 50]
CHURN = Churn(amount=40.0, low=0.05, high=50.0, scale=1.003)
SAMPLERS = {
    "euler": euler,
    "heun": heun,
    "heun_churn40": partial(heun, churn=CHURN),
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_3m_sde_eta0": partial(dpmpp_3m, second="exact"),
}


@pytest.mark.parametrize("steps", STEPS)
def test_grids(steps: int):
    stored, schedule = arrays("kdiffusion"), EDM()
    vp = VP().ratio(torch.linspace(1, 1e-3, steps, dtype=torch.float64))
    grids = {
        "karras": karras_grid(schedule, steps),
        "exponential": log_snr_grid(schedule, steps),
        "vp": ratio_grid(schedule, vp),
    }
    for name, times in grids.items():
        ratios = schedule.ratio(torch.tensor(times, dtype=torch.float64))
        # Their VP grid takes exp(z) - 1 and so loses three digits at its end.
        rtol = 1e-6 if name == "vp" else 1e-10
        torch.testing.assert_close(ratios, stored[f"sigmas/{name}/steps{steps}"], rtol=rtol, atol=0)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("grid", ["karras", "exponential", "vp"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_final_state(name: str, grid: str, steps: int):
    problem, stored = arrays("gmm"), arrays("kdiffusion")
    process = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
    ratios = stored[f"sigmas/{grid}/steps{steps}"][:-1]
    churned = [i for i, ratio in enumerate(ratios) if name == "heun_churn40" and 0.05 <= ratio <= 50]
    trace = walk(
        SAMPLERS[name],
        process,
        ratio_grid(process.schedule, ratios),
        start=problem["latents"] * ratios[0],
        noise=[problem["noise"][i] for i in churned],
    )
    close(trace.final, stored[f"{name}/{grid}/steps{steps}/x"], tolerance=1e-10)


@pytest.mark.parametrize("schedule", [VP(), linear(1000), cosine(1000)], ids=["vp", "linear", "cosine"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_scaling_changes_nothing(name: str, schedule: VP):
    """The same walk in a variance-preserving state: alpha cancels. Ratios inside the range of every schedule."""
    problem, stored = arrays("gmm"), arrays("kdiffusion")
    process = Gaussian(schedule=schedule, prediction="eps")
    ratios = stored["sigmas/karras/steps10"][:-1]
    churned = [i for i, ratio in enumerate(ratios) if name == "heun_churn40" and 0.05 <= ratio <= 50]
    times = ratio_grid(schedule, ratios)
    trace = walk(
        SAMPLERS[name],
        process,
        times,
        start=problem["latents"] * process.coefficients(times[0])[1],
        noise=[problem["noise"][i] for i in churned],
    )
    close(trace.final, stored[f"{name}/karras/steps10/x"], tolerance=1e-10)
