"""Labels above the folders of the scans of each case: which masks and which form of the scans is asked, and how."""

import re
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import ReadOptions, find_cases
from sfumato.errors import DataError

FINE, COARSE = (np.diag([1.0, 1, 4, 1]), (12, 10, 4)), (np.diag([2.0, 2, 2, 1]), (6, 5, 8))
CASES = ("train/Rome/1", "train/Rome/2", "train/Oslo/Skyra/4", "test/Rome/3", "test/Oslo/Prisma/6")


def scan(folder: Path, name: str, grid: tuple[np.ndarray, tuple[int, ...]] = FINE) -> None:
    save(folder, name, np.random.default_rng(len(str(folder / name))).integers(20, 900, grid[1]), grid[0])


def mask(folder: Path, name: str, grid: tuple[np.ndarray, tuple[int, ...]] = FINE) -> None:
    drawn = np.zeros(grid[1])
    drawn[2:5, 2:4, 1:3] = 1
    save(folder, name, drawn, grid[0])


def save(folder: Path, name: str, voxels: np.ndarray, affine: np.ndarray) -> None:
    path = folder / f"{name}.nii.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, voxels.astype(np.int16), affine)


def flags(error: DataError) -> list[tuple[str, str]]:
    return re.findall(r"--images '([^']+)' --masks '([^']+)'", error.remedy or "")


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize(("label", "face"), [("wmh", "3DT1_mask"), ("lesion_seg", "3DT1_brainmask")])
def test_a_label_above_the_scans_competes_with_a_mask_beside_one_of_them(
    tmp_path: Path, label: str, face: str, drop: bool
) -> None:
    """The white matter hyperintensities of MICCAI 2017: `3DT1_mask` is the face that was taken off."""
    for place in CASES:
        mask(tmp_path / place, label)
        mask(tmp_path / place, f"orig/{face}", COARSE)
        for form in ("orig", "pre"):
            scan(tmp_path / place, f"{form}/FLAIR")
            scan(tmp_path / place, f"{form}/T1")
            scan(tmp_path / place, f"{form}/3DT1", COARSE)
    with pytest.raises(DataError, match="lies above the images in the folder of each case") as caught:
        find_cases(tmp_path, hints=ReadOptions(drop_unpaired=drop))
    ways, found = flags(caught.value), list[tuple[str, ...]]()
    for images, masks in ways:
        read = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
        assert len({case.volume for case in read.cases}) == len(CASES) and not read.unpaired
        assert {case.split for case in read.cases} == {"train", "test"}
        assert not {case.patient for case in read.cases} & {"Skyra", "Prisma"}
        found.append((*read.channels, Path(read.cases[0].masks[0].partition("::")[0]).name))
    of_label = ("FLAIR", "T1", f"{label}.nii.gz")
    assert found == [of_label, of_label, (f"{face}.nii.gz",)]


def test_each_form_of_the_scans_is_offered_for_cases_at_several_depths(tmp_path: Path) -> None:
    """Numbers come again in each centre, so that one folder does not tell cases apart."""
    for place in ("Rome/1", "Rome/2", "Oslo/Skyra/1", "Oslo/Skyra/2"):
        mask(tmp_path / place, "lesion")
        for form in ("raw", "processed"):
            scan(tmp_path / place, f"{form}/FLAIR")
            scan(tmp_path / place, f"{form}/3DT1", COARSE)
    with pytest.raises(DataError, match="few values, as masks have") as caught:
        find_cases(tmp_path)
    ways = flags(caught.value)
    assert len(ways) == 2
    for images, masks in ways:
        read = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
        assert len({case.volume for case in read.cases}) == 4
        assert all("FLAIR" in case.image and not case.channels for case in read.cases)
