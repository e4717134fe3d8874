import gzip
import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato import Reading, check, prepare
from sfumato.data.formats.joined import mask_parts
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.data.source.tables.labels import ClassColumn, one_hot_columns
from sfumato.errors import DataError, UsageError

HEADER = "image_id,dx,lesion_id,age\n"


def images(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def table(folder: Path, text: str | bytes, name: str = "labels.csv") -> Path:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def labels(found: DiscoveredDataset) -> dict[str, str | None]:
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


@pytest.mark.parametrize("word", ["val", "valid", "validate", "Validation", "tuning"])
def test_words_for_the_split_that_is_validated_on(tmp_path: Path, word: str) -> None:
    names = [f"{letter}.png" for letter in "abc"]
    text = f"image,split\na.png,train\nb.png,{word}\nc.png,test\n"
    found = find_cases(table(images(tmp_path, *names), text))
    assert [case.split for case in found.cases] == ["train", "validation", "test"]


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
        [text for text in found.notes if not re.search("header|nobody|classes of images", text)]
    )


def test_roles_of_columns_and_what_else_goes_along(tmp_path: Path) -> None:
    path = table(images(tmp_path, "a.png", "b.png", "c.png"), HEADER + "a,mel,L1,50\nb,nv,L2,\n")
    found = find_cases(path)
    assert [(case.patient, case.label) for case in found.cases] == [("L1", "mel"), ("L2", "nv")]
    assert found.cases[0].more == {"lesion_id": "L1", "age": "50"}
    assert any("c.png" in note and "left out: 1" in note for note in found.notes)
    grouped = find_cases(path, hints=ReadOptions(columns={"label": "lesion_id"}, group_by="dx"))
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
        hints=ReadOptions(table=tmp_path / "labels.csv", columns={"image": "id"}),
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
    "packed": (gzip.compress(b"image,label\na,x\n"), {}, "DATA-016", "gzip"),
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
        find_cases(table(tmp_path, text, "labels.txt"), hints=ReadOptions(columns=columns))
    assert caught.value.code == code and words in str(caught.value)


def test_rows_may_be_left_out_when_asked(tmp_path: Path) -> None:
    images(tmp_path, "a.png", "b.png")
    path = table(tmp_path, "image,label\na,x\nb,nan\nq,x\n")
    found = find_cases(path, hints=ReadOptions(drop_unpaired=True))
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


