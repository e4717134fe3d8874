"""Guidance around Heun equals EDM2's guided sampler, at every number of steps.

Classifier-free: the conditional mixture, guided by the unconditional one. Autoguidance: the conditional mixture, guided
by a bad version of itself, its covariances 0.3^2 larger.
"""

from dataclasses import replace

import pytest
import torch

from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.guidance import Autoguided, Guided
from sfumato.diffusion.level.schedule import EDM, karras_grid
from sfumato.diffusion.process import Condition, Denoise
from sfumato.diffusion.sampler.ablation import heun

from .gmm import Mixture, arrays, close, mixture, sampling_loop

STEPS = [5, 10, 18, 25, 50]
PROCESS = Gaussian(schedule=EDM(), prediction="F", sigma_data=0.5)


def bad() -> Mixture:
    """The weak model of the golden arrays."""
    return replace(mixture(), covariances=mixture().covariances + 0.3**2 * torch.eye(8, dtype=torch.float64))


def check(name: str, steps: int, denoise: Denoise) -> None:
    problem = arrays("gmm")
    trace = sampling_loop(
        heun,
        PROCESS,
        karras_grid(PROCESS.schedule, steps),
        start=problem["latents"] * 80,
        denoise=denoise,
        condition=Condition(label=problem["labels"]),
    )
    close(trace.final, arrays("guidance")[f"{name}/steps{steps}/x"], tolerance=1e-10)


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("scale", [1.0, 1.5, 3.0])
def test_classifier_free(scale: float, steps: int):
    check(f"cfg/g{scale}", steps, Guided(PROCESS, mixture().denoise(PROCESS), scale=scale, unlabelled=3))


@pytest.mark.parametrize("steps", STEPS)
@pytest.mark.parametrize("scale", [1.5, 2.1])
def test_autoguidance(scale: float, steps: int):
    strong, weak = mixture().denoise(PROCESS), bad().denoise(PROCESS)
    check(f"autog/g{scale}", steps, Autoguided(PROCESS, strong, weak, scale))


def test_the_weak_denoiser_at_the_probes():
    stored, golden = arrays("gmm"), arrays("guidance")["autog_guide_probe_D"]
    for s, x, denoised in zip(stored["probe_sigma"], stored["probe_x"], golden, strict=True):
        close(bad().denoised(x, s.expand(len(x)), stored["labels"]), denoised, tolerance=1e-10)
