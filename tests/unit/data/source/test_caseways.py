"""Labels above the folders of the scans of each case: which masks and which form of the scans is asked, and how."""

import re
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.locator import Locator
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


def longitudinal(folder: Path, *, with_originals: bool) -> Path:
    """Points in time of each patient, scans that were preprocessed onto one grid, and two readers."""
    for patient in (1, 2, 3):
        for time in (1, 2):
            case, home = f"p{patient:02}_{time:02}", folder / f"p{patient:02}"
            for contrast in ("flair", "mprage", "pd", "t2"):
                scan(home, f"preprocessed/{case}_{contrast}_pp")
                if with_originals:
                    scan(home, f"orig/{case}_{contrast}", COARSE)
            for reader in (1, 2):
                mask(home, f"masks/{case}_mask{reader}")
    return folder


def test_words_behind_all_names_of_images_are_no_part_of_those_of_masks(tmp_path: Path) -> None:
    found = find_cases(longitudinal(tmp_path, with_originals=False))
    assert found.channels == ("flair_pp", "mprage_pp", "pd_pp", "t2_pp")
    assert all(len(case.channels) == 3 and len(case.masks) == 2 for case in found.cases)
    for case in found.cases:
        names = (Locator.parse(file).path.name for file in (case.image, *case.channels, *case.masks))
        assert {name[:6] for name in names} == {case.id[:6]}
    assert found.patients == 3


def test_all_channels_and_readers_on_the_grid_of_the_masks_are_offered_first(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="24 images have no mask") as caught:
        find_cases(longitudinal(tmp_path, with_originals=True))
    ways = flags(caught.value)
    assert ways[0] == ("**/{id}_{channel}_pp.nii.gz", "**/{id}_mask{reader}.nii.gz")
    for number, (images, masks) in enumerate(ways):
        found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
        assert {len(case.channels) for case in found.cases} == {0 if number else 3}
        assert {len(case.masks) for case in found.cases} == {1 if number else 2}


def test_what_lies_beside_channels_in_each_case_is_a_channel_too(tmp_path: Path) -> None:
    """CT and what was resampled onto the PET: those on the grid of the mask are offered, and no others."""
    for number in range(4):
        case = tmp_path / f"P{number}" / f"{number}-study"
        scan(case, "CT")
        for name in ("CTres", "PET", "SUV"):
            scan(case, name, COARSE)
        mask(case, "SEG", COARSE)
    with pytest.raises(DataError, match="lie on different grids") as caught:
        find_cases(tmp_path)
    (way,) = flags(caught.value)
    found = find_cases(tmp_path, hints=ReadOptions(images=way[0], masks=way[1]))
    assert found.channels == ("CTres", "PET", "SUV") and {len(case.masks) for case in found.cases} == {1}
