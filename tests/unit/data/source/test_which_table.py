"""Tables that lie about: those of splits are read together, and what others would say is told with the words for it."""

import gzip
import os
import re
from pathlib import Path

import pytest

from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError, UsageError

ROWS = [(f"im{number}", str(number % 2), f"p{number // 2}") for number in range(10)]


def images(folder: Path, *names: str) -> Path:
    for name in names or [f"images/{name}.png" for name, _, _ in ROWS]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def table(path: Path, header: str, rows: list[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]))


def about(found: DiscoveredDataset, words: str) -> str:
    (note,) = [note for note in found.notes if words in note]
    return note


def as_told(note: str) -> Path:
    """The table that a note names behind --labels."""
    return Path(re.findall(r"--labels (\S+)", note)[-1])


def test_tables_of_splits_are_read_together(tmp_path: Path) -> None:
    table(images(tmp_path) / "train.csv", "id,dx,patient", ROWS[:6])
    table(tmp_path / "test_labels.csv", "id,dx,patient", ROWS[6:8])
    found = find_cases(tmp_path)
    assert [
        (case.id, case.split, case.label, case.patient) for case in sorted(found.cases, key=lambda case: case.id)
    ] == [(name, "train" if place < 6 else "test", label, who) for place, (name, label, who) in enumerate(ROWS[:8])]
    assert found.patients == 4
    about(found, "the tables test_labels.csv (test), train.csv (train) were read, and the split is theirs")
    about(found, "left out: 2 (im8.png, im9.png)")


def test_images_of_one_name_in_two_splits_have_ids_of_their_own(tmp_path: Path) -> None:
    images(tmp_path, *(f"{split}/{n}.png" for split in ("train", "val") for n in "123"))
    for split in ("train", "val"):
        table(tmp_path / f"{split}.csv", "path,label", [(f"{split}/{n}.png", n) for n in "123"])
    found = find_cases(tmp_path)
    assert {case.id for case in found.cases} == {f"{s}_{n}" for s in ("train", "validation") for n in "123"}


@pytest.mark.parametrize(
    ("header", "rows", "why"),
    [
        ("id", [row[:1] for row in ROWS[6:]], "has not the columns of train.csv, or images of it"),
        ("id,dx,patient", ROWS[4:], "images of it"),
    ],
)
def test_tables_that_do_not_go_together_are_told(
    tmp_path: Path, header: str, rows: list[tuple[str, ...]], why: str
) -> None:
    table(images(tmp_path) / "train.csv", "id,dx,patient", ROWS[:6] if len(rows[0]) == 1 else ROWS)
    table(tmp_path / "test.csv", header, rows)
    found = find_cases(tmp_path)
    if len(rows) == 4:
        assert why in about(found, "test.csv names 4 images too, not used")
        assert len(found.cases) == 6 and {case.split for case in found.cases} == {None}
    else:
        about(found, "several tables name the images")


def test_a_table_of_some_images_says_how_it_is_read(tmp_path: Path) -> None:
    rows = [(str(place + 70), f"images/{name}.png", dx) for place, (name, dx, _) in enumerate(ROWS[:4])]
    table(images(tmp_path) / "meta/meta.csv", "case_num,derm,diagnosis", rows)
    note = about(find_cases(tmp_path), "meta.csv names 4 of 10 images (column 'derm'), not used: --labels ")
    found = find_cases(tmp_path, hints=ReadOptions(table=as_told(note.removesuffix(" takes these alone"))))
    assert found.classes == ("0", "1") and len(found.cases) == 4


def test_a_table_of_names_that_several_files_have_says_what_to_give(tmp_path: Path) -> None:
    images(tmp_path, *(f"{folder}/{n}_left.jpg" for folder in ("processed", "raw") for n in range(6)))
    table(tmp_path / "df.csv", "filename,labels", [(f"{n}_left.jpg", "ND"[n % 2]) for n in range(6)])
    note = about(find_cases(tmp_path), "df.csv names files of which there are several, such as 0_left.jpg, not used")
    assert "--masks FOLDER where masks lie elsewhere" in note  # ORIGA: Images/, Images_Square/ beside Masks/
    folders = re.findall(r"(\S+) --labels", note)
    assert [Path(folder).name for folder in folders] == ["processed", "raw"]
    for folder in folders:
        assert find_cases(Path(folder), hints=ReadOptions(table=as_told(note))).classes == ("D", "N")


