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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, dropwhile
from pathlib import PurePath
from types import MappingProxyType

from sfumato.data.formats.joined import LARGEST_CLASS, OUTSIDE, WITHIN, MaskPart, joined_name, mask_parts
from sfumato.data.order import natural
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.encodings import without_encodings
from sfumato.data.source.kinds import mask_kind, name_by, order_of
from sfumato.data.source.overlap import are_views, mask_overlap
from sfumato.data.source.pairing import Owned
from sfumato.data.source.patterns import told_files
from sfumato.data.source.rivals import instead, not_of_one_class, readers_of_classes
from sfumato.data.source.undecided import MaskFiles, competing, nameless, place_of, refuse_copies, unclear
from sfumato.data.source.words import SIDES, STRUCTURES, tokens
from sfumato.errors import DataError
from sfumato.wording import counted

_NOTICED, _MOST_INVERTED = 0.01, 0.5
"""Shares from which on pixels of several classes, and files that look inverted, are told."""

_RARE = 0.1
"""Share of the masks up to which names among numbers are chance: `0f7e`, `beef`."""


@dataclass(frozen=True)
class Readings:
    """What the masks of a set are.

    Attributes:
        masks: of each image by its locator, one for each reader; images without any are missing.
        names: names of the classes by their values, where each has a file of its own.
        ignore: the value of pixels that say nothing.
        told: what was made of several masks of an image, for the line that tells the pairing.
        notes: what was left out.
        unused: masks that are left out.
    """

    masks: Mapping[str, tuple[str, ...]]
    names: Mapping[int, str] = field(default_factory=dict)
    ignore: int | None = None
    told: str = ""
    notes: tuple[str, ...] = ()
    unused: tuple[Owned, ...] = ()


NO_LABELS: Mapping[str, frozenset[str]] = MappingProxyType({})


def read_several(owned: MaskFiles, hints: ReadOptions, labels: Mapping[str, frozenset[str]] = NO_LABELS) -> Readings:
    """Decide what the masks of each image are.

    Args:
        owned: the mask files of each image.
        hints: what a person said about them.
        labels: names of what is drawn in a file, by its locator, where the files say so (DICOM).

    Raises:
        DataError: nobody can know.
    """
    owned, unused, notes = _without_secondary(_without_own_folders(owned))
    if hints.is_said_of_masks:
        return _as_said(owned, hints, notes, unused)
    refuse_copies(owned)
    owned, others, told = without_encodings(owned)
    notes, unused = (*notes, *told), (*unused, *others)
    owned, views, said = _without_views(owned)
    readings = _by_labels(owned, labels) or _decided(_without_common_folder(owned), hints)
    notes = (*notes, *said, *readings.notes)
    return _within(
        Readings(readings.masks, readings.names, None, readings.told, notes, (*unused, *readings.unused)), views
    )


def _without_own_folders(owned: MaskFiles) -> MaskFiles:
    """The masks without the folder that is called after their image, where all lie in such a one: it tells images."""
    if not all(_stem(image) in mask.folder.split("/") for image, masks in owned.items() for mask in masks):
        return owned
    return {image: [_outside(mask, _stem(image)) for mask in masks] for image, masks in owned.items()}


def _stem(image: str) -> str:
    return PurePath(image).name.partition(".")[0]


def _outside(mask: Owned, folder: str) -> Owned:
    return mask._replace(folder="/".join(part for part in mask.folder.split("/") if part != folder))


def _without_secondary(owned: MaskFiles) -> tuple[MaskFiles, tuple[Owned, ...], tuple[str, ...]]:
    """Masks in colours or by object are left out where there are others."""
    unused = list[Owned]()
    kept: dict[str, list[Owned]] = {}
    for image, masks in owned.items():
        plain = [mask for mask in masks if not mask_kind(mask).secondary] if len(masks) > 1 else masks
        kept[image] = plain or masks
        unused += [mask for mask in masks if mask not in kept[image]] if plain else []
    shown = told_files([mask.entry for mask in unused], [mask_kind(mask)[1:4] for mask in unused])
    told = (f"masks in colours, by object or by their borders beside others, not used: {shown}",) if unused else ()
    return kept, tuple(unused), told


