"""Values of masks that number objects, and values as a person names them."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sfumato.data.formats.image import read_mask, write_image
from sfumato.data.formats.joined import mask_parts, mask_words
from sfumato.data.manifest import write_manifest
from sfumato.data.mask import decide_mask_rule
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError
from sfumato.provenance import write_provenance

SIDE, COUNT = 48, 6
Draw = Callable[[np.random.Generator, int], np.ndarray]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def objects(random: np.random.Generator, number: int) -> np.ndarray:
    """Nuclei anywhere, numbered from 1 on."""
    mask = np.zeros((SIDE, SIDE), np.uint16)
    for value, place in enumerate(random.permutation(36)[: 3 + number], start=1):
        mask[disc(4 + 8 * (place // 6), 4 + 8 * (place % 6), random.uniform(1, 3))] = value
    return mask


def from_above(random: np.random.Generator, number: int) -> np.ndarray:
    """The same numbered row by row, as `label` does."""
    mask, order = objects(random, number), np.zeros(40, np.uint16)
    values = mask[mask > 0]
    for value, old in enumerate(dict.fromkeys(values.tolist()), start=1):
        order[old] = value
    return order[mask]


def cut_out(random: np.random.Generator, number: int) -> np.ndarray:
    """The same, cut from a large image: the numbers are any of 60."""
    return np.array([0, *sorted(random.permutation(60)[:9] + 1)], np.uint16)[objects(random, number)]


def organs(random: np.random.Generator, number: int) -> np.ndarray:
    """Organs, each at its place, the last of which are not in every plane."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for value in range(1, 3 + number % 4):
        mask[disc(5 + 9 * value + random.uniform(-2, 2), 42 - 8 * value + random.uniform(-2, 2), 3)] = value
    return mask


def cups(random: np.random.Generator, number: int) -> np.ndarray:
    """A disc, with its cup in most."""
    row, column = random.uniform(15, 33, 2)
    mask = disc(row, column, 9).astype(np.uint8)
    mask[disc(row, column, 4) & (number % 3 > 0)] = 2
    return mask


def heart(random: np.random.Generator, number: int) -> np.ndarray:
    """Three parts of a heart of any size anywhere; planes at its ends lack the first."""
    row, column = random.uniform(14, 34, 2)
    mask = np.where(disc(row, column, 8), 2, 0).astype(np.uint8)
    mask[disc(row, column, 5)] = 3
    mask[disc(row, column - 11, 3) & (number % 3 > 0)] = 1
    return mask


def nested(random: np.random.Generator, number: int) -> np.ndarray:
    """Grades within one another, anywhere and of any size, of which some images lack the last."""
    row, column = random.uniform(16, 32, 2)
    mask, radius = np.zeros((SIDE, SIDE), np.uint8), random.uniform(10, 15)
    for value in range(1, 2 + number % 4):
        mask[disc(row, column, radius * (1 - 0.2 * value))] = value
    return mask


def layers(random: np.random.Generator, number: int) -> np.ndarray:
    """Layers from above, at any height, of which some images lack the last."""
    top, mask = int(random.integers(2, 12)), np.zeros((SIDE, SIDE), np.uint8)
    for value in range(1, 4 + number % 4):
        high = int(random.integers(2, 7))
        mask[top : top + high] = value
        top += high
    return mask