def written(path: Path, *rows: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_table_that_is_named_is_followed_and_nothing_beside_it_is_looked_into(tmp_path: Path) -> None:
    far = images(tmp_path / "far", "scans/p1/a.png", "scans/p2/a.png", "outlines/1.png", "outlines/2.png")
    lists = images(tmp_path / "lists", "x.npz", "orphan_mask.png", "other.png")
    (lists / "gone").symlink_to(tmp_path / "nowhere")
    rows = [f"{far}/scans/p{k}/a.png,{far}/outlines/{k}.png,17" for k in (1, 2)]
    found = find_cases(written(lists / "t.csv", "file,mask,age", *rows))
    assert [Path(case.image).parent.name for case in found.cases] == ["p1", "p2"] and found.has_masks
    assert found.outside == (f"{far}/outlines: 2 files", f"{far}/scans/p1: 1 file", f"{far}/scans/p2: 1 file")
    assert not any(str(tmp_path) in note for note in found.notes), "what is stored names no place of this machine"
    assert any("kept and not used: age" in note for note in found.notes)
    up = find_cases(
        written(tmp_path / "sub/t.csv", "image,label", "../far/scans/p1/a.png,x", "../far/scans/p2/a.png,y")
    )
    assert up.classes == ("x", "y") and up.outside
    beside = find_cases(images(tmp_path / "s", "b.png"), hints=ReadOptions(table=tmp_path / "sub/t.csv"))
    assert len(beside.cases) == 2


def test_a_table_that_is_merely_found_stays_below_its_folder(tmp_path: Path) -> None:
    images(tmp_path, "far/a.png", "src/b.png", "src/c.png", "src/d.png")
    written(tmp_path / "src/t.csv", "image,label", f"{tmp_path}/far/a.png,x", "b.png,x", "c.png,y")
    with pytest.raises(DataError, match="nobody named this table") as caught:
        find_cases(tmp_path / "src")
    assert caught.value.code == "DATA-017"
    written(tmp_path / "alone/t.csv", "image,label", "../far/a.png,x")
    with pytest.raises(DataError, match=r"(?s)but the table t\.csv.*give the table itself"):
        find_cases(tmp_path / "alone")
    assert len(find_cases(tmp_path / "alone/t.csv").cases) == 1


@pytest.mark.parametrize("place", ["D:\\studies\\skin\\", "/mnt/lab/skin/", "\\\\server\\share\\"])
def test_paths_of_another_machine_are_found_by_their_longest_tail(tmp_path: Path, place: str) -> None:
    images(tmp_path, *(f"s{k}/images/im.png" for k in range(3)), "s0/old/im.png")
    turn = "\\" if "\\" in place else "/"
    rows = [f"{place}{turn.join((f's{k}', 'images', 'im.png'))},{k}" for k in range(3)]
    found = find_cases(written(tmp_path / "t.csv", "path,label", *rows))
    assert {case.label: Path(case.image).relative_to(tmp_path).as_posix() for case in found.cases} == {
        str(k): f"s{k}/images/im.png" for k in range(3)
    }
    with pytest.raises(DataError, match=r"may be 3 files") as caught:
        find_cases(written(tmp_path / "u.csv", "path,label", f"{place}images{turn}im.png,1"))
    assert caught.value.code == "DATA-051"


def test_two_paths_of_which_one_file_is_here_are_refused(tmp_path: Path) -> None:
    images(tmp_path, "a/1.png")
    with pytest.raises(DataError, match=r"row 3: '/x/b/1\.png' and '/x/a/1\.png' are both"):
        find_cases(written(tmp_path / "t.csv", "path", "/x/a/1.png", "/x/b/1.png"))


@pytest.mark.parametrize(
    "text",
    [
        "image;dx;finding\na.png;x;dark, 4,5 mm, left\nb.png;y;pale, 2,5 mm, left\n",
        "image,dx,finding\na.png,x,dark; left; seen\nb.png,y,pale; left; new\n",
        "sep=;\nimage;dx\na.png;x\nb.png;y\n",
        "image|dx\na.png|x\nb.png|y\n",
        'image;dx;note\na.png;x;"two\nlines, here"\nb.png;y;none\n',
        "image\tdx, first\tage\na.png\tx\t1,5\nb.png\ty\t2,5\n",
    ],
)
def test_the_delimiter_is_the_one_that_cuts_all_rows_alike(tmp_path: Path, text: str) -> None:
    folder = images(tmp_path, "a.png", "b.png")
    table(folder, text)
    hints = ReadOptions(columns={"label": "dx, first"} if "first" in text else {})
    for source in (folder, folder / "labels.csv"):
        assert labels(find_cases(source, hints=hints)) == {"a": "x", "b": "y"}


def test_channels_and_readers_of_a_table(tmp_path: Path) -> None:
    images(
        tmp_path, *(f"i/{k}{c}.png" for k in range(3) for c in "tf"), *(f"m/{k}{r}.png" for k in range(3) for r in "xy")
    )
    rows = [f"i/{k}t.png,i/{k}f.png,m/{k}x.png,{f'm/{k}y.png' if k else ''}" for k in range(3)]
    written(tmp_path / "t.csv", "image_0,image_1,mask_0,mask_1", *rows)
    for source in (tmp_path / "t.csv", tmp_path):
        found = find_cases(source)
        assert [[Path(name).name for name in case.channels] for case in found.cases] == [
            ["0f.png"],
            ["1f.png"],
            ["2f.png"],
        ]
        assert [len(case.masks) for case in found.cases] == [1, 2, 2] and found.form == "table"
    written(tmp_path / "u.csv", "T1,FLAIR,mask", *(f"i/{k}t.png,i/{k}f.png,m/{k}x.png" for k in range(3)))
    found = find_cases(tmp_path / "u.csv", hints=ReadOptions(columns={"image": "T1,FLAIR"}))
    assert [len(case.channels) for case in found.cases] == [1, 1, 1] and found.has_masks


def test_names_in_composed_and_decomposed_letters(tmp_path: Path) -> None:
    names = ["Läsion é1", "Läsion é2"]
    images(tmp_path, *(unicodedata.normalize("NFD", f"{name}.png") for name in names))
    found = find_cases(written(tmp_path / "t.csv", "image,label", f"{names[0]}.png,x", f"{names[1]},y"))
    assert sorted(case.label or "" for case in found.cases) == ["x", "y"]


def test_a_header_is_no_file_because_a_folder_is_called_like_it(tmp_path: Path) -> None:
    images(tmp_path, "image/a.png", "image/image.png")
    assert labels(find_cases(written(tmp_path / "t.csv", "image,label", "a.png,x", "image.png,y"))) == {
        "a": "x",
        "image": "y",
    }


def test_a_numeric_column_that_is_nobodys_file_is_compared_aloud(tmp_path: Path) -> None:
    images(tmp_path, "im00.png", "im01.png")
    path = written(tmp_path / "t.csv", "id,label", "100,x", "101,y")
    with pytest.raises(DataError, match=r"(?s)column 'id': 100, 101.*files: im00\.png, im01\.png"):
        find_cases(path)
    assert any("names none of the images" in note and "100, 101" in note for note in find_cases(tmp_path).notes)
    named = find_cases(written(tmp_path / "t.csv", "id,label,picture", "100,x,im00", "101,y,im01"))
    assert labels(named) == {"im00": "x", "im01": "y"} and any("column 'picture' names" in note for note in named.notes)


@pytest.mark.parametrize(
    ("text", "reason"), [("image,dx\na,x\nb,y,z\n", "another number"), (b"image,dx\na,\xe4\nb,y\n", "UTF-8")]
)
def test_a_found_table_about_the_images_that_cannot_be_parsed_is_an_error(
    tmp_path: Path, text: str | bytes, reason: str
) -> None:
    path = table(images(tmp_path, "a.png", "b.png"), text)
    with pytest.raises(DataError, match=reason):
        find_cases(tmp_path)
    for name in ("a.png", "b.png"):
        (tmp_path / name).rename(tmp_path / f"other{name}")
    assert any("not read as a table" in note for note in find_cases(tmp_path).notes)
    for name in ("a.png", "b.png"):
        (tmp_path / f"other{name}").unlink()
    for source in (tmp_path, path):
        with pytest.raises(DataError, match=reason):
            find_cases(source)


def hot(**columns: str) -> ClassColumn | None:
    return one_hot_columns({name: list(bits) for name, bits in columns.items()})


def test_classes_are_the_largest_columns_that_exclude_each_other() -> None:
    found = hot(mel="100100", hair="110010", nv="010010", bcc="001001", ruler="000000")
    assert found is not None and found.names == ["mel", "nv", "bcc"] * 2
    assert "mel, nv, bcc; not taken: hair, ruler" in found.notes[0]
    sides = hot(left="1010", right="0101")
    assert sides is not None and set(sides.names) == {None} and "--label-column 'left,right'" in sides.notes[0]
    assert hot(a="1100", b="0111") is None and hot(a="1111") is None
    assert (found := hot(benign="10", malignant="01")) is not None and found.names == ["benign", "malignant"]
    two = hot(a="100", b="010", c="001", d="010", e="100")
    assert two is not None and set(two.names) == {None} and "may be the columns" in two.notes[0]


def test_columns_of_classes_may_be_named_together(tmp_path: Path) -> None:
    rows = ("image,left,right,x", "a,1,0,1", "b,0,1,1", "c,0,1,1")
    path = written(images(tmp_path, "a.png", "b.png", "c.png") / "t.csv", *rows)
    assert set(labels(find_cases(path)).values()) == {None}
    assert labels(find_cases(path, hints=ReadOptions(columns={"label": "left,right"}))) == {
        "a": "left",
        "b": "right",
        "c": "right",
    }
    with pytest.raises(DataError, match="left, x are no classes"):
        find_cases(path, hints=ReadOptions(columns={"label": "left,x"}))


@pytest.mark.parametrize(
    "column", ["participant_id", "Case ID", "MRN", "Subject", "StudyInstanceUID", "PatientID", "PTID"]
)
def test_columns_that_say_whose_an_image_is(tmp_path: Path, column: str) -> None:
    path = written(images(tmp_path, "a.png", "b.png", "c.png") / "t.csv", f"image,{column}", "a,7", "b,7", "c,9")
    found = find_cases(path)
    assert [case.patient for case in found.cases] == ["7", "7", "9"]
    assert any(f"said by the column '{column}': 2 patients" in note for note in found.notes)


@pytest.mark.parametrize(
    ("header", "rows"),
    [("patient", ("x", "y")), ("split", ("train", "test")), ("class", ("x", "y"))],
)
def test_rows_of_an_image_that_contradict_each_other(tmp_path: Path, header: str, rows: tuple[str, str]) -> None:
    path = written(images(tmp_path, "a.png", "b.png") / "t.csv", f"image,{header}", *(f"a,{value}" for value in rows))
    with pytest.raises(DataError, match=f"different values of the {header}") as caught:
        find_cases(path)
    assert caught.value.code == "DATA-053"


def test_a_column_that_is_a_class_only_by_a_wide_word_is_said(tmp_path: Path) -> None:
    found = find_cases(written(images(tmp_path, "a.png", "b.png") / "t.csv", "image,level", "a,0", "b,2"))
    assert labels(found) == {"a": "0", "b": "2"} and any(
        "taken from the column 'level'" in note for note in found.notes
    )


def test_a_patient_may_be_what_his_file_is_called(tmp_path: Path) -> None:
    path = written(images(tmp_path, "p1.png", "p2.png") / "t.csv", "patientId,x,Target", "p1,4,1", "p1,9,1", "p2,,0")
    found = find_cases(path)
    assert [(case.patient, case.label) for case in found.cases] == [("p1", "1"), ("p2", "0")]


def test_a_column_of_another_name_may_lack_some_files(tmp_path: Path) -> None:
    path = written(images(tmp_path, "a.png", "b.png") / "t.csv", "photo,label", "a.png,x", "b.png,y", "c.png,y")
    assert labels(find_cases(path, hints=ReadOptions(drop_unpaired=True))) == {"a": "x", "b": "y"}
    with pytest.raises(DataError, match="1 of 3 rows have no file"):
        find_cases(path)


def test_masks_beside_that_no_name_joins_are_said(tmp_path: Path) -> None:
    images(tmp_path, "images/a.png", "images/b.png", "masks/x1.png", "masks/x2.png")
    found = find_cases(written(tmp_path / "t.csv", "image,label", "a.png,x", "b.png,y"))
    assert not found.has_masks and any("2 files that look like masks have" in note for note in found.notes)
    images(tmp_path, "masks/a.png")
    with pytest.raises(DataError, match=r"(?s)1 image that the table names has no mask.*b\.png") as caught:
        find_cases(tmp_path / "t.csv")
    assert caught.value.code == "DATA-010"


def test_a_row_without_a_class_has_not_that_of_its_folder(tmp_path: Path) -> None:
    """Of CheXpert and its like: files lie in folders of patients, and the column of a finding is often empty."""
    names = [f"train/patient0000{n // 2}/study1/view{n}.jpg" for n in range(8)]
    rows = "".join(f"{name},{('1', '', '0', '')[n % 4]}\n" for n, name in enumerate(names))
    path = table(images(tmp_path, *names), f"Path,Pneumothorax\n{rows}")
    found = find_cases(path, hints=ReadOptions(columns={"label": "Pneumothorax"}, drop_unpaired=True))
    assert sorted(case.label or "" for case in found.cases) == ["0", "0", "1", "1"]
    assert set(found.classes) == {"0", "1"}


def test_folders_that_each_image_has_for_itself_are_no_classes_and_run_lengths_are_told(tmp_path: Path) -> None:
    names = [f"1.2.826.{n}/1.2.{n}.png" for n in range(4)]
    rows = "".join(f"1.2.{n}, {'-1' if n % 2 else '7 3 12 4'}\n" for n in range(4))
    found = find_cases(table(images(tmp_path, *names), f"ImageId, EncodedPixels\n{rows}"))
    assert not found.classes and "the folders of the files are no classes: 4 for 4 images" in found.notes
    assert any("run lengths are not read (the column EncodedPixels)" in note for note in found.notes)
    kept = [f"benign/{n}.png" for n in range(3)] + [f"malignant/{n + 3}.png" for n in range(3)]
    folder = images(tmp_path / "kept", *kept)
    found = find_cases(table(folder, "image,age\n" + "".join(f"{n},{n}\n" for n in range(6))))
    assert set(found.classes) == {"benign", "malignant"}


@pytest.mark.parametrize("nothing", ["", "-1"])
def test_check_refuses_rows_without_a_class_as_prepare_does(tmp_path: Path, nothing: str) -> None:
    """Messidor-2: check found nothing wrong, and prepare ended in DATA-052."""
    (tmp_path / "set").mkdir()
    for number, name in enumerate("abcdef"):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "set" / f"{name}.png")
    path = table(tmp_path / "set", f"image,grade\na.png,0\nb.png,1\nc.png,{nothing}\nd.png,0\ne.png,1\nf.png,1\n")
    reading = Reading(label_column="grade")
    (finding,) = (each for each in check(path, reading=reading).errors if each.code == "DATA-052")
    assert [Path(file).name for file in finding.files] == ["c.png"] and "--drop-unpaired" in finding.fix
    with pytest.raises(DataError) as error:
        prepare(path, out=tmp_path / "out", reading=reading)
    assert error.value.code == "DATA-052"
    less = replace(reading, drop_unpaired=True)
    checked = check(path, reading=less)
    assert not [each for each in checked.errors if each.code == "DATA-052"] and len(checked.found.cases) == 5
    assert len(prepare(path, out=tmp_path / "out", reading=less).dataset) == 5
    check(path, reading=reading, fix_into=tmp_path / "fixed")
    assert "c.png,it has no class,left out" in (tmp_path / "fixed" / "changes.csv").read_text()


