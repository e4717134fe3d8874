"""Our U-Net: padding, memory format, start. What holds for every network is in tests/laws/test_networks.py."""

import pytest
import torch

from sfumato.diffusion.process import Condition
from sfumato.errors import UsageError
from sfumato.networks.blocks import Attention, Entrance, ResidualBlock, crop, pad_to_multiple
from sfumato.networks.embedding import Fourier
from sfumato.networks.measure import count_parameters
from sfumato.networks.normalisation import Normalisation
from sfumato.networks.unet import UNet

SMALL = {"channels": 8, "multipliers": (1, 2, 3), "blocks": 1, "attention": (2,), "head_channels": 8}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**settings):
    """A network whose branches are all awake: no parameter is zero."""
    network = UNet(**{"channels_in": 2, "channels_out": 2, **SMALL, **settings}).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return network


def test_an_odd_size_is_the_size_padded_by_its_own_border():
    network, x, level = build(), random(2, 2, 13, 6), torch.tensor([0.3, 0.5])
    padded = torch.cat([x, x[:, :, -1:].expand(-1, -1, 3, -1)], dim=2)
    padded = torch.cat([padded, padded[..., -1:].expand(-1, -1, -1, 2)], dim=3)
    expected = network(padded, level, Condition())[:, :, :13, :6]
    torch.testing.assert_close(network(x, level, Condition()), expected, rtol=1e-5, atol=1e-5)


def test_a_fitting_size_is_neither_padded_nor_copied():
    x = random(1, 2, 8, 12)
    assert pad_to_multiple(x, 4) is x
    assert crop(x, x.shape[2:]) is x


def test_levels_0_1_nats_apart_can_be_told_apart_and_the_embedding_is_smooth():
    fourier = Fourier(64)
    levels = torch.arange(-4, 4, 0.025)  # 0.1 nats of ln(sigma / alpha)
    features = fourier(levels)
    distances = torch.cdist(features, features) + 10 * torch.eye(len(levels))
    neighbours = (features[1:] - features[:-1]).norm(dim=1)
    assert distances.min() > 0.9 * neighbours.min()  # no two levels of the range look alike
    assert 0.2 < neighbours.max() / features.norm(dim=1).max() < 0.8


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_memory_format_of_the_input_does_not_matter(dimensions):
    network = build(dimensions=dimensions)
    memory_format = torch.channels_last if dimensions == 2 else torch.channels_last_3d
    x, level = random(2, 2, *(8,) * dimensions), torch.zeros(2)
    plain = network(x, level, Condition())
    torch.testing.assert_close(network(x.contiguous(memory_format=memory_format), level, Condition()), plain)
    assert all(p.is_contiguous(memory_format=memory_format) for p in network.parameters() if p.ndim == dimensions + 2)


@pytest.mark.parametrize("channels_in", [1, 2])
def test_everything_inside_is_channels_last(channels_in):
    network, formats = build(channels_in=channels_in), []
    for module in network.modules():
        if isinstance(module, (Entrance, Normalisation, Attention)):
            module.register_forward_pre_hook(
                lambda _, given: formats.append(given[0].is_contiguous(memory_format=torch.channels_last))
            )
    network(random(2, channels_in, 16, 16), torch.zeros(2), Condition())
    assert len(formats) > 20
    assert all(formats)


def test_a_fresh_network_says_zero_and_can_learn():
    network = UNet(channels_in=2, channels_out=2, **SMALL)
    x = random(2, 2, 8, 8)
    assert network(x, torch.zeros(2), Condition()).abs().max() == 0
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    losses = []
    for _ in range(15):
        loss = (network(x, torch.zeros(2), Condition()) - x.tanh()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_a_fresh_block_changes_nothing():
    block, x = ResidualBlock(8, 8, dimensions=2, dropout=0.0), random(2, 8, 4, 4)
    torch.testing.assert_close(block(random(2, 16, seed=1), x), x, rtol=0, atol=0)
    torch.testing.assert_close(Attention(8, head_channels=4)(x), x, rtol=0, atol=0)


def test_two_inputs_of_a_block_are_their_concatenation():
    block = ResidualBlock(6, 4, channels_skip=3, dimensions=2, dropout=0.0)
    x, skip = random(2, 6, 5, 5), random(2, 3, 5, 5, seed=1)
    first, second = block.entrances
    parts = [entrance.normalise(given) for entrance, given in ((first, x), (second, skip))]
    weight = torch.cat([first.convolve.weight, second.convolve.weight], dim=1)
    expected = torch.nn.functional.conv2d(torch.cat(parts, dim=1), weight, first.convolve.bias, padding=1)
    found = first(x).hidden + second(skip).hidden
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    bound = (9 * 9) ** -0.5  # torch's own start for one convolution of all nine channels
    assert 0.9 * bound < weight.abs().max() <= bound


def test_the_number_of_channels_is_free():
    network = UNet(channels_in=1, channels_out=5, channels=7, multipliers=(1, 2), blocks=1, attention=(0, 1))
    assert network(random(1, 1, 6, 6), torch.zeros(1), Condition()).shape == (1, 5, 6, 6)
    assert count_parameters(network) == sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("settings", "condition"),
    [
        ({"attention": (3,)}, None),
        ({"multipliers": (), "attention": ()}, None),
        ({"blocks": 0}, None),
        ({}, Condition(label=torch.zeros(1, dtype=torch.long))),
        ({}, Condition(augment=torch.zeros(1, 2))),
        ({}, Condition(image=torch.zeros(1, 1, 8, 8))),
        ({"channels_condition": 1}, Condition()),
    ],
)
def test_what_the_network_was_not_built_for_is_refused(settings, condition):
    with pytest.raises(UsageError):
        build(**settings)(random(1, 2, 8, 8), torch.zeros(1), condition)