def _without_common_folder(owned: MaskFiles) -> MaskFiles:
    """The masks without their folder where that of all is called alike, and their own names say something."""
    kinds = [mask_kind(mask) for masks in owned.values() for mask in masks]
    if len({kind.folder for kind in kinds}) != 1 or not all(kind.folder and kind.suffix for kind in kinds):
        return owned
    return {image: [mask._replace(folder="") for mask in masks] for image, masks in owned.items()}


def _without_views(owned: MaskFiles) -> tuple[MaskFiles, Mapping[str, list[Owned]], tuple[str, ...]]:
    """The masks without those of the field of view, those, and a sentence.

    Raises:
        DataError: masks of two kinds compete.
    """
    family = _family_of_views(owned)
    if not family:
        return owned, {}, ()
    views = {
        image: [mask for mask in masks if _is_view(mask, family)]
        for image, masks in owned.items()
        if any(_is_view(mask, family) for mask in masks)
    }
    rest = {image: [mask for mask in masks if mask not in views.get(image, ())] for image, masks in owned.items()}
    rest = {image: masks for image, masks in rest.items() if masks}
    where = sorted({place_of(mask) for masks in views.values() for mask in masks})
    note = (
        f"masks of the field of view, in which all that is drawn lies: {', '.join(where[:3])} ({len(views)}); pixels "
        "outside do not count. If that is wrong, name the masks that are meant with --masks"
    )
    return rest, views, (note,)


def _is_view(mask: Owned, family: tuple[str, ...]) -> bool:
    kind = mask_kind(mask)
    return kind.view or (kind.family == family and not kind.name and not kind.reads)


def _family_of_views(owned: MaskFiles) -> tuple[str, ...]:
    """The words of the masks that show the field of view; empty where there are none."""
    named = [mask_kind(mask).family for masks in owned.values() for mask in masks if mask_kind(mask).view]
    if named:
        return named[0]
    pairs = defaultdict[tuple[tuple[str, ...], tuple[str, ...]], list[tuple[Owned, Owned]]](list)
    for masks in owned.values():
        plain = [mask for mask in masks if not mask_kind(mask).name]
        first = {mask_kind(mask).family: mask for mask in reversed(plain)}
        for one, other in combinations(sorted(first), 2):
            pairs[one, other].append((first[one], first[other]))
    for both in pairs.values():
        kinds = [mask_kind(mask) for mask in both[0]]
        if all(kind.reads for kind in kinds):
            continue
        found = are_views(both)
        if found is None:
            raise competing(owned, both)
        return mask_kind(both[0][found]).family
    return ()


def _within(readings: Readings, views: Mapping[str, list[Owned]]) -> Readings:
    """The same where pixels outside of the field of view say nothing."""
    if not views:
        return readings
    masks = {
        image: tuple(
            joined_name([*mask_parts(mask), *(MaskPart(WITHIN, view.entry.locator) for view in views.get(image, ()))])
            for mask in of_image
        )
        for image, of_image in readings.masks.items()
    }
    return Readings(masks, readings.names, OUTSIDE, readings.told, readings.notes, readings.unused)


def _decided(owned: MaskFiles, hints: ReadOptions) -> Readings:
    """What several masks are where nobody said it."""
    several = {image: masks for image, masks in owned.items() if len(masks) > 1}
    names = _names(owned)
    if not several:
        return _of_classes(owned, names, hints) if _is_one_of_several_classes(owned, names) else _as_readers(owned)
    kinds = [mask_kind(mask) for masks in several.values() for mask in masks]
    if all(kind.reads for kind in kinds):
        if _are_of_classes_too(several):
            raise readers_of_classes(several, "each of several readers has files of several names")
        return _checked_readers(owned, several)
    named = [kind for kind in kinds if kind.name]
    if len(named) == len(kinds) and names:
        return _of_names(owned, several, names, hints)
    words = [kind for kind in named if not any(letter.isdigit() for letter in kind.name)]
    if len(named) < len(kinds) and len(words) >= _RARE * len(kinds):
        if readings := _readers_beside_others(owned):
            return readings
        raise unclear(several, "some have names, and others none")
    measured = mask_overlap(several)
    if measured is None:
        return _as_readers(owned) if all(kind.number is not None or not kind.name for kind in kinds) else _join(owned)
    if measured.apart:
        return _join(owned)
    if measured.together:
        return _as_readers(owned)
    raise unclear(several, measured.sentence())


