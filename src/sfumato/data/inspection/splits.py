"""What is wrong with how a set is divided: copies, leaks between splits, uneven classes."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain

from sfumato.data.copies import Copies, Rows, in_several_splits, of_patients
from sfumato.data.inspection.finding import Finding, Severity
from sfumato.data.source import DiscoveredDataset
from sfumato.data.source.people.classes import alike_but_for_case, told_alike
from sfumato.wording import counted

_FEW_CASES = 10
"""A class with fewer images is pointed out."""

_NAMED = 5
"""Patients and classes that a finding names."""

IMBALANCE = 5
"""So many times more images in the largest class than in the smallest are pointed out."""

_NO_SPLIT = "remove the split, so that prepare makes one; --fix-into moves them all to train; --keep-split keeps it"
"""What to do about a split that has one patient or picture in several parts."""


def find_in_splits(found: DiscoveredDataset, copies: Copies, *, torn: Severity = "error") -> Iterator[Finding]:
    """Copies, what must not be in two splits, and classes with few images.

    Args:
        found: the source.
        copies: pictures that it has more than once.
        torn: how bad a patient or a picture in several splits is.
    """
    if copies.exact:
        yield _copied(found, copies.exact, "more than once", code="DATA-079")
    if copies.near:
        yield _copied(found, copies.near, "nearly twice", code="DATA-080")
    pictures = _joined(copies)
    yield from _in_several_classes(found, pictures)
    yield from _torn_pictures(found, pictures, torn)
    yield from _torn_patients(found, torn)
    yield from _alike(found)
    yield from _uneven(found)


def _copied(found: DiscoveredDataset, groups: Sequence[Rows], often: str, *, code: str) -> Finding:
    cases = sum(map(len, groups))
    return Finding(
        code=code,
        severity="warning",
        files=_files(found, groups),
        text=f"{counted(len(groups), 'picture is', 'pictures are')} there {often}, in {cases} cases",
        fix="keep one of each; prepare keeps copies in one split",
    )


def _in_several_classes(found: DiscoveredDataset, pictures: Sequence[Rows]) -> Iterator[Finding]:
    both = list[Rows]()
    for rows in pictures:
        labels = {found.cases[row].label for row in rows}
        if len(labels) > 1:
            both.append(rows)
    if both:
        yield Finding(
            code="DATA-083",
            severity="warning",
            files=_files(found, both),
            text=f"{counted(len(both), 'picture is', 'pictures are')} there in several classes",
            fix="find out which class is right, and remove the other copy",
        )


def _torn_pictures(found: DiscoveredDataset, pictures: Sequence[Rows], severity: Severity) -> Iterator[Finding]:
    torn = in_several_splits(found.cases, pictures)
    if torn:
        yield Finding(
            code="DATA-081",
            severity=severity,
            files=_files(found, torn),
            text=f"{counted(len(torn), 'picture is', 'pictures are')} in several splits: scores will be too good",
            fix=_NO_SPLIT,
        )


def _torn_patients(found: DiscoveredDataset, severity: Severity) -> Iterator[Finding]:
    torn = in_several_splits(found.cases, of_patients(found.cases))
    if torn:
        names = _few([found.cases[rows[0]].patient or "" for rows in torn])
        patients = counted(len(torn), "patient is", "patients are")
        yield Finding(
            code="DATA-082",
            severity=severity,
            files=_files(found, torn),
            text=f"{patients} in several splits ({names}): scores will be too good",
            fix=_NO_SPLIT,
        )


def _joined(copies: Copies) -> tuple[Rows, ...]:
    """The cases of each picture that is there several times, exactly or nearly."""
    exact = {rows[0]: rows for rows in copies.exact}  # groups of near copies name the first of those that are equal
    near = list[Rows]()
    for rows in copies.near:
        joined = set[int]()
        for row in rows:
            joined.update(exact.pop(row, (row,)))
        near.append(tuple(sorted(joined)))
    return (*exact.values(), *near)


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_NAMED])
    return f"{shown} ..." if len(names) > _NAMED else shown


def _alike(found: DiscoveredDataset) -> Iterator[Finding]:
    """Classes whose names differ by upper and lower case alone."""
    for group in alike_but_for_case(case.label for case in found.cases):
        yield Finding(
            code="DATA-098",
            severity="warning",
            text=told_alike(group),
            fix="name them alike if they are one",
            files=_of_classes(found, group),
        )


def _uneven(found: DiscoveredDataset) -> Iterator[Finding]:
    """Classes with few images, or far fewer than the largest."""
    counts = Counter(case.label for case in found.cases if case.label is not None)
    if not counts:
        return
    many, few = max(counts.values()), min(counts.values())
    if few >= _FEW_CASES and many <= IMBALANCE * few:
        return
    least = [name for name, count in counts.items() if count == few]
    make = ", or make the missing ones with sfumato generate" if many > few else ""
    yield Finding(
        code="DATA-091",
        severity="warning",
        text=_told(counts, least),
        files=_of_classes(found, least),
        fix=f"collect more{make}",
    )


def _of_classes(found: DiscoveredDataset, names: Collection[str]) -> tuple[str, ...]:
    return tuple(case.image for case in found.cases if case.label in names)


def _told(counts: Counter[str], least: Sequence[str]) -> str:
    """Which class has how many images: the largest beside the smallest, or all alike."""
    (most, many), few = counts.most_common(1)[0], counts[least[0]]
    each = " each" if len(least) > 1 else ""
    if many > few:
        return f"the classes are uneven: {counted(many, 'image')} of {most}, {few}{each} of {_few(least)}"
    return f"the classes are small: {counted(few, 'image')}{each} of {_few(least)}"


def _files(found: DiscoveredDataset, groups: Sequence[Rows]) -> tuple[str, ...]:
    rows = chain.from_iterable(groups)
    return tuple(dict.fromkeys(found.cases[row].image for row in rows))