def test_minus_one_is_no_class(tmp_path: Path) -> None:
    images(tmp_path, *(f"{name}.png" for name in "abcde"))
    path = table(tmp_path, "Path,Edema\na.png,1.0\nb.png,0.0\nc.png,-1.0\nd.png,\ne.png,-1\n")
    columns = {"label": "Edema"}
    said = r"2 rows have -1 in the column 'Edema'.* uncertain\):\n\s+row 4\n\s+row 6"
    with pytest.raises(DataError, match=said) as caught:
        find_cases(path, hints=ReadOptions(columns=columns))
    assert caught.value.code == "DATA-052" and "--drop-unpaired" in str(caught.value)
    found = find_cases(path, hints=ReadOptions(columns=columns, drop_unpaired=True))
    assert labels(found) == {"a": "1", "b": "0"} and found.classes == ("0", "1")
    assert any(note.startswith("rows with -1 in the column 'Edema', left out: 2") for note in found.notes)
    assert "rows without a class in the column 'Edema', left out: 1" in found.notes
    path.write_text(path.read_text().replace("-1.0", "uncertain").replace("-1", "uncertain"))
    kept = find_cases(path, hints=ReadOptions(columns=columns, drop_unpaired=True))
    assert kept.classes == ("0.0", "1.0", "uncertain")
    path.write_text("Path,Edema\na.png,-1\nb.png,-1\nc.png,\n")
    with pytest.raises(DataError, match="no row has a class in the column 'Edema'"):
        find_cases(path, hints=ReadOptions(columns=columns, drop_unpaired=True))


