"""Who the patient is: tags, names, folders, what a person says, and what is said where nobody knows."""

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from sfumato.data.formats.image import write_image
from sfumato.data.manifest import Case
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.data.source.people.persons import Name, are_classes, look_for_persons, said_by_names
from sfumato.data.source.people.pieces import counted_by_number, grouped_by_names, in_variants
from sfumato.data.split import split_cases
from sfumato.errors import DataError, raise_together


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def xray(path: Path, **tags: Any) -> Path:
    """A radiograph of no known position."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(prefix=None)
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    ds.SeriesInstanceUID, ds.Modality, ds.PixelSpacing = generate_uid(prefix=None), "CR", [1, 1]
    ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = 2, 2, 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.PixelData = np.arange(4, dtype=np.uint8).tobytes()
    for keyword, value in tags.items():
        setattr(ds, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def together(found: DiscoveredDataset) -> set[frozenset[str]]:
    """The ids of the cases of each patient."""
    groups = defaultdict[str | None, set[str]](set)
    for case in found.cases:
        groups[case.patient].add(case.id)
    return {frozenset(group) for group in groups.values()}


def test_a_dicom_patient_is_his_number_with_its_issuer_and_no_tag_is_kept(tmp_path: Path) -> None:
    tags: Mapping[str, dict[str, str]] = {
        "a": {"PatientID": "MRN 7781", "StudyInstanceUID": "1.2.1"},
        "b": {"PatientID": "mrn7781", "StudyInstanceUID": "1.2.2"},
        "c": {"PatientID": "5", "IssuerOfPatientID": "North", "StudyInstanceUID": "1.2.3"},
        "d": {"PatientID": "5", "IssuerOfPatientID": "South", "StudyInstanceUID": "1.2.4"},
        "e": {"PatientID": "", "StudyInstanceUID": "1.2.4"},
        "f": {"PatientID": "ANONYMOUS", "StudyInstanceUID": "1.2.5"},
        "g": {"PatientID": "anonymous", "StudyInstanceUID": "1.2.6"},
        "h": {"StudyInstanceUID": "1.2.6"},
    }
    for name, given_tags in tags.items():
        xray(tmp_path / f"{name}.dcm", **given_tags)
    found = find_cases(tmp_path)
    assert together(found) == {frozenset(ids) for ids in ("ab", "c", "de", "f", "gh")}
    assert not re.search(r"7781|North|South|1\.2\.\d", repr(found._replace(cases=())) + repr(found.cases))
    assert any("5 patients" in note and "no tag is kept" in note for note in found.notes)
    assert [case.patient for case in find_cases(tmp_path).cases] == [case.patient for case in found.cases]


def test_dicom_tags_come_before_folders_and_a_table_before_tags(tmp_path: Path) -> None:
    for name, number in (("p1/a", "1"), ("p2/b", "1"), ("p3/c", "2")):
        xray(tmp_path / f"{name}.dcm", PatientID=number)
    assert together(find_cases(tmp_path)) == {frozenset({"a", "b"}), frozenset({"c"})}
    (tmp_path / "t.csv").write_text("image,patient\na.dcm,x\nb.dcm,y\nc.dcm,y\n")
    assert together(find_cases(tmp_path / "t.csv")) == {frozenset({"a"}), frozenset({"b", "c"})}
    by_tag = find_cases(tmp_path / "t.csv", hints=ReadOptions(group_by="PatientID"))
    assert together(by_tag) == {frozenset({"a", "b"}), frozenset({"c"})}


def test_one_number_for_all_is_said_and_studies_may_be_asked_for(tmp_path: Path) -> None:
    for name in "abc":
        xray(tmp_path / f"{name}.dcm", PatientID="ID0", StudyInstanceUID=f"1.2.{ord(name) // 2}")
    found = find_cases(tmp_path)
    assert len(together(found)) == 1 and any("--group-by StudyInstanceUID" in note for note in found.notes)
    by_study = find_cases(tmp_path, hints=ReadOptions(group_by="StudyInstanceUID"))
    assert together(by_study) == {frozenset({"a"}), frozenset({"b", "c"})}
    with pytest.raises(DataError, match="have no group by 'PatientID'"):
        find_cases(touch(tmp_path / "png", "a.png", "b.png"), hints=ReadOptions(group_by="PatientID"))


NAMES = {
    "sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz": "sub-01",
    "patient00007/study1/view1_frontal.png": "patient00007",
    "benign/Patient 12 - 3.png": "Patient 12",
    "subj3_img2.png": "subj3",
    "case_0012_slice_003.png": "case_0012",
    "Mass-Training_P_00041_LEFT_CC.png": "P_00041",
    "TCGA_CS_4943_20000902_11.tif": "TCGA_CS_4943",
    "BraTS-GLI-00005-001-t1c.nii.gz": "BraTS-GLI-00005",
    "002_S_0413_T1.png": "002_S_0413",
    "image_0012.png": None,
    "ISIC_0000123.png": None,
    "patients/a1.png": None,
    "sub-folder/3.png": None,
    "substance12.png": None,
}


@pytest.mark.parametrize("path", NAMES)
def test_whom_a_name_says_by_itself(path: str) -> None:
    assert said_by_names([Name.of(path.split("/"))]) == [NAMES[path]]


GROUPED = [
    (
        ("LUNG-1_slice01", "LUNG-1_slice02", "LUNG-2_slice01", "LUNG-2_slice02"),
        ("LUNG-1", "LUNG-1", "LUNG-2", "LUNG-2"),
    ),
    (("Image_01L", "Image_01R", "Image_02L", "Image_02R"), ("Image_01", "Image_01", "Image_02", "Image_02")),
    (("x7_t1", "x7_t2", "x9_t1", "x9_t2"), ("x7", "x7", "x9", "x9")),
    (("x7_t1", "x7_t2", "x7_t2_SPACE", "x9_t1_fs", "x9_reg_FLAIR"), ("x7", "x7", "x7", "x9", "x9")),
    (("7_L_CC", "7_R_CC", "7_L_MLO", "7_R_MLO"), ("7", "7", "7", "7")),
    (("image_1", "image_2", "image_3", "image_4"), (None,) * 4),
    (("scan_slice1", "scan_slice2", "scan_slice3", "scan_slice4"), (None,) * 4),
    (("grade1_L", "grade2_L", "grade3_L", "grade4_L"), (None,) * 4),
]


@pytest.mark.parametrize(("stems", "groups"), GROUPED)
def test_whom_the_names_of_all_bear_out(stems: tuple[str, ...], groups: tuple[str | None, ...]) -> None:
    assert tuple(grouped_by_names([Name(("all",), stem) for stem in stems])) == groups


def test_folders_that_gather_numbers_by_their_beginnings_are_no_persons() -> None:
    """MIMIC-CXR: `p10/p10000032/s50414267/a.jpg`; a picture with a number of its own is no person."""
    told = said_by_names([Name(("p10", f"p1000003{k}", f"s5041426{k}"), "a") for k in (1, 2, 2)])
    assert told == ["p10000031", "p10000032", "p10000032"]
    assert said_by_names([Name((f"patient{k}",), f"patient{k}0001") for k in (1, 2)]) == ["patient1", "patient2"]
    assert said_by_names([Name((f"patient{k}", f"patient{k}0"), "a") for k in (1, 2)]) == ["patient1", "patient2"]


def test_a_number_in_two_folders_is_two_things_and_a_patient_in_two_is_one() -> None:
    names = [Name((folder,), f"{who}_slice{k}") for folder in "ab" for who in "12" for k in "12"]
    assert grouped_by_names(names)[::2] == ["a/1", "a/2", "b/1", "b/2"]
    assert len(set(said_by_names([Name((folder,), "patient1_2") for folder in "ab"]))) == 1


@pytest.mark.parametrize(
    ("who", "one"),
    [("C{}P61ThinF", True), ("MX{}", True), ("B-2{}49", True), ("{}", False), ("image_{}", False), ("IMG{}", False)],
)
def test_a_code_in_two_class_folders_is_one_person_and_a_number_is_two(tmp_path: Path, who: str, one: bool) -> None:
    """Cells of malaria: `Parasitized/C100P61ThinF_IMG_..._cell_162.png`."""
    people = [who.format(100 + number) for number in range(4)]
    touch(tmp_path, *(f"{kind}/{name}_cell_img_{k}.png" for kind in ("ill", "well") for name in people for k in "12"))
    found = find_cases(tmp_path)
    assert found.classes == ("ill", "well") and len({case.patient for case in found.cases}) == (4 if one else 8)
    told = "of one name in several folders, taken for one person: 4)"
    assert any(told in note for note in found.notes) is one


@settings(max_examples=30, deadline=None)
@given(
    word=st.sampled_from(["patient", "Subject_", "sub-", "case ", "pt-", "P_0"]),
    form=st.sampled_from(["{}/study{}/x.png", "{}_{}.png", "{}-slice{}.png", "{}/img{}.png", "{} ({}).png"]),
    wrap=st.sampled_from(["", "data/", "train/", "a/b/"]),
    patients=st.integers(2, 6),
    each=st.integers(1, 5),
)
def test_people_are_kept_together_in_trees_of_known_habits(
    word: str, form: str, wrap: str, patients: int, each: int
) -> None:
    truth = {(wrap + form.format(f"{word}{who:02d}", part)): who for who in range(patients) for part in range(each)}
    said = said_by_names([Name.of(path.split("/")) for path in truth])
    assert len(set(said)) == patients and len(set(zip(said, truth.values(), strict=True))) == patients


def test_where_nobody_is_known_a_line_says_what_helps(tmp_path: Path) -> None:
    numbers = touch(tmp_path / "n", *(f"{300 + who}_{part}.png" for who in range(4) for part in range(3)))
    (line,) = find_cases(numbers).notes
    offered = re.search(r"--group-by '(.+?)' \(4 groups\)", line)
    assert "nobody said whose" in line and offered
    assert len(together(find_cases(numbers, hints=ReadOptions(group_by=offered[1])))) == 4
    (numbers / "t.csv").write_text(
        "image,exam_no,age\n" + "\n".join(f"{300 + who}_{part},e{who},{part}" for who in range(4) for part in range(3))
    )
    found = find_cases(numbers)
    assert any("--group-by 'exam_no' (4 groups)" in note for note in found.notes)
    assert len(together(find_cases(numbers, hints=ReadOptions(group_by="exam_no")))) == 4
    deep = touch(tmp_path / "d", *(f"{who}/{view}/{part}.png" for who in "vwxyz" for view in "ab" for part in range(4)))
    assert any("--group-by parent (5 groups)" in note for note in find_cases(deep).notes)
    by_parent = find_cases(deep, hints=ReadOptions(group_by="parent"))
    assert len(together(by_parent)) == 5 and by_parent.classes == ("a", "b"), "these come again: they are no patients"
    assert not find_cases(touch(tmp_path / "one", "a.png")).notes
    assert not find_cases(numbers, hints=ReadOptions(images_only=True)).cases[0].patient


CLASSES = ("CNV", "DME", "NORMAL")


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ([f"{kind}/{kind}-{101 + 31 * who}-{n}.jpeg" for kind in CLASSES for who in range(4) for n in range(3)], 4),
        ([f"{who}_{n}.jpg" for who in range(1, 9) for n in range(1, 2 + who % 2)], 8),  # a second image of some
        (["010_HC.png", "010_2HC.png", *(f"{who:03}_HC.png" for who in range(11, 30)), "031_2HC.png"], 21),  # HC18
    ],
)
def test_the_pattern_that_is_offered_holds_the_number_of_a_person(
    tmp_path: Path, names: list[str], groups: int
) -> None:
    """A person may have images in several classes, and one image alone."""
    (line,) = (note for note in find_cases(touch(tmp_path, *names)).notes if "nobody said" in note)
    offered = re.search(rf"--group-by '(.+?)' \({groups} groups\)", line)
    assert offered, line
    assert len({case.patient for case in find_cases(tmp_path, hints=ReadOptions(group_by=offered[1])).cases}) == groups


def test_folders_of_codes_that_come_again_below_classes_are_people(tmp_path: Path) -> None:
    codes = [f"C{100 + number}P{60 + number}" for number in range(4)]
    both = ("ill", "well")
    classes = touch(tmp_path / "a", *(f"{kind}/{who}/{n}.png" for kind in both for who in codes for n in "12"))
    assert {case.patient for case in find_cases(classes).cases} == set(codes)
    series = touch(tmp_path / "b", *(f"{who}/{made}/{n}.png" for who in CLASSES for made in codes[:2] for n in "12"))
    assert not {case.patient for case in find_cases(series).cases} & set(codes), "a few codes in each of many folders"


@pytest.mark.parametrize(
    ("form", "people"),
    [
        ("{kind}/{kind}-{who}-{n}.jpeg", 4),
        ("scan-{who}-{n}.jpeg", 4),
        ("{kind}/{kind}-{who}-1.jpeg", None),
        ("scan-{who}-{n}{n}.jpeg", None),
        ("scan-20190{n}03-{n}.jpeg", None),
    ],
)
def test_a_long_number_before_pictures_that_count_on_is_a_person(tmp_path: Path, form: str, people: int | None) -> None:
    """OCT2017: `CNV/CNV-1016042-1.jpeg`, in several classes too."""
    for who in range(4):
        touch(tmp_path, *(form.format(kind=k, who=1016042 + 31 * who, n=n) for k in CLASSES for n in range(1, 4)))
    found = find_cases(tmp_path)
    known = {case.patient for case in found.cases} - {None}
    assert len(known) == (people or 0)
    assert any("guessed from their names (4 patients" in note for note in found.notes) is bool(people)


@pytest.mark.parametrize(
    "names",
    [
        [f"{number:02}_{kind}.jpg" for number in range(1, 6) for kind in ("dr", "g", "h")],
        [f"{split}_{number}.bmp" for split in ("train", "testA", "testB") for number in range(1, 5)],
        [f"{split}-image/{split}{number:04}.jpg" for split in ("trainval", "test") for number in range(4)],
        [f"images_{part:03}/images/{part}{number:04}.png" for part in range(3) for number in range(4)],
    ],
)
def test_no_pattern_is_offered_that_joins_different_people(tmp_path: Path, names: list[str]) -> None:
    (line,) = (note for note in find_cases(touch(tmp_path, *names)).notes if "nobody said whose" in note)
    assert "groups)" not in line and "--group-by with an expression" in line


def test_what_numbers_planes_or_pictures_in_a_name_is_no_patient(tmp_path: Path) -> None:
    """Else the planes of one person would be those of several, and lie in several splits."""
    for kind in ("p{:02}", "case{}"):
        names = [f"{who}_{kind.format(number)}.png" for who in ("Anna", "Berta", "Carla") for number in range(3)]
        found = find_cases(touch(tmp_path / kind[:1], *names))
        assert {case.patient for case in found.cases} == {None} and "--group-by" in found.notes[-1]
    assert said_by_names([Name((), "p07_1"), Name((), "case7_1")]) == ["p07", "case7"]


def test_films_are_no_classes(tmp_path: Path) -> None:
    found = find_cases(touch(tmp_path, *(f"vid{number // 3}/{number}.png" for number in range(6))))
    assert found.classes == () and {case.patient for case in found.cases} == {"vid0", "vid1"}


def test_a_guess_from_names_can_be_undone(tmp_path: Path) -> None:
    touch(tmp_path, "case1_1.png", "case1_2.png", "case2_1.png", "other.png")
    found = find_cases(tmp_path)
    assert [case.patient for case in found.cases] == ["case1", "case1", "case2", None]
    assert any("guessed" in note and "1 case without such a name" in note for note in found.notes)
    alone = find_cases(tmp_path, hints=ReadOptions(group_by="none"))
    assert {case.patient for case in alone.cases} == {None}


def test_folders_of_people_are_no_classes(tmp_path: Path) -> None:
    people = touch(tmp_path / "a", *(f"patient{who}/{part}.png" for who in range(3) for part in range(2)))
    found = find_cases(people)
    assert found.classes == () and {case.patient for case in found.cases} == {"patient0", "patient1", "patient2"}
    assert any("--class-level 1" in note for note in found.notes)
    assert find_cases(people, hints=ReadOptions(class_level=1)).classes == ("patient0", "patient1", "patient2")
    both = touch(
        tmp_path / "b", *(f"{kind}/pat_{who}/{part}.png" for kind in "xy" for who in range(3) for part in "12")
    )
    found = find_cases(both)
    assert found.classes == ("x", "y") and len({case.patient for case in found.cases}) == 3


def test_folders_that_may_be_people_are_asked_about(tmp_path: Path) -> None:
    numbers = ("00017", "00403", "01022", "20394", "55512")
    doubtful = touch(tmp_path, *(f"data/{who}/{part}.png" for who in numbers for part in range(3)))
    found = find_cases(doubtful)
    with pytest.raises(DataError, match=r"(?s)00403: 3 images.*--group-by parent.*--class-level 2") as caught:
        raise_together(found.problems)
    assert caught.value.code == "DATA-068" and found.classes == ()
    as_people = find_cases(doubtful, hints=ReadOptions(group_by="parent"))
    assert not as_people.problems and as_people.classes == () and len(together(as_people)) == 5
    assert find_cases(doubtful, hints=ReadOptions(group_by=r"_(\d)$")).problems, "grouped by something else"
    deeper = touch(tmp_path / "gamma", *(f"{who}/{who}/{part}_image.png" for who in numbers for part in range(3)),
                   *(f"{who}/{who}.png" for who in numbers))  # fmt: skip
    people = find_cases(deeper, hints=ReadOptions(group_by="parent"))
    assert not people.problems and people.classes == () and len(together(people)) == 5
    as_classes = find_cases(doubtful, hints=ReadOptions(class_level=2))
    assert not as_classes.problems and as_classes.classes == numbers


def test_folders_are_not_asked_about_where_a_table_says_the_patient(tmp_path: Path) -> None:
    """VinDr-Mammo: the folders are studies, and so says a column of the table."""
    numbers = ("00017", "00403", "01022", "20394", "55512")
    touch(tmp_path, *(f"{who}/{who}{part}.png" for who in numbers for part in "abc"))
    rows = [f"{who}{part},p{who}" for who in numbers for part in "abc"]
    (tmp_path / "t.csv").write_text("\n".join(["image,patient_id", *rows]))
    found = find_cases(tmp_path)
    assert not found.problems and not found.classes and len(together(found)) == 5
    assert any("folders of images of one patient each are no classes: 5; --class-level 1" in n for n in found.notes)
    assert find_cases(tmp_path, hints=ReadOptions(class_level=1)).classes == numbers
    rows = [f"{who}{part},p{part}" for who in numbers for part in "abc"]
    (tmp_path / "t.csv").write_text("\n".join(["image,patient_id", *rows]))
    found = find_cases(tmp_path)
    assert not found.problems and found.classes == numbers and len(together(found)) == 3


@pytest.mark.parametrize(
    ("names", "each", "doubtful"),
    [
        ("0 1 2 3 4 5 6 7 8 9", 3, False),
        ("1 2 3 4 5", 3, False),
        ("1 2 3 4 5 6 7 8 9 10 11 12", 3, True),
        ("grade1 grade2 grade3 grade4 grade5", 3, False),
        ("BI-RADS_1 BI-RADS_2 BI-RADS_3 BI-RADS_4 BI-RADS_5", 3, False),
        ("cat dog horse bird fish", 3, False),
        ("A013 A199 B220 B231 C007", 9, True),
        ("A013 A199 B220 B231 C007", 900, False),
        ("3fa9c1e07b12 91be02c4d7aa 77aa0b1c2d3e 0c4f5a6b7d8e 5e6f7a8b9c0d", 4, True),
    ],
)
def test_which_folders_may_be_people(names: str, each: int, doubtful: bool) -> None:
    assert look_for_persons(name for name in names.split() for _ in range(each)) == (False, doubtful)


def test_folders_of_people_may_go_on_behind_their_names(tmp_path: Path) -> None:
    people = ("TCGA_CS_4941_19960909", "TCGA_CS_4942_19970222", "TCGA_CS_4942_19980101")
    found = find_cases(touch(tmp_path, *(f"{who}/{who}_{part}.png" for who in people for part in range(3))))
    assert found.classes == () and not found.problems
    assert {case.patient for case in found.cases} == {"TCGA_CS_4941", "TCGA_CS_4942"}


def test_many_tiny_folders_may_be_people_whatever_they_are_called() -> None:
    names = [a + b for a in "aeiou" for b in "bdfgk"]
    assert look_for_persons(name for name in names for _ in range(2)).doubtful
    assert not look_for_persons(name for name in names for _ in range(9)).doubtful


def test_few_large_folders_with_masks_are_not_patients(tmp_path: Path) -> None:
    assert are_classes(["Kvasir"] * 12 + ["CVC-612"] * 12 + ["ETIS"] * 12)
    assert not are_classes(["Kvasir"] * 2 + ["ETIS"] * 2) and not are_classes(["p01"] * 50 + ["p02"] * 50)
    sets = ("Kvasir", "ETIS")
    touch(tmp_path, *(f"{name}/{part}/{k}.png" for name in sets for part in ("images", "masks") for k in range(11)))
    found = find_cases(tmp_path)
    assert not any(case.patient for case in found.cases)
    assert any("taken as classes (ETIS, Kvasir): --group-by parent" in note for note in found.notes)
    assert len(together(find_cases(tmp_path, hints=ReadOptions(group_by="parent")))) == 2


def test_letters_before_a_number_are_offered_where_each_has_several(tmp_path: Path) -> None:
    """BUS-UCLM: the letters are the patient's."""
    touch(tmp_path / "a", *(f"{who}_{n:03}.png" for who in ("ALWI", "ANFO", "CAZB", "HESN") for n in range(2)))
    (line,) = [note for note in find_cases(tmp_path / "a").notes if "nobody" in note]
    given = re.search(r"--group-by '(.+)' \(4 groups\)", line)
    assert given and len(together(find_cases(tmp_path / "a", hints=ReadOptions(group_by=given[1])))) == 4
    touch(
        tmp_path / "b", *(f"{who}_{n:03}.png" for n, who in enumerate(("ALWI", "ANFO", "CAZB", "HESN"))), "HESN_9.png"
    )
    assert not any("groups" in note for note in find_cases(tmp_path / "b").notes)
    many = [f"{'ABCDEFGHIJKL'[who]}NLX_{n:03}.png" for who in range(12) for n in range(1 if who == 3 else 2)]
    touch(tmp_path / "c", *many)
    assert any("--group-by '" in note and "(12 groups)" in note for note in find_cases(tmp_path / "c").notes)


