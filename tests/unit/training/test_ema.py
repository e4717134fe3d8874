"""The average against EDM's own numbers and against its definition."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sfumato.training.ema import EMA, decay

GOLDEN = dict(np.load(Path(__file__).parents[2] / "golden" / "edm_ema.npz"))
BETAS = sorted(key for key in GOLDEN if "beta" in key)


@pytest.mark.parametrize("key", BETAS)
def test_decay_equals_edm(key):
    half_life, ratio, batch = re.fullmatch(r"edm/beta_half(.+)_ratio(.+)_batch(.+)", key).groups()
    ramp = {} if ratio == "0.05" else {"ramp": float("inf")}
    for images, beta in zip(GOLDEN["edm/nimg"], GOLDEN[key], strict=True):
        if images == 0 and ramp:
            continue  # no ramp at all is written as an infinite one, which has no value at 0 images
        ours = decay(int(images), half_life=float(half_life), batch=int(batch), **ramp)
        assert ours == pytest.approx(beta, rel=1e-12, abs=1e-30)


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
