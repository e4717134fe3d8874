"""Trees put together at random from what people do, against their truth: read right or refused, never wrong."""

from pathlib import Path
from random import Random
from typing import NamedTuple

import numpy as np
import pytest

from sfumato.data.formats.image import write_image
from sfumato.data.formats.joined import mask_parts
from sfumato.data.formats.locator import Locator
from sfumato.data.source import DiscoveredDataset, find_cases
from sfumato.errors import DataError

TREES = 300
SIDE = 12

IMAGE_FOLDERS = ("images", "Images", "img", "imgs", "JPEGImages", "input", "original", "photos", "scans")
MASK_FOLDERS = ("masks", "Masks", "labels", "gt", "GT", "ground_truth", "GroundTruth", "annotations", "seg")
SUFFIXES = ("_mask", "-mask", "_gt", "_label", "_seg", "_segmentation", "_manual", ".mask", " mask", "Mask")
PREFIXES = ("mask_", "label_", "seg-", "gt_")
IDS = ("case_{n:03}", "{n}", "img{n:02}", "P{p:02}_{n}", "slide-{n}", "0{n}a", "IMG_2023{n:04}", "sub-{p:02}_run-{n}")
READERS = (("reader1", "reader2"), ("expert_A", "expert_B"), ("observer 1", "observer 2"), ("r1_masks", "r2_masks"))
OTHERS = ("README.md", "LICENSE", "Thumbs.db", ".DS_Store", "notes/protocol.pdf", "meta.json")
SPLITS = (("train", "val"), ("training", "test"), ("Train", "Valid", "Test"))
WAYS = ("folders", "beside", "both", "case", "patient", "image words", "readers")


class Tree(NamedTuple):
    """Files of a tree.

    Attributes:
        truth: for each image its masks, by their paths below the tree.
        others: files that are neither.
        told: how it was put together.
    """

    truth: dict[str, str]
    others: tuple[str, ...]
    told: str


def tree(seed: int) -> Tree:
    """Images and masks side by side or in folders of their own, with or without splits, marked by folder or name."""
    random = Random(seed)
    way, name, ending = random.choice(WAYS), random.choice(IDS), random.choice((".png", ".png", ".tif", ".bmp"))
    images, masks, readers = random.choice(IMAGE_FOLDERS), random.choice(MASK_FOLDERS), random.choice(READERS)
    mark = random.choice(("{id}" + random.choice(SUFFIXES), random.choice(PREFIXES) + "{id}"))
    splits, inside = random.choice(((), *SPLITS)), random.random() < 0.5
    truth = {}
    for number in range(1, random.randint(5, 9)):
        case = name.format(n=number, p=1 + number // 3)
        split = splits[number % len(splits)] if splits else ""
        drawn = mark.format(id=case)
        match way:
            case "folders":
                image, drawings = f"{images}/{case}{ending}", [f"{masks}/{case}.png"]
            case "both":
                image, drawings = f"{images}/{case}{ending}", [f"{masks}/{drawn}.png"]
            case "beside":
                image, drawings = f"{images}/{case}{ending}", [f"{images}/{drawn}.png"]
            case "case":
                image, drawings = f"{case}/image.png", [f"{case}/mask.png"]
            case "patient":
                folder = f"patient{1 + number // 3:02}/visit{1 + number % 3}"
                image, drawings = f"{folder}/{case}{ending}", [f"{folder}/{drawn}.png"]
            case "image words":
                image, drawings = f"{images}/{case}_image{ending}", [f"{masks}/{drawn}.png"]
            case _:
                image, drawings = f"{images}/{case}{ending}", [f"{masks}/{who}/{case}.png" for who in readers]
        files = [_within(split, path, inside=inside or way in ("case", "patient")) for path in (image, *drawings)]
        truth[files[0]] = ", ".join(files[1:])
    others = tuple(random.sample(OTHERS, random.randint(0, 2)))
    told = f"{way}, ids {name}, {images}, {masks}, {mark}, {readers}, {ending}, {splits} inside {inside}, {others}"
    return Tree(truth, others, told)


def _within(split: str, path: str, *, inside: bool) -> str:
    """A path in a split: its folder above all others, or below the first."""
    first, _, rest = path.partition("/")
    parts = (split, path) if inside else (first, split, rest)
    return "/".join(part for part in parts if part)


def build(folder: Path, made: Tree, *, seed: int) -> None:
    for number, (image, masks) in enumerate(made.truth.items()):
        random = np.random.default_rng((seed, number))
        drawn = np.zeros((SIDE, SIDE), np.uint8)
        top, left = random.integers(1, 5, 2)
        drawn[top : top + 5, left : left + 4] = 255
        content = random.integers(20, 235, (SIDE, SIDE)).astype(np.uint8)
        for path, pixels in ((image, content), *((mask, drawn) for mask in masks.split(", "))):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            write_image(folder / path, pixels)
    for path in made.others:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("{}")


def pairing(found: DiscoveredDataset, folder: Path) -> dict[str, str]:
    def below(locator: str) -> str:
        return Locator.parse(locator).path.relative_to(folder).as_posix()

    drawn = {case.image: [part.locator for mask in case.masks for part in mask_parts(mask)] for case in found.cases}
    return {below(image): ", ".join(map(below, masks)) for image, masks in drawn.items()}


def torn(found: DiscoveredDataset) -> bool:
    """Whether a patient lies in several splits."""
    people: dict[str, set[str | None]] = {}
    for case in found.cases:
        people.setdefault(case.patient or case.id, set()).add(case.split)
    return any(len(splits) > 1 for splits in people.values())


def test_what_is_read_is_the_truth_and_hardly_anything_is_refused(tmp_path: Path) -> None:
    refused = list[str]()
    for seed in range(TREES):
        made, folder = tree(seed), tmp_path / str(seed)
        build(folder, made, seed=seed)
        try:
            found = find_cases(folder)
        except DataError as error:
            refused.append(f"{seed}: {made.told}: {error.finding[:300]}")
            continue
        assert pairing(found, folder) == made.truth, (seed, made.told)
        assert ("DATA-082" in {problem.code for problem in found.problems}) == torn(found), (seed, made.told)
    assert len(refused) <= TREES // 20, "\n".join(refused)


@pytest.mark.parametrize("seed", range(3))
def test_trees_differ_and_are_the_same_again(seed: int) -> None:
    assert tree(seed) == tree(seed) != tree(seed + 3)