def test_a_folder_of_masks_beside_a_table_that_names_them(tmp_path: Path) -> None:
    images(tmp_path, "images/a.png", "images/b.png", "masks/a.png", "masks/b.png")
    table(tmp_path, "image,mask\nimages/a.png,masks/a.png\nimages/b.png,masks/b.png\n", "x.csv")
    for source in (tmp_path, tmp_path / "x.csv"):
        found = find_cases(source, masks=tmp_path / "masks")
        assert found.form == "table"
        assert [case.masks for case in found.cases] == [(f"{tmp_path}/masks/{name}.png",) for name in "ab"]
    images(tmp_path, "others/a.png", "others/b.png")
    with pytest.raises(UsageError, match="no image has its mask there: the table names others"):
        find_cases(tmp_path / "x.csv", masks=tmp_path / "others")


def test_a_list_of_one_class_is_that_class(tmp_path: Path) -> None:
    """As Python writes it: the table of ODIR-5K has `['N']`."""
    pictures = images(tmp_path, "a.png", "b.png", "c.png")
    text = "image,label\na,\"['N']\"\nb,\"['D']\"\nc,\"('N',)\"\n"
    assert labels(find_cases(table(pictures, text))) == {"a": "N", "b": "D", "c": "N"}
    with pytest.raises(DataError, match="several classes in one value") as error:
        find_cases(table(pictures, text.replace("'D'", "'D', 'N'")))
    assert error.value.code == "DATA-052"


