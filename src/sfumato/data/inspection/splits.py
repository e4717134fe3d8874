"""What is wrong with how a set is divided: copies, leaks between splits, uneven classes."""

from collections import Counter
from collections.abc import Iterator, Sequence

from sfumato.data.copies import Copies, Rows, in_several_splits, of_patients
from sfumato.data.inspection.finding import Finding, amount
from sfumato.data.source import Found

FEW_CASES = 10
"""A class with fewer images is pointed out."""

IMBALANCE = 5
"""So many times more images in the largest class than in the smallest are pointed out."""


def find_in_splits(found: Found, copies: Copies) -> Iterator[Finding]:
    """Copies, what must not be in two splits, and classes with few images."""
    for groups, kind, code in ((copies.exact, "more than once", "DATA-079"), (copies.near, "nearly twice", "DATA-080")):
        if groups:
            yield Finding(
                code=code, severity="warning", files=_files(found, groups),
                text=f"{amount(groups, 'picture is', 'pictures are')} there {kind}, in {sum(map(len, groups))} cases",
                fix="keep one of each; prepare keeps copies in one split",
            )  # fmt: skip
    both = (*copies.exact, *copies.near)
    labels = [group for group in both if len({found.cases[row].label for row in group}) > 1]
    if labels:
        yield Finding(
            code="DATA-083", severity="warning", files=_files(found, labels),
            text=f"{amount(labels, 'picture is', 'pictures are')} there in several classes",
            fix="find out which class is right, and remove the other copy",
        )  # fmt: skip
    patients = tuple(of_patients(found.cases))
    for groups, what, code in ((both, "picture", "DATA-081"), (patients, "patient", "DATA-082")):
        if leaks := in_several_splits(found.cases, groups):
            names = "" if what == "picture" else f" ({', '.join(_patients(found, leaks)[:5])})"
            yield Finding(
                code=code, severity="error", files=_files(found, leaks),
                text=f"{amount(leaks, f'{what} is', f'{what}s are')} in several splits{names}: scores will be too good",
                fix="remove the split, so that prepare makes one; --fix-into moves them all to train",
            )  # fmt: skip
    yield from _classes(found)


def _patients(found: Found, groups: Sequence[Rows]) -> list[str]:
    return [found.cases[rows[0]].patient or "" for rows in groups]


def _classes(found: Found) -> Iterator[Finding]:
    counts = Counter(case.label for case in found.cases if case.label is not None)
    if not counts:
        return
    (most, many), (least, few) = counts.most_common(1)[0], counts.most_common()[-1]
    if few < FEW_CASES or many > IMBALANCE * few:
        files = tuple(case.image for case in found.cases if case.label == least)
        yield Finding(
            code="DATA-091", severity="warning", files=files,
            text=f"the classes are uneven: {many} images of {most}, {few} of {least}",
            fix="collect more of it, or make the missing ones with sfumato generate",
        )  # fmt: skip


def _files(found: Found, groups: Sequence[Rows]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(found.cases[row].image for rows in groups for row in rows))
