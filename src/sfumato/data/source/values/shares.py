"""Soft maps: greys that say how many of several readers drew a pixel. They are no classes, and no mask as they stand.

    0, 63, 127, 191, 255 of four readers, the greys a thin rim     asked about: the share that counts, or classes
    greys in a file for each class                                 more than half of the largest counts, which is told
    10, 20, 30 in a file for each class                            numbers of parts: all of them count, which is told

Only a few files are read.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from sfumato.data.formats.image import read_mask
from sfumato.data.formats.joined import FILL, NUMBERS, mask_parts
from sfumato.data.manifest import Case
from sfumato.data.mask import MOST_SPARSE_VALUES, count_values
from sfumato.data.source.discovered import DiscoveredDataset, ReadOptions
from sfumato.data.source.values.values import sampled_masks
from sfumato.errors import DataError

_SAMPLE = 6
"""Files of classes that are read."""

_READERS = range(3, 11)
"""So many readers a soft map may be of; of two it is black, grey and white, as many masks of classes are."""

_WHITE = 255


def with_shares(found: DiscoveredDataset, hints: ReadOptions) -> DiscoveredDataset:
    """The same with what is to be said of soft maps.

    Args:
        found: a source.
        hints: what a person said about it.
    """
    if not found.has_masks:
        return found
    if values := _values_of_classes(found):
        return found._replace(notes=(*found.notes, _about_values(values)))
    if hints.class_names or hints.join_masks or found.mask_names:
        return found
    problem = _doubt(found)
    return found if problem is None else found._replace(problems=(*found.problems, problem))


def _about_values(values: Sequence[int]) -> str:
    """The line about several values in the file of a class."""
    if values[-1] > NUMBERS:
        return (
            f"files of classes hold greys ({_some(values)}), as soft maps of several readers and smoothed masks do: "
            "what is above half of the largest is the object"
        )
    return f"files of classes hold several values ({_some(values)}), as parts of an object have: all but 0 are it"


def _values_of_classes(found: DiscoveredDataset) -> list[int]:
    """The values of a few files of a class each, where one has several."""
    files = _files_of_classes(found.cases)
    step = -(-len(files) // _SAMPLE) or 1
    for file in files[::step]:
        if file.lower().endswith((".jpg", ".jpeg")):  # it has greys by nature
            continue
        try:
            values = np.unique(read_mask(file)).tolist()
        except DataError:  # told when it is decoded
            continue
        drawn = list(filter(None, values))
        if len(drawn) > 1:
            return drawn
    return []


def _files_of_classes(cases: Iterable[Case]) -> list[str]:
    """The files of masks that are a file for each class."""
    files = list[str]()
    for case in cases:
        for mask in case.masks:
            files += [part.locator for part in mask_parts(mask) if part.role.removeprefix(FILL).isdecimal()]
    return files


def _doubt(found: DiscoveredDataset) -> DataError | None:
    """The question whether greys are shares of readers; None where they are not."""
    counts = Counter[int]()
    for raw in sampled_masks(found):
        of_mask = count_values(raw)
        if set(of_mask) == {0, _WHITE}:
            return None
        counts.update(of_mask)
    values = sorted(counts)
    between = sum(count for value, count in counts.items() if 0 < value < _WHITE)
    if len(values) > MOST_SPARSE_VALUES or not _are_shares(values) or between > counts[_WHITE]:
        return None
    return _shares_or_classes(values)


def _shares_or_classes(values: Sequence[int]) -> DataError:
    """The question what greys are, with the flags that answer it."""
    shares = ",".join(f"{value}={'object' if 2 * value > _WHITE else 'background'}" for value in values)
    classes = ",".join(f"{value}=NAME" for value in values if value)
    return DataError(
        f"the values of the masks ({_some(values)}) are even shares of {_WHITE}, and those between are a rim around "
        "the largest: how many of several readers drew a pixel (a soft map), or classes?",
        expected="0/255, or class indices",
        remedy=f"if they are shares, say which count: --class-names {shares} (more than half); if they are classes, "
        f"name them: --class-names {classes}",
        code="DATA-014",
    )


def _are_shares(values: Sequence[int]) -> bool:
    """Whether greys are those of whole numbers of readers, with 0 and all, and two shares between at least."""
    if len(values) < 4 or values[0] != 0 or values[-1] != _WHITE:
        return False
    return any(_are_shares_of(readers, values) for readers in _READERS)


def _are_shares_of(readers: int, values: Sequence[int]) -> bool:
    """Whether greys are those of so many readers, to the rounding of a grey."""
    return all(min(value * readers % _WHITE, -value * readers % _WHITE) <= readers for value in values)


def _some(values: Sequence[int]) -> str:
    shown = ", ".join(map(str, values[:MOST_SPARSE_VALUES]))
    return f"{shown} ... {values[-1]}" if len(values) > MOST_SPARSE_VALUES else shown