def test_masks_of_columns_and_rows_are_joined_where_a_person_says_so(tmp_path: Path) -> None:
    """Two lesions of one mammogram (CBIS-DDSM): in two columns, or in two rows of one image."""
    folder = images(tmp_path, "i/a.png", "i/b.png", "m/a1.png", "m/a2.png", "m/b1.png")
    by_column = table(folder, "image,mask_0,mask_1\ni/a.png,m/a1.png,m/a2.png\ni/b.png,m/b1.png,\n", "columns.csv")
    by_row = table(folder, "image,mask\ni/a.png,m/a1.png\ni/a.png,m/a2.png\ni/b.png,m/b1.png\n", "rows.csv")
    for said in (by_column, by_row):
        found = find_cases(said, hints=ReadOptions(join_masks=True))
        assert [[len(mask_parts(mask)) for mask in case.masks] for case in found.cases] == [[2], [1]]
        assert [len(case.masks) for case in find_cases(said).cases] == [2, 1]
        with pytest.raises(UsageError, match="the table names the masks, in the column mask"):
            find_cases(said, hints=ReadOptions(classes_by="suffix"))


def test_a_name_of_two_files_is_told_apart_by_its_folder(tmp_path: Path) -> None:
    """HC18 counts its images from 0 in training and test; both remedies are tried."""
    folder = images(tmp_path, "train/a.png", "train/b.png", "test/a.png")
    said = table(folder, "image,label\na.png,x\nb.png,y\n")
    with pytest.raises(DataError, match="may be 2 files") as error:
        find_cases(said)
    assert "such as train/a.png" in error.value.remedy  # where b is too
    assert f"as the source: {folder / 'train'} --labels {said}" in error.value.remedy
    assert len(find_cases(folder / "train", hints=ReadOptions(table=said)).cases) == 2
    said.write_text("image,label\ntrain/a.png,x\ntrain/b.png,y\n")
    assert labels(find_cases(said)) == {"a": "x", "b": "y"}