def _readers_beside_others(owned: MaskFiles) -> Readings | None:
    """The numbered readers of each image, where other files beside theirs have names: a consensus, the brain.

    None where an image has no two of them, or they do not lie on one another.
    """
    readers = {image: list(filter(_is_numbered_reader, masks)) for image, masks in owned.items()}
    measured = mask_overlap(readers) if all(len(of_image) > 1 for of_image in readers.values()) else None
    if measured is None or not measured.together:
        return None
    others = tuple(mask for masks in owned.values() for mask in masks if not _is_numbered_reader(mask))
    where = ", ".join(sorted({place_of(mask) for mask in others})[:3])
    readings = _as_readers(readers)
    note = f"masks of other names beside those of readers, not used: {len(others)} ({where}); --masks with a pattern "
    return Readings(readings.masks, told=readings.told, notes=(note + "names what is meant",), unused=others)


def _is_numbered_reader(mask: Owned) -> bool:
    kind = mask_kind(mask)
    return kind.reads and kind.number is not None and not kind.name


def _by_labels(owned: MaskFiles, labels: Mapping[str, frozenset[str]]) -> Readings | None:
    """What several masks are by the names of what is drawn in them; None where these do not decide it.

    Raises:
        DataError: nobody can know.
    """
    several = {image: masks for image, masks in owned.items() if len(masks) > 1}
    if not several:
        return None
    drawn = {image: [labels.get(mask.entry.locator) for mask in masks] for image, masks in owned.items()}
    if not all(all(names) for names in drawn.values()):
        return None
    each = [[names for names in drawn[image] if names] for image in several]
    differ = all(not one & other for names in each for one, other in combinations(names, 2))
    every = [name for of_image in drawn.values() for names in of_image for name in names or ()]
    measured = mask_overlap(several)
    if differ and _come_again(every, owned) and not (measured is not None and measured.alike):
        return _join(owned, what="files of different labels, put together; where these overlap, the later name counts,")
    if measured is not None and measured.apart:
        return _join(owned)
    if measured is not None and measured.together and all(len(set(names)) == 1 for names in each):
        return _as_readers(owned)
    raise unclear(several, "nothing is drawn in them" if measured is None else measured.sentence())


def _come_again(names: Sequence[str], owned: MaskFiles) -> bool:
    """Whether names are those of classes: of other images too, or of a single one without numbers."""
    holders = Counter(names)
    if len(owned) == 1:
        return not any(character.isdigit() for name in holders for character in name)
    return 2 * sum(count > 1 for count in holders.values()) > len(holders)


def _names(owned: MaskFiles) -> list[str]:
    """Names of masks that come again with other images, in natural order; none where they are names of objects."""
    holders: Counter[str] = Counter()
    for masks in owned.values():
        holders.update({mask_kind(mask).name for mask in masks} - {""})
    if not holders:
        return []
    again = [name for name, count in holders.items() if count > 1]
    alone = len(owned) == 1 and all(not any(character.isdigit() for character in name) for name in holders)
    if alone or 2 * len(again) > len(holders):
        return sorted(holders, key=natural)
    return []


def _is_one_of_several_classes(owned: MaskFiles, names: Sequence[str]) -> bool:
    """Whether each image has a file of one class, and these differ by more than what all files are called."""
    masks = [mask for of_image in owned.values() for mask in of_image]
    if len(names) < 2 or not all(mask_kind(mask).name for mask in masks):
        return False
    often = frozenset.intersection(*(frozenset(token.text for token in tokens(mask.entry.stem)) for mask in masks))
    return len({_behind(name, often) for name in names}) > 1