PARTS = {"Training": ("train", 5), "Validation": ("validation", 3), "Test": ("test", 2)}


def parts_with_tables(folder: Path, name: str = "labels.csv") -> Path:
    """RFMiD: each part has a table of its own, and counts its images from 1 on; only the last one says y of image 1."""
    for part, (_, count) in PARTS.items():
        images(folder, *(f"{part}_Set/{part}/{n}.png" for n in range(1, count + 1)))
        rows = [(str(n), "xy"[n % 2 == (part == "Test")], "0") for n in range(1, count + 1)]
        table(folder / f"{part}_Set" / name.format(part), "ID,risk,DR", rows)
    return folder


def truth_of_parts() -> set[tuple[str, str, str]]:
    return {
        (f"{part}/{n}.png", split, "xy"[n % 2 == (part == "Test")])
        for part, (split, count) in PARTS.items()
        for n in range(1, count + 1)
    }


def said_of_parts(found: DiscoveredDataset) -> set[tuple[str, str | None, str | None]]:
    return {("/".join(Path(case.image).parts[-2:]), case.split, case.label) for case in found.cases}


@pytest.mark.parametrize("name", ["labels.csv", "Set_{}_Labels.csv"])
def test_tables_of_parts_are_about_the_images_beside_them(tmp_path: Path, name: str) -> None:
    """RFMiD: labels of the test images were told to be given to those of the validation."""
    found = find_cases(parts_with_tables(tmp_path, name), hints=ReadOptions(columns={"label": "risk"}))
    assert said_of_parts(found) == truth_of_parts()
    assert len({case.id for case in found.cases}) == len(found.cases)
    about(found, "were read, each for the images beside it" if name == "labels.csv" else "and the split is theirs")
    about(found, "names in " + name.format("Test") + " that several files have mean those in Test_Set")


@pytest.mark.parametrize("part", PARTS)
def test_a_table_that_is_named_is_about_the_images_beside_it(tmp_path: Path, part: str) -> None:
    path = parts_with_tables(tmp_path) / f"{part}_Set/labels.csv"
    found = find_cases(tmp_path, hints=ReadOptions(table=path, columns={"label": "risk"}))
    assert said_of_parts(found) == {case for case in truth_of_parts() if case[0].startswith(f"{part}/")}
    about(found, f"names in labels.csv that several files have mean those in {part}_Set")


def test_a_row_without_an_image_beside_its_table_is_nobody_elses(tmp_path: Path) -> None:
    """The test set has no image 4, that of the training set has."""
    path = parts_with_tables(tmp_path) / "Test_Set/labels.csv"
    path.write_text(path.read_text() + "\n4,x,0")
    with pytest.raises(DataError, match="1 of 3 rows have no file") as error:
        find_cases(tmp_path, hints=ReadOptions(table=path, columns={"label": "risk"}))
    assert "row 4: 4" in error.value.finding


def test_a_table_of_one_part_and_images_of_no_other_name_may_lie_anywhere(tmp_path: Path) -> None:
    images(tmp_path, "a/1.png", "a/2.png", "a/3.png", "b/4.png", "b/5.png")
    table(tmp_path / "a/labels.csv", "id,label", [(str(n), "xy"[n % 2]) for n in range(1, 6)])
    assert len(find_cases(tmp_path).cases) == 5


