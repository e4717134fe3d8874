"""Images that keep their own size: what is stored is what was read, at its place in one flat file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfumato.data.dataset import Dataset
from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.mask import IGNORED
from sfumato.data.preparation.prepare import PreparationSettings, prepare_cases
from sfumato.data.source import find_cases
from sfumato.errors import DataError, UsageError

SIZES = [(20, 24), (37, 11), (20, 24), (8, 50), (64, 63), (5, 5), (20, 24), (30, 31)]


def source(folder: Path, *, channels: int = 1, dtype: type = np.uint8) -> Path:
    """Images of many sizes; some are read by two, and reader 1 sees nothing."""
    random = np.random.default_rng(0)
    for part in ("images", "masks/0", "masks/1"):
        (folder / part).mkdir(parents=True)
    for row, size in enumerate(SIZES):
        top = np.iinfo(dtype).max
        write_image(folder / "images" / f"{row}.png", random.integers(0, top, (*size, channels)).astype(dtype))
        write_image(folder / "masks/0" / f"{row}.png", np.where(random.random(size) < 0.5, 255, 0).astype(np.uint8))
        write_image(folder / "masks/1" / f"{row}.png", np.zeros(size, np.uint8))
    return folder


def prepared(folder: Path, out: Path, **options: Any) -> Dataset:
    list(prepare_cases(find_cases(folder), out, PreparationSettings(**{"size": None, **options})))
    return Dataset.open(out)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (1, np.uint16)])
@pytest.mark.parametrize("workers", [1, 2])
def test_every_image_and_mask_is_stored_as_it_is(tmp_path: Path, channels: int, dtype: type, workers: int) -> None:
    folder = source(tmp_path / "raw", channels=channels, dtype=dtype)
    data, small = (prepared(folder, tmp_path / f"set{size}", size=size, workers=workers) for size in (None, (16, 16)))
    assert data.spec.size is None and data.spec.channels == channels
    for row, case in enumerate(data.cases):
        size = SIZES[int(case.id)]
        assert data.size(row) == size and data.placement(row).box == (0, 0, *size)
        image, mask = data.images([row]), data.masks([row])
        assert image.shape == (1, channels, *size) and mask.shape == (1, *size)
        whole = find_cases(folder).cases[int(case.id)]
        assert np.array_equal(mask[0].numpy(), data.mask(row)) and not data.masks([row], [1]).any()
        assert whole.id == case.id and abs(float(mask.float().mean()) - 0.5) < 0.3
        assert float((image.double().mean() - small.images([row]).double().mean()).abs()) < 0.2
    assert [case.id for case in data.cases] == [case.id for case in small.cases]


def test_the_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    from sfumato.data.formats.image import read_image, read_mask

    data = prepared(source(tmp_path / "raw", channels=3), tmp_path / "set")
    for row, case in enumerate(data.cases):
        image, masks = data.stored(row)
        assert bytes(image) == read_image(case.image).tobytes()
        planes = [read_mask(locator) > 0 for locator in case.masks]
        assert bytes(masks) == np.stack(planes).astype(np.uint8).tobytes()


def test_equal_sizes_make_a_batch_and_others_are_refused(tmp_path: Path) -> None:
    data = prepared(source(tmp_path / "raw"), tmp_path / "set")
    rows = list(range(len(data)))
    groups = list(data.alike(sorted(rows, key=data.size), at_most=2))
    assert [len(group) for group in groups] == [1, 1, 2, 1, 1, 1, 1]
    assert sorted(row for group in groups for row in group) == rows
    assert data.images(groups[2]).shape == (2, 1, 20, 24)
    with pytest.raises(ValueError, match="shape"):
        data.images(rows)


def test_boxes_are_cut_out_of_image_and_mask(tmp_path: Path) -> None:
    data = prepared(source(tmp_path / "raw"), tmp_path / "set")
    rows = [row for row in range(len(data)) if min(data.size(row)) >= 20]
    corners = [(3, 4), (-2, 0), (8, 9)][: len(rows)]
    images = data.image_crops(rows[:3], corners, (12, 10))
    masks = data.mask_crops(rows[:3], corners, (12, 10), [0, 1, 0])
    for place, (row, (down, across)) in enumerate(zip(rows[:3], corners, strict=True)):
        first = max(0, -down)
        shown = data.images([row])[0, :, down + first : down + 12, across : across + 10]
        assert np.array_equal(images[place, :, first:], shown)
        assert (masks[place, :first] == IGNORED).all()
        assert np.array_equal(
            masks[place, first:], data.mask(row, place % 2)[down + first : down + 12, across : across + 10]
        )


def test_what_needs_one_size_says_how_to_get_it(tmp_path: Path) -> None:
    data = prepared(source(tmp_path / "raw"), tmp_path / "set")
    with pytest.raises(UsageError, match="own size") as refused:
        _ = data.spec.common_size
    assert "--size" in str(refused.value)


def test_notes_say_that_each_keeps_its_size(tmp_path: Path) -> None:
    data = prepared(source(tmp_path / "raw"), tmp_path / "set")
    assert any("from 5 x 5 to 63 x 64" in note and "each keeps its own" in note for note in data.notes)
    assert data.sharpness is None


@pytest.mark.parametrize("option", ["keep_aspect", "crop"])
def test_padding_and_cutting_need_a_size(tmp_path: Path, option: str) -> None:
    with pytest.raises(UsageError, match="neither padded nor cut"):
        prepared(source(tmp_path / "raw"), tmp_path / "set", **{option: True})


def test_a_flat_file_that_is_too_short_is_refused(tmp_path: Path) -> None:
    data = prepared(source(tmp_path / "raw"), tmp_path / "set")
    flat = np.load(tmp_path / "set" / "images.npy")
    np.save(tmp_path / "set" / "images.npy", flat[:-1])
    with pytest.raises(DataError, match="shapes"):
        Dataset.open(tmp_path / "set")
    assert len(data) == len(SIZES)


def test_a_folder_of_images_in_their_own_size_has_a_form_of_its_own(tmp_path: Path) -> None:
    folder = source(tmp_path / "raw")
    prepared(folder, tmp_path / "native")
    prepared(folder, tmp_path / "even", size=(16, 16))
    forms = [json.loads((tmp_path / name / "dataset.json").read_text())["format"] for name in ("native", "even")]
    assert forms == [3, 2]


def test_planes_are_brought_to_a_spacing_and_keep_the_size_that_follows(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for part in ("images", "labels"):
        (tmp_path / "raw" / part).mkdir(parents=True)
    for row, (side, step) in enumerate([(20, 1.0), (30, 2.0), (16, 0.5)]):
        affine = np.diag([step, step, 5.0, 1.0])
        voxels = random.integers(0, 1000, (side, side + 4, 3)).astype(np.int16)
        mask = np.zeros(voxels.shape, np.uint8)
        mask[side // 4 : side // 2, side // 4 : side // 2] = 1
        write_volume(tmp_path / "raw/images" / f"p{row}.nii.gz", voxels, affine)
        write_volume(tmp_path / "raw/labels" / f"p{row}.nii.gz", mask, affine)
    data = prepared(tmp_path / "raw", tmp_path / "set", spacing=1.0)
    sizes = {data.size(row) for row in range(len(data))}
    assert {tuple(sorted(size)) for size in sizes} == {(20, 24), (60, 68), (8, 10)}
    assert data.sharpness is not None and "1 mm" in data.sharpness.sentence
    assert Dataset.open(tmp_path / "set").size(0) == data.size(0)
