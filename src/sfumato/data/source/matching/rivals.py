"""Masks of one image that are no files of a class each, though their names say so: each would do without the others.

    Lung_Mask, Infection_Mask, Lung_and_Infection_Mask     one of them holds what the others show, and nothing else
    organs.nii.gz beside tumour.nii.gz                     one of them has several classes

As files of classes they would lose what their values say, or make a class without a pixel. So they are refused, with
the patterns that choose one of them.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume, read_volume
from sfumato.data.source.matching.kinds import mask_kind
from sfumato.data.source.matching.mask_files import MaskFiles
from sfumato.data.source.matching.overlap import MASKS_COMPARED, sampled
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.undecided import flags_for, unclear
from sfumato.data.source.matching.ways import way, ways_of_kinds, with_reader
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_LARGEST = 32
"""Values up to this one are several classes of a file; larger ones are greys, or numbers of objects."""


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
