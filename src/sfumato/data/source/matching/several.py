"""What several mask files of one image are: readers, parts of one reading, classes, sides, or the field of view.

    masks of readers       lie on one another           rater1/a.png, rater2/a.png; a_1stHO, a_2ndHO; mask-0, mask-1
    parts of one reading   lie beside one another       a_mask.png, a_mask_1.png; a file for each nucleus: joined
    sides                  parts that are called so     leftMask/a.png, rightMask/a.png: joined
    encodings              show the same in other values labels/a.png, binary/a.png: one is used
    classes                have names that come again   segmentations/liver.nii.gz; IDRiD_01_MA.tif: a value for each
    the field of view      holds all that is drawn      mask/21_training_mask.gif beside 1st_manual/21_manual1.gif

Names alone do not tell readers from parts, so how far the masks of an image lie on one another is measured on a sample
of the set (`source.overlap`). What stays open is refused, with the flag that decides it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, dropwhile
from pathlib import PurePath
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.order import natural
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.matching.encodings import without_encodings
from sfumato.data.source.matching.kinds import mask_kind, name_by, told_masks
from sfumato.data.source.matching.mask_files import MaskFiles, all_masks, with_several
from sfumato.data.source.matching.overlap import mask_overlap
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.readings import Readings, as_classes, as_parts, as_readers, as_readers_by
from sfumato.data.source.matching.rivals import (
    have_the_same_values,
    instead,
    not_of_one_class,
    readers_of_classes,
    refuse_classes_before_readers,
)
from sfumato.data.source.matching.undecided import nameless, place_of, refuse_copies, unclear
from sfumato.data.source.matching.views import within_views, without_views
from sfumato.data.source.words import SIDES, STRUCTURES, tokens

_RARE = 0.1
"""Share of the masks up to which names among numbers are chance: `0f7e`, `beef`."""

NO_LABELS: Mapping[str, frozenset[str]] = MappingProxyType({})
"""Where no file says what is drawn in it."""


def read_several(owned: MaskFiles, hints: ReadOptions, labels: Mapping[str, frozenset[str]] = NO_LABELS) -> Readings:
    """Decide what the masks of each image are.

    Args:
        owned: the mask files of each image.
        hints: what a person said about them.
        labels: names of what is drawn in a file, by its locator, where the files say so (DICOM).

    Raises:
        DataError: nobody can know.
    """
    plain = _without_secondary(_without_own_folders(owned))
    if hints.is_said_of_masks:
        return _after(plain.notes, plain.unused, _as_said(plain.owned, hints))
    refuse_copies(plain.owned)
    once, encodings, about_encodings = without_encodings(plain.owned)
    drawn, views, about_views = without_views(once)
    readings = _by_labels(drawn, labels) or _decided(_without_common_folder(drawn), hints)
    notes = (*plain.notes, *about_encodings, *about_views)
    return _after(notes, (*plain.unused, *encodings), within_views(readings, views))


def _after(notes: tuple[str, ...], unused: tuple[Owned, ...], readings: Readings) -> Readings:
    """The same with what was left out before, and the notes on it."""
    return replace(readings, notes=(*notes, *readings.notes), unused=(*unused, *readings.unused))


class _Plain(NamedTuple):
    """Masks without those that show the same in another manner, these, and a note on them."""

    owned: MaskFiles
    unused: tuple[Owned, ...]
    notes: tuple[str, ...]


def _without_own_folders(owned: MaskFiles) -> MaskFiles:
    """The masks without the folder that is called after their image, where all lie in such a one: it tells images."""
    if not all(_stem(image) in mask.folder.split("/") for image, masks in owned.items() for mask in masks):
        return owned
    return {image: [_outside(mask, _stem(image)) for mask in masks] for image, masks in owned.items()}


def _stem(image: str) -> str:
    return PurePath(image).name.partition(".")[0]


def _outside(mask: Owned, folder: str) -> Owned:
    return mask._replace(folder="/".join(part for part in mask.folder.split("/") if part != folder))


def _without_secondary(owned: MaskFiles) -> _Plain:
    """Masks in colours or by object are left out where there are others."""
    kept, unused = dict[str, list[Owned]](), list[Owned]()
    for image, masks in owned.items():
        plain = [mask for mask in masks if not mask_kind(mask).secondary]
        if len(masks) > 1 and plain:
            kept[image] = plain
            unused += [mask for mask in masks if mask_kind(mask).secondary]
        else:
            kept[image] = masks
    if not unused:
        return _Plain(kept, (), ())
    note = f"masks in colours, by object or by their borders beside others, not used: {told_masks(unused)}"
    return _Plain(kept, tuple(unused), (note,))


def _without_common_folder(owned: MaskFiles) -> MaskFiles:
    """The masks without their folder where that of all is called alike, and their own names say something."""
    kinds = [mask_kind(mask) for masks in owned.values() for mask in masks]
    if len({kind.folder for kind in kinds}) != 1 or not all(kind.folder and kind.suffix for kind in kinds):
        return owned
    return {image: [mask._replace(folder="") for mask in masks] for image, masks in owned.items()}


def _decided(owned: MaskFiles, hints: ReadOptions) -> Readings:
    """What several masks are where nobody said it."""
    several, names = with_several(owned), _names(owned)
    if not several:
        return _of_one_file_each(owned, names, hints)
    kinds = [mask_kind(mask) for mask in all_masks(several)]
    if all(kind.reads for kind in kinds):
        return _of_readers(owned, several)
    are_named = all(kind.name for kind in kinds)
    if are_named and names:
        return _of_names(owned, several, names, hints)
    words = sum(_is_word(kind.name) for kind in kinds)
    if not are_named and words >= _RARE * len(kinds):
        if readings := _readers_beside_others(owned):
            return readings
        raise unclear(several, "some have names, and others none")
    return _by_overlap(owned, several)


def _of_one_file_each(owned: MaskFiles, names: Sequence[str], hints: ReadOptions) -> Readings:
    """What masks are of which each image has one: of a class each by their names, or all of the same classes."""
    if not _is_one_of_several_classes(owned, names):
        return as_readers(owned)
    if have_the_same_values(owned):
        note = f"the masks of {', '.join(names)} have the same values: these are the classes, and the names are none"
        return _after((note,), (), as_readers(owned))
    return as_classes(owned, names, hints)


def _is_word(name: str) -> bool:
    return name != "" and not _has_digit(name)


def _has_digit(name: str) -> bool:
    return any(character.isdigit() for character in name)


def _by_overlap(owned: MaskFiles, several: MaskFiles) -> Readings:
    """What several masks are by how far they lie on one another, where their names do not say it."""
    measured = mask_overlap(several)
    if measured is None:
        kinds = [mask_kind(mask) for mask in all_masks(several)]
        are_numbered = all(kind.number is not None or not kind.name for kind in kinds)
        return as_readers(owned) if are_numbered else as_parts(owned)
    if measured.apart:
        return as_parts(owned)
    if measured.together:
        return as_readers(owned)
    raise unclear(several, measured.sentence())


def _readers_beside_others(owned: MaskFiles) -> Readings | None:
    """The numbered readers of each image, where other files beside theirs have names: a consensus, the brain.

    None where an image has no two of them, or they do not lie on one another.
    """
    readers = {image: list(filter(_is_numbered_reader, masks)) for image, masks in owned.items()}
    if any(len(of_image) < 2 for of_image in readers.values()):
        return None
    measured = mask_overlap(readers)
    if measured is None or not measured.together:
        return None
    others = tuple(mask for mask in all_masks(owned) if not _is_numbered_reader(mask))
    where = ", ".join(sorted({place_of(mask) for mask in others})[:3])
    note = (
        f"masks of other names beside those of readers, not used: {len(others)} ({where}); --masks with a pattern "
        "names what is meant"
    )
    return _after((note,), others, as_readers(readers))


def _is_numbered_reader(mask: Owned) -> bool:
    kind = mask_kind(mask)
    return kind.reads and kind.number is not None and not kind.name


def _by_labels(owned: MaskFiles, labels: Mapping[str, frozenset[str]]) -> Readings | None:
    """What several masks are by the names of what is drawn in them; None where these do not decide it.

    Raises:
        DataError: nobody can know.
    """
    several = with_several(owned)
    if not several or not all(labels.get(mask.entry.locator) for mask in all_masks(owned)):
        return None
    every = [name for mask in all_masks(owned) for name in labels[mask.entry.locator]]
    of_images = [[labels[mask.entry.locator] for mask in masks] for masks in several.values()]
    measured = mask_overlap(several)
    are_alike = measured is not None and measured.alike
    if all(map(_differ, of_images)) and _come_again(every, owned) and not are_alike:
        return as_parts(
            owned, what="files of different labels, put together; where these overlap, the later name counts,"
        )
    if measured is None:
        raise unclear(several, "nothing is drawn in them")
    if measured.apart:
        return as_parts(owned)
    if measured.together and all(len(set(names)) == 1 for names in of_images):
        return as_readers(owned)
    raise unclear(several, measured.sentence())


def _differ(labels: Sequence[frozenset[str]]) -> bool:
    """Whether no two files of an image have a label in common."""
    return all(one.isdisjoint(other) for one, other in combinations(labels, 2))


def _come_again(names: Iterable[str], owned: MaskFiles) -> bool:
    """Whether names are those of classes: of other images too, or of a single one without numbers."""
    holders = Counter(names)
    if len(owned) == 1:
        return not any(map(_has_digit, holders))
    return 2 * sum(count > 1 for count in holders.values()) > len(holders)


def _names(owned: MaskFiles) -> list[str]:
    """Names of masks that come again with other images, in natural order; none where they are names of objects."""
    names = list[str]()
    for masks in owned.values():
        names += {mask_kind(mask).name for mask in masks} - {""}
    return sorted(set(names), key=natural) if _come_again(names, owned) else []


def _is_one_of_several_classes(owned: MaskFiles, names: Sequence[str]) -> bool:
    """Whether each image has a file of one class, and these differ by more than what all files are called."""
    if len(names) < 2 or not all(mask_kind(mask).name for mask in all_masks(owned)):
        return False
    words = [_words(mask.entry.stem) for mask in all_masks(owned)]
    often = frozenset.intersection(*words)
    return len({_behind(name, often) for name in names}) > 1


def _words(name: str) -> frozenset[str]:
    """The words and numbers of a name."""
    return frozenset(token.text for token in tokens(name))


def _behind(name: str, often: frozenset[str]) -> tuple[str, ...]:
    """The words of a name without those at its beginning that all files have, and the numbers behind these."""
    found = list(tokens(name))
    if found and found[0].text in often:
        found = list(dropwhile(lambda token: token.text in often or token.number is not None, found))
    return tuple(token.text for token in found)


def _of_names(owned: MaskFiles, several: MaskFiles, names: Sequence[str], hints: ReadOptions) -> Readings:
    """What masks are that all have names which come again."""
    measured = mask_overlap(several)
    if measured is not None and measured.alike and not (measured.nested and _are_structures(names)):
        raise unclear(several, f"they are nearly alike ({measured.sentence()}): are these readers?")
    if _are_sides(names) and (measured is None or measured.apart):
        return as_parts(owned, what=f"sides ({', '.join(names)}), joined")
    _refuse_twice_of_one_name(several)
    if not hints.class_names and (why := not_of_one_class(several)):
        raise instead(several, why)
    return as_classes(owned, names, hints)


def _are_sides(names: Sequence[str]) -> bool:
    """Whether two names differ by a side alone."""
    if len(names) != 2 or not any(_words(name) & SIDES for name in names):
        return False
    return _without_sides(names[0]) == _without_sides(names[1])


def _refuse_twice_of_one_name(several: MaskFiles) -> None:
    """Refuse masks of one image and name that lie on one another, as those of readers do.

    Raises:
        DataError: they do.
    """
    twice = dict(_twice_of_one_name(several))
    measured = mask_overlap(twice) if twice else None
    if measured is not None and measured.together:
        why = f"those of one name lie on one another ({measured.sentence()}): are these readers?"
        raise readers_of_classes(several, why)


def _are_structures(names: Sequence[str]) -> bool:
    """Whether all names have words for what is drawn, and these differ."""
    said = [_words(name) & STRUCTURES for name in names]
    return all(said) and len(set(said)) == len(names)


def _are_of_classes_too(several: MaskFiles) -> bool:
    """Whether the files of readers have names, each of which comes again with another reader."""
    return 2 * sum(map(_has_names_twice, several.values())) > len(several)


def _has_names_twice(masks: Sequence[Owned]) -> bool:
    """Whether an image has masks of several names, and several of each."""
    names = Counter(mask_kind(mask).name for mask in masks)
    return len(names) > 1 and "" not in names and min(names.values()) > 1


def _twice_of_one_name(several: MaskFiles) -> Iterator[tuple[str, list[Owned]]]:
    """The masks of each image that share a name, of one name each."""
    for image, masks in several.items():
        named = defaultdict[str, list[Owned]](list)
        for mask in masks:
            named[mask_kind(mask).name].append(mask)
        most = max(named.values(), key=len)
        if len(most) > 1:
            yield image, most


def _without_sides(name: str) -> tuple[str, ...]:
    return tuple(token.text for token in tokens(name) if token.text not in SIDES)


def _of_readers(owned: MaskFiles, several: MaskFiles) -> Readings:
    """What masks are that are all called after readers.

    Raises:
        DataError: they have names of classes too, or do not lie on one another.
    """
    if _are_of_classes_too(several):
        raise readers_of_classes(several, "each of several readers has files of several names")
    refuse_classes_before_readers(several)
    measured = mask_overlap(several)
    if measured is not None and measured.apart:
        raise unclear(several, f"they are called after readers, but never lie on one another ({measured.sentence()})")
    return as_readers(owned)


def _as_said(owned: MaskFiles, hints: ReadOptions) -> Readings:
    """What the masks are by the words of a person.

    Raises:
        DataError: they are not so.
    """
    if hints.join_masks:
        return as_parts(owned, what="parts of one mask, joined as asked")
    if hints.classes_by is None:
        return as_readers_by(owned, hints.readers_by or "suffix")
    names = sorted({name_by(mask, hints.classes_by) for mask in all_masks(owned)}, key=natural)
    if "" in names:
        raise nameless(owned, hints.classes_by, "class")
    return as_classes(owned, names, hints, hints.classes_by)
