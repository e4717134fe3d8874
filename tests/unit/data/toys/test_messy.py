import json
import resource
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.formats.image import read_image, read_mask
from sfumato.data.toys.messy import PLANTS, make_messy
from sfumato.data.toys.messy import _save as save_picture
from sfumato.data.toys.toy import make_toy
from sfumato.errors import DataError, UsageError

REFUSED = {
    *("corrupt_png", "truncated_jpeg", "empty_file", "lfs_pointer", "text_file", "nan_tiff"),
}
"""Images that cannot be read at all, with the code that `defects.json` announces."""


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "messy"
    make_messy(folder, cases=48, size=32)
    return folder


def defects(messy: Path) -> dict[str, dict[str, str]]:
    return {entry["kind"]: entry for entry in json.loads((messy / "defects.json").read_text())}


def test_every_kind_is_planted_in_a_file_of_its_own(messy: Path) -> None:
    planted = defects(messy)
    assert list(planted) == [plant.kind for plant in PLANTS] and len(planted) >= 20
    assert all((messy / entry["file"]).is_file() for entry in planted.values())
    assert len({entry["file"] for entry in planted.values()}) == len(planted)
    assert not (messy / "drawn").exists() and not (messy / "manifest.csv").exists()


@pytest.mark.parametrize("kind", sorted(REFUSED))
def test_broken_files_are_refused_with_their_code(messy: Path, kind: str) -> None:
    entry = defects(messy)[kind]
    with pytest.raises(DataError) as caught:
        read_image(str(messy / entry["file"]))
    assert caught.value.code == entry["code"]


def test_all_other_files_can_be_read(messy: Path) -> None:
    broken = {messy / defects(messy)[kind]["file"] for kind in REFUSED}
    images = set(messy.glob("*/images/[0-9]*"))
    for path in images - broken:
        assert read_image(str(path)).shape[:2] == (32, 32)
    masks = list(messy.glob("*/masks/*"))
    assert len(masks) == 48 and len(images) == 47, "one image is gone"
    assert sum(read_mask(str(path)).shape != (32, 32) for path in masks) == 1


def test_a_turned_image_is_upright_when_it_is_read(messy: Path, tmp_path: Path) -> None:
    make_toy(tmp_path / "toy", cases=48, size=32, classes=2, readers=1)
    for kind in ("exif_rotation", "wrong_ending", "cmyk_image", "near_duplicate"):
        path = messy / defects(messy)[kind]["file"]
        difference = read_image(str(path)) - read_image(str(tmp_path / f"toy/images/{path.stem}.png")).astype(float)
        assert (np.abs(difference).mean() < 6) == (kind != "near_duplicate"), kind


def test_masks_have_the_values_that_are_announced(messy: Path) -> None:
    def values(kind: str) -> list[int]:
        return np.unique(read_mask(str(messy / defects(messy)[kind]["file"]))).tolist()

    assert values("palette_mask") == [0, 1] and values("grey_level_mask") == [0, 38] and values("empty_mask") == [0]
    assert len(values("lossy_mask")) > 8
    assert read_mask(str(messy / defects(messy)["inverted_mask"]["file"])).mean() > 200


def test_too_few_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too few"):
        make_messy(tmp_path / "toy", cases=20)


def test_a_full_disk_is_noticed(tmp_path: Path) -> None:
    """By what writes pictures itself; a limit on the size of files stands for it."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            save_picture(picture, tmp_path / "a.jpg")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
