"""Pictures beside volumes: masks of the slices of DICOM series, and previews; never images, never passed over."""

import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom")

from tests.unit.data.formats.dicom.structure_sets import write_ct

from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.formats.scan import read_header
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError

SLICES, SIDE = 4, 20


def pictures(folder: Path, count: int = SLICES, *, grey: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        random = np.random.default_rng(number)
        mask = np.zeros((24, SIDE), np.uint8)
        mask[4 : 9 + number, 5:12] = 63
        write_image(folder / f"slice_{number:03}.png", random.integers(0, 255, (24, SIDE), np.uint8) if grey else mask)


def chaos(root: Path, series: str, **about: int | bool) -> Path:
    for patient in ("1", "2"):
        write_ct(root / patient / series, series=f"1.2.{patient}")
        pictures(root / patient / "Ground", **about)  # type: ignore[arg-type]
    return root


@pytest.mark.parametrize("series", ["DICOM_anon", "DICOM_anon/InPhase"])
@pytest.mark.parametrize("count", [SLICES, SLICES - 1])
def test_pictures_of_slices_are_refused(tmp_path: Path, series: str, count: int) -> None:
    with pytest.raises(DataError, match=rf"1/Ground: {count} pictures beside 4 slices in 1/{series}") as caught:
        find_cases(chaos(tmp_path, series, count=count))
    assert caught.value.code == "DATA-069" and "mask.nii.gz" in caught.value.remedy
    with pytest.raises(DataError, match="Ground"):
        find_cases(tmp_path / "1", hints=ReadOptions(group_by="parent"))


def test_empty_masks_of_the_first_slices_hide_no_others(tmp_path: Path) -> None:
    """The first slice of each series lies above the organ: a few files at even steps are the empty ones."""
    for patient in "1234":
        write_ct(tmp_path / patient / "DICOM_anon", series=f"1.2.{patient}")
        pictures(tmp_path / patient / "Ground")
        write_image(tmp_path / patient / "Ground" / "slice_000.png", np.zeros((24, SIDE), np.uint8))
    with pytest.raises(DataError, match="masks as pictures beside DICOM series"):
        find_cases(tmp_path)


def test_label_volumes_in_their_place_are_read(tmp_path: Path) -> None:
    chaos(tmp_path, "DICOM_anon")
    for patient in ("1", "2"):
        first = tmp_path / patient / "DICOM_anon" / "0.dcm"
        stack = [read_mask(str(path)) for path in sorted((tmp_path / patient / "Ground").iterdir())]
        volume = np.stack(stack, axis=-1).transpose(1, 0, 2).astype(np.int16)
        write_volume(tmp_path / patient / "mask.nii.gz", volume, read_header(first).affine)
        shutil.rmtree(tmp_path / patient / "Ground")
    found = find_cases(tmp_path)
    assert found.form == "volumes" and len(found.cases) == 2 * SLICES and found.has_masks
    assert set(np.unique(read_mask(found.cases[0].masks[0])).tolist()) == {0, 63}


def test_previews_of_slices_are_no_masks(tmp_path: Path) -> None:
    chaos(tmp_path, "DICOM_anon", grey=True)
    assert find_cases(tmp_path).cases


def test_pictures_that_a_person_names_are_images(tmp_path: Path) -> None:
    found = find_cases(chaos(tmp_path, "DICOM_anon"), hints=ReadOptions(images="{id}/Ground/{id}.png"))
    assert len(found.cases) == 2 * SLICES and not found.has_masks


def test_pictures_called_after_volumes_are_previews(tmp_path: Path) -> None:
    """OASIS: more pictures than volumes, in the folders of these; a pattern takes the pictures all the same."""
    random = np.random.default_rng(0)
    for session in ("s1", "s2", "s3"):
        for name, views in (("mpr_1", ("sag_66",)), ("mpr_2", ("sag_66", "cor_20"))):
            (tmp_path / session).mkdir(exist_ok=True)
            grid = random.integers(0, 255, (12, 12, 3)).astype(np.int16)
            write_volume(tmp_path / session / f"{session}_{name}.nii.gz", grid, np.diag([1.0, 1, 4, 1]))
            for view in views:
                picture = random.integers(0, 255, (12, 12), np.uint8)
                write_image(tmp_path / session / f"{session}_{name}_{view}.png", picture)
    found = find_cases(tmp_path)
    assert found.form == "volumes" and len({case.volume for case in found.cases}) == 6
    (note,) = [note for note in found.notes if "previews" in note]
    assert "not used: */*.png (9)" in note and not any("are no volumes" in said for said in found.notes)
    pattern = note.rpartition("--images '")[2].rstrip("'")
    assert len(find_cases(tmp_path, hints=ReadOptions(images=pattern)).cases) == 9


def test_pictures_beside_a_volume_of_another_name_stay_images(tmp_path: Path) -> None:
    pictures(tmp_path, grey=True)
    write_volume(tmp_path / "atlas.nii.gz", np.ones((9, 9, 3), np.int16), np.eye(4))
    assert find_cases(tmp_path).form == "folders"
