"""Laws of representations: an exact inverse, energy kept, white noise white, the coarsest band the smaller image."""

import math

import pytest
import torch
from torch import Tensor

from sfumato.diffusion.representation import PIXELS, Haar, Representation, clipped
from sfumato.randomness import Noise

SPACES = [(32,), (16, 24), (8, 16, 24)]
LEVELS = [1, 2, 3]
EPS = {torch.float32: 2.0**-23, torch.float64: 2.0**-52}


def drawn(space: tuple[int, ...], dtype: torch.dtype, *, channels: int = 2) -> Tensor:
    """Images in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, channels, *space, dtype=torch.float64, generator=generator).to(dtype) * 2 - 1


def scaled(space: tuple[int, ...], levels: int) -> Haar:
    """A packet whose channels have different deviations."""
    channels = Haar(levels).shape(2, space)[0]
    return Haar(levels, tuple(0.05 * 1.01**k for k in range(channels)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("space", SPACES)
def test_the_inverse_is_exact(space: tuple[int, ...], levels: int, dtype: torch.dtype) -> None:
    images, haar = drawn(space, dtype), scaled(space, levels)
    encoded = haar.encode(images)
    assert encoded.shape == (3, *haar.shape(2, space)) and encoded.dtype == dtype
    assert encoded[0].numel() == images[0].numel()
    rounded = 2 * levels * len(space) + 4  # additions, factors and units there and back, of numbers up to 2^(dl / 2)
    assert float((haar.decode(encoded) - images).abs().max()) <= rounded * 2 * EPS[dtype]


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("space", SPACES)
def test_the_packet_is_orthonormal(space: tuple[int, ...], levels: int) -> None:
    sides = tuple(2**levels for _ in space)
    unit = torch.eye(math.prod(sides), dtype=torch.float64).view(-1, 1, *sides)
    matrix = Haar(levels).encode(unit).flatten(1)
    assert torch.allclose(matrix @ matrix.T, torch.eye(len(matrix), dtype=torch.float64), atol=1e-14)
    images = drawn(space, torch.float64)
    energy = Haar(levels).encode(images).square().sum() / images.square().sum()
    assert float(energy) == pytest.approx(1, abs=1e-13)


def test_the_bands_of_a_block_have_the_usual_signs() -> None:
    block = torch.tensor([[1.0, 2.0], [4.0, 8.0]], dtype=torch.float64).view(1, 1, 2, 2)
    a, b, c, d = 1.0, 2.0, 4.0, 8.0
    horizontal, vertical, diagonal = (a + b - c - d) / 2, (a - b + c - d) / 2, (a - b - c + d) / 2
    assert Haar(1).encode(block).flatten().tolist() == [(a + b + c + d) / 2, horizontal, vertical, diagonal]


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("space", SPACES)
def test_the_first_channels_are_the_smaller_image(space: tuple[int, ...], levels: int) -> None:
    images, factor = drawn(space, torch.float64), 2**levels
    pools = {1: torch.nn.functional.avg_pool1d, 2: torch.nn.functional.avg_pool2d, 3: torch.nn.functional.avg_pool3d}
    smaller = pools[len(space)](images, factor) * math.sqrt(factor ** len(space))
    assert torch.allclose(Haar(levels).encode(images)[:, :2], smaller, atol=1e-13)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("space", [(64, 64), (32, 32, 32)])
def test_white_noise_stays_white(space: tuple[int, ...], levels: int) -> None:
    noise = Noise(range(8)).normal(torch.empty(8, 1, *space, dtype=torch.float64))
    bands = Haar(levels).encode(noise).transpose(0, 1).flatten(1)
    count = bands.shape[1]
    covariance = bands @ bands.T / count
    off = covariance - torch.eye(len(bands), dtype=torch.float64)
    assert float(off.abs().max()) < 7 / math.sqrt(count / 2), "7 standard errors of a variance"


def test_what_is_clipped_are_the_pixels() -> None:
    images, haar = 2 * drawn((16, 24), torch.float64), scaled((16, 24), 2)
    within = haar.decode(clipped(haar, haar.encode(images), 1.0))
    assert torch.allclose(within, images.clamp(-1, 1), atol=1e-13)
    assert torch.equal(clipped(PIXELS, images, 1.0), images.clamp(-1, 1))


def test_pixels_are_as_they_are() -> None:
    images = drawn((5, 7), torch.float32)
    assert PIXELS.encode(images) is images and PIXELS.decode(images) is images
    assert PIXELS.shape(2, (5, 7)) == (2, 5, 7)
    assert isinstance(PIXELS, Representation) and isinstance(Haar(), Representation)


@pytest.mark.parametrize(("space", "levels"), [((15, 16), 1), ((16, 18), 2), ((8, 8, 12), 3)])
def test_odd_sides_are_refused(space: tuple[int, ...], levels: int) -> None:
    with pytest.raises(ValueError, match=f"divide by {2**levels}"):
        Haar(levels).encode(drawn(space, torch.float32))
