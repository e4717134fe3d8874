"""Folders that say how images were divided, where they come from or what was done to them are no classes."""

from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.inspection.fingerprint import fingerprint
from sfumato.data.inspection.inspect import measure
from sfumato.data.source import Found, Hints, find_cases
from sfumato.data.source.divisions import is_division
from sfumato.errors import DataError

DIVISIONS = (
    ("fold0", "fold1", "fold2"),
    ("Center_01", "Center_02"),
    ("site2", "site3"),
    ("vendorA", "vendorB"),
    ("Cirrus", "Spectralis", "Topcon"),
    ("batch1", "batch2"),
    ("part_1", "part_2"),
    ("visit1", "visit2"),
    ("raw", "processed"),
    ("original", "resized"),
)
CLASSES = (("stage_1", "stage_2"), ("benign", "malignant"), ("raw", "roasted"), ("A", "B"), ("grade1", "grade2"))


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def paint(path: Path, *, mask: bool = False) -> None:
    random = np.random.default_rng(len(str(path)) + sum(map(ord, str(path))))
    image = random.integers(0, 255, (12, 12)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.where(image > 200, 255, 0).astype(np.uint8) if mask else image)


def about(found: Found, words: str) -> list[str]:
    return [note for note in found.notes if words in note]


@pytest.mark.parametrize("folders", DIVISIONS)
def test_divisions_are_no_classes_unless_a_person_says_so(tmp_path: Path, folders: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{folder}/{folder[:2]}{number}.png" for folder in folders for number in range(5)))
    found = find_cases(tmp_path)
    assert found.classes == ()
    assert {case.patient for case in found.cases} <= {None}
    if "original" not in folders:  # which says "image" too, and beside it `resized` is alone
        assert about(found, "--class-level 1 makes them classes")
    assert not about(found, "--group-by parent")
    assert set(find_cases(tmp_path, hints=Hints(class_level=1)).classes) == set(folders)


@pytest.mark.parametrize("folders", DIVISIONS)
def test_classes_within_and_above_divisions(tmp_path: Path, folders: tuple[str, ...]) -> None:
    for number, (label, folder) in enumerate((x, y) for x in ("benign", "malignant") for y in folders):
        touch(tmp_path / "above", *(f"{label}/{folder}/a{number}{each}.png" for each in range(3)))
        touch(tmp_path / "within", *(f"{folder}/{label}/a{number}{each}.png" for each in range(3)))
    for where in ("above", "within"):
        found = find_cases(tmp_path / where)
        assert found.classes == ("benign", "malignant")
        assert not about(found, "--group-by parent")


@pytest.mark.parametrize("folders", CLASSES)
def test_other_folders_are_classes(tmp_path: Path, folders: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{folder}/{folder}_{number}.png" for folder in folders for number in range(5)))
    assert set(find_cases(tmp_path).classes) == set(folders)


@pytest.mark.parametrize(
    "folder", ["part-solid", "site_london", "centre of lung", "TRAIN007", "devices_and_screws", ""]
)
def test_what_else_stands_in_a_name_makes_it_none(folder: str) -> None:
    assert not is_division(folder)


def test_divisions_with_masks_are_no_patients(tmp_path: Path) -> None:
    for folder in ("Center_01", "Center_02"):
        for number in range(4):
            paint(tmp_path / f"plain/{folder}/images/{folder}{number}.png")
            paint(tmp_path / f"plain/{folder}/masks/{folder}{number}.png", mask=True)
            paint(tmp_path / f"people/{folder}/p{number:02}/images/1.png")
            paint(tmp_path / f"people/{folder}/p{number:02}/masks/1.png", mask=True)
            paint(tmp_path / f"classes/{folder[6:]}x/p{number:02}/images/1.png")
            paint(tmp_path / f"classes/{folder[6:]}x/p{number:02}/masks/1.png", mask=True)
    assert {case.patient for case in find_cases(tmp_path / "plain").cases} == {None}
    assert about(find_cases(tmp_path / "plain"), "neither classes nor patients: Center_01, Center_02;")
    people = {case.patient for case in find_cases(tmp_path / "people").cases}
    assert len(people) == 8  # each centre numbers its own
    assert find_cases(tmp_path / "classes").classes == ("_01x", "_02x")


def test_words_beside_that_of_a_split_say_the_split_alone(tmp_path: Path) -> None:
    touch(tmp_path / "rsna", *(f"stage_2_{split}_images/{split}{n}.png" for split in ("train", "test") for n in "abc"))
    touch(tmp_path / "odir", *(f"ODIR/{split} Images/{n}_left.jpg" for split, n in (("Training", 1), ("Testing", 2))))
    for name, sizes in (("rsna", (3, 3)), ("odir", (1, 1))):
        found = find_cases(tmp_path / name)
        assert found.classes == ()
        assert tuple(sum(case.split == split for case in found.cases) for split in ("train", "test")) == sizes


def test_a_picture_in_several_variants_is_one_and_is_told(tmp_path: Path) -> None:
    for number in range(6):
        split = "Training" if number < 4 else "Testing"
        sides = [f"{number}_{side}.jpg" for side in ("left", "right")]
        touch(tmp_path / "sides", *(f"ODIR-5K/{split} Images/{side}" for side in sides))
        touch(tmp_path / "sides", *(f"preprocessed_images/{side}" for side in sides))
        touch(tmp_path / "cameras", f"derm/skin{number}.png", f"clinic/skin{number}.png")
        touch(tmp_path / "classes", *(f"{label}/{kind}/{number}.png" for label in "xy" for kind in ("raw", "resized")))
    for name, people in (("sides", 6), ("cameras", 6), ("classes", 12)):
        found = find_cases(tmp_path / name)
        assert len({case.patient for case in found.cases} - {None}) == people, name
        assert about(found, "kept together; --images '**/"), name
        assert found.classes == (("x", "y") if name == "classes" else ())
    only = find_cases(tmp_path / "sides", hints=Hints(images="**/preprocessed_images/**/{id}.*"))
    assert len(only.cases) == 12


def test_pictures_of_what_is_drawn_on_others_are_no_images(tmp_path: Path) -> None:
    for number in range(4):
        paint(tmp_path / f"a/Images/{number}.png")
        paint(tmp_path / f"a/Overlay/{number}.png")
        paint(tmp_path / f"a/Labels/{number}.png", mask=True)
    found = find_cases(tmp_path)
    assert len(found.cases) == 4 and found.has_masks
    assert about(found, "not used: a/Overlay/*.png (4)")
    with pytest.raises(DataError):
        find_cases(touch(tmp_path, "a/Overlay/alone.png"))  # of no other picture: nobody knows


def test_the_level_of_classes_within_classes_is_told(tmp_path: Path) -> None:
    kinds = (("benign", "adenosis"), ("benign", "fibroadenoma"), ("malignant", "ductal"), ("malignant", "lobular"))
    touch(tmp_path, *(f"breast/{label}/SOB/{kind}/{kind}{number}.png" for label, kind in kinds for number in range(3)))
    found = find_cases(tmp_path)
    assert found.classes == ("benign", "malignant")
    (note,) = about(found, "--class-level 4 takes those of level 4 (adenosis, ductal, fibroadenoma and 1 more)")
    assert note.startswith("the classes are the folders of level 2 (benign, malignant)")
    assert len(find_cases(tmp_path, hints=Hints(class_level=4)).classes) == 4


def test_a_single_folder_beside_images_is_no_class(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, "more/a.png", "b.png", "c.png"))
    assert found.classes == () and about(found, "the folder more is no class, since the other images (2) lie in none")
    found = find_cases(touch(tmp_path / "forged", "original/a.png", "forged/b.png"))
    assert found.classes == () and about(
        found, "the folder forged is no class, since the other images (1) lie in none; "
    )
    assert find_cases(tmp_path / "forged", hints=Hints(class_level=1)).classes == ("forged", "original")


def test_numbers_of_patients_are_the_same_wherever_they_are_told(tmp_path: Path) -> None:
    for number in range(12):
        for view in ("LEFT_CC", "RIGHT_MLO"):
            paint(tmp_path / f"views/Mass-Training_P_{number:05}_{view}/1-1.png")
        for name in (f"Patient {number}", f"patient{number}"):
            paint(tmp_path / f"spelt/{name}/{number}.png")
    for name in ("views", "spelt"):
        found = find_cases(tmp_path / name)
        assert not found.problems
        assert len({case.patient for case in found.cases}) == found.patients == 12
        assert sum("12 patients" in note or "(kept together): 12" in note for note in found.notes) == 1
        assert not [note for note in found.notes if "24 patients" in note or "nobody" in note]
        facts = list(measure(found.cases, workers=1))
        assert fingerprint(found, facts)["patients"] == 12


def test_volumes_of_nobody_are_no_patients(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_volume(tmp_path / f"{name}.nii.gz", np.ones((4, 4, 3), np.int16), np.eye(4))
    found = find_cases(tmp_path)
    assert about(found, "nobody said whose the volumes are") and found.patients == 0
    assert fingerprint(found, list(measure(found.cases, workers=1)))["patients"] == 0


def test_makers_behind_a_common_beginning_and_what_they_number(tmp_path: Path) -> None:
    """RETOUCH: a folder for each vendor, in which volumes have the same numbers."""
    for maker in ("RETOUCH-Cirrus", "RETOUCH-Topcon"):
        for number in range(3):
            paint(tmp_path / f"{maker}/0{number}7/images/{number}.png")
            paint(tmp_path / f"{maker}/0{number}7/masks/{number}.png", mask=True)
    found = find_cases(tmp_path)
    assert about(found, "neither classes nor patients: RETOUCH-Cirrus, RETOUCH-Topcon;")
    assert {case.patient for case in found.cases} == {f"RETOUCH-{m}/0{n}7" for m in ("Cirrus", "Topcon") for n in "012"}


def test_folders_of_data_sets_are_not_offered_as_groups(tmp_path: Path) -> None:
    for folder in ("North", "West", "East"):
        for number in range(12):
            paint(tmp_path / f"{folder}/images/{folder}{number}.png")
            paint(tmp_path / f"{folder}/masks/{folder}{number}.png", mask=True)
    assert not about(find_cases(tmp_path), "several, --group-by parent")


def test_long_numbers_with_which_names_begin_are_patients(tmp_path: Path) -> None:
    for who in range(1000, 1003):
        touch(tmp_path, *(f"{who}/{who}_{study}{who}_{kind}.png" for study in "12" for kind in ("t2w", "adc")))
    found = find_cases(tmp_path)
    assert found.classes == () and found.patients == 3
    assert about(found, "--class-level 1 makes them classes")
    assert len(find_cases(tmp_path, hints=Hints(class_level=1)).classes) == 3
