"""How folders of images are read: which file is an image, which a mask, and which belong together.

A picture has a *role* (image or mask), a *stem* (its name without suffix), a *group* (the folders it lies in, other
than those that only say a role, a split or a reader) and, for masks, a *reader*:

    images/a.png           masks/a.png              stem a
    a.png                  a_mask.png               stem a
    x/images/1.png         x/mask-0/1.png           group x, reader 0
    Image_01L.jpg          Image_01L_1stHO.png      stem Image_01L, reader 1
    train/cat/a.png                                 group cat, split train

A mask belongs to the image of the same split, group and stem; where stems are unique, the stem alone decides. The order
of files never does. Role folders are known by their whole name, so a folder `busi_masks` says nothing about its files.

Folders that hold images are classes; folders that hold an `images` and a `masks` folder each are patients.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from sfumato.data.image import SUFFIXES
from sfumato.data.manifest import Case
from sfumato.errors import DataError, listed

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
MASK_WORDS = "masks?|labels?|gts?|ground[ _-]?truths?|seg|segmentations?|annotations?|manual"
IMAGE_FOLDER = re.compile(r"images?|imgs?|inputs?", re.IGNORECASE)
MASK_FOLDER = re.compile(rf"(?:{MASK_WORDS})(?:[_-]?(?P<reader>\d+))?", re.IGNORECASE)
READER_FOLDER = re.compile(r"(?:(?:mask|reader|rater|annotator|expert)[ _-]?)?(?P<reader>\d+)", re.IGNORECASE)
MASK_STEM = re.compile(
    rf"(?:(?:mask|seg|gt|label)[_-])?(?P<stem>.+?)"
    rf"(?:[_-](?:{MASK_WORDS})(?:[_-]?(?P<reader>\d+))?|_(?P<observer>\d)(?:st|nd|rd|th)(?:HO|_manual))?",
    re.IGNORECASE,
)
IMAGE_STEM = re.compile(r"(?P<stem>.+?)(?:[_-](?:image|img|frame|fram|input))?", re.IGNORECASE)
IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}

Key = tuple[str | None, tuple[str, ...], str]
Reader = tuple[int, int]


class Listing(NamedTuple):
    """Files below a folder, in natural order, and how many hidden ones were passed over."""

    files: list[Path]
    hidden: int


class Picture(NamedTuple):
    """What the path of a picture says. `nested`: its role folder lies below its group."""

    path: Path
    split: str | None
    group: tuple[str, ...]
    stem: str
    in_mask_folder: bool
    in_image_folder: bool
    reader: int | None
    reader_folder: str
    nested: bool


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key in which 2 comes before 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text) if part]


def files_below(folder: Path) -> Listing:
    """All files below a folder.

    Raises:
        DataError: a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise DataError(f"{error.filename} cannot be read: {error.strerror}", code="DATA-001") from error

    files, hidden = [], 0
    for place, folders, names in os.walk(folder, onerror=refuse):
        shown = [name for name in folders if not _hidden(name)]
        hidden += sum(map(_hidden, names)) + len(folders) - len(shown)
        folders[:] = shown
        files += [Path(place, name) for name in names if not _hidden(name)]
    return Listing(sorted(files, key=lambda file: natural(str(file.relative_to(folder)))), hidden)


def _hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED


def arrange(source: Path, *, masks: Path | None) -> tuple[list[Case], list[str]]:
    """The cases in a folder of pictures, and notes.

    Args:
        source: folder of images, perhaps with masks among them or below.
        masks: folder that holds the masks and nothing else.

    Raises:
        DataError: no image; images without mask or masks without image (all are listed); two masks of one reader.
    """
    listing = files_below(source)
    pictures, others = _sorted_out(source, listing)
    notes = _left_out(listing.hidden, others)
    if masks is not None:
        images = [picture for picture in pictures if not picture.path.is_relative_to(masks)]
        mask_files = files_below(masks)
        separate, others = _sorted_out(masks, mask_files)
        notes += _left_out(mask_files.hidden, others)
        if not separate:
            raise DataError(f"{masks} holds no masks", expected="images of masks", code="DATA-002")
    else:
        images, separate = _roles(pictures)
    if not images:
        raise DataError(
            f"{source} holds no images",
            expected=f"files ending in {', '.join(sorted(SUFFIXES))}, or an NPZ file",
            remedy="give the folder that holds them (sub-folders are searched)",
            code="DATA-002",
        )
    owned = _match(images, separate)
    return _cases(images, owned, notes)


