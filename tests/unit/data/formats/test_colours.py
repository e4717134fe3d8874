"""Masks in colours are read by the table of their annotation tool, or refused."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sfumato.data.formats.image import read_mask
from sfumato.data.inspection.inspect import inspect, measure_cases
from sfumato.data.source import find_cases
from sfumato.errors import DataError

RED, GREEN = (255, 0, 0), (0, 255, 0)
POLYP, TOOL, BLACK, WHITE = (250, 50, 83), (36, 179, 83), (0, 0, 0), (255, 255, 255)


def mask(path: Path, colours: list[tuple[int, int, int]]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array([colours], np.uint8)).save(path)
    return str(path)


def table(folder: Path, *lines: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labelmap.txt").write_text("\n".join(["# label:color_rgb:parts:actions", *lines]) + "\n")


@pytest.mark.parametrize("where", [".", "masks", "masks/train"])
def test_colours_are_classes_by_the_table(tmp_path: Path, where: str) -> None:
    """Wherever it lies near the mask; the background is 0 though it is not the first, white is a class like others."""
    table(tmp_path / where, "polyp:250,50,83::", "background:0,0,0::", "glare:255,255,255::", "tool:36,179,83::")
    file = mask(tmp_path / "masks/train/a.png", [BLACK, POLYP, WHITE, TOOL])
    assert read_mask(file).tolist() == [[0, 1, 2, 3]]
    assert read_mask(mask(tmp_path / "masks/train/b.png", [BLACK, WHITE])).tolist() == [[0, 2]]


def test_colours_that_the_table_lacks_are_named(tmp_path: Path) -> None:
    table(tmp_path, "background:0,0,0::", "polyp:250,50,83::")
    with pytest.raises(DataError, match=r"(?s)1 of its colours are not in .*36,179,83") as caught:
        read_mask(mask(tmp_path / "a.png", [BLACK, POLYP, TOOL]))
    assert caught.value.code == "DATA-013"


@pytest.mark.parametrize("lines", [(), ("polyp",), ("images:12",)])
def test_other_tables_change_nothing(tmp_path: Path, lines: tuple[str, ...]) -> None:
    table(tmp_path, *lines)
    assert read_mask(mask(tmp_path / "a.png", [BLACK, WHITE])).tolist() == [[0, 255]]
    with pytest.raises(DataError, match="has colours"):
        read_mask(mask(tmp_path / "b.png", [BLACK, POLYP]))


def test_grey_masks_beside_a_table_stay_grey(tmp_path: Path) -> None:
    table(tmp_path, "background:0,0,0::", "polyp:250,50,83::")
    assert read_mask(mask(tmp_path / "a.png", [BLACK, WHITE])).tolist() == [[0, 255]]


def test_two_classes_of_one_colour_are_refused(tmp_path: Path) -> None:
    table(tmp_path, "background:0,0,0::", "polyp:250,50,83::", "adenoma:250,50,83::")
    with pytest.raises(DataError, match="share a colour"):
        read_mask(mask(tmp_path / "a.png", [BLACK, POLYP]))


@pytest.mark.parametrize("colours", [True, False])
def test_a_source_has_the_names_of_the_table(tmp_path: Path, colours: bool) -> None:
    table(tmp_path, "background:0,0,0::", "polyp:250,50,83::")
    for number in range(3):
        mask(tmp_path / f"images/{number}.png", [WHITE, BLACK])
        mask(tmp_path / f"masks/{number}.png", [BLACK, POLYP])
        if not colours:
            Image.fromarray(np.array([[0, 1]], np.uint8)).save(tmp_path / f"masks/{number}.png")
    found = find_cases(tmp_path)
    assert found.mask_names == ({0: "background", 1: "polyp"} if colours else {})
    said = [note for note in found.notes if "labelmap.txt" in note]
    assert len(said) == 1 and ("not used" in said[0]) != colours


def lines_of(remedy: str) -> list[str]:
    return remedy.split("\n")[1:]


def test_the_table_that_is_told_is_read_so(tmp_path: Path) -> None:
    """The lines are pasted as they stand, with their indent; black is the background wherever it is not."""
    file = mask(tmp_path / "a.png", [GREEN, RED, RED])
    with pytest.raises(DataError, match="has colours") as caught:
        read_mask(file)
    (tmp_path / "labelmap.txt").write_text("\n".join(lines_of(caught.value.remedy)))
    assert read_mask(file).tolist() == [[2, 1, 1]]


def test_the_table_of_a_set_has_the_colours_of_all_masks(tmp_path: Path) -> None:
    for number, colour in enumerate((RED, GREEN, RED, GREEN)):
        mask(tmp_path / f"images/{number}.png", [WHITE, BLACK])
        mask(tmp_path / f"masks/{number}.png", [BLACK, colour])
    found = find_cases(tmp_path)
    (wrong,) = inspect(found, list(measure_cases(found.cases))).of("error")
    assert wrong.code == "DATA-013"
    table(tmp_path / "masks", *lines_of(wrong.fix))
    named = find_cases(tmp_path)
    assert named.mask_names == {0: "background", 1: "colour_1", 2: "colour_2"}
    assert not inspect(named, list(measure_cases(named.cases))).of("error")


def test_colours_of_smooth_edges_make_no_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has colours") as caught:
        read_mask(mask(tmp_path / "a.png", [(250, shade, 0) for shade in range(0, 200, 5)]))
    assert caught.value.remedy.endswith("a line each: name:red,green,blue::")


def test_numbers_in_red_alone_are_the_mask_and_told(tmp_path: Path) -> None:
    """BBBC039: numbers of objects in the first channel of an RGBA picture. Green alone is a colour."""
    for case in range(4):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(np.full((1, 4), 9 * case, np.uint8)).save(tmp_path / f"images/{case}.png")
        pixels = np.zeros((1, 4, 4), np.uint8)
        pixels[..., 3], pixels[0, :, 0] = 255, [0, 1, 2, 7 if case else 0]
        Image.fromarray(pixels).save(tmp_path / f"masks/{case}.png")
    found = find_cases(tmp_path)
    assert read_mask(found.cases[1].masks[0]).tolist() == [[0, 1, 2, 7]]
    (told,) = (note for note in found.notes if "red alone" in note)
    assert "labelmap.txt" in told
    mask(tmp_path / "masks/3.png", [BLACK, GREEN, GREEN, BLACK])
    assert not any("red alone" in note for note in find_cases(tmp_path).notes)
    with pytest.raises(DataError, match="has colours"):
        read_mask(str(tmp_path / "masks/3.png"))
    table(tmp_path, "background:0,0,0::", "polyp:255,0,0::")
    assert read_mask(mask(tmp_path / "c.png", [BLACK, RED])).tolist() == [[0, 1]]


SIZE = 96


def discs(number: int) -> np.ndarray:
    """The classes of a picture: two discs beside one another, of which the second is not in all pictures."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    classes = np.zeros((SIZE, SIZE), int)
    classes[(rows - 40) ** 2 + (columns - 30) ** 2 < 18**2] = 1
    if number % 2:
        classes[(rows - 60) ** 2 + (columns - 66) ** 2 < 15**2] = 2
    return classes


