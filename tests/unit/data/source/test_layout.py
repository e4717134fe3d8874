from pathlib import Path

import pytest

from sfumato.data.order import natural
from sfumato.data.source import ReadOptions, find_cases
from sfumato.data.source.listing import SourceFile, files_below
from sfumato.data.source.matching.pairing import match
from sfumato.data.source.picture import Picture
from sfumato.errors import DataError


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


TRUTH = "images/256ISIC2018_Task1_Training_GroundTruth"


@pytest.mark.parametrize("folder", [TRUTH, "set_masks", "Expert Annotations", "lesion-seg"])
def test_folders_that_end_in_a_mask_word(tmp_path: Path, folder: str) -> None:
    touch(
        tmp_path, *(f"data/val/{name}.jpg" for name in "abc"), *(f"{folder}/{name}_segmentation.png" for name in "cba")
    )
    found = find_cases(tmp_path)
    assert [(case.id, [Path(mask).stem for mask in case.masks]) for case in found.cases] == [
        (name, [f"{name}_segmentation"]) for name in "abc"
    ]
    assert any(Path(folder).name in note for note in found.notes)


@pytest.mark.parametrize(
    "names",
    [
        ["busi_masks/a.png", "busi_masks/b.png"],
        ["with_mask/a.png", "without_mask/b.png"],
        ["healthy/a.png", "tumour_seg/b.png"],
        ["cat/1.png", "dog/1.png", "cat_masks/1.png"],
    ],
)
def test_folders_that_only_sound_like_masks(tmp_path: Path, names: list[str]) -> None:
    found = find_cases(touch(tmp_path, *names))
    assert len(found.cases) == len(names) and not found.has_masks


def test_the_level_of_the_class(tmp_path: Path) -> None:
    touch(tmp_path, "site1/benign/p1/a.png", "site1/malignant/p2/b.png", "site2/benign/p3/c.png")
    assert find_cases(tmp_path).classes == ("benign", "malignant")
    assert find_cases(tmp_path, hints=ReadOptions(class_level=1)).classes == ("site1", "site2")
    assert find_cases(tmp_path, hints=ReadOptions(class_level=2)).classes == ("benign", "malignant")
    assert find_cases(tmp_path, hints=ReadOptions(class_level=3)).classes == ("p1", "p2", "p3")
    with pytest.raises(DataError, match="3 of 3 images lie in fewer than 4 folders") as caught:
        find_cases(tmp_path, hints=ReadOptions(class_level=4))
    assert caught.value.code == "DATA-067"


def test_classes_of_images_with_masks(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{part}/{label}/{label}1.png" for part in ("images", "masks") for label in ("x", "y")))
    found = find_cases(tmp_path, hints=ReadOptions(class_level=2))
    assert found.classes == ("x", "y") and found.has_masks


def test_pre_split_sets_with_masks_and_classes(tmp_path: Path) -> None:
    names = [
        f"{split}/{kind}/{label}/1.png"
        for split in ("Train", "valid", "testing")
        for kind in ("images", "masks")
        for label in "ab"
    ]
    found = find_cases(touch(tmp_path, *names))
    assert [case.split for case in found.cases] == ["train"] * 2 + ["test"] * 2 + ["validation"] * 2
    assert found.classes == ("a", "b") and len({case.id for case in found.cases}) == 6
    for case in found.cases:
        assert case.image.replace("/images/", "/masks/") == case.masks[0]


def test_a_listing_counts_what_systems_leave_behind(tmp_path: Path) -> None:
    touch(tmp_path, "2.png", "10.png", "x/1.png", ".DS_Store", "x/Thumbs.db", "__MACOSX/a.png", ".git/b.png")
    listing = files_below(tmp_path)
    assert [entry.where for entry in listing.entries] == ["2.png", "10.png", "x/1.png"] and listing.hidden == 4
    assert listing.entries[2].locator == f"{tmp_path}/x/1.png" and listing.entries[2].stem == "1"


def test_names_of_any_script_can_be_sorted(tmp_path: Path) -> None:
    names = ["a²", "a10", "a2", "ä", "٣", "-x", "a b"]
    assert sorted(names, key=natural).index("a2") < sorted(names, key=natural).index("a10")
    assert len(find_cases(touch(tmp_path, *(f"{name}.png" for name in names))).cases) == len(names)


@pytest.mark.parametrize("form", ["{split}-{role}/{n}.png", "{split}/{role}s/{n}.png", "{role}s/{split}/{n}.png"])
def test_trainval_is_a_split(tmp_path: Path, form: str) -> None:
    places = [(split, role) for split in ("trainval", "test") for role in ("image", "mask")]
    found = find_cases(
        touch(tmp_path, *(form.format(split=split, role=role, n=n) for split, role in places for n in range(3)))
    )
    assert [case.split for case in found.cases].count("train") == 3 and len(found.cases) == 6
    assert {case.split for case in found.cases} == {"train", "test"} and not found.classes


def test_folders_of_images_by_number_are_no_classes(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, *(f"images_{part:03}/images/{part}{n}.png" for part in (1, 2) for n in "ab")))
    assert not found.classes and any("folders of images by number, which are no classes: 2" in n for n in found.notes)
    assert find_cases(tmp_path, hints=ReadOptions(class_level=1)).classes == ("images_001", "images_002")


def test_a_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    """PCam is HDF5."""
    for name in ("im0001.jp2.gz", "im0002.jp2.gz", "train.h5"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no images, but files of other forms: 2 \.jp2\.gz, 1 \.h5") as error:
        find_cases(tmp_path)
    assert error.value.code == "DATA-002" and "PNG or NPZ" in error.value.remedy


def test_masks_beside_others_that_are_called_otherwise_are_not_passed_over() -> None:
    """Those of one folder go by the word before their names; of the others it must be said that they have no image."""

    def picture(place: str, *, is_mask: bool) -> Picture:
        folder, _, name = place.partition("/")
        return Picture(SourceFile(place, (folder, f"{name}.png")), name, None, (folder,), "", 0, "", False, is_mask)

    images = [picture(f"a/bus_{k}-l", is_mask=False) for k in range(3)]
    images += [picture(f"b/scan_{k}", is_mask=False) for k in range(3)]
    masks = [picture(f"a/tumor_{k}-l", is_mask=True) for k in range(3)]
    masks += [picture(f"b/zz{k}", is_mask=True) for k in (55, 66, 77)]
    matched = match(images, masks, {})
    assert [owned[0].entry.locator for owned in matched.owned.values()] == [f"a/tumor_{k}-l" for k in range(3)]
    assert matched.orphans == ["b/zz55", "b/zz66", "b/zz77"]
