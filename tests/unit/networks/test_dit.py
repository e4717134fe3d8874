"""The diffusion transformer: that of the paper, patches and positions of any size, and what it is made of."""

import math

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.dit import DiT
from sfumato.networks.measure import count_parameters
from sfumato.networks.tokens import (
    CrossAttention,
    Everywhere,
    SelfAttention,
    TransformerBlock,
    gather_tokens,
    heads_of,
    join_tiles,
    positions,
    spread_tokens,
    tiles,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_the_parameters_are_those_of_the_paper():
    """DiT-S/2 of latents 4 x 32 x 32: 32.96 M with the table of 256 positions, which we compute instead of keeping."""
    with torch.device("meta"):
        network = DiT(channels_in=4, channels_out=8, classes=1000, patch=2, width=384, depth=12, head_channels=64)
    assert count_parameters(network) + 256 * 384 == 32_963_360
    assert {block.attention.attention.heads for block in network.blocks} == {6}


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_fresh_network_says_zero(dimensions):
    network = DiT(channels_in=2, channels_out=3, dimensions=dimensions, width=16, depth=2)
    output = network(random(2, 2, *(6,) * dimensions), torch.zeros(2), Condition())
    assert output.shape == (2, 3, *(6,) * dimensions) and output.abs().max() == 0


def test_a_fresh_block_changes_nothing_whatever_it_attends_to():
    block, h = TransformerBlock(8, Everywhere(8, head_channels=4)), random(2, 3, 5, 8)
    torch.testing.assert_close(block(torch.zeros(2, 48), h), h, rtol=0, atol=0)
    assert (block(torch.ones(2, 48), h) - h).abs().min() > 0


def test_the_six_vectors_are_shift_scale_and_gate_of_each_part():
    block, h, vectors = TransformerBlock(4, torch.nn.Identity()), random(1, 3, 4), random(1, 24, seed=1)
    shift_a, scale_a, gate_a, shift_f, scale_f, gate_f = vectors[0].split(4)

    def normal(h):
        return (h - h.mean(-1, keepdim=True)) / (h.var(-1, correction=0, keepdim=True) + 1e-5).sqrt()

    middle = h + gate_a * (normal(h) * (1 + scale_a) + shift_a)
    expected = middle + gate_f * block.feed_forward(normal(middle) * (1 + scale_f) + shift_f)
    torch.testing.assert_close(block(vectors, h), expected, rtol=1e-5, atol=1e-5)


def test_tiles_are_the_pixels_of_each_tile():
    x = torch.arange(2 * 4 * 6.0).reshape(1, 4, 6, 2)
    cut = tiles(x, (2, 3))
    assert cut.shape == (1, 2, 2, 2, 3, 2)
    torch.testing.assert_close(cut[0, 1, 0], x[0, 2:4, 0:3])
    torch.testing.assert_close(join_tiles(cut), x)


@pytest.mark.parametrize("shape", [(2, 4, 6, 3), (1, 2, 4, 6, 5)])
def test_spread_undoes_gather(shape):
    x = random(*shape)
    tokens = gather_tokens(x, 2)
    assert tokens.shape == (shape[0], *(side // 2 for side in shape[1:-1]), 2 ** (len(shape) - 2) * shape[-1])
    torch.testing.assert_close(spread_tokens(tokens, 2), x, rtol=0, atol=0)


def test_positions_are_sines_and_cosines_of_each_axis():
    found = positions((3, 5), width=10, like=torch.zeros(()))  # two frequencies, 1 and 1 / 100, and two channels left
    row, column = 2, 4
    expected = [math.sin(row), math.sin(row / 100), math.cos(row), math.cos(row / 100)]
    expected += [math.sin(column), math.sin(column / 100), math.cos(column), math.cos(column / 100), 0.0, 0.0]
    torch.testing.assert_close(found[row, column], torch.tensor(expected))


@pytest.mark.parametrize("size", [(7, 9), (1, 8), (2, 3, 4)])
def test_no_two_places_have_the_same_position(size):
    flat = positions(size, width=12, like=torch.zeros(())).flatten(0, -2)
    assert torch.pdist(flat).min() > 1e-2


def test_tokens_that_change_places_are_told_apart():
    network = DiT(channels_in=1, channels_out=1, width=16, depth=2, patch=2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(random(*parameter.shape), alpha=0.1)
    x = random(1, 1, 4, 4)
    swapped = network(x.roll(2, 3), torch.zeros(1), Condition()).roll(-2, 3)
    assert (swapped - network(x, torch.zeros(1), Condition())).abs().max() > 1e-3


def test_groups_attend_within_themselves_with_their_own_bias():
    attention, tokens, bias = SelfAttention(8, head_channels=4), random(2, 3, 5, 8), random(3, 2, 5, 5, seed=1)
    together = attention(tokens, bias)
    for group in range(3):
        query, key, value = attention.inwards(tokens[:, group]).split(8, dim=2)
        parts = [x.unflatten(2, (2, 4)).transpose(1, 2) for x in (query, key, value)]
        mixed = scaled_dot_product_attention(*parts, attn_mask=bias[group]).transpose(1, 2).flatten(2)
        torch.testing.assert_close(together[:, group], attention.outwards(mixed), rtol=1e-5, atol=1e-5)


def test_what_is_not_allowed_is_not_looked_at():
    attention, tokens, others = CrossAttention(8, head_channels=4), random(1, 2, 8), random(1, 5, 8, seed=1)
    where = torch.tensor([[[True, False, True, False, False], [True] * 5]])
    before, others = attention(tokens, others, where), others.clone()
    others[0, 3] += 1
    after = attention(tokens, others, where)
    torch.testing.assert_close(after[0, 0], before[0, 0], rtol=0, atol=0)
    assert (after[0, 1] - before[0, 1]).abs().max() > 1e-4


@pytest.mark.parametrize(("width", "wished", "heads"), [(96, 64, 1), (128, 64, 2), (384, 64, 6), (7, 2, 1), (8, 16, 1)])
def test_heads_are_at_least_as_wide_as_wished_where_they_divide(width, wished, heads):
    assert heads_of(width, head_channels=wished) == heads


@pytest.mark.parametrize(("width", "dimensions"), [(3, 2), (5, 3)])
def test_too_few_channels_for_the_positions_are_refused(width, dimensions):
    with pytest.raises(UsageError, match="sine"):
        DiT(channels_in=1, channels_out=1, width=width, dimensions=dimensions, depth=1)
