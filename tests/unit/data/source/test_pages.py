"""TIFF files of several pages: refused until a person says what the pages are."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from sfumato.data.channels import read_case
from sfumato.data.formats.image import read_mask
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError

VOLUME, CHANNELS = ReadOptions(pages="volume"), ReadOptions(pages="channels")
STACK = np.random.default_rng(0).integers(0, 60000, (5, 12, 10)).astype(np.uint16)
DRAWN = (STACK > 30000).astype(np.uint8)

WAYS: dict[str, dict[str, Any]] = {
    "pages": {"photometric": "minisblack"},
    "ImageJ": {"imagej": True},
    "one directory": {"photometric": "minisblack", "truncate": True},
    "deflate": {"photometric": "minisblack", "compression": "zlib"},
}


def write(path: Path, pixels: np.ndarray = STACK, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, pixels, **{"photometric": "minisblack", **how})
    return path


def test_without_a_word_they_are_refused_with_the_flag(tmp_path: Path) -> None:
    case = find_cases(write(tmp_path / "a.tif")).cases[0]
    with pytest.raises(DataError, match="5 pages") as caught:
        read_case(case)
    assert caught.value.code == "DATA-008" and "--pages volume" in str(caught.value)


@pytest.mark.parametrize("way", WAYS)
def test_pages_as_planes_of_a_volume(tmp_path: Path, way: str) -> None:
    write(tmp_path / "images" / "a.tif", **WAYS[way])
    write(tmp_path / "masks" / "a.tif", DRAWN)
    found = find_cases(tmp_path, hints=VOLUME)
    assert [case.id for case in found.cases] == [f"a_{number:03d}" for number in range(5)]
    assert {(case.volume, case.patient) for case in found.cases} == {("a", "a")}
    for number, case in enumerate(found.cases):
        assert np.array_equal(read_case(case)[..., 0], STACK[number])
        assert np.array_equal(read_mask(case.masks[0]), DRAWN[number])
    assert "TIFF files of 5 pages, taken for planes of a volume as asked: 1" in found.notes
    assert found.reading["pages"] == "volume"


def test_pages_that_pillow_unpacks(tmp_path: Path) -> None:
    """LZW, which tifffile alone does not read, and palettes whose index is the class."""
    plain = [Image.fromarray(page) for page in (STACK // 256).astype(np.uint8)]
    (tmp_path / "images").mkdir()
    plain[0].save(tmp_path / "images" / "a.tif", save_all=True, append_images=plain[1:], compression="tiff_lzw")
    drawn = [Image.fromarray(page, mode="P") for page in DRAWN]
    for page in drawn:
        page.putpalette([0, 0, 0, 255, 0, 0])
    (tmp_path / "masks").mkdir()
    drawn[0].save(tmp_path / "masks" / "a.tif", save_all=True, append_images=drawn[1:])
    for number, case in enumerate(find_cases(tmp_path, hints=VOLUME).cases):
        assert np.array_equal(read_case(case)[..., 0], STACK[number] // 256)
        assert np.array_equal(read_mask(case.masks[0]), DRAWN[number])


@pytest.mark.parametrize("way", WAYS)
def test_pages_as_channels(tmp_path: Path, way: str) -> None:
    write(tmp_path / "images" / "a.tif", **WAYS[way])
    write(tmp_path / "masks" / "a.tif", DRAWN[0])
    (case,) = find_cases(tmp_path, hints=CHANNELS).cases
    assert np.array_equal(read_case(case), STACK.transpose(1, 2, 0))
    assert case.id == "a" and np.array_equal(read_mask(case.masks[0]), DRAWN[0])


def test_thumbnails_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in STACK[:3]:
            file.write(page, photometric="minisblack", metadata=None)
            file.write(page[::2, ::2], photometric="minisblack", subfiletype=1, metadata=None)
    found = find_cases(tmp_path / "a.tif", hints=VOLUME)
    assert [np.array_equal(read_case(case)[..., 0], page) for case, page in zip(found.cases, STACK, strict=False)] == [
        True
    ] * 3


@pytest.mark.parametrize(
    ("images", "masks", "code", "words"),
    [
        ((STACK, {}), (DRAWN[:4], {}), "DATA-012", "a.tif has 4 pages, its image a.tif has 5"),
        ((STACK, {}), (DRAWN[0], {}), "DATA-012", "has 1 page, its image a.tif has 5"),
        (
            (STACK[:4].reshape(2, 2, 12, 10), {"imagej": True}),
            (DRAWN[:4], {}),
            "DATA-008",
            "2 channels of 2 planes each",
        ),
    ],
)
def test_pages_that_do_not_fit(
    tmp_path: Path, images: tuple[np.ndarray, dict], masks: tuple[np.ndarray, dict], code: str, words: str
) -> None:
    write(tmp_path / "images" / "a.tif", images[0], **images[1])
    write(tmp_path / "masks" / "a.tif", masks[0], **masks[1])
    with pytest.raises(DataError) as caught:
        find_cases(tmp_path, hints=VOLUME)
    assert caught.value.code == code and words in str(caught.value)


def test_pages_of_several_sizes_are_refused(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for page in (STACK[0], STACK[0, ::2, ::2]):
            file.write(page, photometric="minisblack", metadata=None)
    with pytest.raises(DataError, match="several sizes") as caught:
        read_case(find_cases(tmp_path / "a.tif", hints=VOLUME).cases[0])
    assert caught.value.code == "DATA-008"


def test_files_of_one_page_stay_as_they_are(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", STACK[0])
    Image.fromarray(DRAWN[0]).save(tmp_path / "b.png")
    found = find_cases(tmp_path, hints=VOLUME)
    assert [case.image for case in found.cases] == [f"{tmp_path}/a.tif", f"{tmp_path}/b.png"]
    assert "--pages volume: no TIFF has several pages" in found.notes
