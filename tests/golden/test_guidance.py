"""Classifier-free guidance around Heun equals EDM2's guided sampler (conditional mixture, unconditional guide)."""

import pytest

from sfumato.diffusion.gaussian import Gaussian
from sfumato.diffusion.guidance import Guided
from sfumato.diffusion.process import Condition
from sfumato.diffusion.sampler import heun
from sfumato.diffusion.schedule import EDM, karras_grid

from .gmm import arrays, close, mixture, walk


@pytest.mark.parametrize("steps", [5, 10, 18, 25, 50])
@pytest.mark.parametrize("scale", [1.0, 1.5, 3.0])
def test_guided_heun(scale: float, steps: int):
    problem = arrays("gmm")
    process = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)
    times = karras_grid(process.schedule, steps)
    trace = walk(
        heun,
        process,
        times,
        start=problem["latents"] * 80,
        denoise=Guided(process, mixture().denoise(process), scale=scale, unlabelled=3),
        condition=Condition(label=problem["labels"]),
    )
    close(trace.final, arrays("guidance")[f"cfg/g{scale}/steps{steps}/x"], tolerance=1e-10)
