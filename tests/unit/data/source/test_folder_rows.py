"""Rows of tables that are folders, numbers or places, and columns of which several name images."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

SIDE = 24


def photograph(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.random.default_rng(len(str(path))).integers(0, 255, (SIDE, SIDE, 3), np.uint8))
    return path


def drawn(path: Path, *, side: int = 8) -> Path:
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[4 : 4 + side, 4 : 4 + side] = 255
    write_image(path, mask)
    return path


def lines(path: Path, *texts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(texts) + "\n")
    return path


def told(found: DiscoveredDataset) -> str:
    return "\n".join(found.notes)


def studies(folder: Path, *, above: str = "SET-v1", header: str = "") -> Path:
    """Studies of several views, whose labels are those of their folders, which lie at a path of another machine."""
    for split, count in (("train", 6), ("valid", 4)):
        rows, paths = list[str](), list[str]()
        for number in range(count):
            study = f"{split}/XR_WRIST/patient{number + 10 * (split == 'valid'):05}/study1_{'np'[number % 2]}"
            rows.append(f"{above}/{study}/,{number % 2}")
            for view in range(1, 2 + number % 3):
                paths.append(f"{above}/{study}/image{view}.png")
                photograph(folder / study / f"image{view}.png")
        lines(folder / f"{split}_labeled_studies.csv", *([header] if header else []), *rows)
        lines(folder / f"{split}_image_paths.csv", *paths)
    return folder


@pytest.mark.parametrize("header", ["", "study,label"])
def test_what_a_row_says_of_a_folder_holds_for_its_pictures(tmp_path: Path, header: str) -> None:
    found = find_cases(studies(tmp_path / "set", header=header))
    assert len(found.cases) == 12 + 7 and found.classes == ("0", "1")
    for case in found.cases:
        study = Path(case.image).parent
        assert case.label == str("np".index(study.name[-1]))
        assert case.split == {"train": "train", "valid": "validation"}[study.parts[-4]]
    assert found.patients == 10
    assert "rows of train_labeled_studies.csv are folders" in told(found)


def test_rows_of_folders_are_read_from_a_table_that_a_person_named(tmp_path: Path) -> None:
    studies(tmp_path / "set")
    named = ReadOptions(table=tmp_path / "set" / "train_labeled_studies.csv")
    found = find_cases(tmp_path / "set" / "train", hints=named)
    assert len(found.cases) == 12 and found.classes == ("0", "1")


def test_masks_in_such_folders_are_no_images(tmp_path: Path) -> None:
    for number in range(4):
        photograph(tmp_path / f"set/cases/case{number}/scan.png")
        drawn(tmp_path / f"set/cases/case{number}/organ.png")
    lines(tmp_path / "set" / "labels.csv", "path,label", *(f"cases/case{number},{number % 2}" for number in range(4)))
    found = find_cases(tmp_path / "set")
    assert len(found.cases) == 4 and all(Path(case.image).name == "scan.png" for case in found.cases)


def test_numbers_of_images_are_their_names_and_a_table_is_about_the_folder_it_is_called_after(tmp_path: Path) -> None:
    for part, count in ((1, 6), (2, 4)):
        for number in range(1, count + 1):
            photograph(tmp_path / f"Dataset {part}" / f"{number:03}.bmp")
            drawn(tmp_path / f"Dataset {part}" / f"{number:03}.png")
        rows = (f"{number},{1 + (number + part) % 2}" for number in range(1, count + 1))
        lines(tmp_path / f"Class Labels of Dataset {part}.csv", "image ID,class label", *rows)
    found = find_cases(tmp_path)
    assert len(found.cases) == 10 and all(case.masks for case in found.cases)
    for case in found.cases:
        part, number = Path(case.image).parent.name[-1], int(Path(case.image).stem)
        assert case.label == str(1 + (number + int(part)) % 2) and Path(case.masks[0]).stem == Path(case.image).stem
    assert len({case.id for case in found.cases}) == 10 and "no partner" not in told(found)


@pytest.mark.parametrize("names", [("scan1", "eye2", "scan3"), ("a/1", "b/1", "b/2")])
def test_numbers_that_several_or_other_names_have_mean_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        photograph(tmp_path / f"set/{name}.png")
    lines(tmp_path / "set" / "about.csv", "image_no,image_id,label", "x,1,yes", "y,2,no", "z,3,yes")
    found = find_cases(tmp_path / "set")
    assert len(found.cases) == 3 and not {"yes", "no"} & {case.label for case in found.cases}


def test_a_table_names_images_that_have_a_mask_of_their_name(tmp_path: Path) -> None:
    for number in range(4):
        photograph(tmp_path / f"{number:03}.bmp")
        drawn(tmp_path / f"{number:03}.png")
    lines(tmp_path / "labels.csv", "image,label", *(f"{number:03},{number % 2}" for number in range(4)))
    found = find_cases(tmp_path)
    assert [(Path(case.image).name, case.label) for case in found.cases] == [
        (f"{n:03}.bmp", str(n % 2)) for n in range(4)
    ]
    assert all(Path(case.masks[0]).name == f"{Path(case.image).stem}.png" for case in found.cases)


def two_views(folder: Path, *, first: int = 0) -> Path:
    """A photograph and a dermoscopy of each lesion, and lists of rows for the splits."""
    rows = list[str]()
    for number in range(10):
        near, far = f"NEL/Nel{number}.jpg", f"NEL/NEL{number}a.jpg"
        photograph(folder / "images" / near)
        photograph(folder / "images" / far)
        rows.append(f"{number},{'nevus' if number % 2 else 'melanoma'},{near},{far}")
    lines(folder / "meta" / "meta.csv", "case_num,diagnosis,clinic,derm", *rows)
    for split, numbers in (("train", range(5)), ("valid", range(5, 7)), ("test", range(7, 10))):
        lines(folder / "meta" / f"{split}_indexes.csv", "indexes", *(str(number + first) for number in numbers))
    return folder


def test_of_several_columns_that_name_images_one_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)DATA-050.*clinic: 10 images.*derm: 10 images") as refused:
        find_cases(two_views(tmp_path))
    ways = re.findall(r"--labels (\S+) --image-column (\S+?)(?= or |;)", refused.value.remedy or "")
    assert [column for _, column in ways] == ["clinic", "derm"]
    for table, column in ways:
        found = find_cases(tmp_path, hints=ReadOptions(table=Path(shlex.split(table)[0]), columns={"image": column}))
        assert len(found.cases) == 10 and found.classes == ("melanoma", "nevus")


def test_a_column_of_masks_is_no_rival(tmp_path: Path) -> None:
    rows = list[str]()
    for number in range(6):
        photograph(tmp_path / f"a/{number}p.png")
        (tmp_path / "b").mkdir(exist_ok=True)
        drawn(tmp_path / f"b/{number}d.png", side=6 + number)
        rows.append(f"a/{number}p.png,b/{number}d.png,{number % 2}")
    lines(tmp_path / "rows.csv", "photo,drawing,label", *rows)
    try:
        find_cases(tmp_path)
    except DataError as error:
        assert "several columns name images" not in error.finding


@pytest.mark.parametrize("first", [0, 1])
def test_lists_of_rows_divide_the_table(tmp_path: Path, first: int) -> None:
    hints = ReadOptions(table=two_views(tmp_path, first=first) / "meta" / "meta.csv", columns={"image": "derm"})
    found = find_cases(tmp_path, hints=hints)
    by_number = {int(re.findall(r"\d+", Path(case.image).stem)[0]): case.split for case in found.cases}
    assert by_number == {n: "train" if n < 5 else "validation" if n < 7 else "test" for n in range(10)}
    assert "numbers of the rows" in told(found)


def test_lists_of_rows_that_may_count_from_0_or_1_are_not_followed(tmp_path: Path) -> None:
    hints = ReadOptions(table=two_views(tmp_path) / "meta" / "meta.csv", columns={"image": "derm"})
    lines(tmp_path / "meta" / "train_indexes.csv", "indexes", "1", "2", "3", "4")
    found = find_cases(tmp_path, hints=hints)
    assert not any(case.split for case in found.cases)
