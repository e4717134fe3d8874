"""Which mask belongs to which image, by their names.

A mask belongs to the image of the same split, group and stem; where stems are unique, the stem alone decides. The order
of files never does. What has no partner is listed in full; two masks of one reader are refused.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from sfumato.data.source.listing import Entry
from sfumato.errors import DataError, listed
from sfumato.wording import counted

WORDS = "masks?|labels?|gts?|ground[ _-]?truths?|(?:gm|wm|sc)?seg|segmentations?|annotations?|manual"
MASK_STEM = re.compile(
    rf"(?:(?:mask|seg|gt|label)[_-])?(?P<stem>.+?)"
    rf"(?:(?:[_-](?:{WORDS}))+(?:[_-]?(?P<reader>\d+))?|_(?P<observer>\d)(?:st|nd|rd|th)(?:HO|_manual))?",
    re.IGNORECASE,
)
IMAGE_STEM = re.compile(r"(?P<stem>.+?)(?:[_-](?:image|img|frame|fram|input))?", re.IGNORECASE)

Key = tuple[str | None, tuple[str, ...], str]
Reader = tuple[int, int]


class Marked(NamedTuple):
    """The name of a mask without what says that it is one, and the number of its reader."""

    stem: str
    reader: int | None


class Picture(NamedTuple):
    """What the path of a picture says; the terms are explained in `sfumato.data.source.layout`."""

    entry: Entry
    stem: str
    marked: Marked
    split: str | None
    group: tuple[str, ...]
    in_mask_folder: bool
    in_image_folder: bool
    reader: int | None
    reader_folder: str
    nested: bool

    @property
    def is_marked(self) -> bool:
        """Whether the name says that it is a mask."""
        return self.marked.stem != self.stem


class Matched(NamedTuple):
    """Masks of each image by reader (locators), and what has no partner."""

    owned: Mapping[str, Mapping[Reader, str]]
    bare: list[str]
    orphans: list[str]

    @property
    def unpaired(self) -> list[str]:
        """Images without a mask, then masks without an image."""
        return [*self.bare, *self.orphans]

    def counts(self) -> str:
        """How many have no partner, in words."""
        bare = counted(len(self.bare), "image without a mask", "images without a mask")
        orphans = counted(len(self.orphans), "mask without an image", "masks without an image")
        return ", ".join(text for text, names in ((bare, self.bare), (orphans, self.orphans)) if names)

    def complaint(self) -> DataError:
        """The error that lists them all."""
        parts = [
            f"{counted(len(names), f'{what} has', f'{what}s have')} no {other}:\n{listed(names)}"
            for what, other, names in (("image", "mask", self.bare), ("mask", "image", self.orphans))
            if names
        ]
        return DataError(
            "\n  ".join(parts),
            expected="the same name for an image and its mask, but for the ending and _mask, _gt, _segmentation ...",
            remedy="rename or move these files, give the folder of the masks with --masks, "
            "or leave these out with --drop-unpaired",
            code="DATA-010",
        )


def stem_of_mask(stem: str) -> Marked:
    """A name without what marks it as a mask: `a_mask_1` is a, reader 1; names of images stay as they are."""
    found = MASK_STEM.fullmatch(stem)
    if found is None:
        return Marked(stem, None)
    number = found["reader"] or found["observer"]
    return Marked(found["stem"], int(number) if number else None)


def match(images: Sequence[Picture], masks: Sequence[Picture], known: Mapping[str, str]) -> Matched:
    """Find the image of each mask.

    Args:
        images: the images.
        masks: the masks.
        known: locators of masks with the locator of their image, or "" for none.

    Raises:
        DataError: an image has two masks of one reader.
    """
    index = _index(images)
    owned: dict[str, dict[Reader, str]] = defaultdict(dict)
    orphans, doubles = [mask for mask, image in known.items() if not image], list[str]()
    for mask, image in known.items():
        if image:
            owned[image][(-1, len(owned[image]))] = mask
    for picture in masks:
        hit = _partner(picture, index)
        if hit is None:
            orphans.append(picture.entry.locator)
        elif (other := owned[hit[0]].setdefault(hit[1], picture.entry.locator)) != picture.entry.locator:
            doubles.append(f"{hit[0]}: {PurePath(other).name} and {picture.entry.name} in {PurePath(other).parent}")
    if doubles:
        finding = f"{len(doubles)} images have two masks of one reader:\n{listed(doubles)}"
        raise DataError(finding, expected="one mask per image and reader", remedy="keep one of them", code="DATA-011")
    bare = [image.entry.locator for image in images if image.entry.locator not in owned]
    return Matched(dict(owned), bare, orphans)


def partners(images: Sequence[Picture], masks: Sequence[Picture]) -> int:
    """How many masks have an image."""
    index = _index(images)
    return sum(_partner(mask, index) is not None for mask in masks)


def _partner(mask: Picture, index: Mapping[Key, str]) -> tuple[str, Reader] | None:
    return next(((index[key], reader) for key, reader in _candidates(mask) if key in index), None)


def _index(images: Sequence[Picture]) -> dict[Key, str]:
    """Locators of images by split, group and stem, and by stem alone where that is unique."""
    index: dict[Key, str] = {}
    for strip in (str, stem_of_image):
        keys = [(image.split, image.group, strip(image.stem)) for image in images]
        alone = Counter(stem for _, _, stem in keys)
        for image, key in zip(images, keys, strict=True):
            index.setdefault(key, image.entry.locator)
            if alone[key[2]] == 1:
                index.setdefault((None, ("*",), key[2]), image.entry.locator)
    return index


def stem_of_image(stem: str) -> str:
    """A name without what marks it as an image: `a_fram` is a."""
    found = IMAGE_STEM.fullmatch(stem)
    return found["stem"] if found else stem


def _candidates(mask: Picture) -> Iterator[tuple[Key, Reader]]:
    """Under which keys an image of this mask may be found, the most specific first."""
    folder = -1 if mask.reader is None else mask.reader
    for stem, number in (Marked(mask.stem, None), mask.marked):
        reader = (folder, -1 if number is None else number)
        if mask.reader_folder:
            yield (mask.split, (*mask.group, mask.reader_folder), stem), (-1, reader[1])
        yield (mask.split, mask.group, stem), reader
        yield (None, ("*",), stem), reader
