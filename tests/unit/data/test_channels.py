import numpy as np
import pytest

from sfumato.data.channels import has_colour, with_channels, without_copies


@pytest.mark.parametrize("place", [(0, 0), (17, 3), (39, 39)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_one_pixel_makes_a_picture_coloured(place: tuple[int, int], channel: int) -> None:
    """Also between the rows that are looked at first."""
    pixels = np.full((40, 40, 3), 7, np.uint8)
    assert not has_colour(pixels) and without_copies(pixels).shape == (40, 40, 1)
    pixels[(*place, channel)] = 8
    assert has_colour(pixels) and without_copies(pixels).shape == (40, 40, 3)


def test_grey_is_weighted_by_brightness_and_repeated() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[..., 1] = 100
    assert (with_channels(pixels, 1) == 59).all()
    assert (with_channels(with_channels(pixels, 1), 3) == 59).all()
