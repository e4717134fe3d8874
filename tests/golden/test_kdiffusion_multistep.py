"""Multistep samplers of k-diffusion, their noise recorded, on its four grids to 1e-10."""

from functools import partial

import pytest

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, VP, ratio_grid
from sfumato.diffusion.sampler.multistep import dpmpp_2m, dpmpp_3m, lms

from .gmm import arrays, close, sampling_loop

SAMPLERS = {
    "lms4": lms,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde_midpoint_eta0": dpmpp_2m,
    "dpmpp_2m_sde_midpoint_eta1": partial(dpmpp_2m, eta=1.0),
    "dpmpp_2m_sde_heun_eta0": partial(dpmpp_2m, second="exact"),
    "dpmpp_2m_sde_heun_eta1": partial(dpmpp_2m, second="exact", eta=1.0),
    "dpmpp_3m_sde_eta0": dpmpp_3m,
    "dpmpp_3m_sde_eta1": partial(dpmpp_3m, eta=1.0),
}
PROCESSES = {
    "edm": Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5),
    "vp": Gaussian(schedule=VP(), prediction="eps"),
}
"""Their state is x_t / alpha; that the same walk in a variance-preserving state ends alike shows that alpha cancels."""


@pytest.mark.parametrize("steps", [5, 10, 18])
@pytest.mark.parametrize("grid", ["karras", "exponential", "polyexponential_rho1.5", "vp"])
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", SAMPLERS)
def test_final_state(name: str, process: str, grid: str, steps: int):
    problem, stored, gaussian = arrays("gmm"), arrays("kdiffusion_multistep"), PROCESSES[process]
    times = ratio_grid(gaussian.schedule, stored[f"sigmas/{grid}/steps{steps}"][:-1])
    start = problem["latents"] * gaussian.coefficients(times[0])[1]
    trace = sampling_loop(SAMPLERS[name], gaussian, times, start=start, noise=problem["noise"])
    close(trace.final, stored[f"{name}/{grid}/steps{steps}/x"], tolerance=1e-10)
