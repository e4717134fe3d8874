"""TIFF of any number of channels: what is written is read back, and only what says so is opacity."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from sfumato.data.formats.image import encode_png, ending_of, read_image, read_mask, write_image
from sfumato.data.formats.origin import DESCRIPTION, Origin
from sfumato.data.formats.told import read_origin


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 12])
def test_every_number_comes_back(tmp_path: Path, dtype: type, channels: int) -> None:
    pixels = np.random.default_rng(channels).integers(0, 256, (9, 7, channels)).astype(dtype)
    write_image(tmp_path / "a.tif", pixels)
    found = read_image(str(tmp_path / "a.tif"))
    assert found.dtype == dtype and np.array_equal(found, pixels)


def test_the_same_pixels_and_texts_give_the_same_bytes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 4), dtype=np.uint8)
    for name in ("a.tif", "b.tif"):
        write_image(tmp_path / name, pixels, text={"Software": "sfumato 1", "Class": "ü"})
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


@pytest.mark.parametrize("channels", [2, 4])
def test_png_is_refused_where_its_last_channel_would_be_opacity(channels: int) -> None:
    with pytest.raises(ValueError, match=f"{channels} channels"):
        encode_png(np.zeros((4, 4, channels), np.uint8))
    assert ending_of(channels) == ".tif" and ending_of(1) == ending_of(3) == ".png"


@pytest.mark.parametrize(
    ("channels", "photometric", "extra", "read"),
    [
        (4, "minisblack", ["unspecified"] * 3, 4),
        (4, "rgb", ["unspecified"], 4),
        (4, "rgb", ["unassalpha"], 3),
        (4, "rgb", ["assocalpha"], 3),
        (2, "minisblack", ["unassalpha"], 1),
        (2, "minisblack", ["unspecified"], 2),
        (5, "rgb", ["unspecified", "unassalpha"], 5),
    ],
)
def test_opacity_is_what_the_file_calls_so(
    tmp_path: Path, channels: int, photometric: str, extra: list[str], read: int
) -> None:
    pixels = np.full((6, 5, channels), 100, np.uint8)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, pixels, photometric=photometric, extrasamples=extra, planarconfig="contig", metadata=None)
    found = read_image(str(file))
    assert found.shape[2] == read
    assert (found == 100).all() == (read == channels)  # with opacity it is laid on black


def test_where_it_comes_from_is_told_and_read_back(tmp_path: Path) -> None:
    said = Origin(kind="synthetic", model="ab" * 32, recipe="generate: edm, unet", facts={"Seed": "7", "Class": "aä"})
    write_image(tmp_path / "a.tif", np.zeros((4, 4, 4), np.uint8), text=said.texts())
    found = read_origin(tmp_path / "a.tif")
    assert found["Description"] == DESCRIPTION["synthetic"] and found["Seed"] == "7" and found["Class"] == "aä"
    assert found["Model"] == "ab" * 32 and found["Digital source type"] == "trainedAlgorithmicMedia"


def test_other_programs_texts_are_not_read(tmp_path: Path) -> None:
    for text in ("patient X", '{"Software": "other", "Class": "X"}', '["X"]'):
        tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), description=text, metadata=None)
        assert read_origin(tmp_path / "a.tif") == {}


def test_a_mask_is_read_as_before(tmp_path: Path) -> None:
    write_image(tmp_path / "m.tif", np.eye(4, dtype=np.uint8) * 255)
    assert np.array_equal(read_mask(str(tmp_path / "m.tif")), np.eye(4) * 255)