def test_a_table_called_like_one_of_two_folders_names_that_one(tmp_path: Path) -> None:
    """HC18: both parts count from 0, and their tables lie above them."""
    images(tmp_path, *(f"training_set/{n}_HC.png" for n in range(6)), *(f"test_set/{n}_HC.png" for n in range(3)))
    for part, count in (("training", 6), ("test", 3)):
        rows = [(f"{n}_HC.png", "ab"[n % 2]) for n in range(count)]
        table(tmp_path / f"{part}_set_pixel_size.csv", "filename,label", rows)
    found = find_cases(tmp_path)
    for part, count in (("training", 6), ("test", 3)):
        note = about(found, f"{part}_set_pixel_size.csv names files of which there are several")
        ((folder, path),) = re.findall(r"(\S+) --labels (\S+)", note)
        assert folder == str(tmp_path / f"{part}_set")
        assert len(find_cases(Path(folder), hints=ReadOptions(table=Path(path))).cases) == count


def test_a_table_whose_rows_differ_is_no_remedy(tmp_path: Path) -> None:
    """The contest of nerves: `train_masks.csv` has a row for each image of each subject, and 1 is a test image too."""
    images(tmp_path, *(f"train/{n}_{m}.png" for n in range(3) for m in range(3)), "test/1.png", "test/2.png")
    table(tmp_path / "train_masks.csv", "subject,img", [(str(n), str(m)) for n in range(3) for m in range(1, 3)])
    note = about(find_cases(tmp_path), "train_masks.csv names 2 of 11 images")
    assert "--labels" not in note and note.endswith("rows of one image differ in what they say of it")
    with pytest.raises(DataError, match="different values of the patient"):
        find_cases(tmp_path, hints=ReadOptions(table=tmp_path / "train_masks.csv"))


def test_a_table_with_rows_of_other_images_says_how_it_is_read(tmp_path: Path) -> None:
    table(images(tmp_path) / "meta.csv", "image,dx", [("im1", "a"), ("im2", "b"), ("gone", "a")])
    note = about(find_cases(tmp_path), "meta.csv names 2 of 10 images (column 'image'), not used: --labels ")
    assert "--drop-unpaired takes these alone" in note
    hints = ReadOptions(table=Path(re.findall(r"--labels (\S+)", note)[0]), drop_unpaired=True)
    assert len(find_cases(tmp_path, hints=hints).cases) == 2


def test_tables_that_agree_are_read_once(tmp_path: Path) -> None:
    """BUS-BRA: the tables of folds repeat the class and the person."""
    for name, more in (("5-fold", "1"), ("10-fold", "2"), ("data", "3,4")):
        rows = [(*row, more) for row in ROWS]
        table(images(tmp_path) / f"{name}.csv", "ID,Pathology,Case," + ("x" if "," not in more else "Age,y"), rows)
    for hints in (ReadOptions(), ReadOptions(columns={"label": "Pathology", "patient": "Case"})):
        found = find_cases(tmp_path, hints=hints)
        assert found.classes == ("0", "1") and found.patients == 5
        about(
            found, "the table data.csv was read; 5-fold.csv, 10-fold.csv say the same class and patient of all images"
        )


def test_tables_that_disagree_are_named_with_what_reads_each(tmp_path: Path) -> None:
    table(images(tmp_path) / "one.csv", "ID,Pathology", [(name, label) for name, label, _ in ROWS])
    table(tmp_path / "other.csv", "ID,Pathology", [(name, "01"[label == "0"]) for name, label, _ in ROWS])
    columns = {"label": "Pathology"}
    with pytest.raises(UsageError, match="no table was read") as error:
        find_cases(tmp_path, hints=ReadOptions(columns=columns))
    named = re.findall(r"--labels (\S+)", error.value.finding)
    assert named == [str(tmp_path / "one.csv"), str(tmp_path / "other.csv")]
    assert "--label-column Pathology" in error.value.remedy
    assert all(find_cases(tmp_path, hints=ReadOptions(table=Path(path), columns=columns)).classes for path in named)


