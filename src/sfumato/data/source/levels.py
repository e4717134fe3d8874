"""Which level of folders names the class of an image, which the patient, and what is said of the others.

lower-tract/findings/polyps/1.jpg          the class is polyps, the folder that holds the images
archive-7K/ADI/1.tif, archive-100K/ADI/2.tif    ADI, which comes again below several folders
benign/SOB/adenosis/14-22549/40X/1.png     benign: slides and magnifications hold the images; adenosis is told
fold0/benign/1.png                         folds are no classes: benign is
R001/sub-r001s002/anat/1.nii.gz            none: above the persons of BIDS are sites
COVID/images/1.png, Normal/images/1.png    few folders with images and masks each, called by words: classes
Center_01/images/1.png                     neither class nor patient
Center_01/p07/images/1.png                 the patient Center_01/p07, since centres number theirs alike
p07/visit2/images/1.png                    the patient p07

Each choice among several levels is told, with the `--class-level` of the others.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sfumato.data.source.dividing import split_in
from sfumato.data.source.divisions import divided_levels, is_image_folder, is_origin, ranged_levels
from sfumato.data.source.grouping import PARENT
from sfumato.data.source.persons import (
    NEARLY_ALL,
    VISIT,
    Folders,
    are_classes,
    are_counted,
    are_words,
    is_person,
    look_for_persons,
    may_be_number,
)
from sfumato.data.source.picture import Picture
from sfumato.data.source.pieces import NO_PERSON
from sfumato.data.source.words import PORTION
from sfumato.errors import DataError, listed

_SHOWN = 3
"""Folders of a level that a line names."""

BIDS = re.compile(r"sub-(?!folder|set|dir)[0-9a-z]+", re.IGNORECASE)
"""Folders of persons as BIDS calls them."""

LETTERS = re.compile(r"[^\W\d_]{2}")
"""What a mere number has not."""

_Group = tuple[str, ...]
Divided = Mapping[int, Mapping[str, str]]


class Said(NamedTuple):
    """The class and the patient of each image as its folders say, and what to know of these."""

    labels: list[str | None]
    patients: list[str | None]
    notes: list[str]


def said_by_folders(images: Sequence[Picture], groups: Sequence[_Group], *, masks: bool, class_level: int) -> Said:
    """The class and the patient of each image.

    Args:
        images: the images.
        groups: the folders of each that say neither a role nor a split, without those that all have.
        masks: whether there are masks.
        class_level: see `ReadOptions`.

    Raises:
        DataError: images lie in fewer folders than the class needs.
    """
    divided = {**divided_levels(groups), **ranged_levels(groups, [image.stem for image in images])}
    named = [
        tuple(name for level, name in enumerate(group) if level not in divided and not is_image_folder(name))
        for group in groups
    ]
    notes = [] if class_level else list(_about_divisions(images, groups, divided))
    folders = {group[0] for group in named if group}
    if folders and all(PORTION.fullmatch(folder) for folder in folders) and not class_level:
        notes.append(f"folders of images by number, which are no classes: {len(folders)}")
        named, folders = [()] * len(groups), set()
    nested = bool(folders) and masks and all(image.nested for image in images)
    whose = _level_of_people(named) if nested else None
    patients = [_person(group, alone, whose, divided) for group, alone in zip(groups, named, strict=True)]
    if len(set(patients)) < 3 and None in patients:
        patients = [None] * len(named)  # one folder beside images in none is nobody's
    if class_level:
        return Said(list(_at_level(images, class_level)), patients, notes)
    if all(any(map(BIDS.fullmatch, group)) for group in named):
        return Said([None] * len(named), patients, [*notes, *_about_sites(images, named)])
    if whose == 0 and are_classes(group[0] for group in named if group):
        patients, names = [None] * len(named), sorted(folders)
        notes.append(
            f"folders with images and masks each, taken as classes ({_some(names)}): --group-by {PARENT} if each is a "
            "patient, --set data.labels=none if they are data sets"
        )
    elif nested:
        return Said([group[0] if whose else None for group in named], patients, notes)
    beside = sum(not group for group in named)
    if beside and len(folders) == 1:
        notes.append(_about_one(images, min(folders), beside))
        named = [()] * len(groups)
    elif beside and folders:
        notes.append(f"images beside the class folders, in none of them: {beside}")
    level = _level_of_classes(named)
    notes += [*_about_levels(images, named, level), *_about_splits(named, level)]
    return Said([group[level] if group else None for group in named], patients, notes)


def _at_level(images: Sequence[Picture], level: int) -> Iterator[str]:
    """The folder at a level below the source, for each image."""
    if shallow := [image.entry.where for image in images if len(image.entry.parts) <= level]:
        raise DataError(
            f"{len(shallow)} of {len(images)} images lie in fewer than {level} folders:\n{listed(shallow)}",
            expected=f"a class folder at level {level} below the source",
            remedy="give a smaller --class-level",
            code="DATA-067",
        )
    return (image.entry.parts[level - 1] for image in images)


def _level_of_people(named: Sequence[_Group]) -> int:
    """The first level most of whose folders may be persons; else the first of all."""
    for level in range(min(map(len, named), default=0)):
        names = {group[level] for group in named}
        if 2 * sum(is_person(name) or may_be_number(name) for name in names) > len(names):
            return level
    return 0


def _person(group: _Group, named: _Group, level: int | None, divided: Divided) -> str | None:
    """The patient by the folder at a level, with the place that numbered him."""
    if level is None or not named:
        return None
    places = [name for depth, name in enumerate(group) if depth in divided and is_origin(divided[depth][name])]
    return "/".join((*places, *named[: min(level, len(named) - 1) + 1]))


def _about_divisions(images: Sequence[Picture], groups: Sequence[_Group], divided: Divided) -> Iterator[str]:
    """A line about the folders that would be classes if they did not say that they are none."""
    if 0 in divided and (found := _level(images, [group[:1] for group in groups])):
        level, names = found
        yield (
            "folders that say how images were divided or made or where they come from, and are neither classes nor "
            f"patients: {_some(names)}; --class-level {level} makes them classes"
        )


def _about_one(images: Sequence[Picture], folder: str, beside: int) -> str:
    """The line about a folder that has nothing beside it but images, or folders that say a role or a split."""
    level = min(image.entry.parts.index(folder) for image in images if folder in image.entry.parts) + 1
    flag = "" if any(len(image.entry.parts) <= level for image in images) else f"; --class-level {level} makes it one"
    return f"the folder {folder} is no class, since the other images ({beside}) lie in none{flag}"


def _level_of_classes(named: Sequence[_Group]) -> int:
    """The level of the classes: names that come again, else the folders that hold images, else the first.

    Below persons are their files, of whatever kind: nothing there is a class unless a person says so.
    """
    depth = min(map(len, named), default=0)
    by_level = [[group[level] for group in named] for level in range(depth)]
    free = next((level for level, folders in enumerate(by_level) if _hold_people(folders)), depth)
    levels = [level for level in range(free) if _may_be_classes(by_level[level])]
    if again := [level for level in levels if _comes_again(named, level)]:
        return again[-1]
    last = depth - 1
    holds = last in levels and all(len(group) == depth for group in named)
    return last if holds and are_words(set(by_level[last])) else 0


def _hold_people(folders: Sequence[str]) -> bool:
    """Whether folders, one for each image, are persons, may be, or are mere numbers."""
    return look_for_persons(folders) != Folders(people=False, doubtful=False) or _are_numbers(set(folders))


def _may_be_classes(folders: Sequence[str]) -> bool:
    """Whether the folders of a level may be classes: several, not one for nearly each image, and not of people.

    Args:
        folders: the folder of each image.
    """
    return 1 < len(set(folders)) <= NEARLY_ALL * len(folders) and not _are_of_people(folders)


def _are_of_people(folders: Iterable[str]) -> bool:
    """Whether most folders of a level may be persons, or their visits, sides, sequences or magnifications."""
    names = set(folders)
    theirs = sum(
        is_person(name) or may_be_number(name) or bool(VISIT.fullmatch(name) or NO_PERSON.fullmatch(name))
        for name in names
    )
    return 2 * theirs > len(names) and not are_counted(names)


def _are_numbers(names: Collection[str]) -> bool:
    """Whether most names are mere numbers: archives above classes (`CRC-100K`) have numbers too."""
    telling = [name for name in names if re.search(r"\d", name) and not LETTERS.search(name)]
    return 2 * len(telling) > len(names) and not are_counted(names)


def _comes_again(named: Sequence[_Group], level: int) -> bool:
    """Whether most names of a level lie below several folders."""
    above = defaultdict[str, set[_Group]](set)
    for group in named:
        above[group[level]].add(group[:level])
    return 2 * sum(len(places) > 1 for places in above.values()) > len(above)


def _about_levels(images: Sequence[Picture], named: Sequence[_Group], chosen: int) -> Iterator[str]:
    """A line about further levels of folders that may be classes."""
    if not (taken := _level(images, [group[chosen : chosen + 1] for group in named])):
        return
    others = list[str]()
    for depth in range(min(map(len, named))):
        folders = [group[depth] for group in named]
        found = _level(images, [(folder,) for folder in folders])
        if depth == chosen or not found or len(found[1]) < 2:
            continue
        if not (_hold_people(folders) if depth < chosen else _are_of_people(folders)):
            others.append(f"--class-level {found[0]} takes those of level {found[0]} ({_some(found[1])})")
    if not others:
        return
    if _hold_people([group[chosen] for group in named]):
        yield f"folders below those of level {taken[0]} ({_some(taken[1])}) that may be classes: {'; '.join(others)}"
    else:
        yield f"the classes are the folders of level {taken[0]} ({_some(taken[1])}); {'; '.join(others)}"


def _about_splits(named: Sequence[_Group], chosen: int) -> Iterator[str]:
    """A line about folders above the classes some of which say a split, and others none."""
    for level in range(min(chosen, min(map(len, named), default=0))):
        names = sorted({group[level] for group in named})
        if said := [name for name in names if split_in(name)]:
            yield (
                f"a split is not read from the folders {_some(names)}, since {_some(said)} alone may say one: call "
                "them train, validation and test to have it"
            )


def _about_sites(images: Sequence[Picture], named: Sequence[_Group]) -> Iterator[str]:
    """A line about the folders above the persons of BIDS, where these would be classes."""
    above = [tuple(group[: next(n for n, name in enumerate(group) if BIDS.fullmatch(name))]) for group in named]
    for depth in range(min(map(len, above), default=0)):
        found = _level(images, [group[depth : depth + 1] for group in above])
        if found and len(found[1]) > 1:
            yield (
                f"folders above those of persons (sub-...) are no classes: {_some(found[1])}; --class-level {found[0]} "
                "makes them classes"
            )
            return


def _level(images: Sequence[Picture], folders: Sequence[_Group]) -> tuple[int, list[str]] | None:
    """The level below the source at which one folder of each image lies, and all of these; None where levels differ."""
    levels = {
        image.entry.parts.index(folder[0]) + 1 if folder else 0 for image, folder in zip(images, folders, strict=True)
    }
    names = sorted({name for folder in folders for name in folder})
    return (levels.pop(), names) if len(levels) == 1 and 0 not in levels else None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
