"""DICOM segmentations (SEG), read as label values.

A segmentation stores one plane per segment and position (binary) or one plane of segment numbers per position (label
map), and leaves out empty planes at will. It is read as one volume of segment numbers on its own grid, from its first
to its last stored plane; what lies outside is empty (`Volume.endless`).
"""

from collections import Counter

import numpy as np
from jaxtyping import Integer

from sfumato.data.formats.dicom.facts import DicomFacts
from sfumato.data.formats.dicom.file import not_understood
from sfumato.data.formats.dicom.pixels import stored_frames
from sfumato.data.formats.dicom.places import Slices, places, segment_slices
from sfumato.data.formats.volume import Volume, VolumeHeader
from sfumato.errors import DataError, listed

LabelMap = Integer[np.ndarray, "i j k"]


def segment_header(facts: DicomFacts) -> VolumeHeader:
    """The header of a segmentation.

    Raises:
        DataError: its frames are on no common grid, or it stores probabilities.
    """
    encoding, slices = facts.encoding, _slices(facts)
    assert encoding is not None
    highest = max((number for number, _ in facts.segments), default=0)
    return VolumeHeader(
        shape=(encoding.columns, encoding.rows, slices.depth),
        dtype=np.dtype(np.uint8 if highest < 256 else np.uint16),
        affine=slices.affine,
        modality="SEG",
        label=True,
        names={number: label for number, label in facts.segments if number},
    )


def read_segments(facts: DicomFacts) -> Volume:
    """The segment numbers of a segmentation on its own grid.

    Raises:
        DataError: as for `segment_header`; the file is damaged; or segments overlap.
    """
    header, slices = segment_header(facts), _slices(facts)
    labels = np.zeros(header.shape[::-1], header.dtype)
    shared: Counter[tuple[int, int]] = Counter()
    for number, stored in enumerate(stored_frames(facts)):
        plane, segment = labels[slices.numbers[number]], facts.frames[number].segment
        if facts.segmentation == "LABELMAP":
            plane[:] = _without_padding(stored, facts)
        elif segment is not None:
            taken = plane[(stored != 0) & (plane != 0) & (plane != segment)]
            shared.update(
                {
                    (int(other), segment): int(count)
                    for other, count in zip(*np.unique(taken, return_counts=True), strict=True)
                }
            )
            plane[stored != 0] = segment
    if shared:
        raise _overlap(facts, shared)
    return Volume(voxels=labels.transpose(2, 1, 0), affine=slices.affine, endless=True)


def _slices(facts: DicomFacts) -> Slices:
    if facts.segmentation not in ("BINARY", "LABELMAP"):
        raise not_understood(facts.path, "it is a segmentation of probabilities; export it as binary segments")
    located = all(frame.position is not None for frame in facts.frames)
    count = facts.encoding.frame_count if facts.encoding is not None else 0
    if len(facts.frames) != count or (not located and count > max(1, len(facts.segments))):
        raise not_understood(facts.path, "its frames do not say where they lie")
    return segment_slices(
        [place._replace(position=place.position if located else (0.0,) * 3) for place in places(facts)],
        distance=facts.frames[0].distance or 1.0,
    )


def _without_padding(stored: np.ndarray, facts: DicomFacts) -> np.ndarray:
    """Segment numbers, with background where a number is padding and no segment."""
    padding = facts.encoding.padding if facts.encoding is not None else None
    if padding is None or padding[0] in dict(facts.segments):
        return stored
    return np.where((stored >= padding[0]) & (stored <= padding[1]), 0, stored)


def _overlap(facts: DicomFacts, shared: Counter[tuple[int, int]]) -> DataError:
    names = dict(facts.segments)
    pairs = [
        f"{first} ({names.get(first, '?')}) and {second} ({names.get(second, '?')}) share {count:,} voxels or more"
        for (first, second), count in sorted(shared.items())
    ]
    return DataError(
        f"{facts.path}: segments overlap:\n{listed(pairs)}",
        expected="at most one segment at each voxel",
        remedy="export overlapping segments as files of their own",
        code="DATA-045",
    )
