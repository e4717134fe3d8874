"""GroupNorm, scale, shift and SiLU in one: equal to torch's own operations, value and derivative."""

import pytest
import torch
from torch.nn import functional

from sfumato.networks.normalisation import EPSILON, Normalisation, NormaliseActivate, groups_of, largest_divisor


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def reference(x, scale, shift, groups):
    ones = (1,) * (x.ndim - 2)
    normal = functional.group_norm(x, groups, eps=EPSILON)
    return functional.silu(normal * scale.reshape(*scale.shape, *ones) + shift.reshape(*shift.shape, *ones))


@pytest.mark.parametrize("space", [(5, 7), (3, 4, 5)])
@pytest.mark.parametrize("items", [1, 2])  # one scale for all items, or one for each
def test_equals_group_norm_then_silu_in_value_and_gradient(space, items):
    x, scale, shift = random(2, 6, *space), random(items, 6, seed=1) + 1, random(items, 6, seed=2)
    weight = random(2, 6, *space, seed=3)
    results = []
    for function in (reference, NormaliseActivate.apply):
        arguments = [value.clone().requires_grad_() for value in (x, scale, shift)]
        y = function(*arguments, 3)
        (y * weight).sum().backward()
        results.append([y, *(argument.grad for argument in arguments)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_float32_stays_exact_far_from_zero():
    x = random(2, 8, 16, 16, dtype=torch.float32) + 100
    ones, zeros = torch.ones(1, 8), torch.zeros(1, 8)
    expected = reference(x.double(), ones.double(), zeros.double(), 4)
    torch.testing.assert_close(NormaliseActivate.apply(x, ones, zeros, 4).double(), expected, rtol=0, atol=2e-4)


def test_half_precision_is_computed_in_single():
    x = (random(2, 8, 16, 16, dtype=torch.float32) + 3).bfloat16()
    found = Normalisation(8)(x)
    assert found.dtype == torch.bfloat16
    expected = Normalisation(8)(x.float())
    torch.testing.assert_close(found.float(), expected, rtol=8e-3, atol=1e-3)  # one rounding to 8 bits


@pytest.mark.parametrize(("number", "limit", "expected"), [(64, 32, 32), (48, 32, 24), (37, 32, 1), (6, 0, 1)])
def test_largest_divisor(number, limit, expected):
    assert largest_divisor(number, limit=limit) == expected


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (64, 16), (24, 6), (12, 3), (3, 1), (7, 1)])
def test_a_group_has_four_channels_or_more(channels, groups):
    assert groups_of(channels) == groups


def test_a_single_pixel_keeps_its_features():
    x = random(2, 24, 1, 1, dtype=torch.float32)
    y = Normalisation(24)(x)
    assert (y[0] - y[1]).abs().max() > 0.1
