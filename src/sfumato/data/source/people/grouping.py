"""Cases kept together as a person says: `--group-by` a column, an expression, a folder, a DICOM tag, or nothing."""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sfumato.data.formats.archive import Locator
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.data.source.people.owners import OWNER_TAGS, patients_by_tag
from sfumato.data.source.people.persons import Name, parent_of, spelling, without_classes
from sfumato.errors import DataError, listed

PARENT, NOBODY = "parent", "none"

_LAST = 4
"""Parts of a path that are looked at where a file lies outside of the source."""


def grouped_by(found: DiscoveredDataset, source: Path | None, wanted: str) -> DiscoveredDataset:
    """Cases with the patient that a person names."""
    if wanted == "patient" and any(case.patient for case in found.cases):
        return found
    columns = set[str]()
    for case in found.cases:
        columns.update(case.more)
    groups: Sequence[str | None]
    column = next((name for name in (wanted, f"source_{wanted}") if name in columns), None)
    if column is not None:
        groups = [case.more.get(column) or None for case in found.cases]
    elif wanted == NOBODY:
        return _each_alone(found)
    elif wanted == PARENT and source is not None:
        groups = _parents(found.cases, source)
    elif wanted in OWNER_TAGS:
        groups = patients_by_tag(found.cases, wanted)
    else:
        groups = _matched(wanted, found.cases, columns)
    _refuse_bare(found.cases, groups, wanted)
    found = _without_labels_of(found, groups)
    cases = tuple(replace(case, patient=group) for case, group in zip(found.cases, groups, strict=True))
    persons = set(map(spelling, filter(None, groups)))
    note = f"cases are kept together by '{wanted}': {len(persons)} groups"
    return found._replace(cases=cases, notes=(*found.notes, note))


def _parents(cases: Sequence[Case], source: Path) -> list[str | None]:
    """The folder that each case lies in, above that of its class."""
    names = [case_name(case, source) for case in cases]
    above = without_classes(names, [case.label for case in cases])
    return [parent_of(name) or None for name in above]


def _refuse_bare(cases: Sequence[Case], groups: Sequence[str | None], wanted: str) -> None:
    """Refuse cases without a group."""
    bare = [case.id for case, group in zip(cases, groups, strict=True) if group is None]
    if bare:
        raise DataError(
            f"{len(bare)} of {len(cases)} cases have no group by '{wanted}':\n{listed(bare)}",
            expected="a group for every case",
            remedy="mend the column, or give another --group-by",
            code="DATA-054",
        )


def _each_alone(found: DiscoveredDataset) -> DiscoveredDataset:
    cases = tuple(replace(case, patient=case.volume) for case in found.cases)
    what = "volume" if any(case.volume for case in cases) else "image"
    return found._replace(cases=cases, notes=(*found.notes, f"each {what} stands alone, as --group-by {NOBODY} says"))


def _without_labels_of(found: DiscoveredDataset, groups: Sequence[str | None]) -> DiscoveredDataset:
    """Folders that a person calls patients are no classes."""
    labels = [case.label for case in found.cases]
    one_each = len(set(zip(labels, groups, strict=True))) == len(set(labels)) == len(set(groups))
    if not one_each or not all(label in (group or "").split("/") for label, group in zip(labels, groups, strict=True)):
        return found
    return found._replace(cases=tuple(replace(case, label=None) for case in found.cases), classes=())


def _matched(expression: str, cases: Sequence[Case], columns: Iterable[str]) -> list[str | None]:
    """The first group of a regular expression in each id."""
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise DataError(f"--group-by '{expression}' is no regular expression: {error}", code="DATA-054") from error
    if pattern.groups != 1:
        named = ", ".join(sorted(columns)) or "(none)"
        raise DataError(
            f"--group-by '{expression}' is no column, and no regular expression with one group",
            expected=f"a column ({named}), an expression such as '(.*)_slice', {PARENT}, {', '.join(OWNER_TAGS)} "
            f"or {NOBODY}",
            code="DATA-054",
        )
    return [found[1] if (found := pattern.search(case.id)) else None for case in cases]


def case_name(case: Case, source: Path) -> Name:
    """The path of a case below the source; of what lies elsewhere, the last folders."""
    target = Locator.parse(case.image)
    if target.path.suffix.lower() == ".zip":
        return Name.of(re.split(r"[/\\]+", target.member))
    folder = f"{(source if source.is_dir() else source.parent).absolute()}{os.sep}"
    path = str(target.path)
    if path.startswith(folder):
        return Name.of(path.removeprefix(folder).split(os.sep))  # noqa: PTH206 - a Path for each of 100,000 is slow
    return Name.of(target.path.parts[-_LAST:])
