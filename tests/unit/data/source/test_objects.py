"""Values of volumes and films that number objects are one class, and those of organs are classes."""

from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.formats.nifti import write_volume
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases

SHAPE = (40, 40, 12)


def spots(places: np.ndarray, *, length: int = 2) -> np.ndarray:
    """A small cube for each of some places, numbered from 1 on."""
    labels = np.zeros(SHAPE, np.uint8)
    for value, (row, column, plane) in enumerate(places, start=1):
        labels[row : row + length, column : column + length, plane : plane + length] = value
    return labels


def anywhere(random: np.random.Generator, count: int) -> np.ndarray:
    chosen = random.permutation(8 * 8 * 3)[:count]
    return np.stack([5 * (chosen // 24), 5 * (chosen // 3 % 8), 4 * (chosen % 3)], axis=1)


def fractures(random: np.random.Generator, number: int) -> np.ndarray:
    """As many as there are, anywhere; none in some."""
    return spots(anywhere(random, number))


def organs(random: np.random.Generator, number: int) -> np.ndarray:
    """Each at its place; the last are not in every scan."""
    at_home = np.stack([8 * np.arange(number % 4 + 1) + 1, 30 - 7 * np.arange(number % 4 + 1)], axis=1)
    return spots(np.column_stack([at_home, np.full(len(at_home), 4)]) + random.integers(0, 2, (len(at_home), 3)))


def lesions_of_kinds(random: np.random.Generator, number: int) -> np.ndarray:
    """Kinds of lesions, of each of which there are several."""
    labels = np.zeros(SHAPE, np.uint8)
    for value in range(1, number % 4 + 2):
        labels[spots(anywhere(random, 4)) > 0] = value
    return labels


def large(random: np.random.Generator, number: int) -> np.ndarray:
    """Few parts of much of a scan, anywhere."""
    return spots(anywhere(random, number % 4 + 1) // 2, length=9)


def found_with(folder: Path, draw: object) -> DiscoveredDataset:
    for number in range(8):
        random = np.random.default_rng(number)
        for name, voxels in (("images", random.integers(0, 99, SHAPE)), ("labels", draw(random, number))):  # type: ignore[operator]
            (folder / name).mkdir(exist_ok=True)
            write_volume(folder / name / f"rib{number}.nii.gz", voxels.astype(np.int16), np.eye(4))
    return find_cases(folder)


def values_in(found: DiscoveredDataset) -> set[int]:
    return {value for case in found.cases for mask in case.masks for value in np.unique(read_mask(mask)).tolist()}


def is_told(found: DiscoveredDataset) -> bool:
    return "number objects" in " ".join(found.notes)


def test_numbers_of_objects_in_volumes_are_one_class(tmp_path: Path) -> None:
    """RibFrac: 0 to N fractures of a scan."""
    found = found_with(tmp_path, fractures)
    assert values_in(found) == {0, 1} and is_told(found)


@pytest.mark.parametrize("draw", [organs, lesions_of_kinds, large])
def test_classes_in_volumes_stay_classes(tmp_path: Path, draw: object) -> None:
    found = found_with(tmp_path, draw)
    assert max(values_in(found)) > 1 and not is_told(found)


def film(folder: Path, places: np.ndarray, random: np.random.Generator) -> None:
    """Frames in which each thing keeps its number and hardly moves; some are not seen in all."""
    for frame in range(4):
        seen = places if frame else places[:-1]
        moved = np.clip(seen + random.integers(-1, 2, seen.shape), 0, 36)
        mask = spots(np.column_stack([moved, np.zeros(len(seen), int)]), length=3)[..., 0]
        for name, pixels in (("images", random.integers(0, 255, SHAPE[:2], np.uint8)), ("labels", mask)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            write_image(folder / name / f"t{frame}.png", pixels)


@pytest.mark.parametrize("tracked", [True, False])
def test_cells_that_films_follow_are_one_class_and_organs_in_slices_are_not(tmp_path: Path, tracked: bool) -> None:
    """Cell Tracking Challenge: a cell keeps its place in its film, an organ in all patients."""
    for number in range(2 if tracked else 4):
        random = np.random.default_rng(number)
        chosen = np.random.default_rng(number + 5 if tracked else 9).permutation(49)[: 9 + number]
        film(tmp_path / f"film{number}", np.stack([5 * (chosen // 7) + 2, 5 * (chosen % 7) + 2], axis=1), random)
    found = find_cases(tmp_path)
    assert is_told(found) is tracked
    assert (values_in(found) == {0, 1}) is tracked


@pytest.mark.parametrize(("name", "films"), [("seq{n}", True), ("grade{n}", False)])
def test_folders_of_frames_that_count_on_are_films(tmp_path: Path, name: str, films: bool) -> None:
    """EndoVis and the Cell Tracking Challenge: their folders are no classes, and a film is kept together."""
    for number in range(1, 5):
        for frame in range(4):
            random = np.random.default_rng(9 * number + frame)
            folder = tmp_path / name.format(n=number)
            mask = spots(anywhere(random, 5))[..., 0]
            for path, pixels in (
                (folder / f"frame{frame:03}.png", random.integers(0, 255, SHAPE[:2], np.uint8)),
                (tmp_path / f"{folder.name}_GT" / f"man{frame:03}.png", 255 * (mask > 0).astype(np.uint8)),
            ):
                path.parent.mkdir(exist_ok=True)
                write_image(path, pixels)
    start = name.removesuffix("{n}")
    patterns = ReadOptions(images=f"{start}{{id}}/frame{{id}}.png", masks=f"{start}{{id}}_GT/man{{id}}.png")
    found = find_cases(tmp_path, hints=patterns)
    assert len(found.cases) == 16 and found.has_masks
    assert (len({case.patient for case in found.cases}) == 4 and not found.classes) is films
    assert any("taken as films" in note for note in found.notes) is films


def nuclei(random: np.random.Generator, *, recycled: bool) -> np.ndarray:
    """Discs anywhere, of which those that touch have different numbers; or of two kinds, whatever they touch."""
    drawn, placed = np.zeros((96, 96), np.uint8), list[tuple[float, float, float, int]]()
    rows, columns = np.mgrid[:96, :96]
    while len(placed) < 26:
        row, column, radius = *random.uniform(6, 90, 2), random.uniform(4, 7)
        away = [(np.hypot(row - r, column - c) - radius - other, value) for r, c, other, value in placed]
        if any(gap < -1 for gap, _ in away):
            continue
        taken = {value for gap, value in away if gap < 2}
        value = min(set(range(1, 9)) - taken) if recycled else int(random.integers(1, 3))
        placed.append((row, column, radius, value))
        drawn[np.hypot(rows - row, columns - column) < radius] = value
    return drawn


def pictures_of(folder: Path, *, recycled: bool, in_red: bool = False) -> Path:
    for number in range(6):
        random = np.random.default_rng(number)
        drawn = nuclei(random, recycled=recycled)
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        write_image(folder / "images" / f"{number}.png", random.integers(0, 255, (96, 96), np.uint8))
        stored = np.stack([drawn, np.zeros_like(drawn), np.zeros_like(drawn)], axis=2) if in_red else drawn
        write_image(folder / "masks" / f"{number}.png", stored)
    return folder


@pytest.mark.parametrize(("recycled", "in_red"), [(True, False), (True, True), (False, True)])
def test_numbers_of_objects_that_may_come_again_are_asked_about(tmp_path: Path, recycled: bool, in_red: bool) -> None:
    """BBBC039: neighbours have different numbers, and no number is a kind of nucleus."""
    found = find_cases(pictures_of(tmp_path, recycled=recycled, in_red=in_red))
    (problem,) = found.problems
    assert problem.code == "DATA-014" and "numbers of objects that come again" in problem.finding
    joined = find_cases(tmp_path, hints=ReadOptions(join_masks=True))
    assert not joined.problems and values_in(joined) == {0, 1}
    highest = max(values_in(found))
    names = tuple(f"{value}=kind{value}" for value in range(1, highest + 1))
    assert "--class-names 1=NAME1" in str(problem.remedy)
    named = find_cases(tmp_path, hints=ReadOptions(class_names=names))
    assert not named.problems and len(named.mask_names) == highest + 1


def test_kinds_of_objects_are_told_and_not_asked_about(tmp_path: Path) -> None:
    found = find_cases(pictures_of(tmp_path, recycled=False))
    assert not found.problems and values_in(found) == {0, 1, 2}
    assert any("--join-masks if the numbers only tell objects apart" in note for note in found.notes)


def test_kinds_of_a_size_or_place_of_their_own_are_no_numbers(tmp_path: Path) -> None:
    for number in range(6):
        random = np.random.default_rng(number)
        drawn = np.zeros((96, 96), np.uint8)
        for place in range(12):
            row, column = 6 + 22 * (place // 4), 6 + 22 * (place % 4)
            side, value = (8, 1) if place % 2 else (3, 2)
            row += int(random.integers(0, 6))
            drawn[row : row + side, column : column + side] = value
        for name, content in (("images", random.integers(0, 255, (96, 96), np.uint8)), ("masks", drawn)):
            (tmp_path / name).mkdir(exist_ok=True)
            write_image(tmp_path / name / f"{number}.png", content)
    found = find_cases(tmp_path)
    assert not found.problems and not any("only tell objects apart" in note for note in found.notes)