def scattered(random: np.random.Generator, number: int) -> np.ndarray:
    """Kinds of tissue, each in many places."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for place in random.permutation(36)[:20]:
        mask[disc(4 + 8 * (place // 6), 4 + 8 * (place % 6), 2)] = random.integers(1, 3 + number % 3)
    return mask


def found_with(folder: Path, draw: Draw, ending: str = "png", hints: ReadOptions | None = None) -> DiscoveredDataset:
    for number in range(COUNT):
        random = np.random.default_rng(number)
        save(folder / "images" / f"{number}.png", random.integers(0, 255, (SIDE, SIDE), np.uint8))
        save(folder / "labels" / f"{number}.{ending}", draw(random, number))
    return find_cases(folder, hints=hints or ReadOptions())


def save(path: Path, content: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, content.astype(np.int32))
    else:
        write_image(path, content)


def values_in(found: DiscoveredDataset) -> set[int]:
    return {value for case in found.cases for mask in case.masks for value in np.unique(read_mask(mask)).tolist()}


@pytest.mark.parametrize("ending", ["png", "tif", "npy"])
@pytest.mark.parametrize("draw", [objects, from_above])
def test_numbers_of_objects_are_one_class(tmp_path: Path, draw: Draw, ending: str) -> None:
    found = found_with(tmp_path, draw, ending)
    assert values_in(found) == {0, 1}
    assert "number objects (up to 8" in " ".join(found.notes)
    mask = draw_again(draw, 0)
    assert np.array_equal(read_mask(found.cases[0].masks[0]), mask > 0)


def test_arrays_of_a_folder_of_masks_lie_beside_pictures(tmp_path: Path) -> None:
    found_with(tmp_path, heart, "npy")
    found = find_cases(tmp_path / "images", masks=tmp_path / "labels")
    assert values_in(found) == {0, 1, 2, 3}
    assert np.array_equal(read_mask(found.cases[1].masks[0]), draw_again(heart, 1))


def test_what_this_program_wrote_is_not_looked_at(tmp_path: Path) -> None:
    """A set of masks that were drawn by a model may have any values."""
    found = found_with(tmp_path, objects)
    plain = tuple(replace(case, masks=(mask_parts(case.masks[0])[0].locator,)) for case in found.cases)
    write_manifest(tmp_path / "manifest.csv", plain)
    assert values_in(find_cases(tmp_path)) == {0, 1}
    write_provenance(tmp_path, inputs={})
    assert max(values_in(find_cases(tmp_path))) == 8


def test_numbers_of_objects_in_cut_images_are_one_class(tmp_path: Path) -> None:
    found = found_with(tmp_path, cut_out)
    assert values_in(found) == {0, 1} and "number objects" in " ".join(found.notes)


def draw_again(draw: Draw, number: int) -> np.ndarray:
    random = np.random.default_rng(number)
    random.integers(0, 255, (SIDE, SIDE), np.uint8)
    return draw(random, number)


def as_many(random: np.random.Generator, number: int) -> np.ndarray:
    """Glands anywhere, as many in each image."""
    return objects(random, 9)


def rows(random: np.random.Generator, number: int) -> np.ndarray:
    """Twelve structures in each image, from above to below."""
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for value in range(12):
        mask[4 * value + 1 : 4 * value + 3, (start := int(random.integers(40))) : start + 3] = value + 1
    return mask


def test_as_many_objects_in_each_image_are_one_class(tmp_path: Path) -> None:
    found = found_with(tmp_path, as_many)
    assert values_in(found) == {0, 1} and "number objects (up to 12" in " ".join(found.notes)
    assert "another count" not in " ".join(found.notes)


@pytest.mark.parametrize("draw", [organs, cups, heart, nested, layers, scattered, rows])
def test_classes_stay_classes(tmp_path: Path, draw: Draw) -> None:
    found = found_with(tmp_path, draw)
    assert max(values_in(found)) > 1
    assert "number objects" not in " ".join(found.notes)


def test_numbers_of_objects_are_classes_where_a_person_names_them(tmp_path: Path) -> None:
    names = tuple(f"{value}=part {value}" for value in range(1, 9))
    found = found_with(tmp_path, objects, hints=ReadOptions(class_names=names))
    assert values_in(found) == set(range(9))


def test_values_are_joined_where_a_person_says_so(tmp_path: Path) -> None:
    found = found_with(tmp_path, organs, hints=ReadOptions(join_masks=True))
    assert values_in(found) == {0, 1}
    assert "as --join-masks says" in " ".join(found.notes)


def test_grey_edges_are_no_objects_to_be_joined(tmp_path: Path) -> None:
    def soft(random: np.random.Generator, number: int) -> np.ndarray:
        return np.clip(128 + 40 * (9 - np.hypot(*(np.mgrid[:SIDE, :SIDE] - 24))), 0, 255).astype(np.uint8)

    found = found_with(tmp_path, soft, hints=ReadOptions(join_masks=True))
    assert max(values_in(found)) == 255


def test_what_cannot_be_classes_is_refused_with_a_flag_that_works(tmp_path: Path) -> None:
    def far(random: np.random.Generator, number: int) -> np.ndarray:
        return (objects(random, 9) * 901).astype(np.uint16)

    counts = dict.fromkeys(range(0, 90000, 901), 5)
    with pytest.raises(DataError) as refused:
        decide_mask_rule(counts)
    assert "--join-masks" in refused.value.remedy
    assert values_in(found_with(tmp_path, far, hints=ReadOptions(join_masks=True))) == {0, 1}


def test_equal_names_are_one_class(tmp_path: Path) -> None:
    found = found_with(tmp_path, heart, hints=ReadOptions(class_names=("1=right", "2=left", "3=left")))
    assert values_in(found) == {0, 1, 2}
    assert found.mask_names == {0: "background", 1: "right", 2: "left"}
    before = draw_again(heart, 1)
    assert np.array_equal(read_mask(found.cases[1].masks[0]) == 2, before > 1)
    assert "3 as 2" in " ".join(found.notes)
    assert mask_words(found.cases[1].masks[0]) == mask_parts(found.cases[1].masks[0])[0].locator


def test_a_value_called_background_is_class_0(tmp_path: Path) -> None:
    def refuge(random: np.random.Generator, number: int) -> np.ndarray:
        return np.array([255, 128, 0], np.uint8)[cups(random, number)]

    names = ("255=background", "128=disc", "0=cup")
    (problem,) = found_with(tmp_path, refuge).problems
    assert problem.code == "DATA-014" and "255=background,128=NAME128,0=NAME0" in problem.remedy
    as_stored = re.findall(r"--class-names '(.*)'", problem.remedy)[0].split(",")
    assert not find_cases(tmp_path, hints=ReadOptions(class_names=tuple(as_stored))).problems
    found = found_with(tmp_path, refuge, hints=ReadOptions(class_names=names))
    assert found.mask_names == {0: "background", 128: "disc", 255: "cup"}
    before, after = draw_again(refuge, 1), read_mask(found.cases[1].masks[0])
    for stored, value in ((255, 0), (128, 128), (0, 255)):
        assert np.array_equal(before == stored, after == value)


def save_all(folder: Path, mask: np.ndarray, name: str = "") -> None:
    """Three images with this mask."""
    for place in ("images", "masks"):
        (folder / place).mkdir(exist_ok=True)
    for number in range(3):
        picture = np.random.default_rng(number).integers(0, 255, (48, 48)).astype(np.uint8)
        write_image(folder / f"images/{number}.png", picture)
        write_image(folder / f"masks/{number}{name}.png", mask)


def soft(readers: int, values: tuple[int, ...] = (), size: int = 15) -> np.ndarray:
    """How many of some readers drew a pixel of a disc, in shares of 255; or other values for the same rings."""
    rows, columns = np.mgrid[:48, :48]
    radius = np.hypot(rows - 24, columns - 24)
    votes = np.sum([radius <= size + 0.7 * reader for reader in range(readers)], axis=0)
    return np.asarray(values or [255 * vote // readers for vote in range(readers + 1)])[votes].astype(np.uint8)


@pytest.mark.parametrize("readers", [3, 4, 6])
def test_soft_maps_are_asked_about(tmp_path: Path, readers: int) -> None:
    """What the remedy says makes a mask of more than half of the readers; named as classes they are read so."""
    made = soft(readers)
    save_all(tmp_path, made)
    (problem,) = find_cases(tmp_path).problems
    assert problem.code == "DATA-014" and "a soft map" in problem.finding
    said, _, classes = problem.remedy.partition("(more than half)")
    names = said.split("--class-names ")[1].strip().split(",")
    found = find_cases(tmp_path, hints=ReadOptions(class_names=tuple(names)))
    assert not found.problems
    assert found.mask_names == {0: "background", {3: 170, 4: 191, 6: 170}[readers]: "object"}
    assert ((read_mask(found.cases[0].masks[0]) > 0) == (made > 127)).all()
    names = [f"{name}{place}" for place, name in enumerate(classes.split("--class-names ")[1].split(","))]
    assert len(find_cases(tmp_path, hints=ReadOptions(class_names=tuple(names))).mask_names) == readers + 1


@pytest.mark.parametrize("values", [(0, 1, 2, 3, 4), (0, 85, 86, 200, 255), (0, 255, 63, 127, 191)])
def test_classes_are_no_soft_maps(tmp_path: Path, values: tuple[int, ...]) -> None:
    """Numbers, uneven greys, and greys that are no thin rim."""
    save_all(tmp_path, soft(4, values))
    assert not any("soft map" in problem.finding for problem in find_cases(tmp_path).problems)


def test_greys_in_files_of_classes_are_told(tmp_path: Path) -> None:
    """DRISHTI-GS: a soft map for the disc and one for the cup; half of the readers decide."""
    save_all(tmp_path, soft(4), "_disc")
    save_all(tmp_path, soft(4, size=6), "_cup")
    told = next(note for note in find_cases(tmp_path).notes if "hold greys" in note)
    assert "(63, 127, 191, 255)" in told and "above half of the largest" in told


def test_numbers_of_parts_in_files_of_classes_all_count(tmp_path: Path) -> None:
    """EndoVis: a file for each instrument, whose values are its parts."""
    made = soft(3, (0, 10, 20, 30))
    save_all(tmp_path, made, "_forceps")
    save_all(tmp_path, made[::-1, ::-1], "_scissors")
    found = find_cases(tmp_path, hints=ReadOptions(images="images/{id}.png", masks="masks/{id}_{class}.png"))
    assert any("several values (10, 20, 30)" in note and "all but 0 are it" in note for note in found.notes)
    assert ((read_mask(found.cases[0].masks[0]) > 0) == ((made > 0) | (made[::-1, ::-1] > 0))).all()
