"""Patterns that pair images with masks in the folder of each case, where names have nothing in common.

p1/raw/T1.nii.gz, p1/raw/T2.nii.gz, p1/Masks/Manual_1.nii.gz ...
--images '**/{id}/raw/{channel}.nii.gz' --masks '**/{id}/Masks/Manual_{reader}.nii.gz'
"""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sfumato.data.formats.locator import BETWEEN
from sfumato.data.source.listing import ending_among
from sfumato.data.source.patterns import common_start

NUMBER = re.compile(r"(.*?[^\d])\d+")
"""A name that ends in a number."""


def flags_of_cases(images: Sequence[str], masks: Sequence[str]) -> str:
    """The flags that pair images with masks by the folders in which both lie; empty where they share none.

    The names of both must come again in the folders of other cases.

    Args:
        images: locators of images without a mask.
        masks: locators of masks without an image.
    """
    if not images or not masks or any(BETWEEN in locator for locator in (*images, *masks)):
        return ""
    root, drawn = len(Path(os.path.commonpath([*images, *masks])).parts), _of_readers(masks)
    image, mask = (Path(locator).parts[root:] for locator in (images[0], drawn))
    shared = 0
    while shared < min(len(image), len(mask)) - 1 and image[shared] == mask[shared]:
        shared += 1
    beside = [name for folder, name in map(os.path.split, images) if folder == os.path.dirname(images[0])]  # noqa: PTH120
    again = Counter(map(os.path.basename, (*images, drawn, *masks)))
    if not shared or any(again[name] < 2 for name in beside) or again[mask[-1]] < 3:
        return ""
    case, names = "{id}/" * shared, [_channels(beside), _readers(mask[-1], masks)]
    rest = ["/".join((*parts[shared:-1], name)) for parts, name in zip((image, mask), names, strict=True)]
    return f"--images '**/{case}{rest[0]}' --masks '**/{case}{rest[1]}'"


def _of_readers(masks: Sequence[str]) -> str:
    """The first mask that is numbered, else the first."""
    return next((mask for mask in masks if NUMBER.fullmatch(_stem(mask))), masks[0])


def _channels(names: Sequence[str]) -> str:
    """The names of the images of a case, with {channel} for what differs in them."""
    if len(names) == 1:
        return names[0]
    start = re.sub(r"[^ _.-]+$", "", common_start(names))
    end = common_start([name[::-1] for name in names])[::-1]
    end = end[re.search(r"[ _.-]|$", end).start() :]  # type: ignore[union-attr]
    return f"{start}{{channel}}{end}"


def _readers(name: str, masks: Sequence[str]) -> str:
    """The name of a mask, with {reader} for a number that others have otherwise."""
    ending = ending_among([name])
    stem = name.removesuffix(ending)
    found = NUMBER.fullmatch(stem)
    if found and any(_stem(mask) != stem and _stem(mask).startswith(found[1]) for mask in masks):
        return f"{found[1]}{{reader}}{ending}"
    return name


def _stem(locator: str) -> str:
    name = Path(locator).name
    return name.removesuffix(ending_among([name]))
