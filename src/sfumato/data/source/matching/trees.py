"""The pictures of a set twice, in two formats: `PNG/Original/1.png` and `TIF/Original/1.tif`, or beside one another.

Read as they are, each picture would be two cases. Nothing says which of them is meant, so they are refused, with the
patterns of each.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from os.path import splitext

import numpy as np

from sfumato.data.formats.image import Pixels, read_image
from sfumato.data.source.listing import is_picture_file
from sfumato.data.source.matching.pairing import Owned, match
from sfumato.data.source.matching.ways import way
from sfumato.data.source.patterns import told_files
from sfumato.data.source.picture import Picture
from sfumato.errors import DataError, listed

_SERIES = 4
"""Folders of the same names that are compared; where there are more, they are of patients, visits or channels."""

_SAMPLE = 3
"""Pictures of each that are compared."""

_CORRELATION = 0.98
"""Pictures of 8 bits that are the same but for a loss in storage correlate at least so much in brightness."""

_Series = list[Picture]


def refuse_trees(images: Sequence[Picture], masks: Sequence[Picture]) -> None:
    """Refuse pictures that are there twice.

    Args:
        images: pictures that are no masks.
        masks: those that are, for the patterns.

    Raises:
        DataError: there are some.
    """
    for one, other in _alike(images):
        if not _show_the_same(one, other):
            continue
        both = [(one, _way(one, other, masks)), (other, _way(other, one, masks))]
        raise DataError(
            f"the same {len(one)} pictures are there twice:\n"
            f"{listed([told_files([picture.entry for picture in series]) for series, _ in both])}",
            expected="each picture once",
            remedy=f"say which are meant: {'; or '.join(said for _, said in both)}; or take one of them away",
            code="DATA-011",
        )


def _alike(images: Sequence[Picture]) -> Iterator[tuple[_Series, _Series]]:
    """Pairs of series, each a folder and an ending, whose pictures have the same names and other endings."""
    series = defaultdict[tuple[tuple[str, ...], str], _Series](list)
    for picture in images:
        if is_picture_file(picture.entry):
            series[picture.entry.parts[:-1], _ending(picture)].append(picture)
    named = defaultdict[frozenset[str], list[_Series]](list)
    for one in series.values():
        if len(one) > 1:
            named[frozenset(picture.stem for picture in one)].append(one)
    for group in named.values():
        if len(group) <= _SERIES:
            yield from (two for two in combinations(group, 2) if len({_ending(one[0]) for one in two}) > 1)


def _ending(picture: Picture) -> str:
    return splitext(picture.entry.name)[1].lower()  # noqa: PTH122 - a Path for each of 100,000 files is slow


def _show_the_same(one: _Series, other: _Series) -> bool:
    """Whether a few pictures of two series are the same, and differ among themselves."""
    named = {picture.stem: picture for picture in other}
    some = one[:: -(-len(one) // _SAMPLE)]
    try:
        pairs = [[read_image(picture.entry.locator) for picture in (a, named[a.stem])] for a in some]
    except DataError:
        return False
    differ = any(not _is_same(first, second) for (first, _), (second, _) in combinations(pairs, 2))
    return differ and all(_is_same(first, second) for first, second in pairs)


def _is_same(one: Pixels, other: Pixels) -> bool:
    """Whether two pictures are the same, perhaps stored with loss."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    grey, again = one.mean(2).ravel(), other.mean(2).ravel()
    if one.dtype != np.uint8 or not grey.std() or not again.std():
        return bool((one == other).all())
    return float(np.corrcoef(grey, again)[0, 1]) >= _CORRELATION


def _way(series: _Series, other: _Series, masks: Sequence[Picture]) -> str:
    """The patterns of one of two series, and of its masks: those of its folders or ending, where some are."""
    own = set(series[0].entry.parts[:-1]) - set(other[0].entry.parts[:-1])
    ending = _ending(series[0])
    near = [mask for mask in masks if own & set(mask.entry.parts[:-1]) or (not own and _ending(mask) == ending)]
    near = near or [mask for mask in masks if _ending(mask) == ending] or list(masks)
    for image, owned in match(series, near, {}).owned.items():
        if said := way(image, Owned(owned[0].entry, "", "")):
            return said
    name = series[0].entry.name
    return f"--images '{'/'.join((*series[0].entry.parts[:-1], '{id}'))}{name[len(name) - len(ending) :]}'"
