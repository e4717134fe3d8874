"""Which pictures are images and which are masks, by the words of their folders and names.

Role folders are known by the words of `source.words` alone, so a folder `busi_masks` says nothing about its files. Only
where no mask is found that way is a folder with such a word at one end of its name (`ISIC_GroundTruth`), or one called
after a reader (`rater1`), taken for one of masks - if most of its files have the name of an image elsewhere. Where
names say nothing, the pixels of a few files do (`source.witness`).
"""

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from sfumato.data.order import natural
from sfumato.data.source.listing import PathParts, SourceFile
from sfumato.data.source.matching.index import Hit, ImageIndex
from sfumato.data.source.matching.previews import lies_among_previews
from sfumato.data.source.matching.renamed import hits_by_beginning
from sfumato.data.source.matching.witness import (
    are_drawn,
    hardly_masks,
    looks_like_masks,
    masks_by_pixels,
    masks_of_every_image,
)
from sfumato.data.source.patterns import told_files
from sfumato.data.source.people.dividing import VERSION, saying_alone, split_in, splitting
from sfumato.data.source.people.labelled import about_cases
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import PLAIN_IMAGES, FolderWords, composed, read_folder, says_mask, tokens


class Roles(NamedTuple):
    """Images, masks, and notes about those whose role was guessed."""

    images: list[Picture]
    masks: list[Picture]
    notes: list[str]


class _Folders(NamedTuple):
    """What the folders of a source are.

    Attributes:
        perhaps: names of those that are taken for folders of masks, though their words do not say so for certain.
        cases: folders of one case each, which are called after images.
        silent: folders that say nothing of their files (`source.labelled`).
        splits: folders that say a split alone.
    """

    perhaps: frozenset[str]
    cases: frozenset[PathParts]
    silent: frozenset[PathParts]
    splits: frozenset[PathParts]


class _Place(NamedTuple):
    """What the folders of a picture say; see `Picture`."""

    split: str | None = None
    group: tuple[str, ...] = ()
    role: str = ""
    below: int = 0
    folder: str = ""
    nested: bool = False


def sort_roles(entries: Sequence[SourceFile], *, anywhere: bool = False, look: bool = False) -> Roles:
    """Images, masks, and notes about those whose role was guessed.

    Args:
        entries: the files.
        anywhere: a word for masks counts wherever it stands in a name, as in those of volumes.
        look: whether to look at the pixels of a few where names say nothing.

    Raises:
        DataError: some look like masks, and nobody can know of what.
    """
    splits = saying_alone(splitting(entries))
    said = _sorted(_pictures(entries, anywhere=anywhere), splits)
    each = _with_a_mask_for_each(said) if look and said.masks else None
    if each:
        return each
    perhaps = _perhaps_of_masks(entries)
    if perhaps:
        guessed = _sorted(_pictures(entries, perhaps, anywhere=anywhere), splits)
        further = _further_masks(guessed, said)
        if _mostly_paired(guessed, further, said.masks) and not (look and hardly_masks(further)):
            note = "folders taken for masks, since most of their files are named like images: "
            return guessed._replace(notes=[note + ", ".join(sorted(perhaps))])
        if look and said.masks and (drawn := _of_drawn(guessed, further, said)):
            return _sorted(_pictures(entries, drawn, anywhere=anywhere), splits)
    if said.masks:
        return said
    return _by_pixels(said.images) if look else said


def _with_a_mask_for_each(said: Roles) -> Roles | None:
    """Images each with a picture of few values called after it, where only some of them have what is called a mask.

    `IMD003_lesion` is there for each `IMD003`, and `IMD003_roi/IMD003_R1_Label5` for a few; None for any others.
    """
    seen = masks_of_every_image(said.images)
    if seen is None:
        return None
    index = ImageIndex(seen.images)
    hits = [index.find(mask) for mask in said.masks]
    if len({hit.first for hit in hits if hit}) >= len(seen.images):
        return None
    notes = [
        f"taken for masks, since each image has one that is named like it, of few values: {seen.told}",
        f"masks that only some images have, not used: {told_files([mask.entry for mask in said.masks])}; --images and "
        "--masks with a pattern choose them",
    ]
    return Roles(seen.images, seen.masks, notes)


def roles_apart(entries: Sequence[SourceFile], masks: Sequence[SourceFile], *, anywhere: bool) -> Roles:
    """The same where masks are in a folder of their own: then all entries are images."""
    drawn = [_as_mask(picture) for picture in _pictures(masks, anywhere=anywhere)]
    return Roles(_pictures(entries, anywhere=anywhere), drawn, [])


def _as_mask(picture: Picture) -> Picture:
    """A picture of a folder of masks alone: all of its folders lie in that folder."""
    return picture._replace(role="mask", below=len(picture.group))


