"""What a refusal proposes: patterns that were tried, of images that are images, and of masks on their grid."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

SIDE = 64


def proposed(text: str) -> list[ReadOptions]:
    """The patterns that an error or a note proposes, as they would be typed."""
    return [
        ReadOptions(images=images, masks=masks, drop_unpaired=bool(drop))
        for images, masks, drop in re.findall(r"--images '(.+?)' --masks '(.+?)'( --drop-unpaired)?", text)
    ]


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        find_cases(folder)
    return caught.value.remedy or ""


def folders(found: DiscoveredDataset) -> tuple[set[str], set[str]]:
    """The folders of the images, and those of their masks."""
    images = {Path(case.image).parent.name for case in found.cases}
    return images, {Path(part).parent.name for case in found.cases for mask in case.masks for part in [mask]}


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def photo(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), np.uint8)


def nuclei(number: int) -> np.ndarray:
    """Numbered objects, more than are few values."""
    random, rows, columns = np.random.default_rng(number), *np.mgrid[:SIDE, :SIDE]
    objects = np.zeros((SIDE, SIDE), np.uint16)
    for value in range(16):
        row, column = 8 + 16 * (value // 4) + random.integers(-1, 2), 8 + 16 * (value % 4) + random.integers(-1, 2)
        objects[(rows - row) ** 2 + (columns - column) ** 2 <= 25] = value + 1
    return objects


def without_borders(objects: np.ndarray) -> np.ndarray:
    return np.where(ndimage.binary_erosion(objects > 0), objects, 0).astype(np.uint16)


def scan(path: Path, shape: tuple[int, int, int], step: float = 1.0, *, mask: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.zeros(shape, np.int16) if mask else np.arange(np.prod(shape)).reshape(shape).astype(np.int16)
    voxels[:2, :2, 0] += 1
    write_volume(path, voxels, np.diag([step, step, 4, 1]))


def test_folders_of_masks_of_each_reader_are_no_images(tmp_path: Path) -> None:
    """CryoNuSeg: folders of masks in many forms for each annotator, some of which no word says for certain."""
    for n in range(1, 5):
        save(tmp_path / "tissue images" / f"Human_Larynx_{n:02}.tif", photo(n))
        for reader in ("Annotator 1 (biologist)", "Annotator 2 (engineer)"):
            home, objects = tmp_path / reader / reader, np.roll(nuclei(n), reader.count("2"), 1)
            name = f"Human_Larynx_{n:02}"
            save(home / "label masks" / f"{name}.tif", without_borders(objects))
            save(home / "label masks modify" / f"{name}.tif", objects)
            save(home / "mask binary" / f"{name}.png", np.where(objects, 255, 0).astype(np.uint8))
    ways = proposed(refused(tmp_path))
    assert len(ways) == 2 and {way.images for way in ways} == {"tissue images/{id}.tif"}
    for way in ways:
        found = find_cases(tmp_path, hints=way)
        assert len(found.cases) == 4 and {len(case.masks) for case in found.cases} == {2}
        assert folders(found)[0] == {"tissue images"} and len(folders(found)[1]) == 1


def test_no_proposal_makes_images_of_what_is_drawn(tmp_path: Path) -> None:
    """The same where no word says that a folder holds masks: its pixels do."""
    for n in range(1, 5):
        save(tmp_path / "tissue" / f"Human_{n:02}.png", photo(n))
        for reader in ("A1", "A2"):
            save(tmp_path / reader / reader / "modify" / f"Human_{n:02}.tif", nuclei(n))
            save(tmp_path / reader / reader / "label masks" / f"Human_{n:02}.tif", without_borders(nuclei(n)))
    for way in proposed(refused(tmp_path)):
        assert folders(find_cases(tmp_path, hints=way))[0] == {"tissue"}


def test_masks_in_folders_of_their_own_are_no_readers(tmp_path: Path) -> None:
    """NuInsSeg: masks of vague areas lie in a folder of masks below one that is called so."""
    for organ in ("brain", "liver"):
        for n in range(1, 4):
            name = f"{organ}_{n}.png"
            drawn = np.where(nuclei(n), 255, 0).astype(np.uint8)
            save(tmp_path / organ / "tissue images" / name, photo(n))
            save(tmp_path / organ / "mask binary" / name, drawn)
            save(tmp_path / organ / "vague areas/mask binary" / name, np.where(np.arange(SIDE) < 30, drawn, 0))
    ways = proposed(refused(tmp_path))
    assert [way.masks for way in ways] == ["*/mask binary/{id}.png", "*/vague areas/mask binary/{id}.png"]
    assert all(len(find_cases(tmp_path, hints=way).cases) == 6 for way in ways)


@pytest.mark.parametrize("others", [["T1w"], []])
def test_masks_on_the_grid_of_another_image_name_it(tmp_path: Path, others: list[str]) -> None:
    """SOOP: the mask of a session lies on one of the diffusion images, and names give it to those of anatomy."""
    for n in range(1, 4):
        who = f"sub-{n}"
        for kind in ("TRACE", "ADC"):
            scan(tmp_path / who / "dwi" / f"{who}_rec-{kind}_dwi.nii.gz", (6, 6, 3), 2.0)
        for place, kind in enumerate(["FLAIR", *others]):
            scan(tmp_path / who / "anat" / f"{who}_{kind}.nii.gz", (12 + place, 12, 3))
        mask = tmp_path / "derivatives/lesion_masks" / who / "dwi" / f"{who}_space-TRACE_desc-lesion_mask.nii.gz"
        scan(mask, (6, 6, 3), 2.0, mask=True)
    remedy = refused(tmp_path)
    assert "--drop-unpaired" not in remedy
    with pytest.raises(DataError, match="grid") as caught:
        find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True))
    for said in (remedy, caught.value.remedy or ""):
        (way,) = proposed(said)
        assert way.images == "**/{id}_rec-TRACE_dwi.nii.gz"
        assert {case.volume for case in find_cases(tmp_path, hints=way).cases} == {"sub-1", "sub-2", "sub-3"}


def test_organs_of_a_case_are_classes_word_for_word(tmp_path: Path) -> None:
    """HaN-Seg: a file for each organ, beside a CT on whose grid they lie and an MR."""
    for n in range(1, 4):
        case = tmp_path / f"case_{n:02}" / f"case_{n:02}"
        scan(Path(f"{case}_IMG_CT.nii.gz"), (8, 8, 3))
        scan(Path(f"{case}_IMG_MR_T1.nii.gz"), (5, 5, 3), 2.0)
        for organ in ("A_Carotid_L", "A_Carotid_R", "Brainstem"):
            scan(Path(f"{case}_OAR_{organ}.seg.nii.gz"), (8, 8, 3), mask=True)
    (way,) = proposed(refused(tmp_path))
    assert (way.images, way.masks) == ("**/{id}_IMG_CT.nii.gz", "**/{id}_OAR_{class}.seg.nii.gz")
    assert list(find_cases(tmp_path, hints=way).mask_names.values())[1:] == ["A_Carotid_L", "A_Carotid_R", "Brainstem"]


def test_folders_of_masks_that_compete_are_named(tmp_path: Path) -> None:
    """UPENN-GBM: masks by a program for all first visits, and corrected ones for some."""
    for n in range(1, 6):
        for visit in ("11", "21")[: 1 + n % 2]:
            name = f"ABCDE-GBM-{n:05}_{visit}"
            for kind in ("T1", "T1GD", "FLAIR"):
                scan(tmp_path / "images_structural" / name / f"{name}_{kind}.nii.gz", (5, 5, 3))
        name = f"ABCDE-GBM-{n:05}_11"
        scan(tmp_path / "automated_segm" / f"{name}_automated_approx_segm.nii.gz", (5, 5, 3), mask=True)
        if n < 4:
            scan(tmp_path / "images_segm" / f"{name}_segm.nii.gz", (5, 5, 3), mask=True)
    remedy = refused(tmp_path)
    lenient = find_cases(tmp_path, hints=ReadOptions(drop_unpaired=True))
    assert "PLACE" not in remedy and proposed(lenient.partners) == proposed(remedy)
    counts = {}
    for way in proposed(remedy):
        found = find_cases(tmp_path, hints=way)
        counts[(way.masks or "").partition("/")[0]] = len({case.volume for case in found.cases})
        assert found.channels == ("FLAIR", "T1", "T1GD") and {len(case.channels) for case in found.cases} == {2}
    assert counts == {"automated_segm": 5, "images_segm": 3}


def test_further_masks_of_images_that_have_some_name_those_that_are_meant(tmp_path: Path) -> None:
    """NuInsSeg in full: masks of vague areas have no image, as pictures beside have the name of theirs too."""
    for organ in ("brain", "liver"):
        for n in range(1, 4):
            name = f"{organ}_{n}"
            drawn = np.where(nuclei(n), 255, 0).astype(np.uint8)
            save(tmp_path / organ / "tissue images" / f"{name}.png", photo(n))
            save(tmp_path / organ / "label masks modify" / f"{name}.tif", nuclei(n))
            save(tmp_path / organ / "mask binary" / f"{name}.png", drawn)
            save(tmp_path / organ / "vague areas/mask binary" / f"{name}.png", np.flipud(drawn))
    (way,) = proposed(refused(tmp_path))
    assert (way.images, way.masks) == ("*/tissue images/{id}.png", "*/mask binary/{id}.png")
    assert len(find_cases(tmp_path, hints=way).cases) == 6
