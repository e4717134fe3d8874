"""Tables whose rows are patients, and not images."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases

PEOPLE = ("sub-01", "sub-02", "sub-03", "sub-04")
TABLE = """participant_id\tsex\tgroup\tsplit
sub-01\tF\tfcd\ttrain
sub-02\tM\tfcd\ttrain
sub-03\tF\thc\tval
sub-04\tM\thc\ttest
sub-99\tM\thc\ttest
"""
SPLITS = {"sub-01": "train", "sub-02": "train", "sub-03": "validation", "sub-04": "test"}


def write(folder: Path, path: str, table: str, name: str = "participants.tsv") -> Path:
    """Two images of each patient, and a table beside them."""
    for who in PEOPLE:
        for number in range(2):
            image = folder / path.format(who=who, bare=who[-2:], number=number)
            image.parent.mkdir(parents=True, exist_ok=True)
            write_image(image, np.random.default_rng([int(who[-2:]), number]).integers(0, 255, (8, 8), np.uint8))
    (folder / name).write_text(table)
    return folder


def said(found: DiscoveredDataset) -> Mapping[str | None, str | None]:
    return {case.patient: case.split for case in found.cases}


@pytest.mark.parametrize(
    "path", ["{who}/anat/{who}_{number}.png", "images/{who}_{number}.png", "data/{who}/view_{number}.png"]
)
def test_rows_of_patients_give_their_images_the_split(tmp_path: Path, path: str) -> None:
    """BIDS: `participants.tsv` with a column split."""
    found = find_cases(write(tmp_path, path, TABLE))
    assert said(found) == SPLITS and len(found.cases) == 8 and not found.classes
    assert found.cases[0].more["sex"] == "F"
    notes = "\n".join(found.notes)
    assert "the table participants.tsv, whose rows are patients (column 'participant_id'), was read" in notes
    assert "the split is that of the column 'split' of participants.tsv" in notes
    assert "--label-column 'group' (2 classes)" in notes and "said by the column 'participant_id': 4 patients" in notes
    assert find_cases(tmp_path, hints=ReadOptions(columns={"label": "group"})).classes == ("fcd", "hc")


@pytest.mark.parametrize("columns", [{}, {"patient": "participant_id"}, {"split": "split"}, {"label": "group"}])
def test_a_table_of_patients_may_be_named(tmp_path: Path, columns: dict[str, str]) -> None:
    write(tmp_path / "images", "{who}/{who}_{number}.png", TABLE)
    table = (tmp_path / "images/participants.tsv").rename(tmp_path / "elsewhere.tsv")
    found = find_cases(tmp_path / "images", hints=ReadOptions(table=table, columns=columns))
    assert said(found) == SPLITS
    beside = table.rename(tmp_path / "images/participants.tsv")
    beside.write_text(TABLE.replace("sub-99\tM\thc\ttest\n", ""))
    assert said(find_cases(tmp_path / "images", hints=ReadOptions(table=beside, columns=columns))) == SPLITS


@pytest.mark.parametrize("header", ["Subject,Set", "id,split", "who,subset", "patient,used for"])
def test_numbers_in_names_are_patients_too(tmp_path: Path, header: str) -> None:
    rows = [f"{number:02},{split}" for number, split in enumerate(SPLITS.values(), start=1)]
    table = "\n".join([header, *rows])
    found = find_cases(write(tmp_path, "images/{who}_{number}.png", table, "info.csv"))
    assert sorted(said(found).values()) == sorted(SPLITS.values())


def test_rows_that_differ_are_told_and_not_followed(tmp_path: Path) -> None:
    found = find_cases(write(tmp_path, "{who}/{who}_{number}.png", TABLE + "sub-01\tF\tfcd\ttest\n"))
    assert {case.split for case in found.cases} == {None}
    assert any("its rows say different things of 2 images (the split)" in note for note in found.notes)


def test_a_split_of_the_source_goes_before_that_of_patients(tmp_path: Path) -> None:
    found = find_cases(write(tmp_path, "train/{who}_{number}.png", TABLE))
    assert {case.split for case in found.cases} == {"train"}
    (note,) = (note for note in found.notes if "--split-column" in note)
    assert "the source says a split; the column 'split' of participants.tsv is not followed" in note
    assert said(find_cases(tmp_path, hints=ReadOptions(columns={"split": "split"}))) == SPLITS


def test_a_table_that_says_nothing_of_patients_is_not_read(tmp_path: Path) -> None:
    table = "\n".join(["participant_id\tage", *(f"{who}\t{number}" for number, who in enumerate(PEOPLE))])
    found = find_cases(write(tmp_path, "{who}/{who}_{number}.png", table))
    assert not any("was read" in note for note in found.notes) and "age" not in found.cases[0].more
