"""Series that hold each slice several times: at points in time, with several echoes or weights.

A tag that differs at every place tells them apart, the first of these that does:

    TemporalPositionIdentifier, TriggerTime     dynamic and cine series
    EchoNumbers, EchoTime                       several echoes
    DiffusionBValue                             several weights
    AcquisitionNumber, AcquisitionTime          what was acquired one after the other

Such a series is a volume of several values for each voxel, in the order of the tag. What no tag tells apart are copies.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sfumato.data.formats.dicom.facts import PHASES, DicomFacts

_DIGITS = 3
"""Digits of millimetres to which places are compared."""


class Phases(NamedTuple):
    """The files of each point in time, echo or weight, and the tag that tells them apart; "" where there is one."""

    files: list[list[DicomFacts]]
    tag: str = ""


def phases_of(files: Sequence[DicomFacts]) -> Phases:
    """The files of a series, of one phase or of several that lie at the same places; colours have one."""
    places = defaultdict[tuple[float, ...], list[DicomFacts]](list)
    if any(fact.encoding is None or fact.encoding.samples > 1 for fact in files):
        return Phases([list(files)])
    for fact in files:
        frame = fact.frames[0]
        where = (*(frame.position or ()), *(frame.orientation or ()))
        places[tuple(round(number, _DIGITS) for number in where)].append(fact)
    several = list(places.values())
    if {len(at_place) for at_place in several} in ({1}, set()) or len(set(map(len, several))) > 1:
        return Phases([list(files)])
    for number, tag in enumerate(PHASES):
        ordered = [_in_order(at_place, number) for at_place in several]
        if all(ordered):
            return Phases([list(phase) for phase in zip(*ordered, strict=True)], tag)
    return Phases([list(files)])


def _in_order(files: Sequence[DicomFacts], number: int) -> list[DicomFacts]:
    """The files at a place by the number of a tag; none where a file lacks it, or two have the same."""
    said = {value: fact for fact in files if (value := fact.phases[number]) is not None}
    return [said[value] for value in sorted(said)] if len(said) == len(files) else []
