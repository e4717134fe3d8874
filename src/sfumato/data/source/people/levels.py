"""Which level of folders names the class of an image, which the patient, and what is said of the others.

lower-tract/findings/polyps/1.jpg          the class is polyps, the folder that holds the images
archive-7K/ADI/1.tif, archive-100K/ADI/2.tif    ADI, which comes again below several folders
benign/SOB/adenosis/14-22549/40X/1.png     benign: slides and magnifications hold the images; adenosis is told
fold0/benign/1.png                         folds are no classes: benign is
R001/sub-r001s002/anat/1.nii.gz            none: above the persons of BIDS are sites
01/t000.tif, 02/t000.tif                   with masks: films, kept together
COVID/images/1.png, Normal/images/1.png    few folders with images and masks each, called by words: classes
Center_01/images/1.png                     neither class nor patient
Center_01/p07/images/1.png                 the patient Center_01/p07, since centres number theirs alike
p07/visit2/images/1.png                    the patient p07

Each choice among several levels is told, with the `--class-level` of the others.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from sfumato.data.source.people.dividing import split_in
from sfumato.data.source.people.divisions import divided_levels, is_image_folder, is_origin, ranged_levels
from sfumato.data.source.people.grouping import PARENT
from sfumato.data.source.people.persons import (
    CLASS_WORD,
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
from sfumato.data.source.people.pieces import NO_PERSON
from sfumato.data.source.picture import Picture
from sfumato.data.source.words import PORTION
from sfumato.errors import DataError, listed

_SHOWN = 3
"""Folders of a level that a line names."""

BIDS = re.compile(r"sub-(?!folder|set|dir)[0-9a-z]+", re.IGNORECASE)
"""Folders of persons as BIDS calls them."""

LETTERS = re.compile(r"[^\W\d_]{2}")
"""What a mere number has not."""

_FRAME = re.compile(r"(?P<film>[^\W\d_]+[ _-]?)(?P<number>0\d+|\d{2,})")
"""A word or letter and a number with zeros before it, as films are written frame by frame."""

_NUMBER_BEHIND = re.compile(r"\d+$")

_FRAMES = 3
"""So many frames has a film at least."""

_Group = tuple[str, ...]
Divided = Mapping[int, Mapping[str, str]]


class Said(NamedTuple):
    """The class and the patient of each image as its folders say, and what to know of these."""

    labels: list[str | None]
    patients: list[str | None]
    notes: list[str]


class _Level(NamedTuple):
    """A level of folders: its number, which is 1 for those in the source itself, and its folders in order."""

    number: int
    folders: list[str]

    @property
    def flag(self) -> str:
        """What makes them classes."""
        return f"--class-level {self.number}"


def said_by_folders(
    images: Sequence[Picture],
    groups: Sequence[_Group],
    *,
    masks: bool,
    class_level: int,
    frames: Sequence[tuple[_Group, str]] = (),
) -> Said:
    """The class and the patient of each image.

    Args:
        images: the images.
        groups: the folders of each that say neither a role nor a split, without those that all have.
        masks: whether there are masks.
        class_level: see `ReadOptions`.
        frames: the folders and names of all images, also of those that are left out; empty where none are.

    Raises:
        DataError: images lie in fewer folders than the class needs.
    """
    divided = {**divided_levels(groups), **ranged_levels(groups, [image.stem for image in images])}
    named = [_without_divisions(group, divided) for group in groups]
    notes = list[str]()
    if not class_level:
        notes += _about_divisions(images, groups, divided)
        if portions := _portions(named):
            notes.append(f"folders of images by number, which are no classes: {len(portions)}")
            named = [()] * len(groups)
    every = frames or [(group, image.entry.stem) for group, image in zip(named, images, strict=True)]
    if masks and not class_level and all(named) and _are_films(every):
        films = [group[0] for group in named]
        notes += _about_films(images, named)
        return Said([None] * len(named), list(films), notes)
    whose = _level_of_people(named) if masks and _hold_images_and_masks(images, named) else None
    patients = _patients(groups, named, whose, divided)
    if class_level:
        return Said(list(_at_level(images, class_level)), patients, notes)
    if all(any(map(BIDS.fullmatch, group)) for group in named):
        return Said([None] * len(named), patients, [*notes, *_about_sites(images, named)])
    if whose is None:
        return _said_of_classes(images, named, notes)
    if whose == 0 and are_classes(group[0] for group in named if group):
        notes.append(_about_classes_with_masks(named))
        return _said_of_classes(images, named, notes)
    return Said([group[0] if whose else None for group in named], patients, notes)


def _are_films(images: Sequence[tuple[_Group, str]]) -> bool:
    """Whether folders of one name and a number each hold frames that count on alike: `01/t000`, `02/t000`.

    Args:
        images: the folders of each image, and its name.
    """
    frames = defaultdict[str, list[int]](list)
    beginnings = set[str]()
    for folder, stem in images:
        found = _FRAME.fullmatch(stem)
        if not folder or found is None:
            return False
        beginnings.add(found["film"])
        frames[folder[0]].append(int(found["number"]))
    called = {_NUMBER_BEHIND.sub("", name) for name in frames}
    alike = len(frames) > 1 and len(called) == len(beginnings) == 1 and all(map(_NUMBER_BEHIND.search, frames))
    if not alike or any(map(CLASS_WORD.fullmatch, frames)):
        return False
    return all(len(of_film) >= _FRAMES and _count_on(of_film) for of_film in frames.values())


def _count_on(numbers: Sequence[int]) -> bool:
    """Whether numbers go on by one from 0 or 1."""
    return min(numbers) < 2 and sorted(numbers) == list(range(min(numbers), min(numbers) + len(numbers)))


def _about_films(images: Sequence[Picture], named: Sequence[_Group]) -> Iterator[str]:
    """A line about folders that are films."""
    level = _level(images, [group[:1] for group in named])
    classes = f"; {level.flag} makes them classes" if level else ""
    films = sorted(_first_folders(named))
    yield f"folders of frames that count on, taken as films (kept together): {len(films)} ({_some(films)}){classes}"


def _without_divisions(group: _Group, divided: Divided) -> _Group:
    """The folders of an image without those that say how images were divided, or that they are images."""
    return tuple(name for level, name in enumerate(group) if level not in divided and not is_image_folder(name))


def _first_folders(named: Sequence[_Group]) -> set[str]:
    return {group[0] for group in named if group}


def _portions(named: Sequence[_Group]) -> set[str]:
    """The first folders where all of them are portions of images by number; none where some are more."""
    folders = _first_folders(named)
    return folders if all(map(PORTION.fullmatch, folders)) else set()


def _hold_images_and_masks(images: Sequence[Picture], named: Sequence[_Group]) -> bool:
    """Whether the folders hold those of images and of masks each."""
    return any(named) and all(image.nested for image in images)


def _patients(
    groups: Sequence[_Group], named: Sequence[_Group], level: int | None, divided: Divided
) -> list[str | None]:
    """The patient of each image by the folder at a level; none where that says fewer than two, and not of all."""
    patients = [_person(group, alone, level, divided) for group, alone in zip(groups, named, strict=True)]
    if len(set(patients)) < 3 and None in patients:
        return [None] * len(named)  # one folder beside images in none is nobody's
    return patients


def _said_of_classes(images: Sequence[Picture], named: Sequence[_Group], notes: list[str]) -> Said:
    """What folders say that are no patients: the classes by one level of them, and which others may be classes."""
    folders = _first_folders(named)
    beside = sum(not group for group in named)
    if beside and len(folders) == 1:
        notes.append(_about_one(images, min(folders), beside))
        named = [()] * len(named)
    elif beside and folders:
        notes.append(f"images beside the class folders, in none of them: {beside}")
    level = _level_of_classes(named)
    notes += _about_levels(images, named, level)
    notes += _about_splits(named, level)
    return Said([group[level] if group else None for group in named], [None] * len(named), notes)


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
    return "/".join([*places, *named[: level + 1]])


def _about_divisions(images: Sequence[Picture], groups: Sequence[_Group], divided: Divided) -> Iterator[str]:
    """A line about the folders that would be classes if they did not say that they are none."""
    level = _level(images, [group[:1] for group in groups]) if 0 in divided else None
    if level is not None:
        yield (
            "folders that say how images were divided or made or where they come from, and are neither classes nor "
            f"patients: {_some(level.folders)}; {level.flag} makes them classes"
        )


def _about_classes_with_masks(named: Sequence[_Group]) -> str:
    return (
        f"folders with images and masks each, taken as classes ({_some(sorted(_first_folders(named)))}): "
        f"--group-by {PARENT} if each is a patient, --set data.labels=none if they are data sets"
    )


def _about_one(images: Sequence[Picture], folder: str, beside: int) -> str:
    """The line about a folder that has nothing beside it but images, or folders that say a role or a split."""
    level = min(image.entry.parts.index(folder) for image in images if folder in image.entry.parts) + 1
    note = f"the folder {folder} is no class, since the other images ({beside}) lie in none"
    all_so_deep = all(len(image.entry.parts) > level for image in images)
    return f"{note}; --class-level {level} makes it one" if all_so_deep else note


def _level_of_classes(named: Sequence[_Group]) -> int:
    """The level of the classes: names that come again, else the folders that hold images, else the first."""
    depth = min(map(len, named), default=0)
    levels = _levels_of_classes(named, depth)
    again = [level for level in levels if _comes_again(named, level)]
    if again:
        return again[-1]
    last = depth - 1
    holds_images = last in levels and all(len(group) == depth for group in named)
    return last if holds_images and are_words(set(levels[last])) else 0


def _levels_of_classes(named: Sequence[_Group], depth: int) -> dict[int, list[str]]:
    """The levels whose folders may be classes, with that of each image.

    Below persons are their files, of whatever kind: nothing there is a class unless a person says so.
    """
    levels = dict[int, list[str]]()
    for level in range(depth):
        folders = [group[level] for group in named]
        if _hold_people(folders):
            break
        if _may_be_classes(folders):
            levels[level] = folders
    return levels


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
    return 2 * sum(map(_is_of_people, names)) > len(names) and not are_counted(names)


def _is_of_people(name: str) -> bool:
    if is_person(name) or may_be_number(name):
        return True
    return VISIT.fullmatch(name) is not None or NO_PERSON.fullmatch(name) is not None


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
    taken = _level(images, [group[chosen : chosen + 1] for group in named])
    if taken is None:
        return
    others = list[str]()
    for level in _other_levels(images, named, chosen):
        others.append(f"{level.flag} takes those of level {level.number} ({_some(level.folders)})")
    if not others:
        return
    ways, shown = "; ".join(others), _some(taken.folders)
    if _hold_people([group[chosen] for group in named]):
        yield f"folders below those of level {taken.number} ({shown}) that may be classes: {ways}"
    else:
        yield f"the classes are the folders of level {taken.number} ({shown}); {ways}"


def _other_levels(images: Sequence[Picture], named: Sequence[_Group], chosen: int) -> Iterator[_Level]:
    """The levels of several folders that may be classes too, above the chosen one or below it."""
    for depth in range(min(map(len, named))):
        folders = [group[depth] for group in named]
        level = _level(images, [(folder,) for folder in folders])
        if depth == chosen or level is None or len(level.folders) < 2:
            continue
        theirs = _hold_people(folders) if depth < chosen else _are_of_people(folders)
        if not theirs:
            yield level


def _about_splits(named: Sequence[_Group], chosen: int) -> Iterator[str]:
    """A line about folders above the classes some of which say a split, and others none."""
    for level in range(min(chosen, min(map(len, named), default=0))):
        folders = sorted({group[level] for group in named})
        splits = list(filter(split_in, folders))
        if splits:
            yield (
                f"a split is not read from the folders {_some(folders)}, since {_some(splits)} alone may say one: call "
                "them train, validation and test to have it"
            )


def _about_sites(images: Sequence[Picture], named: Sequence[_Group]) -> Iterator[str]:
    """A line about the folders above the persons of BIDS, where these would be classes."""
    above = list(map(_above_person, named))
    for depth in range(min(map(len, above), default=0)):
        level = _level(images, [group[depth : depth + 1] for group in above])
        if level is not None and len(level.folders) > 1:
            yield (
                f"folders above those of persons (sub-...) are no classes: {_some(level.folders)}; {level.flag} makes "
                "them classes"
            )
            return


def _above_person(group: _Group) -> _Group:
    """The folders above that of a person of BIDS."""
    return tuple(takewhile(lambda name: not BIDS.fullmatch(name), group))


def _level(images: Sequence[Picture], folders: Sequence[_Group]) -> _Level | None:
    """The level at which one folder of each image lies, with all of these; None where levels differ."""
    numbers, names = set[int](), set[str]()
    for image, folder in zip(images, folders, strict=True):
        if not folder:
            return None
        numbers.add(image.entry.parts.index(folder[0]) + 1)
        names.add(folder[0])
    return _Level(numbers.pop(), sorted(names)) if len(numbers) == 1 else None


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
