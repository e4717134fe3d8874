"""Tables whose rows name both pictures of a person, beside one that says more, with a header and without."""

from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases

SIDE, PAIRS = 24, 6


def eyes(folder: Path, *, header: str = "", masks: bool = False) -> tuple[Path, Path]:
    """Pictures of both eyes (or a picture and its mask), and two tables: the rows of pairs, and grades."""
    rows, grades = [header] * bool(header), ["image_id,grade"]
    for pair in range(PAIRS):
        names = [f"2005{pair}_{pair * 7}_PP.png", f"2005{pair}_{pair * 7 + 3}_PP.png"]
        for place, name in enumerate(names):
            (folder / "IMAGES").mkdir(parents=True, exist_ok=True)
            content = np.random.default_rng(2 * pair + place).integers(20, 230, (SIDE, SIDE, 3), np.uint8)
            if masks and place:
                content = np.zeros((SIDE, SIDE), np.uint8)
                content[4 : 8 + pair, 5:9] = 255
            write_image(folder / "IMAGES" / name, content)
            grades.append(f"{name},{(pair + place) % 2}")
        rows.append(";".join(names))
    pairs, said = folder / "pairs.csv", folder / "grades.csv"
    pairs.write_text("\n".join(rows) + "\n")
    said.write_text("\n".join(grades) + "\n")
    return pairs, said


def persons(found: DiscoveredDataset) -> list[int]:
    """How many images each person has."""
    names = [case.patient for case in found.cases]
    return [names.count(name) for name in dict.fromkeys(names)]


@pytest.mark.parametrize("header", ["", "left;right"])
@pytest.mark.parametrize("way", ["folder", "labels", "table", "images"])
def test_the_patients_of_pairs_are_kept_beside_a_table_of_grades(tmp_path: Path, header: str, way: str) -> None:
    _, grades = eyes(tmp_path, header=header)
    hints = ReadOptions(table=grades) if way in ("labels", "images") else ReadOptions()
    source = {"table": grades, "images": tmp_path / "IMAGES"}.get(way, tmp_path)
    found = find_cases(source, hints=hints)
    assert persons(found) == [2] * PAIRS and found.classes == ("0", "1") and not found.has_masks
    assert any("rows of pairs.csv" in note for note in found.notes)
    assert not any("pairs.csv" in note and "not used" in note for note in found.notes)


@pytest.mark.parametrize("header", ["", "left;right"])
@pytest.mark.parametrize("way", ["folder", "labels", "table"])
def test_pairs_alone_are_images_of_one_person(tmp_path: Path, header: str, way: str) -> None:
    pairs, grades = eyes(tmp_path, header=header)
    grades.unlink()
    source, hints = {
        "folder": (tmp_path, ReadOptions()),
        "labels": (tmp_path, ReadOptions(table=pairs)),
        "table": (pairs, ReadOptions()),
    }[way]
    found = find_cases(source, hints=hints)
    assert persons(found) == [2] * PAIRS and not found.has_masks and len(found.cases) == 2 * PAIRS


@pytest.mark.parametrize("way", ["folder", "table"])
def test_a_second_picture_of_few_values_is_a_mask(tmp_path: Path, way: str) -> None:
    pairs, grades = eyes(tmp_path, masks=True)
    grades.unlink()
    found = find_cases(pairs if way == "table" else tmp_path)
    assert found.has_masks and len(found.cases) == PAIRS
