"""Folders that say how images were divided, where they come from or what was done to them are no classes."""

from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.inspection.fingerprint import fingerprint
from sfumato.data.inspection.inspect import measure_cases
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.people.dividing import splitting
from sfumato.data.source.people.divisions import is_division
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


def about(found: DiscoveredDataset, words: str) -> list[str]:
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
    assert set(find_cases(tmp_path, hints=ReadOptions(class_level=1)).classes) == set(folders)


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
    only = find_cases(tmp_path / "sides", hints=ReadOptions(images="**/preprocessed_images/**/{id}.*"))
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


def test_the_folders_that_hold_images_are_classes_and_those_above_are_told(tmp_path: Path) -> None:
    kinds = (("benign", "adenosis"), ("benign", "fibroadenoma"), ("malignant", "ductal"), ("malignant", "lobular"))
    touch(tmp_path, *(f"breast/{label}/SOB/{kind}/{kind}{number}.png" for label, kind in kinds for number in range(3)))
    found = find_cases(tmp_path)
    assert found.classes == ("adenosis", "ductal", "fibroadenoma", "lobular")
    (note,) = about(found, "--class-level 2 takes those of level 2 (benign, malignant)")
    assert note.startswith("the classes are the folders of level 4 (adenosis, ductal, fibroadenoma and 1 more)")
    assert find_cases(tmp_path, hints=ReadOptions(class_level=2)).classes == ("benign", "malignant")


def test_classes_above_slides_and_magnifications(tmp_path: Path) -> None:
    """BreaKHis: what holds the images is of a slide, and its magnification."""
    kinds = (("benign", "adenosis", "22549AB"), ("benign", "adenosis", "22550CD"), ("malignant", "lobular", "12204"))
    for label, kind, slide in kinds:
        for power in ("40X", "100X"):
            touch(
                tmp_path,
                *(f"{label}/SOB/{kind}/SOB_14-{slide}/{power}/SOB-14-{slide}-{power[:-1]}-{n}.png" for n in (1, 2)),
            )
    found = find_cases(tmp_path)
    assert found.classes == ("benign", "malignant") and found.patients == 3
    (note,) = about(found, "the classes are the folders")
    assert note.endswith("; --class-level 3 takes those of level 3 (adenosis, lobular)")


def test_names_that_come_again_are_classes_and_a_split_above_them_is_told(tmp_path: Path) -> None:
    """NCT-CRC-HE-100K and CRC-VAL-HE-7K."""
    archives = ("NCT-CRC-HE-100K", "CRC-VAL-HE-7K")
    touch(tmp_path, *(f"{archive}/{label}/{label}-{archive[:2]}{n}.tif" for archive in archives
                      for label in ("ADI", "LYM", "TUM") for n in "abc"))  # fmt: skip
    found = find_cases(tmp_path)
    assert found.classes == ("ADI", "LYM", "TUM") and {case.split for case in found.cases} == {None}
    assert about(found, "--class-level 1 takes those of level 1 (CRC-VAL-HE-7K, NCT-CRC-HE-100K)")
    assert about(found, "since CRC-VAL-HE-7K alone may say one: call them train, validation and test")
    (tmp_path / archives[0]).rename(tmp_path / "train")
    (tmp_path / archives[1]).rename(tmp_path / "validation")
    assert {case.split for case in find_cases(tmp_path).cases} == {"train", "validation"}


def test_many_classes_of_few_images_that_are_words(tmp_path: Path) -> None:
    """HyperKvasir, whose table names the images too."""
    tracts = {"lower": ("cecum", "polyps", "ileum", "hemorrhoids"), "upper": ("pylorus", "barretts", "z-line")}
    names = [f"{tract}/findings-{tract}/{label}/{label}{n}.jpg" for tract, labels in tracts.items()
             for label in labels for n in range(1 + (label == "polyps"))]  # fmt: skip
    touch(tmp_path, *names)
    rows = [f"{Path(name).stem},{Path(name).parent.name},{name.split('/')[0]}" for name in names]
    (tmp_path / "labels.csv").write_text("\n".join(["Video file,Finding,Classification", *rows]))
    found = find_cases(tmp_path)
    assert found.form == "table" and len(found.classes) == 7 and not found.problems
    assert about(found, "--label-column 'Classification' (2 classes)")