def test_a_pattern_of_images_says_which_of_several_a_table_means(tmp_path: Path) -> None:
    """G1020: the same names in `Images`, `Images_Square` and others."""
    images(tmp_path, *(f"{folder}/{n}.png" for folder in ("Images", "Images_Square", "More") for n in range(4)))
    table(tmp_path / "g.csv", "imageID,label", [(f"{n}.png", "xy"[n % 2]) for n in range(4)])
    for path in (None, tmp_path / "g.csv"):
        found = find_cases(tmp_path, hints=ReadOptions(images="Images/{id}.png", table=path))
        assert {Path(case.image).parent.name for case in found.cases} == {"Images"}
        assert [case.label for case in found.cases] == ["x", "y", "x", "y"]


def test_a_table_above_says_how_it_is_read(tmp_path: Path) -> None:
    images(tmp_path / "set")
    table(tmp_path / "metadata.csv", "img_id,patient_id,diagnostic", [(name, who, dx) for name, dx, who in ROWS])
    table(tmp_path / "prices.csv", "fruit,price", [("pear", "3"), ("apple", "4")])
    note = about(
        find_cases(tmp_path / "set"), "metadata.csv in the folder above names the images, and says the class and"
    )
    found = find_cases(tmp_path / "set", hints=ReadOptions(table=as_told(note.removesuffix(" reads it"))))
    assert found.classes == ("0", "1") and found.patients == 5


