"""Files of one image that show the same in other values, pictures made of masks, and pictures that are there twice."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sfumato.data.formats.image import read_mask
from sfumato.data.source import DiscoveredDataset, ReadOptions, find_cases
from sfumato.errors import DataError

SIDE = 48
COUNT = 5
PLACES = [(8, 9), (9, 30), (25, 20), (36, 38), (38, 9), (24, 40)]


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def photo(number: int) -> np.ndarray:
    rough = np.random.default_rng(number).normal(size=(SIDE, SIDE, 3))
    smooth = ndimage.gaussian_filter(rough, (3, 3, 0))
    return ((smooth - smooth.min()) / np.ptp(smooth) * 255).astype(np.uint8)


def disc(row: int, column: int, radius: int) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def numbers(number: int, shift: int = 0) -> np.ndarray:
    """Numbered objects, another count in each image."""
    places = np.random.default_rng(number).permutation(PLACES)[: 2 + number % 4]
    objects = np.zeros((SIDE, SIDE), np.uint8)
    for value, (row, column) in enumerate(places, start=1):
        objects[disc(row + shift, column, 4 + value % 2)] = value
    return objects


def classes(number: int) -> np.ndarray:
    objects = numbers(number)
    return np.where(objects == 0, 0, 1 + objects % 2).astype(np.uint8)


def black_and_white(number: int, shift: int = 0) -> np.ndarray:
    return np.where(numbers(number, shift) > 0, 255, 0).astype(np.uint8)


def ones(number: int) -> np.ndarray:
    return np.where(numbers(number) > 0, 1, 0).astype(np.uint8)


def colours(number: int) -> np.ndarray:
    return np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)[classes(number)]


def distances(number: int) -> np.ndarray:
    far = ndimage.distance_transform_edt(numbers(number) > 0)
    return (far / far.max() * 255).astype(np.uint8)


Drawn = Callable[[int], np.ndarray]

ENCODINGS: dict[str, tuple[tuple[str, Drawn], tuple[str, Drawn]]] = {
    "classes": (("masks/classes/{n}.png", classes), ("masks/binary/{n}.png", black_and_white)),
    "suffixes": (("masks/{n}_multiclass.png", classes), ("masks/{n}_binary.png", black_and_white)),
    "numbers": (("label masks/{n}.tif", numbers), ("mask binary/{n}.png", black_and_white)),
    "indices": (("annotations/{n}.PNG", classes), ("annotations/{n}_binary.PNG", black_and_white)),
    "colours that nothing explains": (
        ("annotations/{n}_binary.PNG", black_and_white),
        ("annotations/{n}.PNG", colours),
    ),
    "distances": (("masks/plain/{n}.png", black_and_white), ("masks/far/{n}.png", distances)),
    "0 and 1": (("masks/{n}.png", ones), ("masks_visible/{n}.png", black_and_white)),
}


def note_of(found: DiscoveredDataset, words: str) -> str:
    return next(note for note in found.notes if words in note)


def as_typed(source: Path, text: str) -> list[DiscoveredDataset]:
    """What is found with each pair of patterns that a text names."""
    ways = re.findall(r"--images '([^']+)' --masks '([^']+)'", text)
    return [find_cases(source, hints=ReadOptions(images=images, masks=masks)) for images, masks in ways]


@pytest.mark.parametrize("kind", ENCODINGS)
def test_of_encodings_of_one_mask_the_one_with_most_values_is_used(tmp_path: Path, kind: str) -> None:
    (used, drawn), (other, unused) = ENCODINGS[kind]
    for number in range(1, COUNT + 1):
        save(tmp_path / f"images/{number}.png", photo(number))
        save(tmp_path / used.format(n=number), drawn(number))
        save(tmp_path / other.format(n=number), unused(number))
    found = find_cases(tmp_path)
    assert all(len(case.masks) == 1 for case in found.cases)
    for number, case in enumerate(found.cases, start=1):
        shown = read_mask(case.masks[0])
        np.testing.assert_array_equal(shown if kind != "numbers" else shown > 0, drawn(number) > 0
                                      if kind == "numbers" else drawn(number))  # fmt: skip
    told = note_of(found, "encodings of one mask")
    assert f"{used.format(n='*')} (5)" in told and f"not {other.format(n='*')} (5)" in told
    (typed,) = as_typed(tmp_path, told)
    assert [case.masks for case in typed.cases] == [
        (str(tmp_path / other.format(n=number)),) for number in range(1, COUNT + 1)
    ]


def test_encodings_of_each_reader(tmp_path: Path) -> None:
    """CryoNuSeg: two readers, each with numbers, black and white, without borders, and distances."""
    for number in range(1, COUNT + 1):
        save(tmp_path / f"tissue images/{number}.tif", photo(number))
        for reader, shift in (("Annotator 1 (biologist)", 0), ("Annotator 2 (bioinformatician)", 1)):
            save(tmp_path / reader / f"label masks/{number}.tif", numbers(number, shift))
            save(tmp_path / reader / f"mask binary/{number}.png", black_and_white(number, shift))
            save(tmp_path / reader / f"mask binary without border/{number}.png",
                 np.where(ndimage.binary_erosion(numbers(number, shift) > 0), 255, 0).astype(np.uint8))  # fmt: skip
            save(tmp_path / reader / f"distance maps/{number}.png", distances(number))
    found = find_cases(tmp_path)
    assert [len(case.masks) for case in found.cases] == [2] * COUNT
    assert all("label masks" in mask for case in found.cases for mask in case.masks)
    assert "distance maps" in note_of(found, "made of masks") and "without border" in note_of(found, "by their borders")
    (typed,) = as_typed(tmp_path, note_of(found, "encodings of one mask"))
    assert [len(case.masks) for case in typed.cases] == [2] * COUNT
    assert all("mask binary" in mask for case in typed.cases for mask in case.masks)


def test_readers_who_draw_alike_are_no_encodings(tmp_path: Path) -> None:
    """What they draw differs, or nothing but its author does."""
    for number in range(1, COUNT + 1):
        save(tmp_path / f"images/{number}.png", photo(number))
        save(tmp_path / f"expert1/{number}.png", black_and_white(number))
        save(tmp_path / f"expert2/{number}.png", black_and_white(number))
        save(tmp_path / f"expert3/{number}.png", np.where(numbers(number, 1) > 0, 1, 0).astype(np.uint8))
    assert [len(case.masks) for case in find_cases(tmp_path).cases] == [3] * COUNT


PREVIEWS = {
    "overlay": ("images/{n}.png", "masks/{n}.png", "overlay/{n}.png"),
    "visualisations": ("images/{n}.png", "masks/{n}.png", "train/Visualisations/{n}.png"),
    "colour": ("images/{n}.png", "masks/{n}.png", "colour/{n}.png"),
    "beside": ("{n}.png", "{n}_mask.png", "{n}_overlay.png"),
    "preview": ("images/{n}.png", "masks/{n}_mask.png", "preview_{n}.png"),
}


@pytest.mark.parametrize("kind", PREVIEWS)
def test_pictures_of_masks_over_images_are_neither(tmp_path: Path, kind: str) -> None:
    image, mask, preview = PREVIEWS[kind]
    for number in range(1, COUNT + 1):
        save(tmp_path / image.format(n=number), photo(number))
        save(tmp_path / mask.format(n=number), black_and_white(number))
        save(tmp_path / preview.format(n=number), photo(number) // 2)
    found = find_cases(tmp_path)
    assert [(case.image, case.masks) for case in found.cases] == [
        (str(tmp_path / image.format(n=number)), (str(tmp_path / mask.format(n=number)),))
        for number in range(1, COUNT + 1)
    ]
    assert f"{preview.format(n='*')} (5)" in note_of(found, "made of masks or images, not used")


def test_pictures_of_masks_are_no_class_of_images(tmp_path: Path) -> None:
    """Where masks are of a form that is not read; colours, which may be images, stay."""
    for number in range(1, COUNT + 1):
        for folder in ("images", "Overlay"):
            save(tmp_path / f"made/{folder}/{number}.png", photo(number))
        for folder in ("grey", "color"):
            save(tmp_path / f"seen/{folder}/{number}.png", photo(number))
        save(tmp_path / f"alone/overlay/{number}.png", photo(number))
    assert len(find_cases(tmp_path / "made").cases) == COUNT and not find_cases(tmp_path / "made").classes
    assert find_cases(tmp_path / "seen").classes == ("color", "grey")
    assert len(find_cases(tmp_path / "alone").cases) == COUNT


TREES = {
    "beside one another": ("Original/{n}.{e}", "Ground Truth/{n}.{e}"),
    "trees": ("{E}/Original/{n}.{e}", "{E}/Ground Truth/{n}.{e}"),
    "inner folders": ("Original/{E}/{n}.{e}", "Ground Truth/{E}/{n}.{e}"),
    "no masks": ("{E}/{n}.{e}", ""),
}


@pytest.mark.parametrize("ending", ["tif", "jpg"])
@pytest.mark.parametrize("kind", TREES)
def test_pictures_that_are_there_in_two_formats_are_refused(tmp_path: Path, kind: str, ending: str) -> None:
    """CVC-ClinicDB; each way that is shown reads the pictures once."""
    image, mask = TREES[kind]
    for number in range(1, COUNT + 1):
        for e in ("png", ending):
            save(tmp_path / image.format(n=number, e=e, E=e.upper()), photo(number))
            if mask:
                save(tmp_path / mask.format(n=number, e=e, E=e.upper()), black_and_white(number))
    with pytest.raises(DataError, match=r"the same 5 pictures are there twice") as refused:
        find_cases(tmp_path)
    ways = re.findall(r"--images '([^']+)'(?: --masks '([^']+)')?", refused.value.remedy)
    assert len(ways) == 2
    for (images, masks), e in zip(ways, sorted([ending, "png"]), strict=True):
        found = find_cases(tmp_path, hints=ReadOptions(images=images, masks=masks or None))
        assert len(found.cases) == COUNT and found.has_masks == bool(mask)
        assert all(file.endswith(e) for case in found.cases for file in (case.image, *case.masks))


def test_other_pictures_of_the_same_names_are_not_there_twice(tmp_path: Path) -> None:
    for number in range(1, COUNT + 1):
        save(tmp_path / f"cat/{number}.png", photo(number))
        save(tmp_path / f"dog/{number}.jpg", photo(100 + number))
    assert find_cases(tmp_path).classes == ("cat", "dog")


def test_patterns_tell_images_from_masks_in_one_folder(tmp_path: Path) -> None:
    """As they are typed: what fits both is a mask where an image has its id, and further files of it are told."""
    for number in range(1, COUNT + 1):
        save(tmp_path / f"a{number}.png", photo(number))
        save(tmp_path / f"a{number}_outline.png", black_and_white(number))
        save(tmp_path / f"drawn/a{number}.png", black_and_white(number))
        save(tmp_path / f"drawn/a{number}_binary.png", black_and_white(number))
    found = find_cases(tmp_path, hints=ReadOptions(images="{id}.png", masks="{id}_outline.png"))
    assert [case.masks for case in found.cases] == [(f"{case.image[:-4]}_outline.png",) for case in found.cases]
    found = find_cases(tmp_path, hints=ReadOptions(images="{id}.png", masks="drawn/{id}.png"))
    assert "not used: *_outline.png (5)" in note_of(found, "other pictures with the names of images")
    assert len(found.cases) == COUNT and all("drawn" in mask for case in found.cases for mask in case.masks)
    (tmp_path / "a1_outline.png").rename(tmp_path / "b.txt")
    for number in range(2, COUNT + 1):
        (tmp_path / f"a{number}_outline.png").unlink()
    found = find_cases(tmp_path, hints=ReadOptions(images="{id}.png", masks="drawn/{id}.png"))
    assert "not used: 5" in note_of(found, "beside the mask of their image")
    assert all(len(case.masks) == 1 for case in found.cases)


def test_other_pictures_of_images_with_masks(tmp_path: Path) -> None:
    """Cut ones, or what a model made of them: told beside the images, refused with patterns elsewhere."""
    for number in range(1, COUNT + 1):
        for set_name, other in (
            ("cut", "Images_Cropped/img"),
            ("made", "predictions"),
            ("open", "vessel-segmentations"),
        ):
            save(tmp_path / f"{set_name}/a/Images/{number}.png", photo(number))
            save(tmp_path / f"{set_name}/a/Masks/{number}_mask.png", black_and_white(number))
            save(tmp_path / f"{set_name}/a/{other}/{number}.png", photo(number)[8:40, 8:40])
    with pytest.raises(DataError, match="5 images have no mask") as refused:
        find_cases(tmp_path / "cut")
    (typed,) = as_typed(tmp_path / "cut", refused.value.remedy.partition("name the images alone")[2])
    assert len(typed.cases) == COUNT and all("/Masks/" in case.masks[0] for case in typed.cases)
    for set_name, other in (("made", "predictions"), ("open", "vessel-segmentations")):
        assert f"not used: a/{other}/*.png (5)" in note_of(find_cases(tmp_path / set_name), "other pictures")


def borderless(number: int) -> np.ndarray:
    """Numbers of objects without their borders."""
    objects = np.zeros((SIDE, SIDE), np.uint8)
    for value, place in enumerate(PLACES[: 4 + number % 3], start=1):
        objects[disc(*place, 4)] = value
    return objects


def with_borders(number: int) -> np.ndarray:
    return np.where(ndimage.binary_dilation(borderless(number), iterations=2), 255, 0).astype(np.uint8)


def test_numbers_without_borders_and_black_and_white_are_one_mask_in_the_folders_of_classes(tmp_path: Path) -> None:
    """NuInsSeg: images in several folders; the patterns of the others are told and do what they say."""
    for organ in ("liver", "spleen"):
        for number in range(1, COUNT):
            save(tmp_path / f"{organ}/tissue images/{organ}_{number}.png", photo(number))
            save(tmp_path / f"{organ}/label masks/{organ}_{number}.tif", borderless(number))
            save(tmp_path / f"{organ}/mask binary/{organ}_{number}.png", with_borders(number))
    found = find_cases(tmp_path)
    assert {Path(case.masks[0]).parent.name for case in found.cases} == {"label masks"} and len(found.cases) == 8
    (typed,) = as_typed(tmp_path, note_of(found, "encodings of one mask"))
    assert [Path(case.masks[0]).parent.name for case in typed.cases] == 8 * ["mask binary"]


@pytest.mark.parametrize("name", ["{organ}_{n}", "{n}"])
def test_kinds_of_masks_in_several_folders_come_with_the_patterns_of_each(tmp_path: Path, name: str) -> None:
    """Names that come again in the folders of others take these for their ids."""
    for place, organ in enumerate(("liver", "spleen")):
        for number in range(1, COUNT):
            stem = name.format(organ=organ, n=number)
            save(tmp_path / f"{organ}/images/{stem}.png", photo(number + 9 * place))
            save(tmp_path / f"{organ}/masks/{stem}.png", black_and_white(number))
            save(tmp_path / f"{organ}/labels/{stem}.png", black_and_white(number, 4))
    with pytest.raises(DataError, match="masks of two kinds") as refused:
        find_cases(tmp_path)
    assert refused.value.code == "DATA-011"
    typed = as_typed(tmp_path, refused.value.remedy)
    assert sorted({Path(case.masks[0]).parent.name for case in one.cases} == {kind} and len(one.cases) == 8
                  for one, kind in zip(typed, ("labels", "masks"), strict=True)) == [True, True]  # fmt: skip


def test_many_kinds_in_several_folders_are_told_each_by_its_pattern(tmp_path: Path) -> None:
    for organ in ("liver", "spleen"):
        for number in range(1, COUNT):
            save(tmp_path / f"{organ}/images/{organ}{number}.png", photo(number))
            save(tmp_path / f"{organ}/masks/{organ}{number}.png", black_and_white(number))
            save(tmp_path / f"{organ}/nuclei/{organ}{number}.png", black_and_white(number, 5))
    with pytest.raises(DataError, match="of several kinds") as refused:
        find_cases(tmp_path)
    typed = as_typed(tmp_path, refused.value.remedy)
    assert [{Path(case.masks[0]).parent.name for case in one.cases} for one in typed] == [{"masks"}, {"nuclei"}]
    assert all(len(one.cases) == 8 for one in typed)


def test_several_pictures_and_masks_of_one_name_come_with_a_pattern_for_each_kind(tmp_path: Path) -> None:
    """OCTA-500: projections and labels of the same names, beside cuts that have none."""
    for number in range(1, COUNT):
        for part, kind in ((1, "FULL"), (1, "TOP(A)"), (2, "FULL"), (2, "TOP(A)")):
            save(tmp_path / f"part{part}/Maps/{kind}/10{part}{number}.png", photo(number + 9 * part))
        save(tmp_path / f"part1/Cuts/101{number}/{number}.png", photo(number + 40))
        for part in (1, 2):
            for kind in ("Artery", "Vein"):
                save(tmp_path / f"Label/GT_{kind}/10{part}{number}.png", black_and_white(number))
    with pytest.raises(DataError, match="no mask") as refused:
        find_cases(tmp_path)
    ways = re.findall(r"--images '([^']+)' --masks '([^']+)'", refused.value.remedy)
    assert ways == [("**/FULL/{id}.png", "**/GT_Artery/{id}.png"), ("**/TOP(A)/{id}.png", "**/GT_Vein/{id}.png")]
    assert len(find_cases(tmp_path, hints=ReadOptions(images=ways[0][0], masks=ways[0][1])).cases) == 8