def _by_pixels(images: list[Picture]) -> Roles:
    """What pictures are by the pixels of a few of them, where their folders say nothing."""
    seen = masks_by_pixels(images)
    if seen.masks:
        note = f"taken for masks, since they have few values and are named like images: {seen.told}"
        return Roles(seen.images, seen.masks, [note])
    marked = [picture for picture in images if picture.is_marked]
    rest = [picture for picture in images if not picture.is_marked]
    if marked and rest and looks_like_masks(marked) and looks_like_masks(rest) is False:
        return Roles(
            rest, [_as_mask(picture) for picture in marked], []
        )  # names say which image each has, or it is told
    return Roles(seen.images, [], [])


def _perhaps_of_masks(entries: Sequence[SourceFile]) -> frozenset[str]:
    """The names of folders with a word for masks that does not say so for certain."""
    names = {name for folders in {entry.parts[:-1] for entry in entries} for name in folders}
    return frozenset(filter(_may_be_masks, names))


def _may_be_masks(name: str) -> bool:
    folder = read_folder(name)
    return folder.role == "mask" and not folder.certain


def _further_masks(guessed: Roles, said: Roles) -> list[Picture]:
    """The masks of folders that are taken for such, beside those that names say for certain."""
    certain = {mask.entry for mask in said.masks}
    return [mask for mask in guessed.masks if mask.entry not in certain]


def _mostly_paired(roles: Roles, masks: Sequence[Picture], certain: Sequence[Picture]) -> bool:
    """Whether there are masks, most of which have an image, and none of these is called like one of the certain."""
    if not masks:
        return False
    index = ImageIndex(roles.images)
    hits = [hit for hit in map(index.find, masks) if hit]
    if not hits and not certain:
        hits = [hit for _, hit in hits_by_beginning(index, masks) if hit]
    taken = {_called(hit) for hit in map(index.find, certain) if hit}
    return 2 * len(hits) > len(masks) and taken.isdisjoint(map(_called, hits))


def _of_drawn(guessed: Roles, further: Sequence[Picture], said: Roles) -> frozenset[str]:
    """Names of folders that are called after masks at one end, and whose files are drawn, as none of the images is.

    Taken for images they leave most of the masks without one, as no name is that of a single image any more: `label
    masks modify` beside `label masks`, both of several readers.
    """
    images = [image for image in guessed.images if not lies_among_previews(image)]
    if _mostly_found(said.masks, said.images) or not _mostly_found(said.masks, images) or not hardly_masks(images):
        return frozenset()
    named = defaultdict[str, list[SourceFile]](list)
    for mask in further:
        if _may_be_masks(mask.entry.parts[-2]):
            named[mask.entry.parts[-2]].append(mask.entry)
    return frozenset(name for name, files in named.items() if are_drawn(files))


def _mostly_found(masks: Sequence[Picture], images: Sequence[Picture]) -> bool:
    """Whether at least half of some masks have an image among these."""
    index = ImageIndex(images)
    return 2 * sum(index.find(mask) is not None for mask in masks) >= len(masks)


def _called(hit: Hit) -> tuple[str | None, str]:
    """The split and the name of the image of a mask: in one split, those of one name are forms of one picture."""
    return hit.images[0].split, hit.images[0].stem


def _pictures(entries: Sequence[SourceFile], perhaps: frozenset[str] = frozenset(), *, anywhere: bool) -> list[Picture]:
    """The files with what their paths say of them."""
    cases, silent = _folders_of_cases(entries, anywhere=anywhere), about_cases(entries, anywhere=anywhere)
    folders = _Folders(perhaps, cases, silent, splitting(entries))
    pictures = [_picture(entry, _place(entry.parts[:-1], folders), anywhere=anywhere) for entry in entries]
    return _marked_by_more(pictures)


def _picture(entry: SourceFile, place: _Place, *, anywhere: bool) -> Picture:
    stem = composed(entry.stem)
    return Picture(
        entry=entry,
        stem=stem,
        split=place.split,
        group=place.group,
        role=place.role,
        below=place.below,
        folder=place.folder,
        nested=place.nested,
        is_marked=says_mask(stem, anywhere=anywhere),
    )


def _marked_by_more(pictures: list[Picture]) -> list[Picture]:
    """Pictures all of whose names have a word for masks in common, which says nothing: a further one marks a mask.

    `S01.delineation.skullstripped` is the image of `S01.delineation.structure.label`.
    """
    if not pictures or not all(picture.is_marked for picture in pictures):
        return pictures
    said = [{token.text for token in tokens(picture.stem) if token.marks_mask} for picture in pictures]
    common = set.intersection(*said)
    if not common or all(words == common for words in said):
        return pictures
    return [picture._replace(is_marked=words > common) for picture, words in zip(pictures, said, strict=True)]


