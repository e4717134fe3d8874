"""How folders of images are read: which file is an image, which a mask, and which class, patient and split they have.

A picture has a *role* (image or mask), a *stem* (its name without ending), a *group* (the folders it lies in, other
than those that only say a role, a split or a reader) and, for masks, a *reader*:

    images/a.png           masks/a.png              stem a
    a.png                  a_mask.png               stem a
    x/images/1.png         x/mask-0/1.png           group x, reader 0
    Image_01L.jpg          Image_01L_1stHO.png      stem Image_01L, reader 1
    train/cat/a.png                                 group cat, split train

Role folders are known by their whole name, so a folder `busi_masks` says nothing about its files. Only where no mask is
found that way is a folder that ends in a mask word (`ISIC_GroundTruth`), or is called after a reader (`rater1`), taken
for one of masks - if most of its files have the name of an image elsewhere; a note says so.

Folders that hold images are classes; folders that hold an `images` and a `masks` folder each are patients. Volumes and
arrays of one case each are arranged by the same rules. Which mask belongs to which image: `source.pairing`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from typing import NamedTuple

from sfumato.data.manifest import Case, folded
from sfumato.data.order import natural
from sfumato.data.source.found import NOTHING_SAID, Hints
from sfumato.data.source.listing import Entry
from sfumato.data.source.pairing import WORDS, Matched, Picture, Reader, match, partners, stem_of_image, stem_of_mask
from sfumato.errors import DataError, listed

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
IMAGE_FOLDER = re.compile(r"images?(?:Tr|Ts)?|imgs?|inputs?", re.IGNORECASE)
MASK_FOLDER = re.compile(rf"(?:{WORDS}|labels(?:Tr|Ts))(?:[_-]?(?P<reader>\d+))?", re.IGNORECASE)
READER = r"(?:reader|rater|annotator|expert)[ _-]?"
READER_FOLDER = re.compile(rf"(?:mask[ _-]?|{READER})?(?P<reader>\d+)", re.IGNORECASE)
PERHAPS_MASKS = re.compile(rf".+[ _-](?:{WORDS})|{READER}(?P<reader>\d+)", re.IGNORECASE)


class Arranged(NamedTuple):
    """Cases of a folder, what to know about them, and what was left out because it has no partner."""

    cases: list[Case]
    notes: list[str]
    unpaired: list[str]


class _Place(NamedTuple):
    """What the folders of a picture say. `nested`: the role folder lies below the group."""

    split: str | None
    group: tuple[str, ...]
    role: str
    reader: int | None
    reader_folder: str
    nested: bool


def arrange(
    entries: Sequence[Entry],
    *,
    masks: Sequence[Entry] | None = None,
    known: Mapping[str, str] | None = None,
    hints: Hints = NOTHING_SAID,
) -> Arranged:
    """The cases among pictures (or volumes, or arrays).

    Args:
        entries: images, perhaps with masks among them.
        masks: the masks, if they are in a folder of their own; then all entries are images.
        known: locators of masks with the locator of their image, where their content says so; "" for no image.
        hints: what the files leave open.

    Raises:
        DataError: images without mask or masks without image (all are listed); two masks of one reader; no folder at
            the level that is to name the class.
    """
    known = known or {}
    free = [entry for entry in entries if entry.locator not in known]
    notes = list[str]()
    if masks is None:
        images, separate, notes = sort_roles(free)
    else:
        images, separate = _pictures(free, frozenset()), _pictures(masks, frozenset())
    matched = match(images, separate, known)
    unpaired = matched.unpaired if separate or known else []
    if hints.images_only:
        matched, unpaired = Matched({}, [], []), []
    if unpaired and not hints.drop_unpaired:
        raise matched.complaint()
    if (separate or known) and not hints.images_only:
        images = [image for image in images if image.entry.locator in matched.owned]
    if unpaired:
        notes.append(f"left out because they have no partner: {matched.counts()}")
    if not images:
        raise matched.complaint()
    cases, more = _cases(images, matched.owned, hints.class_level)
    return Arranged(cases, notes + more, unpaired)


def sort_roles(entries: Sequence[Entry]) -> tuple[list[Picture], list[Picture], list[str]]:
    """Images, masks, and notes about folders whose role was guessed."""
    images, masks = _roles(_pictures(entries, frozenset()))
    perhaps = {part for entry in entries for part in entry.parts[:-1] if PERHAPS_MASKS.fullmatch(part)}
    if masks or not perhaps:
        return images, masks, []
    guessed = _roles(_pictures(entries, frozenset(perhaps)))
    if 2 * partners(*guessed) <= len(guessed[1]) or not guessed[1]:
        return images, masks, []
    note = f"folders taken for masks, since most of their files are named like images: {', '.join(sorted(perhaps))}"
    return *guessed, [note]


def is_in_mask_folder(entry: Entry) -> bool:
    """Whether an entry lies in a folder of masks, by the folder's name."""
    return _place(entry.parts[:-1], frozenset()).role == "mask"


