"""Images and pictures beside those that have masks: held back, called otherwise, or shown in another form."""

import re
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

SIDE = 24


def photo(number: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(number).integers(20, 230, (side, side, 3)).astype(np.uint8)


def drawn(number: int, side: int = SIDE) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    mask[4 : 8 + number, 4:9] = 255
    return mask


def save(folder: Path, files: dict[str, np.ndarray]) -> Path:
    for name, pixels in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_image(folder / name, pixels)
    return folder


def pairs(found: DiscoveredDataset) -> set[tuple[str, str]]:
    return {(Path(case.image).name, Path(mask).name) for case in found.cases for mask in case.masks}


def plain(images: str = "images", masks: str = "masks") -> dict[str, np.ndarray]:
    return {f"{images}/{n}.png": photo(n) for n in range(4)} | {f"{masks}/{n}.png": drawn(n) for n in range(4)}


@pytest.mark.parametrize("home", ["imagesTs", "Challenge_ValidationData/images", "unlabelled", "TestA/p1"])
def test_images_whose_masks_are_held_back_are_told(tmp_path: Path, home: str) -> None:
    save(tmp_path, plain("imagesTr", "labelsTr") | {f"{home}/{n}.png": photo(n) for n in range(7, 9)})
    found = find_cases(tmp_path)
    assert len(found.cases) == 4 and not found.unpaired
    assert f"images in folders without any mask, not used: {home}/*.png (2)" in "\n".join(found.notes)


@pytest.mark.parametrize("home", ["imagesTr", "more", "Contest", "test_images"])
def test_other_images_without_masks_are_not_passed_over(tmp_path: Path, home: str) -> None:
    save(tmp_path, plain("imagesTr", "labelsTr") | {f"{home}/{n}.png": photo(n) for n in range(7, 9)})
    if home == "test_images":  # some masks of the folder are there
        save(tmp_path, {"test_masks/8.png": drawn(1)})
    with pytest.raises(DataError, match="no mask"):
        find_cases(tmp_path)


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("bus_000{}-l", "mask_000{}-l"),
        ("case {}", "label {}"),
        ("fundus-{}_left", "vessels-{}_left"),
        ("{}_colour_photo", "{}_drawn"),
        ("{}", "p{}"),
        ("frame_{}", "frame_p{}"),
        ("slide{}", "p{}"),
    ],
)
def test_another_word_before_or_behind_all_names(tmp_path: Path, image: str, mask: str) -> None:
    save(tmp_path, {f"Images/{image.format(n)}.png": photo(n) for n in range(4)})
    save(tmp_path, {f"Masks/{mask.format(n)}.png": drawn(n) for n in range(4)})
    assert pairs(find_cases(tmp_path)) == {(f"{image.format(n)}.png", f"{mask.format(n)}.png") for n in range(4)}


@pytest.mark.parametrize(
    ("image", "mask"),
    [("p01_{}", "p02_{}"), ("scan_{}", "mask_1{}"), ("left{}", "right{}"), ("{}", "l{}"), ("1{}", "p2{}")],
)
def test_numbers_before_names_tell_cases_apart(tmp_path: Path, image: str, mask: str) -> None:
    save(tmp_path, {f"Images/{image.format(n)}.png": photo(n) for n in range(4)})
    save(tmp_path, {f"Masks/{mask.format(n)}.png": drawn(n) for n in range(4)})
    with pytest.raises(DataError, match="no mask"):
        find_cases(tmp_path)


def test_folders_of_images_and_masks_with_a_word_in_common(tmp_path: Path) -> None:
    for home in ("A", "B"):
        files = {f"images_{home}/{home}{n}.png": photo(n) for n in range(3)}
        files |= {f"masks_{home}/{home}{n}_mask.png": drawn(n) for n in range(3)}
        save(tmp_path / f"data_{home}", files)
    found = find_cases(tmp_path)
    assert pairs(found) == {(f"{home}{n}.png", f"{home}{n}_mask.png") for home in "AB" for n in range(3)}
    assert not found.mask_names, "the word is that of the folder, and no class of pixels"


