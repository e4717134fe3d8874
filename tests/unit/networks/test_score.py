"""DDPM++, NCSN++ and ADM: the published sizes, and the equations of a stage."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch.nn import functional

from sfumato.diffusion.process import Condition
from sfumato.networks.blocks import Entrance
from sfumato.networks.measure import Call, count_flops, count_parameters
from sfumato.networks.normalisation import Normalisation
from sfumato.networks.score import ADM, DDPMPP, NCSNPP, PyramidLevel, Resample, ScoreStage, ScoreUNet
from sfumato.networks.unet import UNetSizes
from sfumato.networks.unet_stages import StageSpec

PLAN = UNetSizes(widths=(8, 8), blocks=1, attention=(), head_channels=8, dimensions=2, dropout=0.0, recompute=False)
DESIGNS = {"ddpmpp": DDPMPP, "ncsnpp": NCSNPP, "adm": ADM}


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def weightless(design, **settings):
    with torch.device("meta"):
        return ScoreUNet(design, channels_in=3, channels_out=3, **settings)


def awake(module):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    return module


@pytest.mark.parametrize(
    ("design", "parameters", "flops"), [(DDPMPP, 6.99, 3.50), (NCSNPP, 7.08, 3.56), (ADM, 7.66, 3.59)]
)
def test_parameters_and_operations_are_those_of_the_reference(design, parameters, flops):
    network = weightless(design, channels=64, multipliers=(1, 2, 2), blocks=2, attention=(1,))
    assert round(count_parameters(network) / 1e6, 2) == parameters
    assert round(count_flops(network, Call(3, 0, (32, 32), labelled=False)) / 1e9, 2) == flops


def test_the_published_sizes():
    cifar = weightless(DDPMPP, channels=128, multipliers=(2, 2, 2), blocks=4, attention=(1,))
    assert round(count_parameters(cifar) / 1e6, 1) == 55.7
    imagenet = weightless(ADM, channels=192, multipliers=(1, 2, 3, 4), blocks=3, attention=(1, 2, 3), classes=1000)
    assert round(count_parameters(imagenet) / 1e6, 1) == 295.9


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_a_stage_is_its_equations(design):
    stage = awake(ScoreStage(StageSpec(6, 8, 4, side="decoder", attention=True), plan=PLAN, design=design))
    x, skip, told = random(2, 6, 6, 6), random(2, 4, 6, 6, seed=1), random(2, 16 if design.adaptive else 8, seed=2)
    first, second = stage.entrances
    inner = first.convolve(first.normalise(x)) + second.convolve(second.normalise(skip))
    past = first.shortcut(x) + second.shortcut(skip)
    norm = partial(functional.group_norm, num_groups=2, weight=stage.normalise.scale, bias=stage.normalise.shift)
    if design.adaptive:
        scale, shift = told[..., None, None].chunk(2, dim=1)
        inner = (1 + scale) * norm(inner) + shift
    else:
        inner = norm(inner + told[..., None, None])
    expected = design.scale * (past + stage.convolve(functional.silu(inner)))
    expected = design.scale * stage.attention(expected)
    torch.testing.assert_close(stage(told, x, skip), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_the_size_changes_on_both_ways_of_a_stage(design):
    stage = ScoreStage(StageSpec(8, 8, size="half"), plan=PLAN, design=design)
    (entrance,) = stage.entrances
    assert isinstance(entrance.shortcut, torch.nn.Identity) != design.projected
    x = random(1, 8, 8, 8)
    half = Resample(smooth=design.smooth, size="half", dimensions=2)
    features = entrance(x)
    torch.testing.assert_close(features.hidden, entrance.convolve(half(entrance.normalise(x))))
    torch.testing.assert_close(features.shortcut, entrance.shortcut(half(x)))


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_smooth_filter_halves_and_doubles_a_slope_exactly(dimensions):
    slope = torch.arange(16.0).expand(1, 2, *(16,) * dimensions)
    inside = (..., *(slice(2, -2),) * dimensions)
    half = Resample(smooth=True, size="half", dimensions=dimensions)(slope)
    torch.testing.assert_close(half[inside], (torch.arange(8.0) * 2 + 0.5).expand_as(half)[inside])
    double = Resample(smooth=True, size="double", dimensions=dimensions)(slope)
    torch.testing.assert_close(double[inside], (torch.arange(32.0) / 2 - 0.25).expand_as(double)[inside])


def test_the_smooth_filter_has_the_published_taps():
    spike = torch.zeros(1, 1, 9, 9)
    spike[..., 4, 4] = 1
    half = Resample(smooth=True, size="half", dimensions=2)(spike)
    double = Resample(smooth=True, size="double", dimensions=2)(spike)
    assert (half[0, 0, 1:3, 1:3] * 64).tolist() == [[1, 3], [3, 9]]
    assert (double[0, 0, 7:11, 7] * 16).tolist() == [1, 3, 3, 1]


@pytest.mark.parametrize("size", ["half", "double"])
def test_the_smooth_filter_leaves_an_axis_that_is_kept(size):
    """Each plane by itself, as an image."""
    x = random(2, 3, 5, 8, 6).double()
    volumes, images = (
        Resample(smooth=True, size=size, dimensions=dimensions, factor=factor)
        for dimensions, factor in ((3, (1, 2, 2)), (2, 2))
    )
    expected = torch.stack([images(plane) for plane in x.unbind(2)], 2)
    torch.testing.assert_close(volumes(x), expected, rtol=0, atol=1e-14)


def test_a_rung_that_keeps_planes_adds_what_was_above_to_each():
    plan = replace(PLAN, widths=(8, 8, 8), dimensions=3, halvings=((1, 2, 2), (2, 2, 2)))
    volumes, images = (PyramidLevel(3, 8, plan=each, design=NCSNPP).double() for each in (plan, PLAN))
    with torch.no_grad():
        images.convolve.weight.copy_(volumes.convolve.weight[:, :, 0])
        images.convolve.bias.copy_(volumes.convolve.bias)
    above, x = random(1, 3, 3, 12, 12).double(), random(1, 8, 3, 6, 6, seed=1).double()
    expected = torch.stack([images(*each) for each in zip(above.unbind(2), x.clone().unbind(2), strict=True)], 2)
    torch.testing.assert_close(volumes(above, x), expected, rtol=0, atol=1e-13)


def test_a_rung_adds_what_was_above():
    rung = PyramidLevel(3, 8, plan=PLAN, design=NCSNPP)
    above, x = random(1, 3, 12, 12), random(1, 8, 6, 6, seed=1)
    below = Resample(smooth=True, size="half", dimensions=2)(rung.convolve(above)[..., 1:-1, 1:-1])
    found = rung(above, x.clone())
    torch.testing.assert_close(found[..., 1:-1, 1:-1], (below + x)[..., 1:-1, 1:-1] * 0.5**0.5)


def test_the_residual_encoder_carries_the_image_past_the_stages():
    network = ScoreUNet(NCSNPP, channels_in=1, channels_out=1, channels=8, multipliers=(1, 2, 2), blocks=1)
    with torch.no_grad():
        network.stem.weight.zero_()  # only the residual encoder sees the image now
    seen = []
    network.skeleton.encoder[-1].register_forward_hook(lambda *given: seen.append(given[-1]))
    for seed in (0, 1):
        network(random(1, 1, 16, 16, seed=seed), torch.zeros(1), Condition())
    assert (seen[0] - seen[1]).abs().max() > 0.1


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_a_fresh_network_says_zero_and_its_weights_have_the_variance_of_the_design(design):
    network = ScoreUNet(design, channels_in=3, channels_out=3, channels=16, multipliers=(1, 2), blocks=2)
    assert network(random(2, 3, 16, 16), torch.zeros(2), Condition()).abs().max() == 0
    (entrance,) = network.skeleton.encoder[3].entrances
    for weight in (network.modulate.weight, entrance.convolve.weight, entrance.shortcut.weight):
        assert weight.var().item() * weight[0].numel() == pytest.approx(design.variance, rel=0.2)
    assert not any(parameter.any() for name, parameter in network.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_everything_inside_is_channels_last(design):
    network = ScoreUNet(design, channels_in=1, channels_out=1, channels=8, multipliers=(1, 2), blocks=1, attention=(0,))
    formats = []
    for module in network.modules():
        if isinstance(module, Entrance | Normalisation):
            module.register_forward_pre_hook(
                lambda _, given: formats.append(given[0].is_contiguous(memory_format=torch.channels_last))
            )
    network(random(2, 1, 8, 8), torch.zeros(2), Condition())
    assert len(formats) > 20
    assert all(formats)
