from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from sfumato.data.manifest import Case, read_manifest, split_cases, split_notes, write_manifest
from sfumato.errors import DataError


def cases(count: int, **facts: object) -> list[Case]:
    return [Case(id=f"c{row}", image=f"/data/{row}.png", **facts) for row in range(count)]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = [
        Case(
            id="a",
            image=str(tmp_path / "images/a, b.png"),
            masks=(str(tmp_path / "m/0.png"), str(tmp_path / "m/1.png")),
        ),
        Case(id="b", image=str(tmp_path / "x.npz::images/3"), label="grade 1", patient="p", split="test", source="ü"),
    ]
    write_manifest(tmp_path / "manifest.csv", written, extra={"height": [1, 2]})
    text = (tmp_path / "manifest.csv").read_text(encoding="utf-8")
    assert text.splitlines()[0] == "id,image,mask_0,mask_1,label,patient,volume,split,origin,source,height"
    assert str(tmp_path) not in text
    assert read_manifest(tmp_path / "manifest.csv") == written


def test_tables_may_not_name_files_outside_their_folder(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("id,image\na,../../etc/passwd\n")
    with pytest.raises(DataError, match=r"outside the folder") as caught:
        read_manifest(tmp_path / "manifest.csv")
    assert caught.value.code == "DATA-017"


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        ("name,file\na,b\n", "no column id or image; the columns are: name, file"),
        ("id,image\na,x.png\na,y.png\n", "more than once"),
        ("id,image,split\na,x.png,dev\n", "the split 'dev'"),
        ("id,image\na\n", "row 2: 1 fields"),
        ("", "no rows"),
    ],
)
def test_bad_tables_are_refused(tmp_path: Path, text: str, finding: str) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(DataError, match=finding):
        read_manifest(tmp_path / "manifest.csv")


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("\ufeffid,image\r\na,x.png\r\n", encoding="utf-8")
    assert read_manifest(tmp_path / "manifest.csv")[0].id == "a"


def test_a_split_depends_on_ids_and_seed_not_on_order() -> None:
    given = cases(40)
    split = {case.id: case.split for case in split_cases(given)}
    assert {case.id: case.split for case in split_cases(given[::-1])} == split
    assert {case.id: case.split for case in split_cases(given, seed=1)} != split
    assert Counter(split.values()) == {"train": 28, "validation": 6, "test": 6}


def test_each_label_is_divided_alike_and_rare_ones_stay_in_training() -> None:
    given = [replace(case, label="common" if row < 100 else "rare") for row, case in enumerate(cases(101))]
    split = split_cases(given)
    assert Counter(case.split for case in split if case.label == "common") == {
        "train": 70,
        "validation": 15,
        "test": 15,
    }
    assert split[-1].split == "train"


def test_many_small_labels_still_fill_every_split() -> None:
    given = [replace(case, label=str(row // 2)) for row, case in enumerate(cases(40))]
    assert Counter(case.split for case in split_cases(given)) == {"train": 28, "validation": 6, "test": 6}


def test_patients_and_copies_stay_together() -> None:
    given = [replace(case, patient=f"p{row // 3}") for row, case in enumerate(cases(60))]
    groups = [f"g{row}" for row in range(60)]
    groups[0] = groups[30] = groups[59] = "the same picture"
    split = split_cases(given, groups=groups)
    by_patient = defaultdict(set)
    for case in split:
        by_patient[case.patient].add(case.split)
    assert all(len(splits) == 1 for splits in by_patient.values())
    assert len({split[row].split for row in (0, 30, 59)}) == 1


def test_the_split_of_the_source_is_kept_and_completed() -> None:
    given = [replace(case, split="test" if row < 10 else "train") for row, case in enumerate(cases(100))]
    split = split_cases(given)
    assert [case.split for case in split[:10]] == ["test"] * 10
    counts = Counter(case.split for case in split[10:])
    assert set(counts) == {"train", "validation"}
    assert counts["validation"] == round(90 * 0.15 / 0.85)
    assert "cases moved from train to validation: 16" in split_notes(given, split)


def test_without_a_training_part_all_is_divided_afresh() -> None:
    given = cases(20, split="test")
    split = split_cases(given)
    assert Counter(case.split for case in split) == {"train": 14, "validation": 3, "test": 3}
    assert split_notes(given, split) == ("the source has only test cases: all cases were divided afresh",)
