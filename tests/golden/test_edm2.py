"""EDM2's sampler without guidance: the same Heun, which draws noise only where it churns; once in single precision."""

from functools import partial

import pytest
from torch import Tensor

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import EDM, karras_grid
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler.ablation import heun
from sfumato.diffusion.sampler.singlestep import CALM, Churn

from .gmm import arrays, close, mixture, sampling_loop

PROCESS = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
CHURN = Churn(amount=40.0, low=0.05, high=50.0, scale=1.003)


@pytest.mark.parametrize("steps", [5, 10, 18, 25, 50])
@pytest.mark.parametrize("run", ["det", "churn40"])
def test_final_state(run: str, steps: int):
    problem, golden = arrays("gmm"), arrays("edm2")
    sampler = partial(heun, churn=CHURN if run == "churn40" else CALM)
    start = problem["latents"] * 80
    trace = sampling_loop(sampler, PROCESS, karras_grid(EDM(), steps), start=start, noise=problem["noise"])
    close(trace.final, golden[f"{run}/steps{steps}/x"], tolerance=1e-10)


@pytest.mark.parametrize("steps", [5, 10, 18, 25, 50])
def test_single_precision(steps: int):
    """The state is float32, the denoiser float64: to 1e-5, thrice what rounding does."""
    exact = mixture().denoise(PROCESS)

    def denoise(x_t: Tensor, t: float, condition: Condition) -> Tensor:
        return exact(x_t.double(), t, condition).float()

    start = arrays("gmm")["latents"].float() * 80
    trace = sampling_loop(heun, PROCESS, karras_grid(EDM(), steps), start=start, denoise=denoise)
    close(trace.final.double(), arrays("edm2")[f"det_fp32/steps{steps}/x"], tolerance=1e-5)
