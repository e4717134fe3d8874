"""The magnitude-preserving U-Net: what its name says, and how its weights are kept at norm 1."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from sfumato.diffusion.process import Condition
from sfumato.networks.magnitude import (
    GAIN,
    SILU,
    Filters,
    MagnitudeAttention,
    MagnitudeEmbedding,
    MagnitudeStage,
    MagnitudeUNet,
    join_skip,
    pixel_norm,
)
from sfumato.networks.measure import Call, count_flops, count_parameters
from sfumato.networks.uncertainty import Weighted
from sfumato.networks.unet import UNet, UNetSizes
from sfumato.networks.unet_stages import StageSpec
from sfumato.training.data_order import DataOrder
from sfumato.training.ema import EMA
from sfumato.training.loop import StoppingCriterion, TrainingSettings, TrainingState, training_loop
from sfumato.training.optimizer import make_optimizer
from sfumato.typing import Constrained

SMALL = {"channels_in": 2, "channels_out": 2, "channels": 8, "multipliers": (1, 2), "blocks": 1, "attention": (1,)}
PLAN = UNetSizes(widths=(8, 8), blocks=1, attention=(), head_channels=4, dimensions=2, dropout=0.0, recompute=False)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def magnitude(x):
    return x.square().mean().sqrt().item()


def build(**settings):
    torch.manual_seed(0)
    return MagnitudeUNet(**{**SMALL, **settings})


def norms(network):
    return torch.cat([m.weight.detach().flatten(1).norm(dim=1) for m in network.modules() if isinstance(m, Filters)])


def test_parameters_and_operations_are_those_of_the_reference():
    with torch.device("meta"):
        network = MagnitudeUNet(
            channels_in=3, channels_out=3, channels=64, multipliers=(1, 2, 2), blocks=2, attention=(1,)
        )
    assert round(count_parameters(network) / 1e6, 2) == 6.75
    assert round(count_flops(network, Call(3, 0, (32, 32), labelled=False)) / 1e9, 2) == 3.63


@pytest.mark.parametrize(("channels", "millions"), [(128, 125), (192, 280)])
def test_the_published_sizes(channels, millions):
    with torch.device("meta"):
        network = MagnitudeUNet(channels_in=4, channels_out=4, channels=channels, attention=(2, 3), classes=1000)
    assert round(count_parameters(network) / 1e6) == millions


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_magnitude_stays_through_depth(dimensions):
    network, found = build(channels=24, multipliers=(1, 2, 2), blocks=2, dimensions=dimensions), []
    for stage in network.modules():
        if isinstance(stage, MagnitudeStage):
            stage.register_forward_hook(lambda *given: found.append(magnitude(given[-1])))
    network.head.register_forward_hook(lambda *given: found.append(magnitude(given[-1])))
    with torch.no_grad():
        output = network(random(2, 2, *(16,) * dimensions), torch.tensor([-1.0, 0.5]), Condition())
    assert len(found) == 8 + 2 + 9 + 2 + 1
    assert 0.7 < min(found) < max(found) < 1.3
    assert output.abs().max() == 0  # its gain starts at zero


def test_the_pieces_keep_the_magnitude():
    x = random(4, 64, 16, 16)
    torch.testing.assert_close(pixel_norm(3 * x).square().mean(1), torch.ones(4, 16, 16))
    torch.testing.assert_close(pixel_norm(3 * x) * x.square().mean(1, keepdim=True).sqrt(), x)
    assert magnitude(functional.silu(x) / SILU) == pytest.approx(1, abs=0.01)
    joined = join_skip(x[:, :48], x[:, 48:])
    assert magnitude(joined) == pytest.approx(1, abs=0.01)
    assert joined[:, :48].square().sum() == pytest.approx(joined[:, 48:].square().sum().item(), rel=0.05)
    assert magnitude(Filters(64, 32, kernel=3)(x)) == pytest.approx(0.97, abs=0.05)  # zeros beyond the border
    embed = MagnitudeEmbedding(features=256, width=256, classes=3, augment_labels=0)
    told = embed(torch.linspace(-1, 1, 8), Condition(label=torch.arange(8) % 4))
    assert magnitude(told / SILU) == pytest.approx(1, abs=0.1)


def test_a_stage_is_its_equations():
    stage = MagnitudeStage(StageSpec(8, 12, side="encoder", size="half"), plan=PLAN)
    with torch.no_grad():
        stage.gain.fill_(0.5 / GAIN)
    x, told = random(2, 8, 8, 8), random(2, 12, seed=1)

    def convolved(filters, value):
        weight = filters.weight / filters.weight.flatten(1).norm(dim=1)[:, None, None, None]
        return functional.conv2d(value, weight, padding=weight.shape[-1] // 2)

    x = functional.normalize(convolved(stage.shortcut, functional.avg_pool2d(x, 2)), dim=1) * 12**0.5
    hidden = convolved(stage.enter, functional.silu(x) / 0.596) * (1 + 0.5 * told)[..., None, None]
    hidden = convolved(stage.leave, functional.silu(hidden) / 0.596)
    expected = (0.7 * x + 0.3 * hidden) / (0.7**2 + 0.3**2) ** 0.5
    torch.testing.assert_close(stage(told, random(2, 8, 8, 8)), expected, rtol=1e-4, atol=1e-4)


def test_a_decoder_stage_does_not_normalise_and_keeps_the_share_of_its_shortcut():
    stage = MagnitudeStage(StageSpec(8, 10, 4, side="decoder"), plan=PLAN)
    with torch.no_grad():
        stage.leave.factor = 0.0
    x, skip = random(2, 8, 4, 4), random(2, 4, 4, 4, seed=1)
    weight = stage.shortcut.weight / stage.shortcut.weight.flatten(1).norm(dim=1)[:, None, None, None]
    expected = functional.conv2d(join_skip(x, skip), weight) * 0.7 / (0.7**2 + 0.3**2) ** 0.5
    torch.testing.assert_close(stage(random(2, 10), x, skip), expected)


def test_attention_compares_directions():
    attention, x = MagnitudeAttention(8, head_channels=4), random(2, 8, 3, 3)
    tokens = attention.inwards(x.flatten(2).transpose(1, 2))
    query, key, value = (functional.normalize(part, dim=-1) * 2 for part in tokens.unflatten(2, (3, 2, 4)).unbind(2))
    weight = torch.einsum("bqhc,bkhc->bhqk", query, key).div(2).softmax(-1)
    mixed = torch.einsum("bhqk,bkhc->bqhc", weight, value).flatten(2)
    added = attention.outwards(mixed).transpose(1, 2).unflatten(2, (3, 3))
    torch.testing.assert_close(attention(x), 0.7 / 0.58**0.5 * x + added, rtol=1e-4, atol=1e-5)
    assert attention.outwards.filters().norm(dim=1)[0].item() == pytest.approx(0.3 / 0.58**0.5, abs=1e-5)


def test_the_length_of_a_weight_changes_neither_output_nor_what_is_learned():
    filters, x = Filters(6, 4, kernel=3), random(2, 6, 5, 5)
    before = filters(x)
    with torch.no_grad():
        filters.weight.mul_(torch.tensor([0.3, 1, 2, 50])[:, None, None, None])
    torch.testing.assert_close(filters(x), before)
    (filters(x) * random(2, 4, 5, 5, seed=1)).sum().backward()
    along = (filters.weight.grad * filters.weight).flatten(1).sum(1)
    torch.testing.assert_close(along, torch.zeros(4), rtol=0, atol=1e-4)


def test_constrained_weights_have_norm_one_and_say_the_same():
    network, x = build(classes=2, augment_labels=3), random(1, 2, 8, 8)
    with torch.no_grad():
        for index, parameter in enumerate(network.parameters()):
            parameter.add_(random(max(parameter.numel(), 1), seed=index).reshape(parameter.shape))
    before = network(x, torch.zeros(1), Condition())
    assert norms(network).std() > 0.1
    network.constrain()
    torch.testing.assert_close(norms(network), torch.ones_like(norms(network)))
    torch.testing.assert_close(network(x, torch.zeros(1), Condition()), before, rtol=1e-4, atol=1e-4)


def test_a_wrapper_passes_it_on():
    network = build()
    assert isinstance(network, Constrained)
    with torch.no_grad():
        network.stem.weight.mul_(3)
    Weighted(network).constrain()
    torch.testing.assert_close(norms(network), torch.ones_like(norms(network)))
    plain = UNet(channels_in=1, channels_out=1, channels=4, multipliers=(1,), blocks=1)
    assert not isinstance(plain, Constrained)
    Weighted(plain).constrain()


def test_large_features_are_cut_in_sixteen_bits():
    stage = MagnitudeStage(StageSpec(8, 8, side="decoder"), plan=PLAN)
    x, told = 1000 * random(1, 8, 4, 4), random(1, 8)
    assert stage(told, x).abs().max() > 256
    assert stage.half()(told.half(), x.half()).abs().max() == 256


def test_everything_inside_is_channels_last():
    network, formats = build(channels_in=1), []
    for module in network.modules():
        if isinstance(module, MagnitudeStage | MagnitudeAttention):
            note = partial(_note, formats=formats)
            module.register_forward_hook(note)
    network(random(2, 1, 8, 8), torch.zeros(2), Condition())
    assert len(formats) > 10
    assert all(formats)


def _note(_, given, output, *, formats):
    formats.append(output.is_contiguous(memory_format=torch.channels_last))


@pytest.mark.parametrize("wrap", [lambda network: network, Weighted], ids=["alone", "weighted"])
def test_training_keeps_the_norms_and_the_average_says_what_its_directions_say(wrap):
    network = wrap(build())
    parts = TrainingState(network, EMA(network, half_life=20.0, ramp=1.0), make_optimizer(network, learning_rate=0.01))
    images = random(8, 2, 8, 8)

    def loss(trained, batch):
        return {"loss": (trained(images[list(batch.rows)], torch.zeros(4), Condition()) - 1).square().mean((1, 2, 3))}

    data_order, settings = (
        DataOrder(tuple(range(8)), batch=4, seed=0),
        TrainingSettings(learning_rate=0.01, warmup_steps=1),
    )
    losses = [
        step.terms["loss"]
        for step in training_loop(parts, loss, data_order, until=StoppingCriterion(steps=12), settings=settings)
    ]
    assert losses[-1] < losses[0]
    torch.testing.assert_close(norms(network), torch.ones_like(norms(network)), rtol=0, atol=1e-5)
    average = parts.ema.network
    assert norms(average).min() < 0.999  # a mean of directions is shorter
    before = average(images, torch.zeros(8), Condition())
    average.requires_grad_(requires_grad=True).constrain()
    torch.testing.assert_close(average(images, torch.zeros(8), Condition()), before, rtol=1e-4, atol=1e-4)


def test_frozen_weights_keep_their_bits():
    network = build()
    network.stem.weight.requires_grad_(requires_grad=False)
    with torch.no_grad():
        network.stem.weight.mul_(1.5)
        network.head.weight.add_(1.0)
    stem = network.stem.weight.clone()
    network.constrain()
    assert torch.equal(network.stem.weight, stem)
    torch.testing.assert_close(network.head.weight.flatten(1).norm(dim=1), torch.ones(len(network.head.weight)))
