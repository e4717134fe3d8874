"""Cells of tables and masks that are the beginnings of the names of images."""

from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

SIDE, COUNT = 24, 6


def photo(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(20, 230, (SIDE, SIDE)).astype(np.uint8)


def drawn(number: int) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[4 : 8 + number, 4:9] = 255
    return mask


def number(case: int) -> int:
    return 22678622 + 24 * case


def mammograms(folder: Path, *, views: str = "R", masks: str = "") -> Path:
    """Images called after a number of a table, a code and a view."""
    for case in range(COUNT):
        for view in views:
            save(folder / "AllDICOMs" / f"{number(case)}_{case * 7919:06x}ef_MG_{view}_CC_ANON.png", photo(case))
        if masks:
            save(folder / masks.format(number(case)), drawn(case))
    return folder


def save(path: Path, content: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, content)


def table(folder: Path, *, extra: str = "") -> Path:
    rows = [f"{number(case)};{case % 2 + 1};{40 + case}" for case in range(COUNT)]
    path = folder / "INbreast.csv"
    path.write_text("\n".join(["File Name;Bi-Rads class;Age", *rows]) + "\n" + extra)
    return path


def told(found: DiscoveredDataset, text: str) -> bool:
    return any(text in note for note in found.notes)


@pytest.mark.parametrize("masks", ["", "AllMASKS/{}_mask.png", "masks/{}.png"])
@pytest.mark.parametrize("by_name", [False, True])
def test_cells_that_begin_the_names_of_files_join_them(tmp_path: Path, masks: str, by_name: bool) -> None:
    path = table(mammograms(tmp_path, masks=masks))
    found = find_cases(tmp_path, hints=ReadOptions(table=path if by_name else None))
    assert {case.id[:8]: case.label for case in found.cases} == {
        str(number(case)): str(case % 2 + 1) for case in range(COUNT)
    }
    assert found.has_masks == bool(masks)
    assert all(Path(case.image).name[:8] == Path(case.masks[0]).name[:8] for case in found.cases if masks)
    assert told(found, "the column 'File Name' holds the beginnings of names of files")


@pytest.mark.parametrize("masks", ["AllMASKS/{}_mask.png", "masks/{}.png", "AllDICOMs/{}_seg.png"])
def test_masks_that_begin_the_names_of_images_belong_to_them(tmp_path: Path, masks: str) -> None:
    found = find_cases(mammograms(tmp_path, masks=masks))
    assert len(found.cases) == COUNT
    assert all(Path(case.image).name[:8] == Path(case.masks[0]).name[:8] for case in found.cases)
    assert told(found, "names of masks are the beginnings of those of their images")


def test_masks_that_begin_the_names_of_several_images_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        find_cases(mammograms(tmp_path, views="LR", masks="masks/{}.png"))


def test_cells_that_begin_several_names_are_refused(tmp_path: Path) -> None:
    path = table(mammograms(tmp_path, views="LR"))
    with pytest.raises(DataError, match=r"22678622.*may be 2 files") as error:
        find_cases(tmp_path, hints=ReadOptions(table=path))
    assert "--drop-unpaired" not in str(error.value)
    assert told(find_cases(tmp_path), "--group-by")


def test_numbers_that_happen_to_begin_names_are_no_names(tmp_path: Path) -> None:
    for case in range(COUNT):
        save(tmp_path / f"{case + 1}_scan_of_{'abcdef'[case]}.png", photo(case))
    path = tmp_path / "t.csv"
    path.write_text("visitor,grade\n" + "".join(f"x{case},{case % 3 + 1}\n" for case in range(COUNT)))
    with pytest.raises(DataError, match="no column names the images"):
        find_cases(tmp_path, hints=ReadOptions(table=path))


def test_rows_without_a_file_may_be_left_out_only_where_some_have_one(tmp_path: Path) -> None:
    path = table(mammograms(tmp_path), extra="99999999;1;50\n")
    with pytest.raises(DataError, match="--drop-unpaired"):
        find_cases(tmp_path, hints=ReadOptions(table=path))
    found = find_cases(tmp_path, hints=ReadOptions(table=path, drop_unpaired=True))
    assert len(found.cases) == COUNT
    for name, text in (("id.csv", "image,label\nx.png,1\ny.png,2\n"), ("classes.csv", "image,label\nx,-1\ny,-1\n")):
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError) as error:
            find_cases(tmp_path, hints=ReadOptions(table=tmp_path / name, columns={"image": "image"}))
        assert "--drop-unpaired" not in str(error.value)


def test_what_would_leave_nothing_is_not_offered(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("image,label\na.png,-1\nb.png,-1\n")
    for case, name in enumerate("ab"):
        save(tmp_path / f"{name}.png", photo(case))
    with pytest.raises(DataError) as error:
        find_cases(tmp_path)
    assert "--drop-unpaired" not in str(error.value)


def test_a_set_of_nnunet_without_any_label_is_not_offered_to_be_dropped(tmp_path: Path) -> None:
    (tmp_path / "imagesTr").mkdir()
    (tmp_path / "labelsTr").mkdir()
    for name in ("imagesTr/a_0000", "labelsTr/b"):
        write_volume(tmp_path / f"{name}.nii.gz", np.ones((4, 4, 2), np.int16), np.eye(4))
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1}}')
    with pytest.raises(DataError) as error:
        find_cases(tmp_path)
    assert "--drop-unpaired" not in str(error.value)
