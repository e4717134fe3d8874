"""Shifted windows: equal to attention of all tokens with an explicit mask, at any size."""

from itertools import product

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.swin import SwinUNet, WindowAttention, window_regions


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(window, *, shifted, dimensions):
    attention = WindowAttention(8, window=window, shifted=shifted, head_channels=4, dimensions=dimensions)
    with torch.no_grad():
        attention.bias.copy_(random(*attention.bias.shape, seed=3))
    return attention


def cell(place, size, window, *, shifted):
    """The window of a token, from where windows begin: whole axes stay whole."""
    return tuple(
        0 if length <= window else (at + (window - window // 2 if shifted else 0)) // window
        for at, length in zip(place, size, strict=True)
    )


def by_hand(attention, tokens, *, shifted):
    """Attention of all tokens, where a token of another window is masked and the bias is looked up pair by pair."""
    size, window = tokens.shape[1:-1], attention.window
    places = list(product(*map(range, size)))
    mask = torch.full((attention.attention.heads, len(places), len(places)), -torch.inf)
    for (i, one), (j, other) in product(enumerate(places), repeat=2):
        if cell(one, size, window, shifted=shifted) == cell(other, size, window, shifted=shifted):
            row = 0
            for a, b in zip(one, other, strict=True):
                row = row * (2 * window - 1) + a - b + window - 1
            mask[:, i, j] = attention.bias[:, row]
    parts = attention.attention.inwards(tokens.flatten(1, -2)).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    mixed = scaled_dot_product_attention(*parts, attn_mask=mask).transpose(1, 2).flatten(2)
    return attention.attention.outwards(mixed).reshape(tokens.shape)


SIZES = [(8, 8), (7, 9), (4, 5), (3, 8), (1, 6), (1, 1), (2, 3, 7), (5, 4, 4)]


@pytest.mark.parametrize("window", [3, 4])
@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_windows_are_attention_with_an_explicit_mask(size, shifted, window):
    attention, tokens = build(window, shifted=shifted, dimensions=len(size)), random(2, *size, 8)
    torch.testing.assert_close(attention(tokens), by_hand(attention, tokens, shifted=shifted), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shifted", [False, True])
def test_tokens_of_other_windows_are_not_seen(shifted):
    attention, tokens = build(4, shifted=shifted, dimensions=2), random(1, 10, 9, 8).requires_grad_()
    attention(tokens)[0, 0, 0].sum().backward()
    reach = 2 if shifted else 4
    seen = tokens.grad[0].abs().amax(-1) > 0
    assert seen[:reach, :reach].all() and seen.sum() == reach**2


def test_two_blocks_reach_the_neighbouring_window():
    plain, shifted = (build(4, shifted=wanted, dimensions=2) for wanted in (False, True))
    tokens = random(1, 12, 12, 8).requires_grad_()
    shifted(plain(tokens))[0, 5, 5].sum().backward()
    seen = tokens.grad[0].abs().amax(-1) > 0
    assert seen[:8, :8].all() and seen.sum() == 64


def test_padding_is_a_region_of_its_own():
    found = window_regions((5, 6), sides=(4, 4), shifts=(2, 0), device=torch.device("cpu"))
    assert found.shape == (8, 8)
    inside, padded = (
        set(found[:5, :6].flatten().tolist()),
        {*found[5:].flatten().tolist(), *found[:, 6:].flatten().tolist()},
    )
    assert not inside & padded
    assert found[1, 0] != found[2, 0] and found[2, 0] == found[4, 3] and found[2, 3] != found[2, 4]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_fresh_network_says_zero(dimensions):
    network = SwinUNet(channels_in=2, channels_out=3, dimensions=dimensions, channels=8, multipliers=(1, 2), window=2)
    output = network(random(1, 2, *(9,) * dimensions), torch.zeros(1), Condition())
    assert output.shape == (1, 3, *(9,) * dimensions) and output.abs().max() == 0


@pytest.mark.parametrize("settings", [{"multipliers": ()}, {"blocks": 0}])
def test_a_network_without_blocks_is_refused(settings):
    with pytest.raises(UsageError, match="Swin"):
        SwinUNet(channels_in=1, channels_out=1, **settings)
