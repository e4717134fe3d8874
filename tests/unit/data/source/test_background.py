"""Values of masks that may be the background, or white lines that are no class."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases

SIDE = 48


def organs(values: tuple[int, int, int], number: int) -> np.ndarray:
    """Something behind, something large, and something small."""
    behind, large, small = values
    mask = np.full((SIDE, SIDE), behind, np.uint8)
    mask[6:40, 6 : 38 + number % 4], mask[14:24, 12:24] = large, small
    return mask


def with_lines(mask: np.ndarray) -> np.ndarray:
    """The same with white lines between the values."""
    edge = np.zeros(mask.shape, bool)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    return np.where(edge, 255, mask).astype(np.uint8)


def read(folder: Path, draw: Callable[[int], np.ndarray], hints: ReadOptions | None = None) -> DiscoveredDataset:
    for number in range(5):
        for name, pixels in (
            ("images", np.random.default_rng(number).integers(0, 255, (SIDE, SIDE), np.uint8)),
            ("masks", draw(number)),
        ):
            (folder / name).mkdir(exist_ok=True)
            write_image(folder / name / f"{number}.png", pixels)
    return find_cases(folder, hints=hints or ReadOptions())


@pytest.mark.parametrize("lines", [False, True])
def test_where_no_mask_has_0_the_background_is_asked_for(tmp_path: Path, lines: bool) -> None:
    """CholecSeg8k: what is behind the organs has the largest number."""

    def draw(number: int) -> np.ndarray:
        mask = organs((50, 11, 21), number)
        return with_lines(mask) if lines else mask

    (problem,) = read(tmp_path, draw).problems
    assert "has the value 0" in problem.finding and ("255 is a thin line" in problem.finding) is lines
    with_behind, without = re.findall(r"--class-names (\S+)", problem.remedy or "")
    assert with_behind == "50=background,11=NAME11,21=NAME21" + ",255=ignore" * lines
    for names, classes in ((with_behind, 3), (without, 4)):
        found = read(tmp_path, draw, ReadOptions(class_names=tuple(names.split(","))))
        assert not found.problems and len(found.mask_names) == classes and (found.ignore is not None) is lines


@pytest.mark.parametrize("values", [(1, 2, 3), (0, 5, 15), (50, 11, 11)])
def test_values_that_say_their_background_are_not_asked_about(tmp_path: Path, values: tuple[int, int, int]) -> None:
    found = read(tmp_path, lambda number: organs(values, number))
    assert not found.problems and not any("thin line" in note for note in found.notes)


def test_white_lines_are_told_with_the_flag_that_ignores_them(tmp_path: Path) -> None:
    """PASCAL VOC."""
    found = read(tmp_path, lambda number: with_lines(organs((0, 5, 15), number)))
    (note,) = [note for note in found.notes if "255 is a thin line" in note]
    assert not found.problems and note.endswith("--class-names 255=ignore")


def test_a_white_object_is_no_line(tmp_path: Path) -> None:
    found = read(tmp_path, lambda number: organs((0, 5, 255), number))
    assert not any("thin line" in note for note in found.notes)


def test_of_two_encodings_that_without_lines_is_used(tmp_path: Path) -> None:
    for number in range(5):
        mask = organs((50, 11, 21), number)
        pixels = np.random.default_rng(number).integers(0, 255, (SIDE, SIDE, 3), np.uint8)
        for name, content in (("", pixels), ("_mask", with_lines(mask)), ("_watershed_mask", mask)):
            write_image(tmp_path / f"frame_{number}_endo{name}.png", content)
    found = find_cases(tmp_path)
    assert all(case.masks[0].endswith("_watershed_mask.png") for case in found.cases)
    assert any("values 11, 21, 50 and white borders (255)" in note for note in found.notes)


def cut_cell(number: int) -> np.ndarray:
    """Herlev: a cell that reaches beyond its picture, its nucleus, what is behind, and a bit of something unknown."""
    mask = np.full((SIDE, SIDE), 1, np.uint8)
    mask[8:40, : 30 + number % 4], mask[18:26, 10:20], mask[:3, :8] = 0, 2, 4
    return mask


def test_a_value_on_most_of_most_rims_is_asked_about_with_the_colours_of_the_palette(tmp_path: Path) -> None:
    def write(folder: Path) -> None:
        for path in (folder / "masks").iterdir():
            picture = Image.fromarray(read_mask(str(path)))
            picture.putpalette([0, 0, 128, 255, 0, 0, 0, 0, 255, 0, 0, 128, 128, 128, 128])
            picture.save(path)

    (problem,) = read(tmp_path, cut_cell).problems
    assert "the value 1 is most of the rim of 5 of 5 masks" in problem.finding and "palette" not in problem.finding
    write(tmp_path)
    (problem,) = find_cases(tmp_path).problems
    assert "their palette shows 0 in #000080, 1 in #ff0000, 2 in #0000ff, 4 in #808080" in problem.finding
    with_behind = re.findall(r"--class-names ([^\s;]+)", problem.remedy or "")[0]
    assert with_behind == "1=background,4=NAME4,2=NAME2,0=NAME0"
    found = find_cases(tmp_path, hints=ReadOptions(class_names=tuple(with_behind.split(","))))
    assert not found.problems and len(found.mask_names) == 4


def test_values_that_take_turns_on_the_rims_are_not_asked_about(tmp_path: Path) -> None:
    """Tissue that fills its picture has no background."""
    tissues = ((1, 2, 0), (2, 0, 1), (0, 1, 2), (3, 0, 2), (1, 0, 3))
    assert not read(tmp_path, lambda number: organs(tissues[number], number)).problems