def test_a_table_of_how_names_begin_says_whose_they_are(tmp_path: Path) -> None:
    """PI-CAI: files are called `10005_1000005.mha`, its `marksheet.csv` has a patient and a study."""
    images(tmp_path, *(f"images/{1000 + n // 2}_{1000000 + n}.png" for n in range(8)))
    rows = [(str(1000 + n // 2), str(1000000 + n), "YES") for n in range(8)]
    table(tmp_path / "marksheet.csv", "patient_id,study_id,case_csPCa", rows)
    found = find_cases(tmp_path)
    about(found, "said by the column 'patient_id' of marksheet.csv, with which their names begin: 4 patients")
    about(found, "of marksheet.csv the patients alone are used")
    assert {case.patient for case in found.cases} == {"1000", "1001", "1002", "1003"}


def test_a_table_of_how_names_begin_under_another_name_says_how_it_helps(tmp_path: Path) -> None:
    images(tmp_path, *(f"images/{1000 + n // 2}_{1000000 + n}.png" for n in range(8)))
    rows = [(str(1000 + n // 2), str(1000000 + n), "YES") for n in range(8)]
    table(tmp_path / "marksheet.csv", "specimen,study,case_csPCa", rows)
    note = about(find_cases(tmp_path), "its column 'specimen' is how these begin")
    (pattern,) = re.findall(r"--group-by '(.+?)'", note)
    assert find_cases(tmp_path, hints=ReadOptions(group_by=pattern)).patients == 4


def test_a_column_of_0_and_1_may_be_the_class_by_whatever_name(tmp_path: Path) -> None:
    rows = [(name, "0.3", dx, who) for name, dx, who in ROWS]
    table(images(tmp_path) / "t.csv", "image,CDR,Glaucoma,patient", rows)
    note = about(find_cases(tmp_path), "no column of t.csv was taken for the class")
    assert note.endswith("--label-column 'Glaucoma' (2 classes)")
    findings = ("Mass", "Edema", "Nodule", "Cyst", "Clip")
    many = [(name, *(dx if place else "1" for place in range(5))) for name, dx, _ in ROWS]
    table(
        tmp_path / "t.csv",
        ",".join(("image", *findings)),
        [(*row[:1], "0" if row[0] == "im1" else "1", *row[2:]) for row in many],
    )
    assert not any("--label-column 'Mass'" in note for note in find_cases(tmp_path).notes)


def test_packed_tables_are_told(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    (tmp_path / "split.csv.gz").write_bytes(gzip.compress(b"image,split\na,train\nb,test\n"))
    about(find_cases(tmp_path), "packed tables are not read (split.csv.gz)")


def test_spreadsheets_are_told(tmp_path: Path) -> None:
    (images(tmp_path) / "labels.xlsx").touch()
    about(find_cases(tmp_path), "spreadsheets are not read (labels.xlsx)")


def test_a_column_that_may_be_the_class_is_told_with_its_flag(tmp_path: Path) -> None:
    rows = [(name, f"grade {dx}", "61", who) for name, dx, who in ROWS]
    table(images(tmp_path) / "t.csv", "image,tumour type,age,patient", rows)
    note = about(find_cases(tmp_path), "no column of t.csv was taken for the class: --label-column 'tumour type' (2 cl")
    assert "age" not in note
    found = find_cases(tmp_path, hints=ReadOptions(columns={"label": "tumour type"}))
    assert found.classes == ("grade 0", "grade 1")
    table(
        tmp_path / "t.csv", "image,findings", [(name, "Mass|Hernia" if dx == "0" else "Mass") for name, dx, _ in ROWS]
    )
    about(find_cases(tmp_path), "no class was taken from t.csv: the column 'findings' has several classes in one value")


def test_of_tables_about_the_same_images_the_one_that_says_most_is_read(tmp_path: Path) -> None:
    """BUS-BRA: two tables of folds beside that of classes and patients."""
    table(images(tmp_path) / "data.csv", "id,Pathology,Case", ROWS)
    for name in ("5-fold.csv", "10-fold.csv"):
        table(tmp_path / "its folds" / name, "id,Pathology,kFold", [(name, label, "1") for name, label, _ in ROWS])
    found = find_cases(tmp_path)
    assert found.form == "table" and found.patients == 5 and found.classes == ("0", "1")
    note = about(found, "data.csv was read, which says most (the class and the patient)")
    given = re.search(r"--labels '(.+)' reads another", note)
    assert given and find_cases(tmp_path, hints=ReadOptions(table=Path(given[1]))).patients == 0
    table(tmp_path / "visits.csv", "id,split", [(name, "train") for name, _, _ in ROWS])
    note = about(find_cases(tmp_path), "none was read, choose one with --labels")
    assert f"--labels {tmp_path}/data.csv" in note and f"--labels '{tmp_path}/its folds/5-fold.csv'" in note


def challenge(folder: Path, *parts: str) -> None:
    """ISIC: a table of classes for some parts, and one of something else for all of them."""
    for place, part in enumerate(("Training", "Validation", "Test")):
        names = [f"ISIC_{100 * place + number}" for number in range(6)]
        images(folder, *(f"{part}_Input/{name}.png" for name in names))
        table(folder / f"{part}_Metadata.csv", "image,age,sex", [(name, "50", "male") for name in names])
        if part in parts:
            rows = [(name, *("01"[number % 3 == kind] for kind in range(3))) for number, name in enumerate(names)]
            table(folder / f"{part}_GroundTruth.csv", "image,MEL,NV,BCC", rows)


@pytest.mark.parametrize("parts", [("Training", "Validation"), ("Training", "Validation", "Test")])
def test_tables_of_classes_of_the_splits_are_read_beside_others(tmp_path: Path, parts: tuple[str, ...]) -> None:
    challenge(tmp_path, *parts)
    found = find_cases(tmp_path)
    assert found.classes == ("BCC", "MEL", "NV") and {case.split for case in found.cases} == {
        {"Training": "train", "Validation": "validation", "Test": "test"}[part] for part in parts
    }
    assert about(found, "Test_Metadata.csv names 6 images too, not used")
    assert ("Test" in parts) != any("left out: 6" in note for note in found.notes)


def test_what_several_tables_say_alike_is_told_once(tmp_path: Path) -> None:
    """RFMiD: 45 columns of findings, in a table for each split."""
    for place, part in enumerate(("train", "val", "test")):
        names = [f"im{10 * place + number}" for number in range(4)]
        images(tmp_path, *(f"{part}/{name}.png" for name in names))
        table(tmp_path / f"{part}.csv", "ID,DR,ARMD,MH", [(name, "1", "1", "0") for name in names])
    note = about(find_cases(tmp_path), "DR, ARMD, MH")
    assert "columns of test.csv, train.csv, val.csv that are kept and not used" in note


def test_rows_that_name_all_images_of_a_patient(tmp_path: Path) -> None:
    """Messidor-2: a row for each person, with the left and the right eye."""
    eyes = [(f"im{n}.png", f"im{n + 50}.png") for n in range(6)]
    images(tmp_path, *(f"images/{eye}" for row in eyes for eye in row))
    (tmp_path / "pairs.csv").write_text("\n".join(["left;right", *map(";".join, eyes)]))
    for graded in (False, True):
        if graded:
            table(
                tmp_path / "grades.csv",
                "image_id,diagnosis",
                [(eye, str(n % 2)) for n, row in enumerate(eyes) for eye in row],
            )
        found = find_cases(tmp_path)
        assert found.patients == 6 and len(found.cases) == 12 and found.classes == (("0", "1") if graded else ())
        about(found, "said by the rows of pairs.csv (columns left, right): 6 patients")
        assert not any("not used" in note or "nobody" in note for note in found.notes)
    (tmp_path / "pairs.csv").write_text("\n".join(["left;right", *map(";".join, eyes), "im0.png;im51.png"]))
    assert find_cases(tmp_path).patients != 6, "an image of two rows"
    for header in ("image;mask", "image_0;image_1", "im0.png;im50.png"):
        (tmp_path / "pairs.csv").write_text("\n".join([header, *map(";".join, eyes)]))
        assert not any("said by the rows" in note for note in find_cases(tmp_path).notes)


def test_a_column_whose_last_word_is_one_for_a_class_is_taken_where_it_is_alone(tmp_path: Path) -> None:
    """MHIST."""
    table(
        images(tmp_path) / "t.csv",
        "Image Name,Majority Vote Label,Votes",
        [(n, "HP" if c == "0" else "SSA", p) for n, c, p in ROWS],
    )
    found = find_cases(tmp_path)
    assert found.classes == ("HP", "SSA")
    about(found, "the class is taken from the column 'Majority Vote Label': --label-column names another")
    for header, rows in (
        ("id,first label,second label", [(name, label, label) for name, label, _ in ROWS]),
        ("id,name,free finding", [(name, name, f"text {name}") for name, _, _ in ROWS]),
        ("id,name,vote label", [(name, name, label if name != "im3" else "") for name, label, _ in ROWS]),
    ):
        table(tmp_path / "t.csv", header, rows)
        assert find_cases(tmp_path).classes == ()


def test_tables_of_one_set_of_images_are_read_side_by_side(tmp_path: Path) -> None:
    names = ("MEL", "NV", "BCC")
    hot = [(name, *(str(int(place % 3 == column)) for column in range(3))) for place, (name, _, _) in enumerate(ROWS)]
    table(images(tmp_path) / "truth.csv", "image,MEL,NV,BCC", hot)
    table(tmp_path / "meta.csv", "image,age,lesion_id", [(name, "60", who) for name, _, who in reversed(ROWS)])
    found = find_cases(tmp_path)
    assert {(case.id, case.label, case.patient) for case in found.cases} == {
        (name, names[place % 3], who) for place, (name, _, who) in enumerate(ROWS)
    }
    about(found, "read side by side: meta.csv (the patient) and truth.csv (the class)")
    assert not [note for note in found.notes if "files that are no images" in note]  # both are used


@pytest.mark.parametrize("change", ["contradict", "lack"])
def test_tables_that_contradict_or_lack_images_are_not_read_side_by_side(tmp_path: Path, change: str) -> None:
    table(images(tmp_path) / "truth.csv", "image,dx,age", [(name, label, "50") for name, label, _ in ROWS])
    rows = ROWS if change == "contradict" else ROWS[:8]
    age = "60" if change == "contradict" else "50"
    table(tmp_path / "meta.csv", "image,age,lesion_id", [(name, age, who) for name, _, who in rows])
    found = find_cases(tmp_path)
    assert not found.classes
    about(found, "several tables name the images")


def test_tables_of_splits_without_a_header_are_one(tmp_path: Path) -> None:
    for split, rows in (("train", ROWS[:7]), ("valid", ROWS[7:])):
        images(tmp_path, *(f"{split}/{name}.png" for name, _, _ in rows))
        path, *others = (f"set/{split}/{name}.png" for name, _, _ in rows)
        table(tmp_path / f"{split}_image_paths.csv", path, [(other,) for other in others])
    found = find_cases(tmp_path)
    assert len(found.cases) == 10
    about(found, "train_image_paths.csv (train), valid_image_paths.csv (validation) were read")


def test_tables_of_findings_are_not_about_images(tmp_path: Path) -> None:
    boxes = [(name, str(place), "5") for name, _, _ in ROWS for place in range(3)]
    table(images(tmp_path) / "boxes.csv", "image,x,y", boxes)
    table(tmp_path / "candidates.csv", "image,x,class", [(name, x, str(int(x) % 2)) for name, x, _ in boxes])
    found = find_cases(tmp_path)
    assert found.form == "folders" and len(found.cases) == 10
    about(found, "tables with several rows for an image, as those of findings or boxes in it, not used: boxes.csv, ")
    assert not [note for note in found.notes if "--labels" in note]


def test_a_table_of_other_images_of_these_names_is_told(tmp_path: Path) -> None:
    """The labels of the test images for those of the validation."""
    path = parts_with_tables(tmp_path) / "Test_Set/labels.csv"
    hints = ReadOptions(table=path, columns={"label": "risk"})
    note = about(find_cases(tmp_path / "Validation_Set", hints=hints), "names files that lie beside it too")
    ((folder, told),) = re.findall(r"(\S+) --labels (\S+)", note)
    found = find_cases(Path(folder), hints=ReadOptions(table=Path(told), columns={"label": "risk"}))
    assert {(name, label) for name, _, label in said_of_parts(found)} == {
        (name, label) for name, _, label in truth_of_parts() if name.startswith("Test/")
    }
    assert not any("beside it" in note for note in found.notes)


def test_a_hint_reads_no_folder_that_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parts_with_tables(tmp_path) / "Test_Set/labels.csv"
    closed = path.parent / "closed"
    closed.mkdir()
    permitted, listed = os.access, os.scandir

    def refused(folder: Path) -> object:
        if Path(folder) == closed:
            raise PermissionError(13, "Permission denied", str(folder))
        return listed(folder)

    monkeypatch.setattr(os, "access", lambda folder, mode: Path(folder) != closed and permitted(folder, mode))
    monkeypatch.setattr(os, "scandir", refused)
    hints = ReadOptions(table=path, columns={"label": "risk"})
    about(find_cases(tmp_path / "Validation_Set", hints=hints), "names files that lie beside it too")


def test_of_tables_that_say_the_same_that_with_a_row_for_each_image_is_read(tmp_path: Path) -> None:
    """VinDr-Mammo: views with study and split, findings in them with more columns, and what DICOM says."""
    images(tmp_path)
    views = [(name, who, "train", dx) for name, dx, who in ROWS]
    table(tmp_path / "views.csv", "image_id,study_id,split,birads", views)
    findings = [(name, who, "train", str(x), "7", str(x)) for name, who, _, _ in views for x in range(2)]
    table(tmp_path / "findings.csv", "image_id,study_id,split,birads,xmin,ymin", findings)
    table(tmp_path / "meta.csv", "SOP Instance UID,rows", [(name, "8") for name, _, _ in ROWS])
    found = find_cases(tmp_path)
    assert found.patients == 5 and {case.split for case in found.cases} == {"train"}
    about(found, "the table views.csv was read; findings.csv say the same patient and split of all images")
    about(found, "--label-column 'birads' (2 classes)")
    labelled = find_cases(tmp_path, hints=ReadOptions(columns={"label": "birads"}))
    assert labelled.classes == ("0", "1")
    assert as_told(about(labelled, "views.csv was read: of those")).name == "findings.csv"
