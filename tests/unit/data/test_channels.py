from pathlib import Path

import numpy as np
import pytest

from sfumato.data.channels import has_colour, read_case, with_channels, without_copies
from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.manifest import Case
from sfumato.data.source import find_cases
from sfumato.errors import DataError


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


def stored(folder: Path, name: str, values: np.ndarray) -> str:
    file = folder / f"{name}.nii.gz"
    write_volume(file, values[..., None], np.eye(4))
    return f"{file}::axial/0"


def test_measured_numbers_of_several_kinds_are_channels_of_one_image(tmp_path: Path) -> None:
    ct, pet = np.full((6, 5), -1000, np.int16), np.full((6, 5), 0.25, np.float32)
    for first, second in ((ct, pet), (pet, ct)):
        files = [stored(tmp_path, name, values) for name, values in (("a", first), ("b", second))]
        pixels = read_case(Case(id="p", image=files[0], channels=(files[1],)))
        assert pixels.dtype == np.float32 and sorted(np.unique(pixels).tolist()) == [-1000, 0.25]


def test_channels_of_8_and_16_bits_or_of_two_sizes_are_refused(tmp_path: Path) -> None:
    for name, content in (
        ("a", np.zeros((6, 5), np.uint8)),
        ("b", np.ones((6, 5), np.uint16)),
        ("c", np.ones((6, 6), np.uint8)),
    ):
        write_image(tmp_path / f"{name}.png", content)
    for other in "bc":
        with pytest.raises(DataError, match="DATA-012"):
            read_case(Case(id="p", image=str(tmp_path / "a.png"), channels=(str(tmp_path / f"{other}.png"),)))


@pytest.mark.parametrize(("times", "told"), [(1.0, True), (60.0, False)])
def test_a_channel_that_takes_little_of_the_range_is_told(tmp_path: Path, times: float, told: bool) -> None:
    for number in range(5):
        random = np.random.default_rng(number)
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "labels").mkdir(exist_ok=True)
        drawn = np.zeros((12, 12, 4), np.uint8)
        drawn[2:6, 2:6, 1:3] = 1
        ct = random.integers(-1000, 1500, drawn.shape).astype(np.int16)
        pet = (times * random.uniform(0, 20, drawn.shape)).astype(np.float32)
        for name, voxels in (("images/p{}_ct", ct), ("images/p{}_pet", pet), ("labels/p{}", drawn)):
            write_volume(tmp_path / f"{name.format(number)}.nii.gz", voxels, np.eye(4))
    found = find_cases(tmp_path)
    assert found.channels == ("ct", "pet")
    assert any("of which pet takes less than 5%" in note for note in found.notes) == told
