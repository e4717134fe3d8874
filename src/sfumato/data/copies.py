"""Pictures that a set has more than once, exactly or nearly, and what must not be in two splits.

Near duplicates (re-encoded, resized, brightened) are found by the number of bits in which their perceptual hashes
differ, and believed only if their thumbnails correlate as well: the hashes of dark or plain pictures are much alike.
Neighbouring planes of one volume are alike by nature and not counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt64

from sfumato.data.facts import CaseFacts
from sfumato.data.manifest import Case

_BITS = 4
"""Hashes of near duplicates differ in no more of their 64 bits."""

BANDS = tuple(range(64 * band // (_BITS + 1), 64 * (band + 1) // (_BITS + 1)) for band in range(_BITS + 1))
"""The bits of a hash in groups: hashes that differ in `_BITS` bits are the same in at least one of them."""

_CORRELATION = 0.998
"""Thumbnails of near duplicates correlate at least so much. JPEG leaves more than 0.999 of pictures from 64 pixels on;
of smaller ones it may leave less, and they are missed."""

PAIRS_AT_ONCE = 1024
"""Pairs whose thumbnails are compared at a time; bounds the memory."""

PARTNERS = 16
"""Later pictures with a like hash that are looked at for each, in each band of the hash: in long rows of like pictures,
groups grow by links."""

Rows = tuple[int, ...]
"""A group of cases by their place in the set, in order."""


_Places = Int64[np.ndarray, " _"]


class Copies(NamedTuple):
    """Groups of cases that show one picture.

    Attributes:
        exact: equal pixels, however they were encoded.
        near: nearly equal; groups that are exact already are not repeated.
    """

    exact: tuple[Rows, ...]
    near: tuple[Rows, ...]


def find_copies(cases: Sequence[Case], facts: Sequence[CaseFacts]) -> Copies:
    """Groups of cases that show one picture. `facts` are those of `cases`, in their order."""
    by_digest: dict[str, list[int]] = defaultdict(list)
    for row, fact in enumerate(facts):
        if fact.image is not None and fact.image.digest:
            by_digest[fact.image.digest].append(row)
    exact = tuple(tuple(rows) for rows in by_digest.values() if len(rows) > 1)
    firsts = [rows[0] for rows in by_digest.values()]
    return Copies(exact, tuple(sorted(_near(cases, facts, firsts))))


def in_several_splits(cases: Sequence[Case], groups: Iterable[Rows]) -> tuple[Rows, ...]:
    """The groups that the source has in more than one split."""
    return tuple(rows for rows in groups if len({cases[row].split for row in rows} - {None}) > 1)


def of_patients(cases: Sequence[Case]) -> Iterator[Rows]:
    """The cases of each patient."""
    by_patient: dict[str, list[int]] = defaultdict(list)
    for row, case in enumerate(cases):
        if case.patient:
            by_patient[case.patient].append(row)
    return (tuple(rows) for rows in by_patient.values())


def _near(cases: Sequence[Case], facts: Sequence[CaseFacts], rows: Sequence[int]) -> Iterator[Rows]:
    images = [image for row in rows if (image := facts[row].image) is not None]
    hashes = np.array([int(image.hash, 16) for image in images], np.uint64)
    thumbs = _normalised([image.thumbnail for image in images])
    volumes = _numbered(cases[row].volume for row in rows)
    left, right = _alike(hashes, volumes)
    sure = _correlate(thumbs, left, right)
    labels = _joined(len(rows), left[sure], right[sure])
    groups: dict[int, list[int]] = defaultdict(list)
    for row, label in zip(rows, labels.tolist(), strict=True):
        groups[label].append(row)
    return (tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def _numbered(volumes: Iterable[str | None]) -> _Places:
    """A number for each volume; what is in no volume has one of its own."""
    numbers: dict[str | int, int] = {}
    return np.array(
        [numbers.setdefault(row if name is None else name, len(numbers)) for row, name in enumerate(volumes)], np.int64
    )


def _correlate(thumbs: Float32[np.ndarray, "n pixels"], left: _Places, right: _Places) -> Bool[np.ndarray, " pairs"]:
    """Whether the thumbnails of each pair are alike, a block of pairs at a time."""
    starts = range(0, max(1, len(left)), PAIRS_AT_ONCE)
    blocks = [
        (thumbs[left[start : start + PAIRS_AT_ONCE]], thumbs[right[start : start + PAIRS_AT_ONCE]]) for start in starts
    ]
    return np.concatenate([np.einsum("pn,pn->p", one, two) >= _CORRELATION for one, two in blocks])


def _joined(count: int, left: _Places, right: _Places) -> _Places:
    """For each picture the first of those that pairs join it to, also by way of others."""
    labels = np.arange(count)
    while (labels[left] != labels[right]).any():
        lowest = np.minimum(labels[left], labels[right])
        for side in (left, right):
            np.minimum.at(labels, labels[side], lowest)
        labels = labels[labels]
    return labels


def _normalised(thumbnails: Sequence[bytes]) -> Float32[np.ndarray, "n pixels"]:
    """Thumbnails of mean 0 and length 1: their products are correlations."""
    if not thumbnails:
        return np.zeros((0, 1), np.float32)
    pixels = np.stack([np.frombuffer(thumbnail, np.uint8) for thumbnail in thumbnails]).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    return np.asarray(pixels / np.linalg.norm(pixels, axis=1, keepdims=True).clip(1e-6))


def _alike(hashes: UInt64[np.ndarray, " n"], volumes: _Places) -> tuple[_Places, _Places]:
    """Pairs of pictures of different volumes with like hashes; the first of a pair comes before the second.

    Only pictures that share one of the `BANDS` of their hashes are compared.
    """
    codes = [left * len(hashes) + right for left, right in (_alike_in(hashes, volumes, band) for band in BANDS)]
    left, right = np.divmod(np.unique(np.concatenate(codes)), max(1, len(hashes)))
    return left, right


def _alike_in(hashes: UInt64[np.ndarray, " n"], volumes: _Places, band: range) -> tuple[_Places, _Places]:
    """The pairs that share one band: each picture is compared with the next, the next but one ... that has it."""
    value = (hashes >> np.uint64(band.start)) & np.uint64(2 ** len(band) - 1)
    order = np.argsort(value, kind="stable")
    value, hashes, volumes = value[order], hashes[order], volumes[order]
    lefts, rights, active = [order[:0]], [order[:0]], np.arange(len(order))
    partners = np.zeros_like(order)
    for step in range(1, len(order)):
        active = active[(active < len(order) - step) & (partners[active] < PARTNERS)]
        active = active[value[active] == value[active + step]]
        if not len(active):
            break
        like = np.bitwise_count(hashes[active] ^ hashes[active + step]) <= _BITS
        like &= volumes[active] != volumes[active + step]
        partners[active[like]] += 1
        lefts.append(order[active[like]])
        rights.append(order[active[like] + step])
    return np.concatenate(lefts), np.concatenate(rights)
