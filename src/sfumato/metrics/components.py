"""Connected components of a class in a mask, and three repairs of drawn masks that are made of them.

    keep_largest     only the largest component stays
    fill_holes       background that the class encloses becomes the class
    drop_small       components below a number of pixels go

in masks of any number of dimensions. Pixels that touch are connected, by a corner too (8 neighbours in a plane, 26 in a
volume, as in `data/sharpness.py`); so what encloses a hole may touch by corners alone, and the background passes
through faces only. What is removed becomes background, and no pixel of another class ever changes.

Source: Isensee et al., nnU-Net, Nature Methods 18 (2021), which keeps the largest component where that raises the Dice
of validation cases.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from sfumato.metrics.overlap import IndexMask


class _Components(NamedTuple):
    """The components of a class: the number of each at its pixels, 0 elsewhere, and their pixels in this order."""

    labels: Integer[np.ndarray, "..."]
    sizes: Integer[np.ndarray, " n"]


def component_sizes(mask: IndexMask, mask_class: int) -> Integer[np.ndarray, " n"]:
    """Pixels of each component of a class, in the order of their first pixels."""
    return _components(mask, mask_class).sizes


def keep_largest(mask: IndexMask, mask_class: int) -> IndexMask:
    """A mask with the largest component of a class alone; of equal ones with the first.

    Args:
        mask: class indices, 0 is the background.
        mask_class: index of the class.
    """
    labels, sizes = _components(mask, mask_class)
    if len(sizes) < 2:
        return mask
    return _set(mask, (labels > 0) & (labels != 1 + sizes.argmax()), 0)


def fill_holes(mask: IndexMask, mask_class: int) -> IndexMask:
    """A mask whose background is filled where a class encloses it; other classes stay, also those inside.

    Args:
        mask: class indices, 0 is the background.
        mask_class: index of the class.
    """
    from scipy import ndimage

    enclosed = ndimage.binary_fill_holes(mask == mask_class)  # its default lets the background pass through faces only
    return _set(mask, enclosed & (mask == 0), mask_class)


def drop_small(mask: IndexMask, mask_class: int, *, least: float) -> IndexMask:
    """A mask without the components of a class that have fewer than `least` pixels.

    Args:
        mask: class indices, 0 is the background.
        mask_class: index of the class.
        least: in pixels, which need not be whole.
    """
    labels, sizes = _components(mask, mask_class)
    small = np.concatenate([[False], sizes < least])
    return _set(mask, small[labels], 0)


def _components(mask: IndexMask, mask_class: int) -> _Components:
    from scipy import ndimage

    labels, count = ndimage.label(mask == mask_class, np.ones((3,) * mask.ndim))
    return _Components(labels, np.bincount(labels.ravel(), minlength=count + 1)[1:])


def _set(mask: IndexMask, where: Bool[np.ndarray, "..."], value: int) -> IndexMask:
    changed = mask.copy()
    changed[where] = value
    return changed
