"""Images of any number of channels are seen: grey and RGB as they are, others as a panel for each channel."""

import io

import numpy as np
import pytest
from PIL import Image

from sfumato.reporting.channels import SEAM, as_picture
from sfumato.reporting.figures import FILLS, REFERENCE, animation, grid, overlay, strips
from sfumato.reporting.reading import as_bytes, embedded, read_pixels


def flat(*greys: int, side: int = 32) -> np.ndarray:
    """An image whose channels are each of one grey."""
    return np.broadcast_to(np.array(greys, np.uint8), (side, side, len(greys))).copy()


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_rgb_stay_as_they_are(channels: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (8, 6, channels), dtype=np.uint8)
    assert as_picture(image) is image


def test_every_channel_has_its_panel_in_reading_order() -> None:
    picture = as_picture(flat(10, 20, 30, 40, 50))
    assert picture.shape == (32 + 1 + 32, 32 + 1 + 32 + 1 + 32, 1)
    assert [picture[5, 5, 0], picture[5, 40, 0], picture[5, 80, 0]] == [10, 20, 30]
    assert [picture[40, 5, 0], picture[40, 40, 0], picture[40, 80, 0]] == [40, 50, SEAM]
    assert as_picture(flat(10, 20)).shape == (32, 65, 1)
    assert as_picture(flat(*range(40))).shape == (4 * 33 - 1, 4 * 33 - 1, 1)
    assert as_picture(np.zeros((8, 8, 0), np.uint8)).shape == (8, 8, 1)


def test_masks_are_drawn_onto_every_panel() -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[8:20, 8:20] = 1
    drawn = overlay(flat(0, 0, 0, 0), mask, reference=mask)
    assert drawn.shape == (65, 65, 3)
    for colour in (FILLS[0], REFERENCE):
        found = (drawn == colour).all(-1)
        parts = [found[:32, :32], found[:32, 33:], found[33:, :32], found[33:, 33:]]
        assert parts[0].any() and all(np.array_equal(part, parts[0]) for part in parts)


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_sheets_films_and_pages_take_any_image(channels: int) -> None:
    images = [flat(*range(50, 50 + channels)) for _ in range(3)]
    assert grid(np.stack(images), 2).shape[2] == 1
    rows = {"image": images, "map": [np.zeros((32, 32, 3), np.uint8)] * 3}
    assert Image.open(io.BytesIO(strips(rows, ["a", "b", "c"]))).format == "PNG"
    with Image.open(io.BytesIO(animation([[image] for image in images]))) as trajectory:
        assert trajectory.format == "GIF"
    assert embedded(images[0], "").light.startswith("data:image/png")


def test_channels_of_other_ranges_are_stretched_each_by_itself() -> None:
    ramp = np.linspace(0, 1, 64 * 64).reshape(64, 64)
    shown = as_bytes(np.stack([ramp * 1000, ramp * 0.01], axis=2))
    assert shown.shape == (64, 64, 2) and shown.dtype == np.uint8
    np.testing.assert_allclose(shown[..., 0].astype(int), shown[..., 1].astype(int), atol=3)
    assert shown.max() > 250


def test_the_page_reads_tiff(tmp_path) -> None:
    from sfumato.data.formats.image import write_image

    image = flat(100, 150, 200, 250)
    write_image(tmp_path / "a.tif", image)
    assert np.array_equal(read_pixels(tmp_path / "a.tif"), image)
