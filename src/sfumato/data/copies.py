"""Pictures that a set has more than once, exactly or nearly, and what must not be in two splits.

Near duplicates (re-encoded, resized, brightened) are found by the number of bits in which their perceptual hashes
differ, and believed only if their thumbnails correlate as well: the hashes of dark or plain pictures are much alike.
Neighbouring planes of one volume are alike by nature and not counted.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int64, UInt64

from sfumato.data.facts import CaseFacts
from sfumato.data.manifest import Case

BITS = 4
"""Hashes of near duplicates differ in no more of their 64 bits."""

CORRELATION = 0.998
"""Thumbnails of near duplicates correlate at least so much. JPEG leaves more than 0.999 of pictures from 64 pixels on;
of smaller ones it may leave less, and they are missed."""

BLOCK = 1024
"""Pictures whose hashes are compared with all others at a time; bounds the memory."""

PARTNERS = 16
"""Later pictures with a like hash that are looked at for each: in long rows of like pictures, groups grow by links."""

Rows = tuple[int, ...]
"""A group of cases by their place in the set, in order."""


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
    volumes = [cases[row].volume for row in rows]
    links: dict[int, int] = {}
    for left, right in _alike(hashes):
        other = np.array(
            [volumes[one] is None or volumes[one] != volumes[two] for one, two in zip(left, right, strict=True)], bool
        )
        sure = np.einsum("pn,pn->p", thumbs[left], thumbs[right]) >= CORRELATION if len(left) else other
        for one, two in zip(left[sure & other].tolist(), right[sure & other].tolist(), strict=True):
            links[_root(links, two)] = _root(links, one)
    groups: dict[int, list[int]] = defaultdict(list)
    for place in range(len(rows)):
        groups[_root(links, place)].append(rows[place])
    return (tuple(sorted(group)) for group in groups.values() if len(group) > 1)


def _root(links: dict[int, int], place: int) -> int:
    while links.get(place, place) != place:
        links[place] = links.get(links[place], links[place])
        place = links[place]
    return place


def _normalised(thumbnails: Sequence[bytes]) -> Float32[np.ndarray, "n pixels"]:
    """Thumbnails of mean 0 and length 1: their products are correlations."""
    if not thumbnails:
        return np.zeros((0, 1), np.float32)
    pixels = np.stack([np.frombuffer(thumbnail, np.uint8) for thumbnail in thumbnails]).astype(np.float32)
    pixels -= pixels.mean(axis=1, keepdims=True)
    return np.asarray(pixels / np.linalg.norm(pixels, axis=1, keepdims=True).clip(1e-6))


def _alike(
    hashes: UInt64[np.ndarray, " n"],
) -> Iterator[tuple[Int64[np.ndarray, " pairs"], Int64[np.ndarray, " pairs"]]]:
    """Pairs of pictures with like hashes, block by block; the first of a pair comes before the second."""
    for start in range(0, len(hashes), BLOCK):
        block = hashes[start : start + BLOCK]
        like = np.bitwise_count(block[:, None] ^ hashes[None, start:]) <= BITS
        like &= np.arange(len(block))[:, None] < np.arange(len(hashes) - start)[None]
        left, right = np.nonzero(like)
        place = np.arange(len(left)) - np.searchsorted(left, left)
        few = place < PARTNERS
        yield left[few] + start, right[few] + start
