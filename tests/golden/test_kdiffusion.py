"""Grids and single-step samplers of k-diffusion, to 1e-10.

`dpmpp_sde` draws independent noise for the middle and the end of a step, as the reference does without its Brownian
tree. `dpm_fast` and `dpm_adaptive` of the reference end at the lowest noise level; ours then make one more call to 0.
"""

from functools import partial

import pytest
import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import (
    EDM,
    VP,
    cosine,
    karras_grid,
    linear,
    log_snr_grid,
    polyexponential_grid,
    ratio_grid,
)
from sfumato.diffusion.sampler.ablation import euler, heun
from sfumato.diffusion.sampler.ancestral import ddim
from sfumato.diffusion.sampler.dpm_solver import dpm_adaptive, dpm_fast
from sfumato.diffusion.sampler.singlestep import Churn, dpm_2, dpm_2_ancestral, dpmpp_2s_ancestral, dpmpp_sde

from .gmm import arrays, close, sampling_loop

STEPS = [5, 10, 18, 25, 50]
CHURN = Churn(amount=40.0, low=0.05, high=50.0, scale=1.003)
PROCESS = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
SAMPLERS = {
    "euler": euler,
    "euler_ancestral_eta1": partial(ddim, eta=1.0),
    "heun": heun,
    "heun_churn40": partial(heun, churn=CHURN),
    "dpm_2": dpm_2,
    "dpm_2_ancestral": dpm_2_ancestral,
    "dpmpp_2s_ancestral": dpmpp_2s_ancestral,
    "dpmpp_sde_eta0": partial(dpmpp_sde, eta=0.0),
    "dpmpp_sde_eta1": dpmpp_sde,
}


@pytest.mark.parametrize("steps", STEPS)
def test_grids(steps: int):
    stored, schedule = arrays("kdiffusion"), EDM()
    vp = VP().ratio(torch.linspace(1, 1e-3, steps, dtype=torch.float64))
    grids = {
        "karras": karras_grid(schedule, steps),
        "exponential": log_snr_grid(schedule, steps),
        "polyexponential_rho1.5": polyexponential_grid(schedule, steps, low=0.002, high=80.0, rho=1.5),
        "vp": ratio_grid(schedule, vp),
    }
    for name, times in grids.items():
        ratios = schedule.ratio(torch.tensor(times, dtype=torch.float64))
        # Their VP grid takes exp(z) - 1 and so loses three digits at its end.
        rtol = 1e-6 if name == "vp" else 1e-10
        torch.testing.assert_close(ratios, stored[f"sigmas/{name}/steps{steps}"], rtol=rtol, atol=0)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("grid", ["karras", "exponential", "polyexponential_rho1.5", "vp"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_final_state(name: str, grid: str, steps: int):
    problem, stored = arrays("gmm"), arrays("kdiffusion")
    ratios = stored[f"sigmas/{grid}/steps{steps}"][:-1]
    times = ratio_grid(PROCESS.schedule, ratios)
    trace = sampling_loop(
        SAMPLERS[name], PROCESS, times, start=problem["latents"] * ratios[0], noise=noise(name, ratios)
    )
    close(trace.final, stored[f"{name}/{grid}/steps{steps}/x"], tolerance=1e-10)
    two_calls = name.startswith(("heun", "dpm"))
    assert len(trace.ratios) == (2 * steps - 1 if two_calls else steps)


@pytest.mark.parametrize("schedule", [VP(), linear(1000), cosine(1000)], ids=["vp", "linear", "cosine"])
@pytest.mark.parametrize("name", SAMPLERS)
def test_scaling_changes_nothing(name: str, schedule: VP):
    """The same walk in a variance-preserving state: alpha cancels. Ratios inside the range of every schedule."""
    problem, stored = arrays("gmm"), arrays("kdiffusion")
    process = Gaussian(schedule=schedule, prediction="eps")
    ratios = stored["sigmas/karras/steps10"][:-1]
    times = ratio_grid(schedule, ratios)
    start = problem["latents"] * process.coefficients(times[0])[1]
    trace = sampling_loop(SAMPLERS[name], process, times, start=start, noise=noise(name, ratios))
    close(trace.final, stored[f"{name}/karras/steps10/x"], tolerance=1e-10)


def noise(name: str, ratios: torch.Tensor) -> torch.Tensor:
    """Slices in the order in which they are added; churn takes that of its step, needed or not."""
    slices = arrays("gmm")["noise"]
    return slices[[i for i, s in enumerate(ratios) if 0.05 <= s <= 50]] if name == "heun_churn40" else slices


@pytest.mark.parametrize("calls", [6, 12, 20, 30, 60])
def test_fast(calls: int):
    start = arrays("gmm")["latents"] * 80
    trace = sampling_loop(dpm_fast, PROCESS, log_snr_grid(EDM(), calls + 1), start=start)
    assert len(trace.ratios) == calls + 1
    close(trace.states[-2], arrays("kdiffusion")[f"dpm_fast/nfe{calls}/x"], tolerance=1e-10)


@pytest.mark.parametrize(("tolerance", "rejected"), [("order2_rtol0.05", 3), ("order2_rtol0.005", 3),
                                                    ("order3_rtol0.05", 0), ("order3_rtol0.005", 2)])  # fmt: skip
def test_adaptive(tolerance: str, rejected: int):
    """A step that is taken again knows its first estimate already, which the reference asks for anew.

    The reference takes one step more, of the width of a rounding, wherever its last step ends above the lowest level
    by that rounding: the result is the same, its count of calls another on each machine.
    """
    relative = float(tolerance.partition("rtol")[2])
    order = int(tolerance[5])
    sampler = partial(dpm_adaptive, order=order, relative=relative, absolute=0.156 * relative)
    trace = sampling_loop(sampler, PROCESS, log_snr_grid(EDM(), 2), start=arrays("gmm")["latents"] * 80)
    stored = arrays("kdiffusion")
    close(trace.states[-2], stored[f"dpm_adaptive/{tolerance}/x"], tolerance=1e-10)
    calls = int(stored[f"dpm_adaptive/{tolerance}/nfe"]) - rejected
    assert len(trace.ratios) - 1 in (calls - order, calls)