def test_whose_images_are_is_told_once(tmp_path: Path) -> None:
    """LGG and M&Ms-2: folders of persons that would be classes."""
    for who in ("TCGA_CS_4941_19960909", "TCGA_DU_5851_19950428"):
        touch(tmp_path / "lgg", *(f"{who}/{who}_{n}.png" for n in range(3)))
    for who in ("001", "002", "003"):
        touch(tmp_path / "mms", *(f"{who}/{who}_{view}_{time}.png" for view in ("LA", "SA") for time in ("ED", "ES")))
    for name, number in (("lgg", 2), ("mms", 3)):
        found = find_cases(tmp_path / name)
        assert found.patients == number and found.classes == ()
        (line,) = [note for note in found.notes if "patients" in note]
        assert "--class-level 1 makes" in line and str(number) in line


def test_spellings_of_a_patient_are_one(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{k}.png" for k in range(5)))
    (tmp_path / "t.csv").write_text("image,mrn\n0,P 01\n1,p01\n2,P01\n3,P01\n4,unknown\n")
    found = find_cases(tmp_path)
    assert [case.patient for case in found.cases] == ["P01"] * 4 + [None]
    assert any("'P01' and 'P 01' and 'p01'" in note for note in found.notes)


def test_a_split_that_tears_a_patient_is_a_problem_unless_it_is_kept(tmp_path: Path) -> None:
    touch(tmp_path, "train/case1_1.png", "train/case2_1.png", "test/case1_2.png", "test/case3_1.png")
    found = find_cases(tmp_path)
    with pytest.raises(DataError, match=r"(?s)1 patient is in several.*case1: train, test.*--keep-split") as caught:
        raise_together(found.problems)
    assert caught.value.code == "DATA-082"
    kept = find_cases(tmp_path, hints=ReadOptions(keep_split=True))
    assert not kept.problems and any("kept as --keep-split says" in note for note in kept.notes)
    assert not find_cases(tmp_path, hints=ReadOptions(group_by="none")).problems


def test_a_fold_that_tears_a_patient_is_a_problem() -> None:
    cases = [Case(id=f"c{k}", image=f"{k}.png", patient=f"p{k // 2}") for k in range(4)]
    from sfumato.data.folds import torn_patients

    whole = [{"c0": "train", "c1": "train", "c2": "validation", "c3": "validation"}]
    torn = [*whole, {"c0": "train", "c1": "validation", "c2": "train", "c3": "train"}]
    assert torn_patients(cases, whole) == [] and torn_patients(cases, torn) == ["p0: train, validation"]


def test_a_case_without_split_goes_where_its_patient_is_tested() -> None:
    cases = [Case(id=f"c{k}", image="", patient=f"p{k // 2}", split=split) for k, split in enumerate(
        ["test", None, "train", None, "train", "train", "validation", None]
    )]  # fmt: skip
    parts = [case.split for case in split_cases(cases)]
    assert parts == ["test", "test", "train", "train", "train", "train", "validation", "validation"]


SLIDES = {"benign": ("PT-14-22549AB", "TA-14-9133", "TA-14-9134"), "malignant": ("DC-14-2523", "LC-14-12204")}


@pytest.mark.parametrize(
    "form",
    [
        "{label}/SOB/SOB_{folder}/{mag}X/SOB_{slide}-{mag}-{n:03}.png",
        "{label}/SOB_{slide}-{mag}-{n:03}.png",
        "{label}/{mag}X/SOB_{slide}-{mag}x-{n:03}.png",
    ],
)
def test_a_slide_is_one_at_all_magnifications(tmp_path: Path, form: str) -> None:
    """BreakHis: its subtype PT is no patient, and the number behind a slide is how much it was magnified."""
    for label, slides in SLIDES.items():
        for slide in slides:
            folder = slide.replace("-", "_", 1)
            names = (form.format(label=label, slide=slide, folder=folder, mag=mag, n=n)
                     for mag in (40, 100, 200, 400) for n in (1, 2, 3))  # fmt: skip
            touch(tmp_path, *names)
    found = find_cases(tmp_path)
    groups = {frozenset(name.split("-4")[0].split("-1")[0] for name in group) for group in together(found)}
    assert len(together(found)) == 5 == found.patients
    assert all(len(group) == 12 for group in together(found)), groups


def test_names_that_only_count_are_no_magnifications(tmp_path: Path) -> None:
    touch(tmp_path, *(f"s{scan}_{number}.png" for scan in range(4) for number in (10, 20, 30, 40)))
    assert not any(case.patient for case in find_cases(tmp_path).cases)


def test_a_short_word_within_names_counts_where_nearly_all_have_one(tmp_path: Path) -> None:
    assert said_by_names([Name((), f"scan_pt{n}_1") for n in range(9)]) == [f"pt{n}" for n in range(9)]
    few = [Name((), f"scan_{'pt' if n < 2 else 'dc'}-{n}_1") for n in range(9)]
    assert said_by_names(few) == said_by_names([Name((), "SOB_B_PT-14-22704-40-001")] * 3 + few)[3:] == [None] * 9


def test_the_folder_that_names_begin_with_is_one_thing(tmp_path: Path) -> None:
    ends = ("top", "rest", "rim")
    touch(
        tmp_path,
        *(f"{label}/S_{n}-7/S-{n}-7_{end}.png" for label, n in zip("xyxy", "1234", strict=True) for end in ends),
    )
    assert together(find_cases(tmp_path)) == {frozenset(f"S-{n}-7_{end}" for end in ends) for n in "1234"}


def test_numbered_folders_of_words_are_classes_and_the_slide_behind_a_tile_is_offered(tmp_path: Path) -> None:
    """Kather 2016: an ending within the name says nothing, and slides have tiles of several classes."""
    for place, tissue in enumerate(("TUMOR", "STROMA", "LYMPHO", "DEBRIS", "MUCOSA", "EMPTY"), start=1):
        for slide in range(1, 5):
            for tile in range(1, 4):
                name = f"{slide * 977 + tile * 31 + place * 7:X}_CRC-Prim-HE-{slide:02}_{tile:03}.tif_Row_1_Col_151.png"
                touch(tmp_path, f"{place:02}_{tissue}/{name}")
    found = find_cases(tmp_path)
    assert found.problems == () and found.classes[:2] == ("01_TUMOR", "02_STROMA")
    (hint,) = (note for note in found.notes if "nobody said" in note)
    pattern = hint.split("--group-by '")[1].partition("'")[0]
    assert "(4 groups)" in hint
    grouped = find_cases(tmp_path, hints=ReadOptions(group_by=pattern))
    assert {case.patient for case in grouped.cases} == {f"CRC-Prim-HE-{slide:02}" for slide in range(1, 5)}


def test_persons_by_number_and_name_are_asked_about(tmp_path: Path) -> None:
    for number in (3, 7, 11, 20, 21, 25):
        for name in "ab":
            touch(tmp_path, f"{number:02}_X{number}/{name}.png")
    assert [problem.code for problem in find_cases(tmp_path).problems] == ["DATA-068"]


def test_visits_of_numbered_persons_of_archives_are_one_patient(tmp_path: Path) -> None:
    """UPENN-GBM: an institution, a disease, a number, and the visit behind it."""
    stems = [f"ABCDE-GBM-{person:05}_{visit}" for person in (1, 2, 3) for visit in (11, 21)]
    assert said_by_names([Name((), stem) for stem in stems]) == [stem[:-3] for stem in stems]
    assert said_by_names([Name((), "CT-0001"), Name((), "ABCDE-GBM-000001_11")]) == [None, None]


def test_series_of_a_case_are_kept_together_where_others_have_other_names() -> None:
    """COVID-19-CT-Seg: some series of a case were left out, and others of the set are no series."""
    stems = ["radio_10_85902_1", "radio_10_85902_3", "radio_14_85914_0", "radio_27_86410_0", "corona_001"]
    found = grouped_by_names([Name(("scans",), stem) for stem in stems])
    assert found == ["radio_10_85902", "radio_10_85902", "radio_14_85914", "radio_27_86410", None]


def test_places_of_tiles_are_no_series() -> None:
    stems = [f"tile_{row}_{column}" for row in (10240, 20480, 40960) for column in (0, 512, 1024)]
    assert set(grouped_by_names([Name((), stem) for stem in stems])) == {None}


@pytest.mark.parametrize(
    ("stems", "patients"),
    [
        ([f"{who}_{n}" for who in (1, 2, 3, 47) for n in range(1, 7)], ["1", "2", "3", "47"]),
        ([f"{who}_{n}" for who in (1, 2, 3, 47) for n in range(3, 9)], None),
        ([f"{who}_{n}" for who in (1, 2, 3, 47) for n in range(1, 7 if who < 47 else 30)], None),
        ([f"{who}_{n}" for who in (1, 2) for n in range(1, 7)], None),
    ],
)
def test_two_numbers_tell_persons_where_the_second_counts_the_images_of_each(
    stems: list[str], patients: list[str] | None
) -> None:
    """Ultrasound Nerve: about 120 images of each subject."""
    found = counted_by_number([Name(("train",), stem) for stem in stems])
    assert list(dict.fromkeys(found)) == (patients or [None])


def test_two_numbers_are_asked_of_images_with_masks_alone(tmp_path: Path) -> None:
    """Without masks the first may be the class, as of digits."""
    names = [f"{who}_{n}" for who in range(1, 6) for n in range(1, 6)]
    assert not find_cases(touch(tmp_path, *(f"{name}.png" for name in names))).patients
    for number, name in enumerate(names):
        write_image(tmp_path / f"{name}.png", np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8))
        write_image(tmp_path / f"{name}_mask.png", np.eye(8, dtype=np.uint8) * 255)
    assert find_cases(tmp_path).patients == 5


