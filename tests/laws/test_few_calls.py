"""Few calls fail because of where they are made, not of what solves: readings of a mask separate at one noise level.

Readers see a core, a core with its halo, or nothing. The denoiser is exact, so what is lost is lost by the walk: the
total variation distance between the shares of the three readings and those of the samples. Whatever it is, each sample
is a perfect mask, so no Dice shows it.
"""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.family.categorical import Categorical
from sfumato.diffusion.family.gaussian import Gaussian
from sfumato.diffusion.level.schedule import cosine, critical_grid, uniform_grid
from sfumato.diffusion.process import Process
from sfumato.diffusion.sampler.ancestral import ancestral, ddim

from .families import Sampler, ideal, sample

SIDE, COUNT = 64, 192
SHARES = torch.tensor([0.40, 0.35, 0.25])
COSINE = cosine(1000)
PROCESSES: dict[str, tuple[Process, Sampler]] = {
    "gaussian": (Gaussian(schedule=COSINE, prediction="logits"), ddim),
    "categorical": (Categorical(schedule=COSINE), ancestral),
}


def readings() -> Tensor:
    """One-hot masks (3, 2, 64, 64) in [-1, 1]; any two differ in about 250 pixels or more."""
    x = torch.arange(SIDE) - SIDE / 2
    radius = (x[:, None] ** 2 + x**2).sqrt()
    foreground = torch.stack([radius < 9, radius < 12.7, radius < 0])
    return 2 * torch.stack([~foreground, foreground], 1).float() - 1


READINGS = readings()
DIFFERING = int((READINGS[0] != READINGS[1]).sum())
"""Entries of the one-hot mask."""

GRIDS = {
    "uniform": uniform_grid,
    "critical": lambda steps: critical_grid(COSINE, steps, centre=-math.log(DIFFERING)),
}


def frequencies(name: str, grid: str, calls: int) -> Tensor:
    """Shares of the samples that are nearest to each reading."""
    process, sampler = PROCESSES[name]
    samples = sample(
        sampler,
        process,
        ideal(process, READINGS, SHARES),
        like=torch.zeros(COUNT, 2, SIDE, SIDE),
        seeds=range(COUNT),
        times=GRIDS[grid](calls),
    )
    distances = torch.stack([(samples - reading).abs().flatten(1).mean(1) for reading in READINGS], 1)
    assert calls == 1 or distances.amin(1).quantile(0.9) < 0.02, "samples are perfect masks"
    return torch.bincount(distances.argmin(1), minlength=3) / COUNT


def total_variation(name: str, grid: str, calls: int) -> float:
    return float((frequencies(name, grid, calls) - SHARES).abs().sum() / 2)


@pytest.mark.parametrize("name", PROCESSES)
def test_four_calls_find_all_readings_if_made_where_they_separate(name: str):
    """0.12 is three times what the count of samples alone would do; a categorical state tells half as much."""
    assert total_variation(name, "uniform", 4) > 0.4
    assert total_variation(name, "critical", 4) <= {"gaussian": 0.12, "categorical": 0.2}[name]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", PROCESSES)
def test_one_call_is_the_reading_of_most(name: str, grid: str):
    """The mean of the readings, in which the core is in the majority: no uncertainty, ever."""
    assert frequencies(name, grid, 1)[0] > 0.97
