"""What is wrong with how a set is divided: copies, leaks between splits, uneven classes."""

from collections import Counter
from collections.abc import Iterator, Sequence

from sfumato.data.copies import Copies, Rows, in_several_splits, of_patients
from sfumato.data.inspection.finding import Finding, Severity
from sfumato.data.source import Found
from sfumato.data.source.classes import alike_but_for_case, told_alike
from sfumato.wording import counted

_FEW_CASES = 10
"""A class with fewer images is pointed out."""

_NAMED = 5
"""Patients and classes that a finding names."""

IMBALANCE = 5
"""So many times more images in the largest class than in the smallest are pointed out."""


def find_in_splits(found: Found, copies: Copies, *, torn: Severity = "error") -> Iterator[Finding]:
    """Copies, what must not be in two splits, and classes with few images.

    Args:
        found: the source.
        copies: pictures that it has more than once.
        torn: how bad a patient or a picture in several splits is.
    """
    for groups, kind, code in ((copies.exact, "more than once", "DATA-079"), (copies.near, "nearly twice", "DATA-080")):
        if groups:
            yield Finding(
                code=code, severity="warning", files=_files(found, groups),
                text=f"{counted(len(groups), 'picture is', 'pictures are')} there {kind}, "
                f"in {sum(map(len, groups))} cases",
                fix="keep one of each; prepare keeps copies in one split",
            )  # fmt: skip
    both = _joined(copies)
    labels = [group for group in both if len({found.cases[row].label for row in group}) > 1]
    if labels:
        yield Finding(
            code="DATA-083", severity="warning", files=_files(found, labels),
            text=f"{counted(len(labels), 'picture is', 'pictures are')} there in several classes",
            fix="find out which class is right, and remove the other copy",
        )  # fmt: skip
    patients = tuple(of_patients(found.cases))
    fix = "remove the split, so that prepare makes one; --fix-into moves them all to train; --keep-split keeps it"
    for groups, what, code in ((both, "picture", "DATA-081"), (patients, "patient", "DATA-082")):
        if leaks := in_several_splits(found.cases, groups):
            names = "" if what == "picture" else f" ({_few(_patients(found, leaks))})"
            yield Finding(
                code=code, severity=torn, files=_files(found, leaks),
                text=f"{counted(len(leaks), f'{what} is', f'{what}s are')} in several splits{names}: "
                "scores will be too good",
                fix=fix,
            )  # fmt: skip
    yield from _classes(found)


def _joined(copies: Copies) -> tuple[Rows, ...]:
    """The cases of each picture that is there several times, exactly or nearly."""
    exact = {rows[0]: rows for rows in copies.exact}  # groups of near copies name the first of those that are equal
    near = [{other for row in rows for other in exact.pop(row, (row,))} for rows in copies.near]
    return (*exact.values(), *(tuple(sorted(rows)) for rows in near))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (" ..." if len(names) > _NAMED else "")


def _patients(found: Found, groups: Sequence[Rows]) -> list[str]:
    return [found.cases[rows[0]].patient or "" for rows in groups]


def _classes(found: Found) -> Iterator[Finding]:
    counts = Counter(case.label for case in found.cases if case.label is not None)
    if not counts:
        return
    for group in alike_but_for_case(case.label for case in found.cases):
        yield Finding(
            code="DATA-098", severity="warning", text=told_alike(group), fix="name them alike if they are one",
            files=tuple(case.image for case in found.cases if case.label in group),
        )  # fmt: skip
    many, few = max(counts.values()), min(counts.values())
    if few >= _FEW_CASES and many <= IMBALANCE * few:
        return
    least = [name for name, count in counts.items() if count == few]
    yield Finding(
        code="DATA-091", severity="warning", text=_told(counts, least),
        files=tuple(case.image for case in found.cases if case.label in least),
        fix="collect more" + (", or make the missing ones with sfumato generate" if many > few else ""),
    )  # fmt: skip


def _told(counts: Counter[str], least: Sequence[str]) -> str:
    """Which class has how many images: the largest beside the smallest, or all alike."""
    (most, many), few = counts.most_common(1)[0], counts[least[0]]
    each = " each" if len(least) > 1 else ""
    if many > few:
        return f"the classes are uneven: {counted(many, 'image')} of {most}, {few}{each} of {_few(least)}"
    return f"the classes are small: {counted(few, 'image')}{each} of {_few(least)}"


def _files(found: Found, groups: Sequence[Rows]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found.cases[row].image for rows in groups for row in rows))
