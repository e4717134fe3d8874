import json
import re
from pathlib import Path

import pytest

from sfumato.data.source import Found, Hints, find_cases
from sfumato.errors import DataError

HEADER = "image_id,dx,lesion_id,age\n"


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def labels(found: Found) -> dict[str, str | None]:
    return {case.id: case.label for case in found.cases}


@pytest.mark.parametrize(
    "text",
    [
        "image,label\na.png,x\nb.png,y\n",
        "image;label\r\na.png;x\r\nb.png;y\r\n",
        "\ufeffimage\tlabel\na\tx\nb\ty\n",
        "image;label\na.png;x\nb.png;y\n".encode("utf-16"),
        '"image","label"\n"a.png","x"\n"b.png","y"\n',
        ",Image Name,Target\n0,a,x\n1,b,y\n",
        "Unnamed: 0,filename,class\n1,pictures/a.png,x\n2,pictures/b.png,y\n",
        "path,label\nC\\pictures\\a.png,x\nb.png,y\n",
        "id,image,label\n7,a.png,x\n8,b.png,y\n",
        "a.png,x\nb.png,y\n",
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: str | bytes) -> None:
    found = find_cases(table(images(tmp_path, "pictures/a.png", "pictures/b.png"), text))
    assert labels(found) == {"a": "x", "b": "y"} and found.form == "table" and not found.has_masks


@pytest.mark.parametrize(
    ("text", "classes", "note"),
    [
        ("a 1000000\nb 0000001\n", {"a": "0", "b": "6"}, "one-hot"),
        ("image,label\na,1.0\nb,0.0\n", {"a": "1", "b": "0"}, "0.0 as 0, 1.0 as 1"),
        ("image,label\na,1\nb,01\n", {"a": "1", "b": "1"}, "01 as 1"),
        ("image,label\na,10\nb,11\n", {"a": "10", "b": "11"}, ""),
        ('image,label\na,"lung, left"\nb,none\n', {"a": "lung, left", "b": "none"}, "empty these cells"),
        ('image,label\na,"lung, left"\nb,heart\n', {"a": "lung, left", "b": "heart"}, ""),
        ("image,age\na,1\nb,0\n", {"a": None, "b": None}, "not used: age"),
        ("image,benign,malignant\na,1,0\nb,0.0,1.0\n", {"a": "benign", "b": "malignant"}, "a 1: benign, malignant"),
        ("image,target,dx\na,1,nv\nb,0,mel\n", {"a": "1", "b": "0"}, "others: dx"),
    ],
)
def test_classes_are_read_alike(tmp_path: Path, text: str, classes: dict[str, str], note: str) -> None:
    found = find_cases(table(images(tmp_path, "a.png", "b.png"), text, "labels.txt"))
    assert labels(found) == classes
    assert note in "\n".join(found.notes) and bool(note) == bool(
        [text for text in found.notes if not re.search("header|nobody", text)]
    )


def test_roles_of_columns_and_what_else_goes_along(tmp_path: Path) -> None:
    path = table(images(tmp_path, "a.png", "b.png", "c.png"), HEADER + "a,mel,L1,50\nb,nv,L2,\n")
    found = find_cases(path)
    assert [(case.patient, case.label) for case in found.cases] == [("L1", "mel"), ("L2", "nv")]
    assert found.cases[0].more == {"lesion_id": "L1", "age": "50"}
    assert any("c.png" in note and "left out: 1" in note for note in found.notes)
    grouped = find_cases(path, hints=Hints(columns={"label": "lesion_id"}, group_by="dx"))
    assert [(case.patient, case.label) for case in grouped.cases] == [("mel", "L1"), ("nv", "L2")]


def test_splits_and_masks_of_a_table(tmp_path: Path) -> None:
    images(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/b.png", "masks/b2.png")
    path = table(
        tmp_path, "file,mask,fold\nimages/a.png,masks/a.png,train\nb,masks/b.png,VAL\nb,masks/b2.png,VAL\n", "x.csv"
    )
    found = find_cases(path)
    assert [case.split for case in found.cases] == ["train", "validation"] and found.has_masks
    assert [[Path(mask).name for mask in case.masks] for case in found.cases] == [["a.png"], ["b.png", "b2.png"]]
    folds = find_cases(table(tmp_path, "file,mask,fold\na,masks/a.png,0\nb,masks/b.png,1\n", "y.csv"))
    assert [case.split for case in folds.cases] == [None, None]
    assert [case.more["fold"] for case in folds.cases] == ["0", "1"]


def test_masks_beside_the_images_of_a_table(tmp_path: Path) -> None:
    images(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/b.png")
    for found in (find_cases(table(tmp_path, "id,label\na,x\nb,y\n")), find_cases(tmp_path)):
        assert found.form == "table" and found.has_masks and labels(found) == {"a": "x", "b": "y"}
    elsewhere = images(tmp_path / "other", "scans/a.png", "scans/b.png", "truth/a_gt.png", "truth/b_gt.png")
    found = find_cases(
        elsewhere / "scans",
        masks=elsewhere / "truth",
        hints=Hints(table=tmp_path / "labels.csv", columns={"image": "id"}),
    )
    assert [len(case.masks) for case in found.cases] == [1, 1] and found.classes == ("x", "y")


def test_a_table_of_something_else_is_only_noted(tmp_path: Path) -> None:
    table(images(tmp_path, "a.png", "b.png", "c.png"), "point,x\np1,2\n")
    found = find_cases(tmp_path)
    assert found.form == "folders" and any("labels.csv" in note for note in found.notes)
    table(tmp_path, "id,label\na,x\nb,y\nc,y\n", "one.csv")
    table(tmp_path, "id,label\na,x\nb,x\nc,x\n", "two.csv")
    assert any("one.csv, two.csv" in note and "--labels" in note for note in find_cases(tmp_path).notes)


REFUSED = {
    "no image column": ("what,label\nq,x\n", {}, "DATA-050", "what, label"),
    "unknown column": ("image,lable\na,x\n", {"label": "label"}, "DATA-050", "did you mean 'lable'"),
    "missing files": ("image,label\na,x\nq,x\nr.png,y\n", {}, "DATA-051", "2 of 3 rows have no file"),
    "ambiguous": ("image,label\ntwice,x\na,x\n", {}, "DATA-051", "2 files"),
    "outside": ("image,label\na,x\n../../etc/passwd,x\n", {}, "DATA-051", "row 3"),
    "absolute": ("image,label\na,x\n/etc/passwd,x\n", {}, "DATA-051", "/etc/passwd"),
    "two drives": ("image,label\nC:\\y\\a.png,x\nC:\\x\\a.png,x\n", {}, "DATA-051", "row 3"),
    "several classes": ("image,label\na,x\nb,x|y\n", {}, "DATA-052", "row 3: 'x|y'"),
    "a list of classes": ("image,label\na,x\nb,\"x, y\"\n", {}, "DATA-052", "x, y"),
    "bits": ("a 10010\nb 00001\n", {}, "DATA-052", "10010"),
    "measurements": ("image,label\na,0.5\nb,1.25\n", {}, "DATA-052", "measurements"),
    "empty labels": ("image,label\na,x\nb,\n", {}, "DATA-052", "row 3"),
    "two classes": ("image,label\na,x\na,y\nb,x\n", {}, "DATA-053", "row 2"),
    "ragged": ("image,label\na,x\nb\n", {}, "DATA-016", "row 3: 1 fields"),
    "latin": (b"image,label\na," + b"\xe4\n", {}, "DATA-016", "UTF-8"),
    "zeros": ("image,label\na,x\n".encode("utf-16-le"), {}, "DATA-016", "UTF-16"),
    "empty": ("", {}, "DATA-016", "empty"),
    "an open quote": ('image,label\na,"x\n', {}, "DATA-016", "line"),
    "no split": ("image,label,part\na,x,1\n", {"split": "part"}, "DATA-016", "no splits"),
    "no mask": ("image,mask\na,q.png\nb,a.png\n", {}, "DATA-051", "no files are the mask 'q.png'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_tables_that_are_refused(tmp_path: Path, fault: str) -> None:
    text, columns, code, words = REFUSED[fault]
    images(tmp_path, "a.png", "b.png", "one/twice.png", "two/twice.png")
    with pytest.raises(DataError) as caught:
        find_cases(table(tmp_path, text, "labels.txt"), hints=Hints(columns=columns))
    assert caught.value.code == code and words in str(caught.value)


def test_rows_may_be_left_out_when_asked(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    path = table(tmp_path, "image,label\na,x\nb,nan\nq,x\n")
    found = find_cases(path, hints=Hints(drop_unpaired=True))
    assert labels(found) == {"a": "x"} and found.unpaired == ("row 4: q",)
    assert any("without a file, left out: 1" in note for note in found.notes)
    assert any("without a class" in note and "left out: 1" in note for note in found.notes)


def test_columns_that_a_manifest_has_get_another_name(tmp_path: Path) -> None:
    path = table(images(tmp_path, "a.png"), "image,label,id,height\na,x,17,3\n")
    assert find_cases(path).cases[0].more == {"source_id": "17", "source_height": "3"}


def test_json_beside_images_is_noted(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    for name in "ab":
        (tmp_path / f"{name}.json").write_text(json.dumps({"benign": True}))
    assert any("2 JSON files" in note and "CSV" in note for note in find_cases(tmp_path).notes)


def test_names_that_are_marked_as_text_are_found(tmp_path: Path) -> None:
    for name in ("=a.png", "-b.png"):
        (tmp_path / name).write_bytes(b"")
    table(tmp_path, "image,label\n'=a.png,'+5 mm\n-b.png,'x\n")
    assert {case.id: case.label for case in find_cases(tmp_path).cases} == {"=a": "+5 mm", "-b": "'x"}