def test_masks_of_a_variant_are_named_beside_its_images(tmp_path: Path) -> None:
    """ORIGA: images and masks as they are, cropped and square."""
    for number in range(6):
        for variant in ("", "_Cropped", "_Square"):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)
            for name, content in (("Images", pixels), ("Masks", np.eye(8, dtype=np.uint8))):
                (tmp_path / f"{name}{variant}").mkdir(exist_ok=True)
                write_image(tmp_path / f"{name}{variant}" / f"{number:03}.png", content)
    (note,) = [note for note in find_cases(tmp_path).notes if "variants of one" in note]
    ((images, masks),) = re.findall(r"--images '(.+?)' --masks '(.+?)'", note)
    found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks))
    assert len(found.cases) == 6 and all("Masks_Cropped" in case.masks[0] for case in found.cases)


@pytest.mark.parametrize("variant", ["preprocessed", "scans"])
def test_folders_called_after_splits_with_which_names_begin_are_persons(variant: str) -> None:
    """ISBI 2015: visits are numbered anew for each person, and planes of one volume are no variants."""
    names = [
        Name((f"training0{person}", variant), f"training0{person}_0{visit}_flair_pp")
        for person in (1, 2, 3)
        for visit in (1, 2, 3, 4)
        for _plane in range(2)
    ]
    assert grouped_by_names(names) == [name.folders[0] for name in names]
    assert not any(in_variants(names))


def test_two_folders_called_after_splits_are_no_persons() -> None:
    names = [Name((f"{split}1",), f"{split}1_{number}") for split in ("train", "test") for number in range(4)]
    assert not any(grouped_by_names(names))