def _sorted_out(root: Path, listing: Listing) -> tuple[list[Picture], list[Path]]:
    pictures = [_picture(file, root) for file in listing.files if file.suffix.lower() in SUFFIXES]
    return pictures, [file for file in listing.files if file.suffix.lower() not in SUFFIXES]


def _left_out(hidden: int, others: Sequence[Path]) -> list[str]:
    notes = [f"hidden files or folders passed over: {hidden}"] if hidden else []
    if others:
        names = ", ".join(file.name for file in others[:5]) + (" ..." if len(others) > 5 else "")
        notes.append(f"files that are no images, not used: {len(others)} ({names})")
    return notes


def _picture(path: Path, root: Path) -> Picture:
    """What the path says; a class folder that is called `label_1` is put right in `_roles`."""
    split, group, role, reader, reader_folder = None, list[str](), "", None, ""
    nested = False
    for part in path.relative_to(root).parts[:-1]:
        if part.lower() in SPLITS:
            split = SPLITS[part.lower()]
        elif match := MASK_FOLDER.fullmatch(part):
            role, reader = "mask", match["reader"]
        elif IMAGE_FOLDER.fullmatch(part):
            role = "image"
        elif role == "mask" and (match := READER_FOLDER.fullmatch(part)):
            reader, reader_folder = match["reader"], part
        else:
            group.append(part)
            continue
        nested = nested or bool(group and role)
    number = int(reader) if reader else None
    return Picture(
        path.absolute(), split, tuple(group), path.stem, role == "mask", role == "image", number, reader_folder, nested
    )