def test_what_lies_below_persons_is_a_class_only_if_somebody_says_so(tmp_path: Path) -> None:
    """IDC has a folder for each class in that of each patient; OASIS has one for each kind of file."""
    for who in ("10253", "10254", "8863"):
        touch(tmp_path / "idc", *(f"{who}/{label}/{who}_idx5_x{n}_y1_class{label}.png" for label in "01" for n in "12"))
        touch(tmp_path / "oasis", *(f"OAS1_{who}/{kind}/{who}_{n}.png" for kind in ("PROC", "FSL") for n in "12"))
        touch(tmp_path / "sites", *(f"Rome/patient{who}/{part}/{n}.png" for part in ("lung", "heart") for n in "12"))
        touch(tmp_path / "sites", *(f"Oslo/patient{who}0/{part}/{n}.png" for part in ("lung", "heart") for n in "12"))
    for name, level, people, classes in (("idc", 2, 3, "01"), ("oasis", 2, 3, ("FSL", "PROC"))):
        found = find_cases(tmp_path / name)
        assert found.classes == () and found.patients == people
        assert about(found, "that may be classes: --class-level 2 takes those of level 2 (")
        said = find_cases(tmp_path / name, hints=ReadOptions(class_level=level, group_by="parent"))
        assert said.classes == tuple(classes) and said.patients == people
    found = find_cases(tmp_path / "sites")
    assert found.classes == ("Oslo", "Rome") and found.patients == 6
    assert about(found, "--class-level 3 takes those of level 3 (heart, lung)")
    for number in range(6):
        touch(
            tmp_path / "doubt",
            *(f"00{number}17/{label}/{n}{label}.png" for label in ("benign", "malignant") for n in "12"),
        )
    assert find_cases(tmp_path / "doubt").problems
    said = find_cases(tmp_path / "doubt", hints=ReadOptions(class_level=2, group_by="parent"))
    assert len({case.patient for case in said.cases}) == 6 and said.classes == ("benign", "malignant")


@pytest.mark.parametrize(
    "names", ["{c}/S-14-2{n}/{k}.png", "{c}/AB{n}/{k}.png", "{c}/pat_{n}/{k}.png", "{c}/left/{n}{k}.png"]
)
def test_what_may_be_of_persons_is_no_class(tmp_path: Path, names: str) -> None:
    touch(
        tmp_path,
        *(names.format(c=label, n=n, k=k) for n, label in enumerate(("benign", "malignant")) for k in range(12)),
    )
    assert find_cases(tmp_path).classes == ("benign", "malignant")


def test_folders_above_the_persons_of_bids_are_no_classes(tmp_path: Path) -> None:
    for site, number in (("R001", 1), ("R001", 2), ("R002", 1)):
        who = f"sub-{site.lower()}s{number}"
        touch(tmp_path / "plain", *(f"{site}/{who}/ses-1/anat/{who}_{n}.png" for n in "abc"))
        paint(tmp_path / f"drawn/{site}/{who}/images/{who}.png")
        paint(tmp_path / f"drawn/{site}/{who}/masks/{who}.png", mask=True)
    for name in ("plain", "drawn"):
        found = find_cases(tmp_path / name)
        assert found.classes == () and found.patients == 3
        assert about(
            found, "folders above those of persons (sub-...) are no classes: R001, R002; --class-level 1 makes"
        )
        assert find_cases(tmp_path / name, hints=ReadOptions(class_level=1)).classes == ("R001", "R002")


def test_few_folders_with_masks_that_are_words_are_classes(tmp_path: Path) -> None:
    """COVID-19 Radiography: a folder for each class, in it images and masks."""
    sizes = {"COVID": 3, "Lung_Opacity": 4, "Normal": 5}
    for name, count in sizes.items():
        for number in range(count):
            paint(tmp_path / f"words/{name}/images/{name}-{number}.png")
            paint(tmp_path / f"words/{name}/masks/{name}-{number}.png", mask=True)
            paint(tmp_path / f"initials/{name[:2]}/images/{number}.png")
            paint(tmp_path / f"initials/{name[:2]}/masks/{number}.png", mask=True)
    found = find_cases(tmp_path / "words")
    assert found.classes == tuple(sizes) and found.patients == 0
    assert about(found, "taken as classes (COVID, Lung_Opacity, Normal): --group-by parent if each is a patient")
    people = find_cases(tmp_path / "words", hints=ReadOptions(group_by="parent"))
    assert people.classes == () and people.patients == 3
    people = find_cases(tmp_path / "initials")
    assert people.classes == () and people.patients == 3
    assert about(people, "folders taken as patients (kept together): 3; --class-level 1 if each is a class")


