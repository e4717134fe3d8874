"""Channels of one image whose numbers have ranges of their own, as CT in Hounsfield units and PET in SUV: told.

All channels of a set are brought to one range: of -1000 to 1500, a channel from 0 to 20 takes one hundredth, and a
model hardly sees it.
"""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from sfumato.data.formats.image import read_image
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.errors import DataError

_CASES = 4
"""Cases that are looked at."""

_LITTLE = 0.05
"""Share of the range of all channels below which that of one is told."""

_INNER = (0.5, 99.5)
"""Percentiles between which most numbers lie."""


def about_ranges(found: DiscoveredDataset) -> list[str]:
    """A note about channels that take little of the range of all; none for pictures of 8 bits."""
    several = [case for case in found.cases if case.channels]
    step = max(1, len(several) // _CASES)
    looked = several[step // 2 :: step][:_CASES]
    if not looked or len({len(case.channels) for case in looked}) > 1:
        return []
    try:
        values = _channels(looked)
    except DataError:  # told when they are decoded
        return []
    if not values or all(of_one.dtype == np.uint8 for of_one in values):
        return []
    ranges = [tuple(map(float, np.percentile(of_one, _INNER))) for of_one in values]
    low, high = min(start for start, _ in ranges), max(end for _, end in ranges)
    names = found.channels if len(found.channels) == len(ranges) else tuple(map(str, range(1, len(ranges) + 1)))
    little = [
        name for name, (start, end) in zip(names, ranges, strict=True) if 0 < end - start < _LITTLE * (high - low)
    ]
    if not little:
        return []
    told = ", ".join(f"{name} {start:.4g} to {end:.4g}" for name, (start, end) in zip(names, ranges, strict=True))
    which = " and ".join(little)
    return [
        f"channels differ in range ({told}), and one range holds for all of them, of which {which} takes "
        f"less than {_LITTLE:.0%}: a model hardly sees it. Bring the channels to like ranges first (multiply that one)"
    ]


def _channels(cases: Sequence[Case]) -> list[np.ndarray]:
    """The numbers of each channel in some cases; none where files hold several."""
    each = [[read_image(file) for file in (case.image, *case.channels)] for case in cases]
    if any(image.shape[2] > 1 for image in chain.from_iterable(each)):
        return []
    return [np.concatenate([image.ravel() for image in of_channel]) for of_channel in zip(*each, strict=True)]
