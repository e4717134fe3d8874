"""TIFF of any number of channels: what is written is read back, and only what says so is opacity."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from sfumato.data.formats.image import encode_png, ending_of, read_image, read_mask, write_image
from sfumato.data.formats.origin import DESCRIPTION, Origin
from sfumato.data.formats.provenance import read_origin
from sfumato.errors import DataError


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
    kept = read == channels or extra == ["assocalpha"]  # which is on black already
    assert (found == 100).all() == kept  # with opacity it is laid on black


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


GREY = (np.add.outer(np.arange(8), np.arange(6)) * 3000).astype(np.uint16)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_where_0_is_white_numbers_are_turned_round(tmp_path: Path, dtype: type, compression: str | None) -> None:
    stored = (GREY // 300).astype(dtype)
    file = tmp_path / "a.tif"
    tifffile.imwrite(file, stored, photometric="miniswhite", compression=compression, metadata=None)
    ends = np.iinfo(dtype)
    assert np.array_equal(read_image(str(file))[..., 0].astype(int), ends.max + ends.min - stored.astype(int))


def test_where_0_is_white_and_pillow_unpacks(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={262: 0})
    assert np.array_equal(read_image(str(tmp_path / "a.tif"))[..., 0], 65535 - GREY)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_deep_colours_are_upright(tmp_path: Path, orientation: int) -> None:
    """As Pillow makes an 8-bit picture of the same Orientation upright."""
    deep = np.stack([GREY, GREY // 2, GREY[::-1]], -1)
    tag = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extratags=tag, metadata=None)
    picture = Image.fromarray((deep // 256).astype(np.uint8))
    picture.getexif()[274] = orientation
    found = read_image(str(tmp_path / "a.tif"))
    assert found.dtype == np.uint16
    assert np.array_equal(found // 256, np.asarray(ImageOps.exif_transpose(picture)))


def test_colours_that_are_weighted_already_are_not_weighted_again(tmp_path: Path) -> None:
    pixels = np.full((6, 5, 4), (40, 60, 80, 128), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["assocalpha"], metadata=None)
    assert (read_image(str(tmp_path / "a.tif")) == (40, 60, 80)).all()


def test_complex_numbers_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY.astype(np.complex64))
    with pytest.raises(DataError, match="complex64") as caught:
        read_image(str(tmp_path / "a.tif"))
    assert caught.value.code == "DATA-031"


@pytest.mark.parametrize("how", [{"imagej": True}, {"imagej": True, "truncate": True}, {"truncate": True}])
def test_stacks_with_one_directory_are_stacks(tmp_path: Path, how: dict[str, bool]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 6, 7), np.uint8), photometric="minisblack", **how)
    with pytest.raises(DataError, match="5 pages") as caught:
        read_image(str(tmp_path / "a.tif"))
    assert caught.value.code == "DATA-008"


@pytest.mark.parametrize("first", [False, True])
def test_a_thumbnail_is_no_picture(tmp_path: Path, first: bool) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        pages = [(GREY, 0), (GREY[::2, ::2], 1)]
        for pixels, kind in pages[::-1] if first else pages:
            file.write(pixels, subfiletype=kind, metadata=None)
    assert np.array_equal(read_image(str(tmp_path / "a.tif"))[..., 0], GREY)


def test_channels_that_pillow_would_drop_are_refused(tmp_path: Path) -> None:
    pixels = np.full((6, 5, 4), 100, np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "a.tif").read_bytes())
    place = content.index(np.array([338, 3], "<u2").tobytes() + np.array([1], "<u4").tobytes()) + 8
    content[place : place + 2] = b"\0\0"  # ExtraSamples: unspecified
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match="4 channels of 8 bits, packed as LZW"):
        read_image(str(tmp_path / "a.tif"))