def test_data_of_centres_and_what_is_asked_about_are_told_once(tmp_path: Path) -> None:
    for number in range(1, 7):
        for image in range(3):
            paint(tmp_path / f"centres/data_C{number}/images_C{number}/c{number}{image}.png")
            paint(tmp_path / f"centres/data_C{number}/masks_C{number}/c{number}{image}_mask.png", mask=True)
            paint(tmp_path / f"slides/Slide_0{number}/0{number}_{image}.png")
            paint(tmp_path / f"slides/GT_0{number}/0{number}_{image}.png", mask=True)
    found = find_cases(tmp_path / "centres")
    assert found.patients == 0 and found.classes == ()
    assert about(found, "neither classes nor patients: data_C1, data_C2, data_C3 and 3 more")
    asked = find_cases(tmp_path / "slides")
    assert [problem.code for problem in asked.problems] == ["DATA-068"]
    assert not about(asked, "taken as patients") and not about(asked, "nobody said")
    said = find_cases(tmp_path / "slides", hints=ReadOptions(group_by="parent"))
    assert said.patients == 6 and not said.problems


def test_a_single_folder_beside_splits_is_no_patient(tmp_path: Path) -> None:
    """FLARE22: labelled cases of training lie a folder deeper than those of tuning."""
    for number in range(3):
        paint(tmp_path / f"flare/Training/Labeled50/images/{number}.png")
        paint(tmp_path / f"flare/Training/Labeled50/labels/{number}.png", mask=True)
        paint(tmp_path / f"flare/Tuning/images/t{number}.png")
        paint(tmp_path / f"flare/Tuning/labels/t{number}.png", mask=True)
        paint(tmp_path / f"alone/more/deeper/images/{number}.png")
        paint(tmp_path / f"alone/more/deeper/labels/{number}.png", mask=True)
        paint(tmp_path / f"alone/more/images/t{number}.png")
        paint(tmp_path / f"alone/more/labels/t{number}.png", mask=True)
    found = find_cases(tmp_path / "flare")
    assert sorted(case.split or "" for case in found.cases) == ["train"] * 3 + ["validation"] * 3
    for name in ("flare", "alone"):
        found = find_cases(tmp_path / name)
        assert found.patients == 0 and not about(found, "taken as patients")


def test_versions_and_sets_are_words_for_splits(tmp_path: Path) -> None:
    """ISIC 2017, EMIDEC."""
    for folder in ("ISIC_Training_Data", "ISIC_Validation_Data", "ISIC_Test_v2_Data"):
        touch(tmp_path / "isic", *(f"{folder}/{folder[5:8]}{n}.jpg" for n in range(3)))
    for folder in ("trainset-1.0.1", "valset", "testset-1.0.0"):
        touch(tmp_path / "sets", *(f"{folder}/{folder[:3]}{n}.jpg" for n in range(3)))
    for name in ("isic", "sets"):
        found = find_cases(tmp_path / name)
        assert found.classes == () and [case.split for case in found.cases].count("test") == 3
        assert {case.split for case in found.cases} == {"train", "validation", "test"}
    for number in range(3):
        paint(tmp_path / f"emidec/emidec-dataset-1.0.1/Case_{number}/Images/Case_{number}.png")
        paint(tmp_path / f"emidec/emidec-dataset-1.0.1/Case_{number}/Contours/Case_{number}.png", mask=True)
        paint(tmp_path / f"emidec/emidec-segmentation-testset-1.0.0/Case_1{number}/Images/Case_1{number}.png")
    found = find_cases(tmp_path / "emidec")
    assert len(found.cases) == 3 and about(found, "images in folders without any mask, not used")


def test_a_single_folder_beside_images_is_no_class(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, "more/a.png", "b.png", "c.png"))
    assert found.classes == () and about(found, "the folder more is no class, since the other images (2) lie in none")
    found = find_cases(touch(tmp_path / "forged", "original/a.png", "forged/b.png"))
    assert found.classes == () and about(
        found, "the folder forged is no class, since the other images (1) lie in none; "
    )
    assert find_cases(tmp_path / "forged", hints=ReadOptions(class_level=1)).classes == ("forged", "original")


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
        facts = list(measure_cases(found.cases, workers=1))
        assert fingerprint(found, facts)["patients"] == 12


