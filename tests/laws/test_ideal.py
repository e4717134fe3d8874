"""Law 2: with the exact posterior mean over a few images, sampling lands on them in the right proportions."""

import pytest
import torch

from .families import CATEGORICALS, LEAVES_NOISE, LEVELLED, PAIRS, SAMPLERS, grid, ideal, sample, walked

SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
IMAGES = torch.tensor([[1, 1, 1, 1], [1, -1, -1, 1], [-1, -1, -1, 0.5]], dtype=torch.float64).view(3, 1, 2, 2)
MASKS = torch.cat([-IMAGES.sign(), IMAGES.sign()], 1)
COUNT = 300


@pytest.mark.parametrize(("name", "sampler"), PAIRS)
def test_lands_on_the_data_in_proportion(name: str, sampler: str):
    process, images = walked(name, sampler), MASKS if name in CATEGORICALS else IMAGES
    samples = sample(
        SAMPLERS[sampler],
        process,
        ideal(process, images, SHARES),
        like=torch.zeros(COUNT, *images.shape[1:], dtype=torch.float64),
        seeds=range(COUNT),
        times=grid(LEVELLED[name], 30),
    )
    distances = (samples[:, None] - images).abs().flatten(2).amax(2)
    assert distances.amin(1).max() < (0.03 if sampler in LEAVES_NOISE else 1e-3)
    counts = torch.bincount(distances.argmin(1), minlength=3)
    chi_square = ((counts - COUNT * SHARES) ** 2 / (COUNT * SHARES)).sum()
    assert chi_square < 13.8, f"{counts.tolist()}: chi^2 {chi_square:.1f}, 0.1 % of lucky draws exceed 13.8"
