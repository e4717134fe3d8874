"""Every step of Heun with and without churn equals EDM's sampler, to 1e-10 of the state's scale.

`det_netclamp_vp` is left out: the limits of that network lie outside the range of the sampler, so its arrays are those
of `det`. The number of noise slices is not compared: the reference draws where nothing is added.
"""

import math
from functools import partial

import pytest
import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, karras_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ablation import heun
from sfumato.diffusion.sampler.singlestep import CALM, Churn

from .gmm import arrays, close, sampling_loop

PROCESS = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
RUNS = {
    "det": (CALM, {}),
    "det_cond": (CALM, {}),
    "churn40": (Churn(amount=40.0, low=0.05, high=50.0, scale=1.003), {}),
    "churn80_full": (Churn(amount=80.0, low=0.0, high=math.inf, scale=1.007), {}),
    "det_smin0.01_smax50_rho3": (CALM, {"low": 0.01, "high": 50.0, "rho": 3.0}),
    "det_netclamp_ve": (CALM, {"low": 0.02}),  # a network's limits are those of the grid
}


@pytest.mark.parametrize("steps", [5, 10, 18, 25, 50])
@pytest.mark.parametrize("run", RUNS)
def test_every_step(run: str, steps: int):
    problem, golden = arrays("gmm"), arrays("limits" if "netclamp" in run else "sampler")
    churn, ends = RUNS[run]
    times = karras_grid(PROCESS.schedule, steps, **ends)
    ratios = [PROCESS.coefficients(t)[1] for t in times[:-1]]
    # The reference asks for one slice of noise in every step, churned or not.
    drawn = [problem["noise"][i] for i, ratio in enumerate(ratios) if churn.low <= ratio <= churn.high]
    trace = sampling_loop(
        partial(heun, churn=churn),
        PROCESS,
        times,
        start=problem["latents"] * ratios[0],
        noise=drawn if churn.amount else (),
        condition=Condition(label=problem["labels"] if run == "det_cond" else None),
    )
    assert len(trace.ratios) == 2 * steps - 1
    called = golden[f"{run}/steps{steps}/call_sigma"]
    torch.testing.assert_close(torch.tensor(trace.ratios, dtype=torch.float64), called, rtol=1e-12, atol=0)
    if (stored := golden.get(f"{run}/steps{steps}/x_step")) is not None:
        for asked, expected in zip(trace.asked[::2], stored, strict=True):
            close(asked, expected, tolerance=1e-10)
    close(trace.final, golden[f"{run}/steps{steps}/x"], tolerance=1e-10)
