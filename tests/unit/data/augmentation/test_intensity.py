"""Light, field and sharpness in two and three dimensions; items for which nothing was drawn stay exact."""

import pytest
import torch

from sfumato.data.augmentation.augment import apply, draw_parameters
from sfumato.data.augmentation.intensity import biased, blurred, coarsened, relit
from sfumato.data.augmentation.ranges import Ranges
from sfumato.randomness import Noise

SIZES = [(20, 26), (12, 20, 26)]


@pytest.mark.parametrize("size", SIZES)
def test_a_bias_field_multiplies_the_light_and_is_smooth(size: tuple[int, ...]) -> None:
    images = torch.rand(3, 2, *size) - 0.9
    nodes = torch.zeros(3, 1, *[4] * len(size))
    nodes[1] = 0.3
    nodes[2] = torch.rand(nodes[2].shape) - 0.5
    out = biased(images, nodes)
    assert torch.equal(out[0], images[0]), "exact where not drawn"
    assert torch.allclose((out[1] + 1) / 2, (images[1] + 1) / 2 * torch.tensor(0.3).exp(), atol=1e-6)
    field = ((out[2] + 1) / (images[2] + 1)).log()
    assert torch.allclose(field[0], field[1], atol=1e-5), "the same for all channels"
    corners = tuple(torch.tensor([0, -1]) for _ in size)
    ends = field[0][torch.meshgrid(*corners, indexing="ij")]
    assert torch.allclose(ends, nodes[2, 0][torch.meshgrid(*corners, indexing="ij")], atol=1e-5)
    for axis in range(len(size)):
        assert field[0].diff(dim=axis).abs().max() < 1.5 * 3 / (size[axis] - 1), "a third of the side between nodes"


@pytest.mark.parametrize("size", SIZES)
def test_lower_resolution_keeps_ramps_and_loses_what_is_fine(size: tuple[int, ...]) -> None:
    ramp = (
        sum(torch.arange(side).view(-1, *[1] * (len(size) - 1 - axis)) for axis, side in enumerate(size)) * 0.02 - 0.9
    )
    checks = (
        sum(torch.arange(side).view(-1, *[1] * (len(size) - 1 - axis)) for axis, side in enumerate(size)) % 2 * 2.0 - 1
    )
    images = torch.stack([ramp, checks, checks])[:, None]
    out = coarsened(images, torch.tensor([2.0, 2.0, 1.0]))
    inner = (..., *[slice(2, -2)] * len(size))
    assert torch.allclose(out[0][inner], images[0][inner], atol=1e-5)
    assert out[1].abs().max() < 1e-6 and torch.equal(out[2], images[2])
    assert coarsened(torch.rand(1, 1, *[2] * len(size)), torch.tensor([9.0])).std() < 1e-6, "one pixel at least"


def test_blur_has_its_width_along_each_axis_of_each_volume() -> None:
    volumes = torch.zeros(3, 2, 19, 33, 35)
    volumes[:, :, 9, 16, 17] = torch.tensor([1.0, 0.5])
    sharp, narrow, wide = blurred(volumes, torch.tensor([0.0, 1.0, 2.0]), reach=6)
    assert torch.equal(sharp, volumes[0])
    for out, sigma in ((narrow, 1.0), (wide, 2.0)):
        assert out.sum((1, 2, 3)).tolist() == pytest.approx([1, 0.5], abs=1e-5)
        for axis, side in enumerate((19, 33, 35)):
            others = [k for k in range(3) if k != axis]
            profile = out[0].sum(others)
            assert float((profile * (torch.arange(side) - side // 2) ** 2).sum()) == pytest.approx(sigma**2, abs=0.06)
    thin = torch.rand(1, 1, 1, 8, 8)
    assert torch.allclose(
        blurred(thin, torch.tensor([1.0]), reach=3)[:, :, 0], blurred(thin[:, :, 0], torch.tensor([1.0]), reach=3)
    )


def test_light_of_volumes_is_that_of_their_planes() -> None:
    volumes = torch.rand(3, 2, 5, 8, 9) * 2 - 1
    numbers = torch.tensor([0.1, -0.1, 0.0]), torch.tensor([1.2, 0.8, 1.0])
    for gamma in (torch.tensor([1.3, 0.7, 1.0]), None):
        planes = relit(volumes.flatten(2, 3), *numbers, gamma).view_as(volumes)
        assert torch.allclose(relit(volumes, *numbers, gamma), planes, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_operations_are_done_in_their_order_for_those_that_drew_them(size: tuple[int, ...]) -> None:
    ranges = Ranges(brightness=0.2, contrast=0.2, gamma=0.3, bias_field=0.4, blur=1.0, low_resolution=1.0, noise=0.1)
    images = torch.rand(6, 2, *[side + 4 for side in size]) * 2 - 1
    drawn = draw_parameters(ranges, Noise(range(6)), images, size)
    assert drawn.bias_field is not None and drawn.low_resolution is not None and drawn.grain is not None
    assert drawn.grain.shape == (6, 2, *size)
    out, _ = apply(images, None, drawn, size)
    step = biased(images[(..., *[slice(2, -2)] * len(size))], drawn.bias_field)
    step = relit(step, drawn.brightness, drawn.contrast, drawn.gamma)
    step = coarsened(blurred(step, drawn.blur, reach=3), drawn.low_resolution)
    step = (step + drawn.noise.view(-1, *[1] * (step.ndim - 1)) * drawn.grain).clamp(-1, 1)
    assert torch.allclose(out, step, atol=1e-5) and not torch.equal(out[0], out[1])
    only = draw_parameters(Ranges(bias_field=0.4, low_resolution=1.0), Noise(range(6)), images, size)
    assert only.bias_field is not None and only.low_resolution is not None
    same = [
        torch.equal(a, b)
        for a, b in zip(apply(images, None, only, size)[0], images[(..., *[slice(2, -2)] * len(size))], strict=True)
    ]
    undrawn = ~only.bias_field.flatten(1).any(1) & (only.low_resolution == 1)
    assert same == undrawn.tolist() and True in same and False in same