def test_further_masks_of_the_same_images_are_chosen_from(tmp_path: Path) -> None:
    coloured = {n: np.dstack([drawn(n), np.zeros((SIDE, SIDE), np.uint8), drawn(n)]) for n in range(4)}
    further = {f"arteries/{n}.png": drawn(n + 1) for n in range(4)} | {f"both/{n}.png": coloured[n] for n in range(4)}
    save(tmp_path, plain() | further)
    with pytest.raises(DataError) as error:
        find_cases(tmp_path)
    assert all(f"{name}/*.png (4)" in error.value.finding for name in ("masks", "arteries", "both"))
    images, masks = "images/{id}.png", "arteries/{id}.png"
    assert f"--images '{images}' --masks '{masks}'" in error.value.remedy
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert len(found.cases) == 4 and all("arteries" in case.masks[0] for case in found.cases)


def test_pictures_with_a_word_behind_the_names_of_images_are_told(tmp_path: Path) -> None:
    save(tmp_path, plain() | {f"images/{n}_superpixels.png": photo(n + 9) for n in range(4)})
    found = find_cases(tmp_path)
    assert pairs(found) == {(f"{n}.png", f"{n}.png") for n in range(4)}
    assert any("not used: images/*_superpixels.png (4); --images and --masks" in said for said in found.notes)
    hints = ReadOptions(images="images/{id}_superpixels.png", masks="masks/{id}.png")
    assert all("superpixels" in case.image for case in find_cases(tmp_path, hints=hints).cases)


@pytest.mark.parametrize(("word", "count"), [("superpixels", 2), ("left", 4), ("2", 4)])
def test_few_pictures_or_other_sides_and_numbers_are_not_passed_over(tmp_path: Path, word: str, count: int) -> None:
    save(tmp_path, plain() | {f"images/{n}_{word}.png": photo(n + 9) for n in range(count)})
    with pytest.raises(DataError, match="no mask"):
        find_cases(tmp_path)


def test_masks_with_a_word_behind_the_names_of_images_are_chosen_from(tmp_path: Path) -> None:
    save(tmp_path, plain() | {f"images/{n}_vessel.png": drawn(n + 1) for n in range(4)})
    with pytest.raises(DataError) as error:
        find_cases(tmp_path)
    images, masks = "images/{id}.png", "images/{id}_vessel.png"
    assert f"--images '{images}' --masks '{masks}'" in error.value.remedy
    for hints in (ReadOptions(images=images, masks=masks), ReadOptions(images=images, masks="masks/{id}.png")):
        found = find_cases(tmp_path, hints=hints)
        kind = str(hints.masks).replace("{id}", "{}")
        assert [case.masks[0].endswith(kind.format(n)) for n, case in enumerate(found.cases)] == [True] * 4


def test_other_forms_of_the_same_pictures_are_told(tmp_path: Path) -> None:
    cropped = {f"Images_Alt/{n}.png": photo(n)[4:, 4:] for n in range(4)}
    cropped |= {f"Masks_Alt/{n}.png": drawn(n)[4:, 4:] for n in range(4)}
    save(tmp_path, plain("Images", "Masks") | cropped)
    found = find_cases(tmp_path)
    assert len(found.cases) == 4 and all("Alt" not in case.image for case in found.cases)
    note = "not used: Images_Alt/*.png (4), Masks_Alt/*.png (4); --images and --masks"
    assert any(note in said for said in found.notes)
    chosen = ReadOptions(images="Images_Alt/{id}.png", masks="Masks_Alt/{id}.png")
    assert all("Alt" in case.image for case in find_cases(tmp_path, hints=chosen).cases)


def centres(root: Path) -> Path:
    """PolypGen: images by centre, pictures of their boxes, and all images once more in a folder of their own."""
    for home in ("C1", "C2"):
        for n in range(3):
            name = f"{home}_{n}"
            save(root, {f"data_{home}/images_{home}/{name}.png": photo(n + len(home))})
            save(root, {f"data_{home}/masks_{home}/{name}_mask.png": drawn(n)})
            save(root, {f"data_{home}/bbox_image_{home}/{name}_mask_bbox.png": photo(n + 9)})
            copied = (root / f"data_{home}/images_{home}/{name}.png").read_bytes()
            (root / "all").mkdir(exist_ok=True)
            (root / f"all/{name}.png").write_bytes(copied)
    return root


def test_copies_of_images_and_pictures_of_boxes_are_told(tmp_path: Path) -> None:
    save(centres(tmp_path), {"data_C1/bbox_image_C1/lost_mask_bbox.png": photo(30)})
    found = find_cases(tmp_path)
    assert pairs(found) == {(f"C{c}_{n}.png", f"C{c}_{n}_mask.png") for c in (1, 2) for n in range(3)}
    assert not any("/all/" in case.image for case in found.cases) and not found.unpaired
    assert any("byte by byte, not used: all/*.png (6)" in note for note in found.notes)
    assert any("pictures made of masks or images, not used" in note and "bbox" in note for note in found.notes)