def _behind(name: str, often: frozenset[str]) -> tuple[str, ...]:
    """The words of a name without those at its beginning that all files have, and the numbers behind these."""
    found = list(tokens(name))
    if found and found[0].text in often:
        found = list(dropwhile(lambda token: token.text in often or token.number is not None, found))
    return tuple(token.text for token in found)


def _of_names(owned: MaskFiles, several: MaskFiles, names: Sequence[str], hints: ReadOptions) -> Readings:
    words = {token.text for name in names for token in tokens(name)}
    measured = mask_overlap(several)
    if measured is not None and measured.alike and not (measured.nested and _are_structures(names)):
        raise unclear(several, f"they are nearly alike ({measured.sentence()}): are these readers?")
    are_sides = bool(words & SIDES) and len(names) == 2 and len({_without_sides(name) for name in names}) == 1
    if are_sides and (measured is None or measured.apart):
        return _join(owned, what=f"sides ({', '.join(names)}), joined")
    twice = dict(_twice_of_one_name(several))
    if twice and (measured := mask_overlap(twice)) is not None and measured.together:
        why = f"those of one name lie on one another ({measured.sentence()}): are these readers?"
        raise readers_of_classes(several, why)
    if not hints.class_names and (why := not_of_one_class(several)):
        raise instead(several, why)
    return _of_classes(owned, names, hints)


def _are_structures(names: Sequence[str]) -> bool:
    """Whether all names have words for what is drawn, and these differ."""
    said = [frozenset(token.text for token in tokens(name)) & STRUCTURES for name in names]
    return all(said) and len(set(said)) == len(names)


def _are_of_classes_too(several: MaskFiles) -> bool:
    """Whether the files of readers have names, each of which comes again with another reader."""
    named = [Counter(mask_kind(mask).name for mask in masks) for masks in several.values()]
    return sum(len(names) > 1 and "" not in names and min(names.values()) > 1 for names in named) > len(named) / 2


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


def _checked_readers(owned: MaskFiles, several: MaskFiles) -> Readings:
    measured = mask_overlap(several)
    if measured is not None and measured.apart:
        raise unclear(several, f"they are called after readers, but never lie on one another ({measured.sentence()})")
    return _as_readers(owned)


def _as_readers(owned: MaskFiles) -> Readings:
    masks = {image: tuple(mask.entry.locator for mask in sorted(of, key=order_of)) for image, of in owned.items()}
    most = max((len(of_image) for of_image in masks.values()), default=0)
    return Readings(masks, told=f"readers: {most}" if most > 1 else "")


def _join(owned: MaskFiles, *, what: str = "") -> Readings:
    masks = {
        image: (joined_name([MaskPart("", mask.entry.locator) for mask in sorted(of_image, key=order_of)]),)
        for image, of_image in owned.items()
    }
    joined_images = sum(len(of_image) > 1 for of_image in owned.values())
    parts = what or "parts of one mask (they lie beside one another), joined"
    told = f"{parts} in {counted(joined_images, 'image')} (else --readers-by or --classes-by folder or suffix)"
    return Readings(masks, told=told if joined_images else "")


