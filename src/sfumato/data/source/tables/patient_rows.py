"""Tables whose rows are patients, and not images: `participants.tsv` of BIDS, `subjects.csv`.

    participant_id   split   group
    sub-00001        train   fcd        sub-00001/anat/sub-00001_FLAIR.nii.gz, sub-00001/anat/sub-00001_T1w.nii.gz

A row is about all images of its patient: those in a folder of that name, or whose names say it. It gives them split,
patient and class, as a row about an image does; the other columns go along.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.data.order import natural
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.data.source.people.belonging import files_of_patients
from sfumato.data.source.table import SourceTable, roles
from sfumato.data.source.tables.columns import ColumnRoles
from sfumato.data.source.tables.left_columns import about_left_columns, places_of_left_columns
from sfumato.data.source.tables.numbered_images import OF_ANYTHING
from sfumato.data.source.tables.row_values import RowValues, read_row_values
from sfumato.data.source.words import SPLIT_WORDS
from sfumato.wording import counted

_LOOKED_AT = 200
"""Files by which the column of the patients is told."""


class PatientRows(NamedTuple):
    """A table whose rows are patients.

    Attributes:
        table: the table.
        plan: its columns; that of the patient names the rows.
        known: the columns that a person named, by role.
        values: what each row says.
    """

    table: SourceTable
    plan: ColumnRoles
    known: Mapping[str, str]
    values: RowValues

    @property
    def says_classes(self) -> bool:
        """Whether a column is the class: columns of 0 and 1 are where a person says so."""
        return bool(self.plan.label or "label" in self.known) and self.values.says_classes

    @property
    def says_more(self) -> bool:
        """Whether it says more than who the patients are, or a person named its columns."""
        return self.says_classes or any(self.values.splits.names) or bool(self.known)


def rows_of_patients(table: SourceTable, known: Mapping[str, str], files: Sequence[str]) -> PatientRows | None:
    """What a table says of patients; None where its rows are not the patients of most files.

    Args:
        table: the table.
        known: the columns that a person named, by role.
        files: the paths of the images.

    Raises:
        DataError: a column that a person named is not there, or holds no classes or splits.
    """
    if not table.named or "image" in known:
        return None
    possible = roles(table, known)
    some = files[:: max(1, len(files) // _LOOKED_AT)]
    patient = next((name for name in _naming(table, possible, known) if _joined(table.column(name), some)), "")
    if not patient:
        return None
    label, split = (_only(possible[role], patient) for role in ("label", "split"))
    split = split or next(filter(lambda name: _says_splits(table.column(name)), table.header), "")
    plan = ColumnRoles("", (), (), label, patient, split)
    return PatientRows(table, plan, known, read_row_values(table, plan, known, drop_empty=True))


def _naming(table: SourceTable, possible: Mapping[str, Sequence[str]], known: Mapping[str, str]) -> Iterator[str]:
    """The columns that may name patients: by their names, or since each row has a value of its own."""
    yield from possible["patient"]
    if "patient" not in known:
        of_files = [name for name in possible["image"] if name.casefold() not in OF_ANYTHING]
        yield from (name for name in table.header if name not in of_files and _tells_rows_apart(table.column(name)))


def _tells_rows_apart(values: Sequence[str]) -> bool:
    """Whether each row has a value of its own."""
    return len(set(values)) == len(values)


def _says_splits(values: Sequence[str]) -> bool:
    """Whether values are words for splits, several of them, and nothing else."""
    words = {value.casefold() for value in values}
    return words <= SPLIT_WORDS.keys() and len({SPLIT_WORDS[word] for word in words}) > 1


def _only(columns: Sequence[str], patient: str) -> str:
    """The first column other than that of the patient."""
    return next((name for name in columns if name != patient), "")


def _joined(names: Sequence[str], files: Iterable[str]) -> dict[str, list[int]]:
    """The places of the rows of each file, by the first way in which they name the patients of most files."""
    files = set(files)
    for way in files_of_patients(files, names):
        rows = defaultdict[str, list[int]](list)
        for place, name in enumerate(names):
            for file in way.get(name, ()):
                rows[file].append(place)
        if 2 * len(rows) > len(files):
            return rows
    return {}


def with_rows_of_patients(found: DiscoveredDataset, said: PatientRows | None) -> DiscoveredDataset:
    """The cases with what a table says of their patients."""
    if said is None:
        return found
    files = [str(Locator.parse(case.image).path) for case in found.cases]
    rows = _joined(said.table.column(said.plan.patient), files)
    told = f"the table {said.table.path.name}, whose rows are patients (column '{said.plan.patient}')"
    if clash := _clash(said, rows):
        return found._replace(notes=(*found.notes, f"{told}, was not read: {clash}"))
    follows = "split" in said.known or not any(case.split for case in found.cases)
    cases = tuple(
        _described(case, said, rows[file][0], follows=follows) if file in rows else case
        for case, file in zip(found.cases, files, strict=True)
    )
    notes = [f"{told}, was read", *_about(said, cases, follows=follows)]
    if rest := sum(file not in rows for file in files):
        notes.append(f"cases of which {said.table.path.name} says nothing: {rest}")
    labels = {case.label for case in cases if case.label is not None}
    return found._replace(
        cases=cases,
        classes=tuple(sorted(labels, key=natural)),
        notes=(*found.notes, *notes),
        patients_by=found.patients_by or f"the column '{said.plan.patient}'",
    )


def _clash(said: PatientRows, rows: Mapping[str, Sequence[int]]) -> str:
    """What rows of one file say differently, in words; empty where they agree."""
    if not rows:
        return "it names none of the images that are used"
    told = list[tuple[str, Sequence[str | None]]]()
    told += [("patient", said.values.patients), ("split", said.values.splits.names)]
    if said.says_classes:
        told.append(("class", said.values.labels.names))
    for what, values in told:
        if differing := sum(len({values[place] for place in places}) > 1 for places in rows.values()):
            return f"its rows say different things of {counted(differing, 'image')} (the {what})"
    return ""


def _described(case: Case, said: PatientRows, row: int, *, follows: bool) -> Case:
    """A case with what a row says of it."""
    values, fields = said.values, said.table.rows[row].fields
    columns = places_of_left_columns(said.table, said.plan, keep_split=not any(values.splits.names))
    return replace(
        case,
        patient=values.patients[row] or case.patient,
        split=(follows and values.splits.names[row]) or case.split,
        label=values.labels.names[row] if said.says_classes else case.label,
        more={**case.more, **{name: fields[place].strip() for name, place in columns.items()}},
    )


def _about(said: PatientRows, cases: Sequence[Case], *, follows: bool) -> Iterator[str]:
    """Notes about what was taken from the table, and what was not."""
    if any(said.values.splits.names):
        of_table = f"the column '{said.plan.split}' of {said.table.path.name}"
        if follows:
            yield f"the split is that of {of_table}"
        else:
            yield f"the source says a split; {of_table} is not followed: --split-column {said.plan.split} follows it"
    if said.says_classes:
        yield f"the class is taken from {said.table.path.name}: --label-column names another column"
    yield from said.values.splits.notes
    yield from about_left_columns(said.table, said.plan, cases)