def _roles(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Images and masks. Where nothing is an image beside the masks, all are images."""
    plain = [picture for picture in pictures if not picture.in_mask_folder and not _marked(picture)]
    stems = {(picture.split, picture.group, picture.stem) for picture in plain}
    images, masks = plain, [picture for picture in pictures if picture.in_mask_folder]
    for picture in pictures:
        if picture.in_mask_folder or not _marked(picture):
            continue
        partner = (picture.split, picture.group, _mask_stem(picture).stem)
        (images if picture.in_image_folder and partner not in stems else masks).append(picture)
    matched = any((mask.split, mask.group, _mask_stem(mask).stem) in stems or mask.in_mask_folder for mask in masks)
    if not images or not matched:
        return [_without_mask_role(picture) for picture in pictures], []
    return sorted(images, key=lambda picture: natural(str(picture.path))), masks


def _without_mask_role(picture: Picture) -> Picture:
    """The same picture where no folder is a mask folder: those that looked like one are part of the group."""
    if not picture.in_mask_folder:
        return picture
    named = [part for part in picture.path.parent.parts if MASK_FOLDER.fullmatch(part) or part == picture.reader_folder]
    return picture._replace(group=(*picture.group, *named[-1:]), in_mask_folder=False, nested=False)


class _Stem(NamedTuple):
    stem: str
    reader: int | None


def _mask_stem(picture: Picture) -> _Stem:
    match = MASK_STEM.fullmatch(picture.stem)
    if match is None:
        return _Stem(picture.stem, None)
    number = match["reader"] or match["observer"]
    return _Stem(match["stem"], int(number) if number else None)


def _marked(picture: Picture) -> bool:
    return _mask_stem(picture).stem != picture.stem


def _image_stem(stem: str) -> str:
    match = IMAGE_STEM.fullmatch(stem)
    return match["stem"] if match else stem


def _match(images: Sequence[Picture], masks: Sequence[Picture]) -> dict[Path, dict[Reader, Path]]:
    """Masks of each image by reader."""
    index = _index(images)
    owned: dict[Path, dict[Reader, Path]] = defaultdict(dict)
    orphans, doubles = [], []
    for mask in masks:
        hit = next(((index[key], reader) for key, reader in _candidates(mask) if key in index), None)
        if hit is None:
            orphans.append(str(mask.path))
        elif (other := owned[hit[0]].setdefault(hit[1], mask.path)) != mask.path:
            doubles.append(f"{hit[0]}: {other.name} and {mask.path.name} in {mask.path.parent}")
    bare = [str(image.path) for image in images if masks and image.path not in owned]
    if bare or orphans:
        raise _unmatched(bare, orphans)
    if doubles:
        finding = f"{len(doubles)} images have two masks of one reader:\n{listed(doubles)}"
        raise DataError(finding, expected="one mask per image and reader", remedy="keep one of them", code="DATA-011")
    return owned


def _unmatched(bare: Sequence[str], orphans: Sequence[str]) -> DataError:
    parts = [
        f"{len(names)} {what}:\n{listed(names, limit=1000)}"
        for what, names in (("images have no mask", bare), ("masks have no image", orphans))
        if names
    ]
    return DataError(
        "\n".join(parts),
        expected="the same name for an image and its mask, but for the ending and _mask, _gt, _segmentation ...",
        remedy="rename or move these files, or give the folder of the masks with --masks",
        code="DATA-010",
    )


def _index(images: Sequence[Picture]) -> dict[Key, Path]:
    """Images by split, group and stem, and by stem alone where that is unique."""
    index: dict[Key, Path] = {}
    for strip in (str, _image_stem):
        keys = [(image.split, image.group, strip(image.stem)) for image in images]
        alone = Counter(stem for _, _, stem in keys)
        for image, key in zip(images, keys, strict=True):
            index.setdefault(key, image.path)
            if alone[key[2]] == 1:
                index.setdefault((None, ("*",), key[2]), image.path)
    return index


def _candidates(mask: Picture) -> Iterator[tuple[Key, Reader]]:
    """Under which keys an image of this mask may be found, the most specific first."""
    folder = -1 if mask.reader is None else mask.reader
    stripped = _mask_stem(mask)
    for stem, number in ((mask.stem, None), stripped):
        reader = (folder, -1 if number is None else number)
        if mask.reader_folder:
            yield (mask.split, (*mask.group, mask.reader_folder), stem), (-1, reader[1])
        yield (mask.split, mask.group, stem), reader
        yield (None, ("*",), stem), reader


def _cases(
    images: Sequence[Picture], owned: dict[Path, dict[Reader, Path]], notes: list[str]
) -> tuple[list[Case], list[str]]:
    groups = _own_groups(images)
    folders = {group[0] for group in groups if group}
    patients = bool(folders) and bool(owned) and all(image.nested for image in images)
    if patients:
        notes.append(f"folders with images and masks each, taken as patients (kept together): {len(folders)}")
    elif folders and not all(groups):
        notes.append(f"images beside the class folders, in none of them: {sum(not group for group in groups)}")
    ids = _ids(images, groups)
    cases = [
        Case(
            id=name,
            image=str(image.path),
            masks=tuple(str(mask) for _, mask in sorted(owned.get(image.path, {}).items())),
            label=group[0] if group and not patients else None,
            patient=group[0] if group and patients else None,
            split=image.split,
        )
        for image, group, name in zip(images, groups, ids, strict=True)
    ]
    return cases, notes


def _own_groups(images: Sequence[Picture]) -> list[tuple[str, ...]]:
    """Groups without the folders that are common to all images: those only wrap."""
    levels = zip(*(image.group for image in images), strict=False)
    common = len(list(takewhile(lambda names: len(set(names)) == 1, levels)))
    return [image.group[common:] for image in images]


def _ids(images: Sequence[Picture], groups: Sequence[tuple[str, ...]]) -> list[str]:
    """Unique names, with as little added to the stem as needed: the group, the split, the ending, a number."""
    plain = ["_".join((*group, image.stem)) for image, group in zip(images, groups, strict=True)]
    with_split = [f"{image.split}_{name}" if image.split else name for image, name in zip(images, plain, strict=True)]
    with_ending = [f"{name}_{image.path.suffix[1:]}" for image, name in zip(images, with_split, strict=True)]
    numbered = [f"{name}_{number}" for number, name in enumerate(with_ending)]
    for names in ([image.stem for image in images], plain, with_split, with_ending):
        if len({name.casefold() for name in names}) == len(names):
            return names
    return numbered