def test_volumes_of_nobody_are_no_patients(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_volume(tmp_path / f"{name}.nii.gz", np.ones((4, 4, 3), np.int16), np.eye(4))
    found = find_cases(tmp_path)
    assert about(found, "nobody said whose the volumes are") and found.patients == 0
    assert fingerprint(found, list(measure_cases(found.cases, workers=1)))["patients"] == 0


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
    assert len(find_cases(tmp_path, hints=ReadOptions(class_level=1)).classes) == 3


def test_folders_each_of_which_says_a_split_are_splits(tmp_path: Path) -> None:
    """RSNA bone age, whose folders have no words in common but that for the split."""
    parts = (
        "Validation Set/bone-validation-set-1",
        "Validation Set/bone-validation-set-2",
        "Bone Test Set/Test Set Images",
    )
    touch(tmp_path, *(f"{part}/{part[-1]}{n}.png" for part in (*parts, "bone-training-dataset") for n in range(4)))
    found = find_cases(tmp_path)
    assert not found.classes
    assert [case.split for case in found.cases].count("validation") == 8
    assert {case.split for case in found.cases} == {"train", "validation", "test"}


@pytest.mark.parametrize(
    "folders", [("crash test", "road"), ("test_benign", "test_malignant", "training_benign", "training_malignant")]
)
def test_a_word_for_a_split_beside_classes_makes_no_split_of_them(tmp_path: Path, folders: tuple[str, ...]) -> None:
    touch(tmp_path, *(f"{folder}/{folder[0]}{number}.png" for folder in folders for number in range(4)))
    assert set(find_cases(tmp_path).classes) == set(folders)


def test_cases_that_are_called_after_splits_are_no_splits(tmp_path: Path) -> None:
    """BraTS: what lies in each has the same name."""
    for name in ("Training/BraTS20_Training_001", "Training/BraTS20_Training_002", "Val/BraTS20_Val_003"):
        paint(tmp_path / name / "t1.png")
        paint(tmp_path / name / "seg.png", mask=True)
    found = find_cases(tmp_path)
    assert len(found.cases) == 3
    assert all(Path(case.image).parent == Path(case.masks[0]).parent for case in found.cases)


def test_domains_are_divisions(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{folder}/{folder[0]}{number}.png" for folder in ("source", "target") for number in range(4)))
    found = find_cases(tmp_path)
    assert not found.classes
    assert about(found, "--class-level 1 makes them classes")


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (["boneage-training-x", "Bone Age Test y"], {"boneage-training-x", "Bone Age Test y"}),
        (["boneage-training-x", "Bone Age Test y", "other"], set()),  # one says no split
        (["boneage-training-x", "Test benign", "Test malignant"], set()),  # two of one split differ
        (["boneage-training-x", "Test case 003", "Test case 004"], set()),  # cases, by their numbers
        (["boneage-training-x", "Test part 3", "Test part 4"], {"boneage-training-x", "Test part 3", "Test part 4"}),
        (["Bone Age Test y"], set()),  # alone it divides nothing
    ],
)
def test_folders_are_splits_by_all_that_lie_beside_them(folders: list[str], splits: set[str]) -> None:
    entries = [
        SourceFile(f"/{folder}/{number}.png", (folder, f"{number}.png")) for folder in folders for number in range(2)
    ]
    assert {place[-1] for place in splitting(entries)} == splits


def test_folders_of_ranges_are_no_classes_and_tables_of_points_are_told(tmp_path: Path) -> None:
    """VESSEL12; folders of ages with images of any number are classes."""
    for number in (1, 2, 3, 4, 5, 6):
        folder = "VESSEL12_01-03" if number < 4 else "VESSEL12_04-06"
        paint(tmp_path / f"vessels/{folder}/VESSEL12_{number:02}.png")
        paint(tmp_path / f"ages/{'20-30' if number < 4 else '31-40'}/face_{number:02}.png")
    for number in (1, 2):
        (tmp_path / f"vessels/VESSEL12_{number:02}_Annotations.csv").write_text("12,14,3,1\n13,2,4,0\n")
    found = find_cases(tmp_path / "vessels")
    assert found.classes == () and about(found, "neither classes nor patients: VESSEL12_01-03, VESSEL12_04-06")
    assert about(found, "tables called after images, of points or measurements in these, are not read: 2")
    assert find_cases(tmp_path / "ages").classes == ("20-30", "31-40")


@pytest.mark.parametrize("masks", [True, False])
def test_the_word_for_a_split_within_the_name_of_a_folder_of_images_says_it(tmp_path: Path, masks: bool) -> None:
    """RibFrac: the archives of its parts have names of their own, and numbers where a split has several."""
    for part in ("train-{}-1", "train-{}-2", "val-{}"):
        for number in range(3):
            name = f"R{part[0]}{part[-1]}{number}"
            paint(tmp_path / f"ribs-{part.format('images')}" / f"{name}-image.png")
            if masks:
                paint(tmp_path / f"ribs-{part.format('labels')}" / f"{name}-label.png", mask=True)
    found = find_cases(tmp_path)
    assert not found.classes and found.has_masks is masks
    assert [sum(case.split == name for case in found.cases) for name in ("train", "validation")] == [6, 3]
