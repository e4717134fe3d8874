"""Gamma numbers: their law, their rows, their limits."""

import pytest
import torch
from scipy import stats

from sfumato.gamma import log_gamma
from sfumato.randomness import Noise


def rows(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.mark.parametrize("a", [0.003, 0.1, 0.7, 1.0, 1.5, 3.0, 30.0, 5000.0])
def test_law(a: float):
    drawn = log_gamma(torch.full((1, 20_000), a, dtype=torch.float64), rows(1))[0]
    assert stats.kstest(drawn.numpy(), stats.loggamma(a).cdf).pvalue > 1e-3


def test_law_beside_small_concentrations():
    """A row with one small number in it lowers all of them, and their law stays."""
    concentration = torch.full((1, 20_001), 4.0, dtype=torch.float64)
    concentration[0, 0] = 1e-3
    drawn = log_gamma(concentration, rows(2))[0, 1:]
    assert stats.kstest(drawn.numpy(), stats.loggamma(4.0).cdf).pvalue > 1e-3


def test_a_row_depends_on_itself_alone():
    concentration = torch.tensor([[0.01, 5.0, 1.0] * 50, [3.0, 1.2, 900.0] * 50], dtype=torch.float64)
    both = log_gamma(concentration, rows(4, 5))
    for i, seed in enumerate((4, 5)):
        assert torch.equal(log_gamma(concentration[i : i + 1], rows(seed)), both[i : i + 1])


def test_limits():
    drawn = log_gamma(torch.tensor([[0.0, 1e-12, 1e12]], dtype=torch.float64), rows(0))[0]
    assert drawn[0] == -torch.inf and drawn[1] < -1e6 and float(drawn[2]) == pytest.approx(27.631, abs=1e-3)
    with pytest.raises(ValueError, match="concentration"):
        log_gamma(torch.tensor([[torch.nan]], dtype=torch.float64), rows(0))


def test_noise_draws_them_item_by_item():
    before = torch.get_rng_state()
    drawn = Noise([3, 4]).log_gamma(torch.ones(2, 3, 1, 5, dtype=torch.float64))
    assert drawn.shape == (2, 3, 1, 5) and not torch.equal(drawn[0], drawn[1])
    assert torch.equal(before, torch.get_rng_state())
