"""The mask files of images, of which some have several."""

from collections.abc import Iterator, Mapping
from itertools import chain

from sfumato.data.source.matching.pairing import Owned

MaskFiles = Mapping[str, list[Owned]]
"""The mask files of each image by its locator."""


def all_masks(owned: MaskFiles) -> Iterator[Owned]:
    """The masks of all images."""
    return chain.from_iterable(owned.values())


def with_several(owned: MaskFiles) -> MaskFiles:
    """The masks of the images that have more than one."""
    return {image: masks for image, masks in owned.items() if len(masks) > 1}