def test_images_that_are_no_copies_are_not_passed_over(tmp_path: Path) -> None:
    """Of the same name and size, with one other pixel."""
    path = centres(tmp_path) / "all/C1_0.png"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="no mask"):
        find_cases(tmp_path)


def test_folders_for_images_below_both_say_nothing(tmp_path: Path) -> None:
    """G1020: `Masks_Cropped/img` was taken for images, and the same pictures once more for images without a mask."""
    files = {}
    for images, masks in (("Images", "Masks"), ("Images_Cropped/img", "Masks_Cropped/img")):
        files |= {f"{images}/image_{n}.png": photo(n) for n in range(4)}
        files |= {f"{masks}/image_{n}.png": drawn(n) for n in range(4)}
    found = find_cases(save(tmp_path, files | {f"NerveRemoved_Images/image_{n}.png": photo(n) for n in range(4)}))
    own = {(Path(case.image).parts[-3:-1], Path(case.masks[0]).parts[-3:-1]) for case in found.cases}
    assert (("Images_Cropped", "img"), ("Masks_Cropped", "img")) in own and len(found.cases) == 8
    assert any("not used: NerveRemoved_Images/image_*.png (4)" in note for note in found.notes)


def test_images_without_masks_are_told_by_their_folders(tmp_path: Path) -> None:
    files = plain() | {f"{folder}/z{n}.png": photo(n) for folder in ("more/img", "others") for n in range(3)}
    with pytest.raises(DataError, match=r"6 images have no mask in more/img \(3\), others \(3\):") as error:
        find_cases(save(tmp_path, files))
    assert "--drop-unpaired" in error.value.remedy


@pytest.mark.parametrize("names", [("t1", "t1_ce"), ("image", "image_contrast"), ("adc", "flair")])
def test_new_files_are_put_together_by_the_channels_they_were_taught_with(
    tmp_path: Path, names: tuple[str, str]
) -> None:
    files = {f"p{case}_{name}.png": photo(case)[..., 0] for case in range(3) for name in names}
    save(tmp_path, files)
    found = find_cases(tmp_path, hints=ReadOptions(images_only=True, channels=names))
    assert [(Path(case.image).stem, *(Path(one).stem for one in case.channels)) for case in found.cases] == [
        (f"p{case}_{names[0]}", f"p{case}_{names[1]}") for case in range(3)
    ]


def of_volumes(folder: Path, *masks: str) -> Path:
    """A folder for each case, with two images of it and a file for each organ."""
    for case in range(3):
        random = np.random.default_rng(case)
        for place, name in enumerate(("image", "image_contrast", *masks)):
            organ = np.zeros((12, 12, 3), np.int16)
            organ[2 * place : 2 * place + 2, 2:6] = 1
            content = random.integers(-99, 99, (12, 12, 3)).astype(np.int16) if name.startswith("image") else organ
            path = folder / f"segrap_{case:04d}" / f"{name}.nii.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_volume(path, content, np.diag([1.0, 1, 3, 1]))
    return folder


@pytest.mark.parametrize("masks", [("BrainStem", "GTVnd", "GTVp"), ("CTVn", "GTVnx", "PTVs")])
def test_images_with_a_word_behind_are_channels_by_the_flags_that_are_told(
    tmp_path: Path, masks: tuple[str, ...]
) -> None:
    found = find_cases(of_volumes(tmp_path, *masks))
    assert set(found.mask_names.values()) == {"background", *masks}
    note = next(note for note in found.notes if "image_contrast" in note)
    images, drawn = re.findall(r"(?:--images|--masks) '([^']+)'", note)
    both = find_cases(tmp_path, hints=ReadOptions(images=images, masks=drawn))
    assert both.channels == ("image", "image_contrast") and both.mask_names == found.mask_names
    assert len(both.cases) == len(found.cases) and all(len(case.channels) == 1 for case in both.cases)
    taught = find_cases(of_volumes(tmp_path / "new"), hints=ReadOptions(images_only=True, channels=both.channels))
    assert {Path(part.split("::")[0]).name for case in taught.cases for part in (case.image, *case.channels)} == {
        "image.nii.gz",
        "image_contrast.nii.gz",
    }
