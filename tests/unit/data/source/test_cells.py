"""What a cell of a table may hold beside a picture: arrays, volumes, folders of DICOM files."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.channels import read_case
from sfumato.data.formats.image import read_mask
from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import find_cases
from sfumato.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 255, (6, 24, 20)).astype(np.uint8)


def table(folder: Path, *lines: str, name: str = "table.csv") -> Path:
    (folder / name).write_text("\n".join(lines) + "\n")
    return folder / name


@pytest.mark.parametrize("where", ["", "table.csv"])
def test_arrays_in_cells(tmp_path: Path, where: str) -> None:
    for number, image in enumerate(PIXELS):
        np.save(tmp_path / f"i{number}.npy", image)
        np.savez(tmp_path / f"m{number}.npz", mask=(image > 100).astype(np.uint8))
    table(tmp_path, "image,mask,dx,patient", *(f"i{n}.npy,m{n}.npz,{'ab'[n % 2]},p{n // 2}" for n in range(6)))
    found = find_cases(tmp_path / where)
    assert found.form == "table" and found.classes == ("a", "b") and len({case.patient for case in found.cases}) == 3
    for case, image in zip(found.cases, PIXELS, strict=True):
        assert np.array_equal(read_case(case)[..., 0], image) and np.array_equal(read_mask(case.masks[0]), image > 100)
    assert not any("left out" in note for note in found.notes)


def test_channels_in_arrays(tmp_path: Path) -> None:
    """By columns and by the ends of names; of other shapes they are refused."""
    for number in range(2):
        for name, image in (("t1", PIXELS[number]), ("t2", PIXELS[number + 2])):
            np.save(tmp_path / f"p{number}_{name}.npy", image)
        np.save(tmp_path / f"p{number}_seg.npy", (PIXELS[number] > 100).astype(np.uint8))
    found = find_cases(tmp_path)
    assert found.channels == ("t1", "t2") and np.array_equal(
        read_case(found.cases[1]), PIXELS[[1, 3]].transpose(1, 2, 0)
    )
    rows = [f"p{number}_t2.npy,p{number}_t1.npy" for number in range(2)]
    named = find_cases(table(tmp_path, "image_0,image_1", *rows))
    assert np.array_equal(read_case(named.cases[0]), PIXELS[[2, 0]].transpose(1, 2, 0))
    np.save(tmp_path / "p1_t1.npy", PIXELS[0, ::2])
    with pytest.raises(DataError, match="shape") as caught:
        find_cases(tmp_path / "table.csv")
    assert caught.value.code == "DATA-012"


def test_a_table_is_of_one_kind(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PIXELS[0])
    Image.fromarray(PIXELS[1]).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"arrays \(1\) and pictures \(1\)") as caught:
        find_cases(table(tmp_path, "image,label", "a.npy,x", "b.png,y"))
    assert caught.value.code == "DATA-050"


def test_a_table_by_a_relative_path_leads_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files are told as what they are: below its folder, by absolute locators; masks have a row, too."""
    (tmp_path / "vol").mkdir()
    affine = np.diag([1.0, 1, 4, 1])
    for number in range(2):
        write_volume(tmp_path / "vol" / f"v{number}.nii.gz", np.moveaxis(PIXELS, 0, 2).astype(np.int16), affine)
        write_volume(tmp_path / "vol" / f"s{number}.nii.gz", np.moveaxis(PIXELS > 99, 0, 2).astype(np.uint8), affine)
    table(tmp_path / "vol", "image,mask", "v0.nii.gz,s0.nii.gz", "v1.nii.gz,s1.nii.gz")
    monkeypatch.chdir(tmp_path)
    found = find_cases(os.path.join("vol", "table.csv"))  # noqa: PTH118
    assert not found.outside and all(Path(case.image).is_absolute() for case in found.cases)
    assert all(Path(case.masks[0]).is_absolute() for case in found.cases)
    assert not any("left out" in note for note in find_cases("vol").notes)


def test_folders_of_dicom_files_in_cells(tmp_path: Path) -> None:
    """An image's folder is named for its images, whatever lies beside; a mask's may hold contours alone."""
    pytest.importorskip("highdicom")
    from tests.unit.data.formats.dicom.structure_sets import box, write_contours, write_ct

    from sfumato.data.formats.dicom.drawn import write_seg

    drawn = np.zeros((20, 24, 4), np.uint8)
    drawn[3:9, 3:9, 1] = 1
    image = write_ct(tmp_path / "p1" / "ct")
    write_seg(tmp_path / "p1" / "ct" / "seg.dcm", drawn, image, names=["Liver"], link=True)
    write_contours(tmp_path / "p1" / "rt" / "rt.dcm", {"GTV": [(1.0, box(2.5, 2.5, 8.5, 8.5))]})
    found = find_cases(table(tmp_path, "image,mask", "p1/ct,p1/rt"))
    assert np.array_equal([read_mask(case.masks[0]) for case in found.cases], drawn.transpose(2, 1, 0))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no DICOM volumes\n") as caught:
        find_cases(table(tmp_path, "image,mask", "p1/ct,empty"))
    assert caught.value.code == "DATA-051"


@pytest.mark.parametrize(("first", "told"), [("ISIC_{}", True), ("images/ISIC_{}.png", True), ("line {}", False)])
def test_a_text_that_names_the_images_is_told(tmp_path: Path, first: str, told: bool) -> None:
    """The one-hot lists of ISIC: `--labels` reads them."""
    (tmp_path / "images").mkdir()
    for number in range(4):
        Image.fromarray(PIXELS[number]).save(tmp_path / "images" / f"ISIC_{number}.png")
    rows = [f"{first.format(number)} {'10' if number % 2 else '01'}" for number in range(4)]
    table(tmp_path, *rows, name="truth.txt")
    notes = find_cases(tmp_path).notes
    assert any("truth.txt names the images" in note and "--labels" in note for note in notes) == told
    if told:
        assert find_cases(tmp_path / "truth.txt").classes == ("0", "1")