def _of_classes(owned: MaskFiles, names: Sequence[str], hints: ReadOptions, by: str = "name") -> Readings:
    """A value for each name.

    Raises:
        DataError: a class that was named has no file, or there are too many.
    """
    wanted = [name for value, name in hints.names_of_classes.items() if value] or list(names)
    if missing := [name for name in wanted if name not in names]:
        raise DataError(
            f"no mask is called after the class {', '.join(missing)}",
            expected=f"names among: {', '.join(names[:20])}",
            remedy="give other --class-names",
            code="DATA-064",
        )
    if len(wanted) > LARGEST_CLASS:
        raise DataError(
            f"masks of {len(wanted)} classes",
            expected=f"at most {LARGEST_CLASS}",
            remedy="choose some with --class-names",
            code="DATA-014",
        )
    values = {name: value for value, name in enumerate(wanted, start=1)}
    masks, lacking, unused = dict[str, tuple[str, ...]](), 0, list[Owned]()
    for image, of_image in owned.items():
        parts = [(values.get(name_by(mask, by), 0), mask) for mask in of_image]
        unused += [mask for value, mask in parts if not value]
        kept = sorted(((value, mask) for value, mask in parts if value), key=lambda part: (part[0], order_of(part[1])))
        if kept:
            masks[image] = (joined_name([MaskPart(str(value), mask.entry.locator) for value, mask in kept]),)
        lacking += len({value for value, _ in kept}) < len(values)
    notes = [f"images that lack a file for some class, taken for having none of it: {lacking}"] if lacking else []
    notes += [f"masks of other classes, not used: {len(unused)}"] if unused else []
    left = set(unused)
    notes += _about_overlap({image: [mask for mask in masks if mask not in left] for image, masks in owned.items()})
    either = any(mask_kind(mask).folder and mask_kind(mask).suffix for masks in owned.values() for mask in masks)
    other = "--classes-by suffix, " if by == "name" and either else ""
    told = f"a file for each class: {', '.join(wanted[:12])}{' ...' if len(wanted) > 12 else ''}"
    return Readings(
        masks,
        {0: "background", **{value: name for name, value in values.items()}},
        None,
        f"{told} (else {other}--join-masks or --readers-by folder or suffix)",
        tuple(notes),
        tuple(unused),
    )


def _about_overlap(owned: MaskFiles) -> Iterator[str]:
    """What a mask of one class for each pixel cannot hold of files of several, and files that look inverted."""
    several = {image: masks for image, masks in owned.items() if len(masks) > 1}
    measured = mask_overlap(several) if several else None
    if measured is None:
        return
    if measured.filled >= _MOST_INVERTED:
        yield (
            f"{measured.filled:.0%} of the files of classes are filled along the rim: are they inverted? If so, swap 0 "
            "and 255 in the files; of a single class that is named with --masks, check --fix-into does it"
        )
    elif measured.doubled >= _NOTICED:
        yield (
            f"{measured.doubled:.0%} of what is drawn lies in files of several classes: each pixel has one, that of "
            "the smaller object (a cup within its disc); where both are to count, train on one class at a time, named "
            "with --masks"
        )


def _as_said(owned: MaskFiles, hints: ReadOptions, notes: tuple[str, ...], unused: tuple[Owned, ...]) -> Readings:
    """What the masks are by the words of a person.

    Raises:
        DataError: they are not so.
    """
    if hints.join_masks:
        readings = _join(owned, what="parts of one mask, joined as asked")
    elif hints.classes_by is not None:
        by = hints.classes_by
        names = sorted({name_by(mask, by) for masks in owned.values() for mask in masks}, key=natural)
        if "" in names:
            raise nameless(owned, by, "class")
        readings = _of_classes(owned, names, hints, by)
    else:
        by = hints.readers_by or "suffix"
        readings = _by_readers(owned, by)
    return Readings(
        readings.masks, readings.names, None, readings.told, (*notes, *readings.notes), (*unused, *readings.unused)
    )


def _by_readers(owned: MaskFiles, by: str) -> Readings:
    """A reader for each folder or suffix; several files of one reader are parts."""
    masks = dict[str, tuple[str, ...]]()
    for image, of_image in owned.items():
        readers = defaultdict[str, list[MaskPart]](list)
        for mask in sorted(of_image, key=order_of):
            text = (mask.folder or "/".join(mask.entry.parts[:-1])) if by == "folder" else mask.rest
            readers[text].append(MaskPart("", mask.entry.locator))
        masks[image] = tuple(joined_name(readers[text]) for text in sorted(readers, key=natural))
    most = max(map(len, masks.values()), default=0)
    return Readings(masks, told=f"readers by {by}: {most}")
