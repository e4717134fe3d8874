"""What the sizes at which people train would cost the masks of a set."""

from collections.abc import Iterator, Sequence

import numpy as np

from sfumato.data.facts import CaseFacts
from sfumato.data.formats.image import read_mask
from sfumato.data.inspection.finding import Finding
from sfumato.data.inspection.meaning import LabelMapping
from sfumato.data.placement import Canvas, size_within
from sfumato.data.sharpness import OriginalMask, Sharpness, rows_to_measure, sharpness
from sfumato.data.source import DiscoveredDataset
from sfumato.errors import DataError
from sfumato.wording import counted

_SIDES = (64, 128, 256)
"""Longer sides in pixels; the first is that of a set that is prepared without `--size`."""


def find_in_sizes(found: DiscoveredDataset, facts: Sequence[CaseFacts], meaning: LabelMapping) -> Iterator[Finding]:
    """How sharp a mask can be at each of the usual sizes that are smaller than the images."""
    sizes = [fact.image.size for fact in facts if fact.image is not None]
    if not (found.has_masks and sizes):
        return
    sharp = sharpness(_originals(found, facts, meaning), _canvases(sizes))
    if not sharp:
        return
    first = sharp[0]
    reached = ", ".join(f"{each.dice:.2f} at {_side(each)}" for each in sharp)
    measured = counted(first.masks, "mask")
    costly = first.is_costly
    yield Finding(
        code="DATA-104",
        severity="warning" if costly else "note",
        text=f"a perfect mask, brought to a smaller size and back, reaches Dice {reached} pixels "
        f"({measured} measured){_lost(first)}",
        fix="choose the size by it (--size); without one such images keep their own" if costly else "",
    )


def _canvases(sizes: Sequence[tuple[int, int]]) -> list[Canvas]:
    """Those of the usual sizes that are smaller than the median image, in its shape."""
    height, width = np.median(sizes, axis=0).tolist()
    return [Canvas(size_within((height, width), side)) for side in _SIDES if side < max(height, width)]


def _side(at: Sharpness) -> int:
    """The longer one."""
    assert at.size is not None, "all canvases that are tried have a size"
    return max(at.size)


def _lost(at: Sharpness) -> str:
    """What of the masks is gone at a size."""
    gone = list[str]()
    if at.lost:
        gone.append(f"{at.lost} of {counted(at.objects, 'object')} are lost")
    if at.emptied:
        gone.append(f"{at.emptied} of {counted(at.masks, 'mask')} come out empty")
    if not gone:
        return ""
    return f"; at {_side(at)} pixels {' and '.join(gone)}"


def _originals(found: DiscoveredDataset, facts: Sequence[CaseFacts], meaning: LabelMapping) -> Iterator[OriginalMask]:
    """Masks spread over the set, as classes; those that are found to be wrong elsewhere are left out."""
    for row in rows_to_measure(found.cases):
        image = facts[row].image
        if image is None or facts[row].masks[0] is None:
            continue
        try:
            mask = meaning.apply(read_mask(found.cases[row].masks[0]), row, 0)
        except DataError:
            continue
        if mask.shape == image.size:
            yield OriginalMask(mask)
