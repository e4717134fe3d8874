"""Masks of one image that are no files of a class each, though their names say so: each would do without the others.

    Lung_Mask, Infection_Mask, Lung_and_Infection_Mask     one of them holds what the others show, and nothing else
    organs.nii.gz beside tumour.nii.gz                     one of them has several classes

As files of classes they would lose what their values say, or make a class without a pixel. So they are refused, with
the patterns that choose one of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from os import sep
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.kinds import mask_kind
from sfumato.data.source.matching.mask_files import MaskFiles, all_masks
from sfumato.data.source.matching.overlap import MASKS_COMPARED, sampled
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.pattern_pair import PatternPair
from sfumato.data.source.matching.undecided import flags_for, unclear
from sfumato.data.source.matching.ways import patterns_of, way, ways_of_kinds, with_reader
from sfumato.data.source.words import READERS, tokens
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_LARGEST = 32
"""Values up to this one are several classes of a file; larger ones are greys, or numbers of objects."""


_OF_A_NAME = 2
"""Files of each name that are looked at."""


class _Shown(NamedTuple):
    """What a file shows: its values but 0, and where."""

    name: str
    values: frozenset[int]
    area: np.ndarray


def not_of_one_class(several: MaskFiles) -> str:
    """Why files with names are no files of a class each; empty where nothing speaks against it.

    Args:
        several: the mask files of images with several; of each image, only a few are looked at.
    """
    if any(Locator.parse(mask.entry.locator).member for masks in several.values() for mask in masks[:1]):
        return ""
    values, holds_all = dict[str, int](), defaultdict[str, list[bool]](list)
    for masks in sampled(list(several.values())):
        shown = list(_shown(masks[:MASKS_COMPARED]))  # a hundred volumes of a scan are more than memory holds
        for one in shown:
            if len(one.values) > 1 and max(one.values) <= _LARGEST:
                values[one.name] = max(values.get(one.name, 0), len(one.values))
            others = [other.area for other in shown if other is not one and other.area.shape == one.area.shape]
            if 1 < len(others) == len(masks) - 1 and one.area.any():
                together = np.logical_or.reduce(others)
                holds_all[one.name].append(bool((together == one.area).all()))
    if values:
        told = ", ".join(f"{name} has {count} values" for name, count in values.items())
        return f"{told}, beside files of other names"
    for name, each in holds_all.items():
        if len(each) > 1 and all(each):
            return f"{name} shows what the others show together, and nothing else"
    return ""


def have_the_same_values(owned: MaskFiles) -> bool:
    """Whether files of several names have the same values, several of them but 0: these tell classes, and no name does.

    A few files of each name are looked at.
    """
    named = defaultdict[str, list[Owned]](list)
    for mask in all_masks(owned):
        named[mask_kind(mask).name].append(mask)
    found = list[frozenset[int]]()
    for masks in named.values():
        found += [one.values for one in _shown(masks[:_OF_A_NAME])]
    return len(named) > 1 and len(set(found)) == 1 and len(found[0]) > 1


def _shown(masks: Sequence[Owned]) -> Iterator[_Shown]:
    for mask in masks:
        path = Path(mask.entry.locator)
        try:
            raw = np.asarray(read_volume(path).voxels) if is_volume(path) else read_mask(mask.entry.locator)
        except DataError:
            continue
        yield _Shown(mask_kind(mask).name, frozenset(np.unique(raw).tolist()) - {0}, raw != 0)


def instead(several: MaskFiles, why: str) -> DataError:
    """The error about such masks, with the patterns of each kind of them."""
    shown = [f"{image}: {', '.join(mask.entry.where for mask in masks)}" for image, masks in several.items()]
    choices = "; ".join(ways_of_kinds(several))
    if choices:
        remedy = f"choose one: {choices}. With --classes-by folder or suffix each file is a class all the same"
    else:
        remedy = flags_for(several)
    return DataError(
        f"{counted(len(several), 'image has', 'images have')} several masks, and these are no files of a class each: "
        f"{why}\n{listed(shown)}",
        expected="one file of masks for each image, or a file for each class",
        remedy=remedy,
        code="DATA-011",
    )


def readers_of_classes(several: MaskFiles, why: str) -> DataError:
    """The error about files of several classes of several readers, with the pattern of the readers of each class."""
    image, masks = max(several.items(), key=lambda one: len(one[1]))
    named = defaultdict[str, list[str]](list)
    for mask in masks if len({PurePath(one).parent for one in several}) == 1 else ():
        named[mask_kind(mask).name].append(way(image, mask))
    patterns = list(filter(None, (with_reader(found) for found in named.values() if len(found) > 1)))
    told = "; ".join(patterns) or "--images 'PLACE/{id}.tif' --masks 'PLACE/{id}_{reader}.tif'"
    return unclear(several, why, [f"readers of one class alone: {told}"])


def class_before_reader(mask: Owned) -> str:
    """The words that stand before that for a reader in the name of a mask: `tumor` of `_tumor_reader1`."""
    words = tokens(mask.rest)
    place = next((place for place, word in enumerate(words) if word.text in READERS), 0)
    return mask.rest[words[0].start : words[place - 1].end] if place else ""


def refuse_classes_before_readers(several: MaskFiles) -> None:
    """Refuse masks of readers of an image that have different names before the word for the reader.

    Raises:
        DataError: there are such, with the pattern of the classes of one reader.
    """
    named = {image: {class_before_reader(mask) for mask in masks} for image, masks in several.items()}
    drawn = {image: several[image] for image, names in named.items() if len(names) > 1 and "" not in names}
    if not drawn:
        return
    names = sorted(set[str]().union(*(named[image] for image in drawn)))
    ways = list(dict.fromkeys(_ways_of_classes(drawn)))
    raise unclear(
        drawn, f"their names differ before the word for a reader ({', '.join(names)}): are these classes?", ways
    )


def _ways_of_classes(drawn: MaskFiles) -> Iterator[str]:
    """The flags of the classes of each reader of the first image, as tried on the files."""
    image, masks = next(iter(drawn.items()))
    for mask in masks:
        found = patterns_of(image, mask)
        if found is None:
            continue
        masked = found.masks.replace(class_before_reader(mask), "{class}", 1)
        stem = PurePath(image).name.partition(".")[0]
        by_name = PatternPair(*(f"**/{PurePath(one).name}" for one in (found.images, masked)))
        by_folder = PatternPair(
            *(one.replace("**/", "**/{id}/").replace("/{id}/{id}", f"/{{id}}/{stem}") for one in by_name)
        )
        for pair in (by_folder, by_name):
            if _gives_classes(pair, drawn):
                yield pair.flags()
                break


def _gives_classes(pair: PatternPair, drawn: MaskFiles) -> bool:
    """Whether patterns give all images several masks."""
    first = next(iter(all_masks(drawn))).entry
    above = first.locator.removesuffix(first.where.replace("/", sep))
    images = [SourceFile(image, PurePath(image.removeprefix(above)).parts) for image in drawn]
    matched = pair.matched([*images, *(mask.entry for mask in all_masks(drawn))])
    return matched is not None and len(matched.owned) == len(drawn) and max(map(len, matched.owned.values())) > 1