def _pictures(entries: Sequence[Entry], perhaps: frozenset[str]) -> list[Picture]:
    pictures = []
    for entry in entries:
        place = _place(entry.parts[:-1], perhaps)
        pictures.append(
            Picture(
                entry=entry,
                stem=entry.stem,
                marked=stem_of_mask(entry.stem),
                split=place.split,
                group=place.group,
                in_mask_folder=place.role == "mask",
                in_image_folder=place.role == "image",
                reader=place.reader,
                reader_folder=place.reader_folder,
                nested=place.nested,
            )
        )
    return pictures


@lru_cache(maxsize=4096)
def _place(folders: tuple[str, ...], perhaps: frozenset[str]) -> _Place:
    """What folders say; a class folder that is called `label_1` is put right in `_roles`."""
    place = _Place(None, (), "", None, "", nested=False)
    for part in folders:
        if part.lower() in SPLITS:
            place = place._replace(split=SPLITS[part.lower()])
        elif found := MASK_FOLDER.fullmatch(part) or (PERHAPS_MASKS.fullmatch(part) if part in perhaps else None):
            number = found["reader"]
            place = place._replace(role="mask", reader=int(number) if number else None)
        elif IMAGE_FOLDER.fullmatch(part):
            place = place._replace(role="image")
        elif place.role == "mask" and (found := READER_FOLDER.fullmatch(part)):
            place = place._replace(reader=int(found["reader"]), reader_folder=part)
        else:
            place = place._replace(group=(*place.group, part))
            continue
        place = place._replace(nested=place.nested or bool(place.group and place.role))
    return place


def _roles(pictures: Sequence[Picture]) -> tuple[list[Picture], list[Picture]]:
    """Images and masks. Where nothing is an image beside the masks, all are images."""
    images = [picture for picture in pictures if not picture.in_mask_folder and not picture.is_marked]
    stems = {(image.split, image.group, stem) for image in images for stem in (image.stem, stem_of_image(image.stem))}
    masks = [picture for picture in pictures if picture.in_mask_folder]
    for picture in pictures:
        if picture.in_mask_folder or not picture.is_marked:
            continue
        partner = (picture.split, picture.group, picture.marked.stem)
        (images if picture.in_image_folder and partner not in stems else masks).append(picture)
    matched = any((mask.split, mask.group, mask.marked.stem) in stems or mask.in_mask_folder for mask in masks)
    if not images or not matched:
        return [_without_mask_role(picture) for picture in pictures], []
    return sorted(images, key=lambda picture: natural(picture.entry.where)), masks


def _without_mask_role(picture: Picture) -> Picture:
    """The same picture where no folder is one of masks: those that looked like it are part of the group."""
    if not picture.in_mask_folder:
        return picture
    group = [part for part in picture.entry.parts[:-1] if part.lower() not in SPLITS]
    return picture._replace(group=tuple(group), in_mask_folder=False, nested=False)


def _cases(
    images: Sequence[Picture], owned: Mapping[str, Mapping[Reader, str]], class_level: int
) -> tuple[list[Case], list[str]]:
    groups, notes = _own_groups(images), list[str]()
    folders = {group[0] for group in groups if group}
    patients = bool(folders) and bool(owned) and all(image.nested for image in images)
    if folders and not patients and not class_level and not all(groups):
        notes.append(f"images beside the class folders, in none of them: {sum(not group for group in groups)}")
    labels = _labels(images, class_level) if class_level else [None if patients else _first(group) for group in groups]
    cases = [
        Case(
            id=name,
            image=image.entry.locator,
            masks=tuple(mask for _, mask in sorted(owned.get(image.entry.locator, {}).items())),
            label=label,
            patient=_first(group) if patients else None,
            split=image.split,
        )
        for image, group, name, label in zip(images, groups, unique_ids(images, groups), labels, strict=True)
    ]
    return cases, notes


def _first(group: tuple[str, ...]) -> str | None:
    return group[0] if group else None


def _labels(images: Sequence[Picture], level: int) -> list[str]:
    """The folder at a level below the source, for each image."""
    if shallow := [image.entry.where for image in images if len(image.entry.parts) <= level]:
        raise DataError(
            f"{len(shallow)} of {len(images)} images lie in fewer than {level} folders:\n{listed(shallow)}",
            expected=f"a class folder at level {level} below the source",
            remedy="give a smaller --class-level",
            code="DATA-067",
        )
    return [image.entry.parts[level - 1] for image in images]


def _own_groups(images: Sequence[Picture]) -> list[tuple[str, ...]]:
    """Groups without the folders that are common to all images: those only wrap."""
    levels = zip(*(image.group for image in images), strict=False)
    common = len(list(takewhile(lambda names: len(set(names)) == 1, levels)))
    return [image.group[common:] for image in images]


def unique_ids(images: Sequence[Picture], groups: Sequence[tuple[str, ...]]) -> list[str]:
    """Unique names, with as little added to the stem as needed: the group, the split, the ending, a number."""
    plain = ["_".join((*group, image.stem)) for image, group in zip(images, groups, strict=True)]
    with_split = [f"{image.split}_{name}" if image.split else name for image, name in zip(images, plain, strict=True)]
    with_ending = [
        f"{name}_{image.entry.name[len(image.stem) + 1 :]}" for image, name in zip(images, with_split, strict=True)
    ]
    for names in ([image.stem for image in images], plain, with_split, with_ending):
        if len({folded(name) for name in names}) == len(names):
            return names
    return [f"{name}_{number}" for number, name in enumerate(with_ending)]
