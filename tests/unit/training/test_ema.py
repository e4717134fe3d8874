"""The averages against their definitions; the numbers of EDM and EDM2 are in `tests/golden`."""

import pytest
import torch
from torch import nn

from sfumato.errors import UsageError
from sfumato.training.averages import add_together, keep_average, kept_averages
from sfumato.training.ema import EMA, decay
from sfumato.training.profile import PLAIN_MEAN_WIDTH, Kept, exponent, inner, reconstruct_average, width_of


def test_the_average_follows_its_definition():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = EMA(network, half_life=40.0)
    expected = network[0].weight.detach().double().clone()
    for step in range(20):
        with torch.no_grad():
            network[0].weight.add_(step + 1.0)
            network[1].running_mean.add_(1)
        average.update(network, images=8 * step, batch=8)
        beta = decay(8 * step, half_life=40.0, batch=8)
        expected = beta * expected + (1 - beta) * network[0].weight.detach().double()
    torch.testing.assert_close(average.network[0].weight.double(), expected, rtol=1e-6, atol=1e-6)
    assert not torch.equal(average.network[0].weight, network[0].weight)
    assert torch.equal(average.network[1].running_mean, network[1].running_mean)


def test_the_first_step_forgets_the_random_start():
    network = nn.Linear(2, 2)
    average = EMA(network, half_life=1e6)
    with torch.no_grad():
        network.weight.fill_(5.0)
    average.update(network, images=0, batch=4)
    assert torch.equal(average.network.weight, network.weight)


def test_the_copy_is_apart_frozen_and_in_evaluation_mode():
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    average = EMA(network, half_life=10.0)
    assert not average.network.training
    assert network.training
    assert not any(weight.requires_grad for weight in average.network.parameters())
    assert average.network[0].weight.data_ptr() != network[0].weight.data_ptr()


def test_state_goes_round():
    first, second = EMA(nn.Linear(3, 3), half_life=10.0), EMA(nn.Linear(3, 3), half_life=10.0)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.network.weight, second.network.weight)


@pytest.mark.parametrize("given", [{}, {"half_life": 5.0, "width": 0.1}])
def test_an_average_has_one_memory(given):
    with pytest.raises(UsageError, match="memory"):
        EMA(nn.Linear(2, 2), **given)


def test_without_a_ramp_the_start_is_remembered():
    assert decay(0, half_life=100.0, batch=100, ramp=None) == 0.5
    assert decay(0, half_life=100.0, batch=100) == 0.0


# --- averages with a width


def moments(weights: torch.Tensor) -> tuple[float, float]:
    """Total and width of a profile given at the ends of its steps."""
    time = (torch.arange(len(weights), dtype=torch.float64) + 0.5) / len(weights)
    mean = (weights * time).sum()
    return weights.sum().item(), (weights * (time - mean).square()).sum().sqrt().item()


@pytest.mark.parametrize("width", [0.02, 0.1, 0.25])
@pytest.mark.parametrize("batch", [1, 7])
def test_an_average_remembers_the_share_of_the_run_that_its_width_says(width, batch):
    """What each of 2,000 steps counts in the end: one weight a step, which is 1 in that step alone."""
    steps = 2000
    network = nn.ParameterList([nn.Parameter(torch.zeros(steps, dtype=torch.float64))])
    average = EMA(network, width=width)
    for step in range(steps):
        with torch.no_grad():
            network[0].zero_()[step] = 1.0
        average.update(network, images=batch * step, batch=batch)
    total, spread = moments(average.network[0].detach())
    assert total == pytest.approx(1.0, rel=1e-12)
    assert spread == pytest.approx(width, rel=1e-3)


def test_inner_products_are_integrals():
    time = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 100_000
    profiles = {}
    for kept in (Kept(1.3, 0.05), Kept(2.0, 0.1), Kept(0.7, 0.2)):
        g = exponent(kept.width)
        profiles[kept] = torch.where(time < kept.time, (g + 1) * time**g / kept.time ** (g + 1), 0.0)
    for first, p in profiles.items():
        for second, q in profiles.items():
            assert inner(first, second) == pytest.approx((p * q).sum().item() / 100_000, rel=1e-3)


def test_widths_and_exponents_go_round():
    assert width_of(0.0) == pytest.approx(PLAIN_MEAN_WIDTH)
    for width in (0.01, 0.05, 0.1, 0.25):
        assert width_of(exponent(width)) == pytest.approx(width, rel=1e-12)


def test_what_was_kept_is_found_again_and_more_snapshots_are_nearer():
    def error(count: int, width: float) -> float:
        kept = [Kept(time / count, tracked) for time in range(1, count + 1) for tracked in (0.05, 0.1)]
        found = reconstruct_average(kept, Kept(1.0, width))
        assert sum(found.shares) == pytest.approx(1.0, abs=1e-12)
        return found.error

    assert error(8, 0.05) < 1e-7
    assert error(24, 0.07) < 0.002
    assert error(48, 0.03) < error(24, 0.03) < error(12, 0.03) < 0.1


def test_the_error_is_the_distance_of_the_profiles():
    """(7) against the profiles themselves, on a fine grid."""
    kept, wished = [Kept(time / 6, width) for time in range(1, 7) for width in (0.05, 0.1)], Kept(1.0, 0.15)
    time = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000

    def profile(each: Kept) -> torch.Tensor:
        g = exponent(each.width)
        return torch.where(time < each.time, (g + 1) * time**g / each.time ** (g + 1), 0.0)

    found = reconstruct_average(kept, wished)
    mixed = sum(share * profile(each) for share, each in zip(found.shares, kept, strict=True))
    distance = (mixed - profile(wished)).norm() / profile(wished).norm()
    assert found.error == pytest.approx(distance.item(), rel=1e-3)


def test_kept_averages_are_found_by_step_and_width_and_added(tmp_path):
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    for step in (9, 10, 100):
        for width in (0.1, 0.05):
            average = EMA(network, width=width)
            with torch.no_grad():
                average.network[0].weight.fill_(step * width)
            keep_average(tmp_path, average, step=step, metadata={})
    kept = kept_averages(tmp_path)
    assert [(each.step, each.width) for each in kept] == [(s, w) for s in (9, 10, 100) for w in (0.05, 0.1)]
    sums = add_together(kept[:4], (1.0, -2.0, 3.0, 0.5), ["0.weight"])
    assert sums.keys() == {"0.weight"}
    assert sums["0.weight"] == pytest.approx(torch.full((2, 3), 9 * (0.05 - 0.2) + 10 * (0.15 + 0.05)))
    assert kept_averages(tmp_path / "nowhere") == []
