"""Several mask files of each image, read as readers, as parts of one mask, or as classes with a value each."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sfumato.data.formats.joined import LARGEST_CLASS, MaskPart, joined_name
from sfumato.data.order import natural
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.matching.kinds import mask_kind, name_by, order_of
from sfumato.data.source.matching.mask_files import MaskFiles, all_masks, with_several
from sfumato.data.source.matching.overlap import mask_overlap
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.ways import ways_of_kinds
from sfumato.errors import DataError
from sfumato.wording import counted

_NOTICED, _MOST_INVERTED, _INVERTED = 0.01, 0.5, 0.9
"""Shares from which on pixels of several classes, and files that look inverted, are told, and the latter refused."""

_SHOWN = 12
"""Classes that are told."""


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


def as_readers(owned: MaskFiles) -> Readings:
    """Each file is that of a reader."""
    masks = {image: tuple(_locators(of_image)) for image, of_image in owned.items()}
    most = max((len(of_image) for of_image in masks.values()), default=0)
    return Readings(masks, told=f"readers: {most}" if most > 1 else "")


def as_readers_by(owned: MaskFiles, by: str) -> Readings:
    """A reader for each folder or suffix; several files of one reader are parts."""
    masks = {image: _of_each_reader(of_image, by) for image, of_image in owned.items()}
    most = max(map(len, masks.values()), default=0)
    return Readings(masks, told=f"readers by {by}: {most}")


def _of_each_reader(masks: Sequence[Owned], by: str) -> tuple[str, ...]:
    """The masks of an image, one for each reader in the order of their names."""
    readers = defaultdict[str, list[MaskPart]](list)
    for mask in sorted(masks, key=order_of):
        folder = mask.folder or "/".join(mask.entry.parts[:-1])
        reader = folder if by == "folder" else mask.rest
        readers[reader].append(MaskPart("", mask.entry.locator))
    return tuple(joined_name(readers[reader]) for reader in sorted(readers, key=natural))


def as_parts(owned: MaskFiles, *, what: str = "") -> Readings:
    """All files of an image are parts of one mask.

    Args:
        owned: the masks of each image.
        what: what they are, to be told.
    """
    masks = dict[str, tuple[str, ...]]()
    for image, of_image in owned.items():
        parts = [MaskPart("", locator) for locator in _locators(of_image)]
        masks[image] = (joined_name(parts),)
    joined_images = len(with_several(owned))
    if not joined_images:
        return Readings(masks)
    what = what or "parts of one mask (they lie beside one another), joined"
    told = f"{what} in {counted(joined_images, 'image')} (else --readers-by or --classes-by folder or suffix)"
    return Readings(masks, told=told)


def _locators(masks: Sequence[Owned]) -> list[str]:
    """The files of masks in the order of readers and parts."""
    return [mask.entry.locator for mask in sorted(masks, key=order_of)]


class _ClassFile(NamedTuple):
    """A mask file of a class, and the value of this."""

    value: int
    mask: Owned


def as_classes(owned: MaskFiles, names: Sequence[str], hints: ReadOptions, by: str = "name") -> Readings:
    """A value for each name.

    Raises:
        DataError: a class that was named has no file, there are too many, or files look inverted.
    """
    wanted = _wanted_classes(names, hints)
    values = {name: value for value, name in enumerate(wanted, start=1)}
    used = {image: _files_of_classes(masks, values, by) for image, masks in owned.items()}
    unused = tuple(mask for mask in all_masks(owned) if name_by(mask, by) not in values)
    masks = dict[str, tuple[str, ...]]()
    for image, files in used.items():
        if files:
            parts = [MaskPart(str(file.value), file.mask.entry.locator) for file in files]
            masks[image] = (joined_name(parts),)
    return Readings(
        masks,
        names={0: "background", **{value: name for name, value in values.items()}},
        told=_told_classes(wanted, owned, by),
        notes=(*_about_lacking(used, len(values)), *_about_unused(unused), *_about_overlap(owned, unused)),
        unused=unused,
    )


def _wanted_classes(names: Sequence[str], hints: ReadOptions) -> list[str]:
    """The names of the classes that are read: those a person gave, else all."""
    wanted = [name for value, name in hints.names_of_classes.items() if value] or list(names)
    missing = [name for name in wanted if name not in names]
    if missing:
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
    return wanted


def _files_of_classes(masks: Sequence[Owned], values: Mapping[str, int], by: str) -> list[_ClassFile]:
    """The files of an image that are called after a class with a value, in the order of these."""
    named = [(name_by(mask, by), mask) for mask in masks]
    files = [_ClassFile(values[name], mask) for name, mask in named if name in values]
    return sorted(files, key=lambda file: (file.value, order_of(file.mask)))


def _told_classes(wanted: Sequence[str], owned: MaskFiles, by: str) -> str:
    """What was made of the files, and what else they may be."""
    shown = ", ".join(wanted[:_SHOWN]) + (" ..." if len(wanted) > _SHOWN else "")
    by_either = any(mask_kind(mask).folder and mask_kind(mask).suffix for mask in all_masks(owned))
    other = "--classes-by suffix, " if by == "name" and by_either else ""
    return f"a file for each class: {shown} (else {other}--join-masks or --readers-by folder or suffix)"


def _about_lacking(used: Mapping[str, Sequence[_ClassFile]], classes: int) -> Iterator[str]:
    """How many images have no file of some class."""
    lacking = sum(len({file.value for file in files}) < classes for files in used.values())
    if lacking:
        yield f"images that lack a file for some class, taken for having none of it: {lacking}"


def _about_unused(unused: Sequence[Owned]) -> Iterator[str]:
    if unused:
        yield f"masks of other classes, not used: {len(unused)}"


def _about_overlap(owned: MaskFiles, unused: Sequence[Owned]) -> Iterator[str]:
    """What a mask of one class for each pixel cannot hold of files of several.

    Raises:
        DataError: files look inverted.
    """
    left = set(unused)
    several = with_several({image: [mask for mask in masks if mask not in left] for image, masks in owned.items()})
    measured = mask_overlap(several) if several else None
    if measured is None:
        return
    if measured.filled >= _INVERTED:
        raise _inverted(several, measured.filled)
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


def _inverted(several: MaskFiles, share: float) -> DataError:
    """The error about files of classes whose objects and backgrounds have changed places."""
    image, *_ = several
    one = next(iter(ways_of_kinds(several)), "--masks with a pattern")
    return DataError(
        f"{share:.0%} of the files of classes are filled along the rim, as inverted ones are, such as those of "
        f"{image}: what surrounds the objects would be the classes",
        expected="0 for the background in the file of each class",
        remedy="swap 0 and the other value in the files; or read one class at a time, whose masks check --fix-into DIR "
        f"puts right: {one}",
        code="DATA-011",
    )