def blurred(path: Path, classes: np.ndarray, colours: tuple[tuple[int, int, int], ...] = (BLACK, RED, GREEN)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(colours, np.uint8)[classes]).save(path, quality=80)
    return str(path)


def test_colours_that_jpeg_blurred_are_told_and_read_by_the_nearest(tmp_path: Path) -> None:
    """BKAI-IGH: red and green polyps, stored as JPEG."""
    for number in range(4):
        mask(tmp_path / f"images/{number}.png", [WHITE] * SIZE)
        Image.new("RGB", (SIZE, SIZE), (9 * number, 80, 40)).save(tmp_path / f"images/{number}.png")
        blurred(tmp_path / f"masks/{number}.jpeg", discs(number))
    found = find_cases(tmp_path)
    (wrong,) = inspect(found, list(measure_cases(found.cases))).of("error")
    lines = [line.strip() for line in lines_of(wrong.fix)]
    assert lines[0] == "background:0,0,0::"
    assert {line.partition(":")[2] for line in lines[1:]} == {"255,0,0::", "0,255,0::"}
    table(tmp_path, "background:0,0,0::", "a:255,0,0::", "b:0,255,0::")
    named = find_cases(tmp_path)
    assert not inspect(named, list(measure_cases(named.cases))).of("error")
    assert any("by the nearest one, since JPEG blurs them" in note for note in named.notes)
    for number, case in enumerate(sorted(named.cases, key=lambda case: case.id)):
        assert (read_mask(case.masks[0]) == discs(number)).mean() > 0.99


def test_even_areas_of_other_colours_are_no_blur(tmp_path: Path) -> None:
    table(tmp_path, "background:0,0,0::", "a:255,0,0::")
    with pytest.raises(DataError, match=r"(?s)1 of its colours are not in .*0,255,0"):
        read_mask(blurred(tmp_path / "a.jpg", discs(1)))


def test_a_mask_of_nearly_black_pixels_is_background(tmp_path: Path) -> None:
    table(tmp_path, "background:0,0,0::", "a:255,0,0::")
    file = blurred(tmp_path / "a.jpg", np.zeros((SIZE, SIZE), int), ((2, 2, 2),))
    assert not read_mask(file).any()