def _folders_of_cases(entries: Sequence[SourceFile], *, anywhere: bool) -> frozenset[PathParts]:
    """Folders called after images by number that hold masks too: each is a case (`img02/image`, `img02/mask`)."""
    cases = set[PathParts]()
    for entry in entries:
        folders = entry.parts[:-1]
        for depth in _numbered_images(folders):
            below = any(read_folder(name).role == "mask" for name in folders[depth:])
            if below or says_mask(composed(entry.stem), anywhere=anywhere):
                cases.add(folders[:depth])
    return frozenset(cases)


@lru_cache(maxsize=4096)
def _numbered_images(folders: tuple[str, ...]) -> tuple[int, ...]:
    """Depths of the folders that are called after images by number."""
    said = [read_folder(name) for name in folders]
    return tuple(depth for depth, folder in enumerate(said, 1) if folder.role == "image" and folder.numbered)


@lru_cache(maxsize=4096)
def _place(path: PathParts, folders: _Folders) -> _Place:
    """What the folders of a path say; a class folder that is called `label_1` is put right in `_sorted`."""
    place = _Place()
    for depth in range(1, len(path) + 1):
        place = _inside(place, path[:depth], folders)
    return place


def _inside(place: _Place, folder: PathParts, folders: _Folders) -> _Place:
    """What is said by a folder, and by those above it."""
    name = folder[-1]
    if folder in folders.cases:
        return place._replace(group=(*place.group, name))
    said = read_folder(name)
    if folder in folders.splits and not _says_role(said, name, folders.perhaps):
        return place._replace(split=split_in(name))
    place = place._replace(split=said.split or place.split)
    if folder in folders.splits or (
        name in folders.perhaps and any(other[:-1] == folder[:-1] for other in folders.splits)
    ):
        place = place._replace(split=split_in(name) or place.split)
    if folder in folders.silent:
        return place
    is_below_masks = place.role == "mask" and said.role == "mask" and not said.certain  # masks/reader_2
    if not is_below_masks and _says_role(said, name, folders.perhaps):
        return place._replace(role=said.role, folder=name, below=0, nested=bool(place.group))
    if said.split and not said.role:
        return place
    below = place.below + (place.role == "mask")
    return place._replace(group=(*place.group, name), below=below)


def _says_role(said: FolderWords, name: str, perhaps: frozenset[str]) -> bool:
    """Whether a folder is one of images or masks: for certain, or where others are taken for folders of masks."""
    if not said.role:
        return False
    return said.certain or name in perhaps or (said.role == "image" and bool(perhaps))


def _sorted(pictures: Sequence[Picture], splits: frozenset[PathParts]) -> Roles:
    """Images and masks. Where nothing is an image beside the masks, all are images."""
    images, marked, masks = list[Picture](), list[Picture](), list[Picture]()
    for picture in pictures:
        if picture.role == "mask":
            masks.append(picture)
        elif picture.is_marked:
            marked.append(picture)
        else:
            images.append(picture)
    if not images and masks:
        images, marked = [picture for picture in marked if picture.role == "image"], []
    if not images:
        return _all_images(pictures, splits)
    index = ImageIndex(images)
    for picture in marked:
        if picture.role == "image" and index.find(picture) is None:
            images.append(picture)
        else:
            masks.append(picture)
    is_said = any(mask.role == "mask" or index.find(mask) for mask in masks)
    if not is_said and not hits_by_beginning(index, masks):
        return _all_images(pictures, splits)
    return Roles(sorted(images, key=lambda picture: natural(picture.entry.where)), masks, [])


def _all_images(pictures: Sequence[Picture], splits: frozenset[PathParts]) -> Roles:
    return Roles([_without_roles(picture, splits) for picture in pictures], [], [])


def _without_roles(picture: Picture, splits: frozenset[PathParts]) -> Picture:
    """The same picture where no folder is one of masks: those that looked like it are part of the group."""
    folders, group = picture.entry.parts[:-1], list[str]()
    for depth, name in enumerate(folders, 1):
        if name.lower() not in PLAIN_IMAGES and not _says_split(name) and folders[:depth] not in splits:
            group.append(name)
    return picture._replace(group=tuple(group), role="", below=0, folder="", nested=False)


def _says_split(name: str) -> bool:
    """Whether a folder says a split of images and nothing else: `Testing Images`, `stage_2_test_images`, `Test Set`.

    `TRAIN007` is a case.
    """
    said = read_folder(name)
    if said.split is None or not said.certain:
        return False
    if said.role:
        return said.role == "image"
    return all(token.number is None for token in tokens(VERSION.sub("", name)))
