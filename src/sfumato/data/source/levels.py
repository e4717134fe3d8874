"""Which level of folders names the class of an image, which the patient, and what is said of the others.

benign/SOB/adenosis/14-22549/40X/1.png     the class is benign; that adenosis may be one is told
fold0/benign/1.png                         folds are no classes: benign is
Center_01/images/1.png                     neither class nor patient
Center_01/p07/images/1.png                 the patient Center_01/p07, since centres number theirs alike
p07/visit2/images/1.png                    the patient p07
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sfumato.data.source.divisions import divided_levels, holds_images, is_origin
from sfumato.data.source.pairing import Picture
from sfumato.data.source.persons import is_person, may_be_number
from sfumato.data.source.words import PORTION
from sfumato.errors import DataError, listed

SHOWN = 3
"""Folders of a level that a line names."""

Group = tuple[str, ...]
Divided = Mapping[int, Mapping[str, str]]


class Said(NamedTuple):
    """The class and the patient of each image as its folders say, and what to know of these."""

    labels: list[str | None]
    patients: list[str | None]
    notes: list[str]


def said_by_folders(images: Sequence[Picture], groups: Sequence[Group], *, masks: bool, class_level: int) -> Said:
    """The class and the patient of each image.

    Args:
        images: the images.
        groups: the folders of each that say neither a role nor a split, without those that all have.
        masks: whether there are masks.
        class_level: see `Hints`.

    Raises:
        DataError: images lie in fewer folders than the class needs.
    """
    divided = divided_levels(groups)
    named = [
        tuple(name for level, name in enumerate(group) if level not in divided and not holds_images(name))
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
    if class_level:
        return Said(list(_at_level(images, class_level)), patients, notes)
    if nested:
        return Said([group[0] if whose else None for group in named], patients, notes)
    beside = sum(not group for group in named)
    if beside and len(folders) == 1:
        notes.append(_about_one(images, min(folders), beside))
        named = [()] * len(groups)
    elif beside and folders:
        notes.append(f"images beside the class folders, in none of them: {beside}")
    notes += _about_levels(images, named)
    return Said([group[0] if group else None for group in named], patients, notes)


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


def _level_of_people(named: Sequence[Group]) -> int:
    """The first level most of whose folders may be persons; else the first of all."""
    for level in range(min(map(len, named), default=0)):
        names = {group[level] for group in named}
        if 2 * sum(is_person(name) or may_be_number(name) for name in names) > len(names):
            return level
    return 0


def _person(group: Group, named: Group, level: int | None, divided: Divided) -> str | None:
    """The patient by the folder at a level, with the place that numbered him."""
    if level is None or not named:
        return None
    places = [name for depth, name in enumerate(group) if depth in divided and is_origin(divided[depth][name])]
    return "/".join((*places, *named[: min(level, len(named) - 1) + 1]))


def _about_divisions(images: Sequence[Picture], groups: Sequence[Group], divided: Divided) -> Iterator[str]:
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


def _about_levels(images: Sequence[Picture], named: Sequence[Group]) -> Iterator[str]:
    """A line about further levels of folders that may be classes."""
    first = _level(images, [group[:1] for group in named])
    if first is None:
        return
    for depth in range(1, min(map(len, named))):
        found = _level(images, [group[depth : depth + 1] for group in named])
        if found and len(found[1]) > 1 and not any(map(may_be_number, found[1])):
            yield (
                f"the classes are the folders of level {first[0]} ({_some(first[1])}); --class-level {found[0]} takes "
                f"those of level {found[0]} ({_some(found[1])})"
            )


def _level(images: Sequence[Picture], folders: Sequence[Group]) -> tuple[int, list[str]] | None:
    """The level below the source at which one folder of each image lies, and all of these; None where levels differ."""
    levels = {
        image.entry.parts.index(folder[0]) + 1 if folder else 0 for image, folder in zip(images, folders, strict=True)
    }
    names = sorted({name for folder in folders for name in folder})
    return (levels.pop(), names) if len(levels) == 1 and 0 not in levels else None


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
