"""What is done axis by axis: on planes that are kept it is what is done to images, plane by plane."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sfumato.networks.blocks import (
    Downsample,
    Upsample,
    block_mean,
    convolution,
    depth_to_space,
    double,
    halve,
    pad_to_multiple,
)

FLAT = (1, 2, 2)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_plane(of_images: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """What is done to images, done to each plane of a volume."""
    return torch.stack([of_images(plane) for plane in x.unbind(2)], 2)


@pytest.mark.parametrize(
    ("of_volumes", "of_images"),
    [
        (lambda x: halve(x, FLAT), halve),
        (lambda x: double(x, FLAT), double),
        (lambda x: block_mean(x, (1, 4, 4)), lambda x: block_mean(x, 4)),
        (lambda x: depth_to_space(x, FLAT), lambda x: depth_to_space(x, 2)),
        (lambda x: pad_to_multiple(x, (1, 4, 4)), lambda x: pad_to_multiple(x, 4)),
    ],
    ids=["halve", "double", "block_mean", "depth_to_space", "pad_to_multiple"],
)
@pytest.mark.parametrize("size", [(3, 6, 10), (2, 5, 9)])
def test_planes_that_are_kept_are_images(
    of_volumes: Callable[[Tensor], Tensor], of_images: Callable[[Tensor], Tensor], size: tuple[int, ...]
) -> None:
    x = random(2, 8, *size)
    torch.testing.assert_close(of_volumes(x), by_plane(of_images, x), rtol=0, atol=1e-14)


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("function", [halve, double, block_mean, depth_to_space, pad_to_multiple])
def test_one_number_is_that_of_every_axis(function: Callable[..., Tensor], axes: int) -> None:
    x = random(2, 8, *[5] * axes)
    assert torch.equal(function(x, 2), function(x, (2,) * axes))


def test_each_axis_has_its_own_number() -> None:
    x = random(1, 24, 4, 6, 5)
    spread = depth_to_space(x, (2, 1, 3))
    assert spread.shape == (1, 4, 8, 6, 15)
    assert torch.equal(spread[0, 1, 2:4, 4, 6:9].flatten(), x[0, 6:12, 1, 4, 2]), "channels count the last axis first"
    torch.testing.assert_close(block_mean(spread, (2, 1, 3)), x.view(1, 4, 6, 4, 6, 5).mean(2), rtol=0, atol=1e-14)
    assert halve(x, (2, 1, 2)).shape == (1, 24, 2, 6, 2) and double(x, (1, 2, 1)).shape == (1, 24, 4, 12, 5)
    padded = pad_to_multiple(x, (3, 4, 5))
    assert padded.shape == (1, 24, 6, 8, 5) and torch.equal(padded[..., :4, :6, :], x)
    assert torch.equal(padded[..., 5, 7, :], x[..., 3, 5, :])


@pytest.mark.parametrize("size", [(1, 3), (1, 7, 3), (3, 1, 2)])
def test_a_block_that_is_larger_than_the_image_is_of_what_there_is(size: tuple[int, ...]) -> None:
    x = random(2, 3, *size)
    found = block_mean(x, (4, 8, 4)[: len(size)])
    torch.testing.assert_close(found, x.flatten(2).mean(2).view(2, 3, *[1] * len(size)), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", [Downsample, Upsample])
def test_a_change_of_size_that_keeps_planes_does_not_mix_them(kind: type[Downsample | Upsample]) -> None:
    volumes, images = kind(4, dimensions=3, factor=FLAT, kernel=(1, 3, 3)).double(), kind(4, dimensions=2).double()
    with torch.no_grad():
        images.convolve.weight.copy_(volumes.convolve.weight[:, :, 0])
        images.convolve.bias.copy_(volumes.convolve.bias)
    x = random(2, 4, 3, 6, 8)
    torch.testing.assert_close(volumes(x), by_plane(images, x), rtol=0, atol=1e-13)


@pytest.mark.parametrize(("kernel", "margin"), [((1, 3, 3), 0), ((3, 1, 5), 0), ((1, 3, 3), (0, 1, 2))])
def test_a_convolution_keeps_the_size_of_each_axis_and_adds_its_margin(
    kernel: tuple[int, ...], margin: int | tuple[int, ...]
) -> None:
    size = torch.tensor([3, 4, 6])
    found = convolution(2, 5, kernel=kernel, dimensions=3, margin=margin)
    assert tuple(found(torch.zeros(1, 2, *size.tolist())).shape[2:]) == tuple(
        (size + 2 * torch.tensor(margin)).tolist()
    )
    assert found.weight.shape == (5, 2, *kernel)
