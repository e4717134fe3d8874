"""Which table is about the images of a folder, and whether one that a person named needs the folder at all.

Each table of a folder is looked into, and which of them are read is decided in
`sfumato.data.source.tables.table_choice`. What lists findings or boxes, in several rows for an image, describes no
image, which is told.
"""

import os
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from shlex import quote

from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.byhand import fitting_images
from sfumato.data.source.matching.roles import sort_roles
from sfumato.data.source.matching.witness import without_drawn
from sfumato.data.source.table import ROLES, SourceTable, columns_of, read_table, roles
from sfumato.data.source.tables.columns import ColumnRoles, Places, plan_columns
from sfumato.data.source.tables.folder_rows import folders_of_pictures, with_rows_of_pictures
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.data.source.tables.nearby import plan_nearby
from sfumato.data.source.tables.patient_rows import PatientRows, rows_of_patients
from sfumato.data.source.tables.rival_columns import refuse_rivals
from sfumato.data.source.tables.rowwise import NONE as NO_ROWS
from sfumato.data.source.tables.rowwise import Rowwise, said_by_rows
from sfumato.data.source.tables.table_choice import about_doubles, chosen_tables
from sfumato.data.source.tables.table_hits import TableHit, Tables, files_named, says_splits
from sfumato.errors import DataError
from sfumato.files import read_file
from sfumato.shortage import raise_shortage

MAX_BYTES_TO_LOOK = 2**26
"""Larger tables in a folder are not looked into unless a person names them."""

MAX_BYTES_ABOVE = 2**23
"""The same of tables in the folder above."""

_LOOKED_INTO = 20
"""Tables of a folder that are looked into."""

HEAD = re.compile(r"([^ _.\-]+)([ _.\-])")
"""How a name begins, and what follows."""


def names_all_files(path: Path, hints: ReadOptions) -> bool:
    """Whether a table leads to all of its images and masks by their paths, so that no folder need be looked into.

    Raises:
        DataError: the table cannot be read.
    """
    table, known = read_for(path, [], hints)
    files = FileLookup([], path.parent, follow=path.parent)
    try:
        plan, _ = plan_columns(table, known, Places(files, files))
    except DataError:
        return False
    if not plan.masks and not hints.images_only:
        return False
    columns = (plan.image, *plan.channels, *plan.masks)
    return all(_names_only_files(table.column(name), files) for name in columns)


def _names_only_files(texts: Sequence[str], files: FileLookup) -> bool:
    """Whether each cell that is not empty means a single file."""
    return all(map(files.has, filter(None, texts)))


def find_tables(tables: Sequence[SourceFile], entries: Sequence[SourceFile], root: Path, hints: ReadOptions) -> Tables:
    """The one table that names most of the images, or those of splits, or none; and what to know of the others.

    Raises:
        DataError: a table that has the names of most images cannot be read.
    """
    if not tables:
        return Tables({}, [])
    images = fitting_images(entries, hints.images) or _called_images(entries)
    files = FileLookup(images, root)
    hits, notes, rows, of_patients = list[TableHit](), list[str](), NO_ROWS, list[PatientRows]()
    for entry in tables[:_LOOKED_INTO]:
        path = Path(entry.locator)
        if path.stat().st_size > MAX_BYTES_TO_LOOK:
            continue
        try:
            table, known = read_for(path, entries, hints)
        except DataError as error:
            notes.append(_about_unread(path, images, error))
            continue
        said = said_by_rows(table, files)
        if said.patients and not hints.columns:
            rows = said
            continue
        try:
            plan, _, places = plan_nearby(table, known, images, images, root)
        except DataError as error:
            people = _saying_more(table, known, images)
            of_patients += people
            begun = NO_ROWS if people or hints.columns else patients_by_beginnings(table, images)
            if begun.patients:
                rows = begun
                notes.append(f"of {path.name} the patients alone are used; with a column image the rest is read too")
            elif not people:
                notes += _about_nameless(table, images, error)
            continue
        if not _names_images(table, plan, places) and (people := _saying_more(table, known, images)):
            of_patients += people
            continue
        refuse_rivals(table, known, plan, places.images)
        named = files_named(table, plan, places.images)
        hit = TableHit(entry, table, plan, places.images, named, says_splits(table, plan))
        hits.append(hit)
        if not named:
            notes += about_doubles(hit)
    if not hints.columns:
        hits, told = _without_findings(hits)
        notes += told
    notes += [_about_further(people, of_patients[0]) for people in of_patients[1:]]
    return chosen_tables(hits, files, notes)._replace(rows=rows, of_patients=next(iter(of_patients), None))


def _names_images(table: SourceTable, plan: ColumnRoles, places: Places) -> bool:
    """Whether most rows mean images, be it several each."""
    texts = table.column(plan.image)
    return 2 * sum(map(places.images.may_have, texts)) > len(texts)


def _saying_more(table: SourceTable, known: Mapping[str, str], images: Sequence[SourceFile]) -> list[PatientRows]:
    """What a table says whose rows are patients, if it is more than who these are; none where it lacks a column."""
    if not {column for given in known.values() for column in columns_of(given, table.header)} <= set(table.header):
        return []
    people = rows_of_patients(table, known, [entry.locator for entry in images])
    return [people] if people is not None and people.says_more else []


def _about_further(people: PatientRows, first: PatientRows) -> str:
    """A note about a second table of patients."""
    path = people.table.path
    return f"{path.name} is about the patients too, as {first.table.path.name}; not used: --labels {quote(str(path))}"


def patients_of_named(path: Path, entries: Sequence[SourceFile], root: Path, hints: ReadOptions) -> PatientRows | None:
    """What a table that a person named says of patients; None for one of images.

    Raises:
        DataError: the table cannot be read, or a column that a person named is not there or holds no such values.
    """
    table, known = read_for(path, entries, hints)
    images = _called_images(entries)
    try:
        plan, _, places = plan_nearby(table, known, images, images, root)
        if _leads_to_files(table, known) or _names_images(table, plan, places):
            return None
    except DataError:
        pass  # its images may be patients, or are nowhere, which is told where it is read
    return rows_of_patients(table, known, [entry.locator for entry in images])


def _leads_to_files(table: SourceTable, known: Mapping[str, str]) -> bool:
    """Whether the images of a table are files at its paths, wherever these lead; a folder may be that of a patient."""
    files = FileLookup([], table.path.parent, follow=table.path.parent)
    try:
        plan, _ = plan_columns(table, known, Places(files, files))
    except DataError:
        return False
    return any(Path(found).is_file() for text in table.column(plan.image) for found in files.candidates(text))


def _called_images(entries: Sequence[SourceFile]) -> list[SourceFile]:
    """The files that are images by their names, or, where several are called alike, by their pixels."""
    images, _ = without_drawn(sort_roles(entries)[0])
    return [picture.entry for picture in images]


def _about_unread(path: Path, images: Sequence[SourceFile], error: DataError) -> str:
    """A note about a table that cannot be read.

    Raises:
        DataError: it has the names of most images.
    """
    if error.code == "DATA-016" and _speaks_of(path, images):
        mending = error.remedy or "mend the table"
        error.remedy = f"{mending}; if it is about something else, move {path.name} away"
        raise error
    return f"{path.name} was not read as a table: {error.finding.splitlines()[0]}".replace(f"{path}", path.name)


def _without_findings(hits: Sequence[TableHit]) -> tuple[list[TableHit], list[str]]:
    """The tables without those of findings in images, and a note about these."""
    findings = [hit for hit in hits if hit.named and hit.lists_findings(alone=len(hits) == 1)]
    if not findings:
        return list(hits), []
    names = ", ".join(hit.path.name for hit in findings)
    note = f"tables with several rows for an image, as those of findings or boxes in it, not used: {names}"
    return [hit for hit in hits if hit not in findings], [note]


def _about_nameless(table: SourceTable, images: Sequence[SourceFile], error: DataError) -> list[str]:
    """A note about a table no column of which names the images; none about one that speaks of something else."""
    for column in table.header:
        if mark := _mark_behind(table.column(column), images):
            return [
                f"{table.path.name} names none of the images, not used; its column '{column}' is how these begin: "
                f"--group-by '^([^{mark}]+){mark}' keeps those of one value together, and with a column image (names "
                "of files) the table is read"
            ]
    possible = roles(table, {})
    if possible["image"] and (possible["label"] or possible["patient"] or possible["split"]):
        compared = "; ".join(line.strip() for line in error.finding.splitlines()[1:])
        return [f"{table.path.name} names none of the images, not used ({compared})"]
    return []


def patients_by_beginnings(table: SourceTable, images: Sequence[SourceFile]) -> Rowwise:
    """The patients by a column that is called after them, with whose values the names of the images begin.

    `subject, img` of `1_14.tif`: the number of the subject, up to the separator; none where they do not.
    """
    for column in roles(table, {})["patient"]:
        values = set(table.column(column))
        begun = {entry.locator: start for entry in images if (start := _begun(entry, values))}
        if len(begun) == len(images) and 1 < len(set(begun.values())) < len(images):
            told = f"the column '{column}' of {table.path.name}, with which their names begin"
            return Rowwise(begun, table.path, told)
    return NO_ROWS


def _begun(entry: SourceFile, values: AbstractSet[str]) -> str:
    """The value with which the name of a file begins, up to a separator; empty where none is."""
    beginning = HEAD.match(entry.stem)
    return beginning[1] if beginning and beginning[1] in values else ""


def _mark_behind(values: Sequence[str], images: Sequence[SourceFile]) -> str:
    """The sign behind the values with which the names of most images begin, several each; empty where they do not."""
    known, beginnings = set(values), list[re.Match[str]]()
    for entry in images:
        beginning = HEAD.match(entry.stem)
        if beginning and beginning[1] in known:
            beginnings.append(beginning)
    groups = len({beginning[1] for beginning in beginnings})
    if 2 * len(beginnings) <= len(images) or not 1 < groups < len(images):
        return ""
    return re.escape(beginnings[0][2])


def tables_above(images: Sequence[SourceFile], root: Path, hints: ReadOptions) -> list[str]:
    """Notes about tables in the folder above that name most of the images and say more of them."""
    notes, files = list[str](), FileLookup(images, root)
    for path in _tables_in(root.absolute().parent):
        try:
            table, known = read_for(path, images, hints)
            plan, _ = plan_columns(table, known, Places(files, files))
        except DataError:
            continue
        says = _class_and_patient(plan)
        if says and 2 * len(files_named(table, plan, files)) > len(images):
            notes.append(
                f"{path.name} in the folder above names the images, and says the {' and the '.join(says)}; not used: "
                f"--labels {quote(str(path))} reads it"
            )
    return notes


def _class_and_patient(plan: ColumnRoles) -> list[str]:
    """Which of these a table says by a column."""
    said = {"class": plan.label, "patient": plan.patient}
    return [what for what, column in said.items() if column]


def _is_small_table(entry: os.DirEntry[str]) -> bool:
    small = entry.name.lower().endswith((".csv", ".tsv")) and entry.is_file()
    return small and entry.stat().st_size <= MAX_BYTES_ABOVE


def _speaks_of(path: Path, images: Sequence[SourceFile]) -> bool:
    """Whether the names of most images stand in a file, in whatever encoding."""
    content = read_file(path).replace(b"\0", b"").lower()
    asked = images[:: max(1, len(images) // 50)]
    return 2 * sum(entry.stem.encode().lower() in content for entry in asked) > len(asked)


def patients_by_rows(path: Path, entries: Sequence[SourceFile], root: Path, hints: ReadOptions) -> Rowwise:
    """The patients by the rows of a table that says nothing else; none where it says more, or a person named columns.

    Args:
        path: the table.
        entries: the files of the source.
        root: the folder that these lie in.
        hints: what a person said.
    """
    try:
        table, _ = read_for(path, entries, hints)
    except DataError:
        return NO_ROWS
    columns = [list(filter(None, table.column(name))) for name in table.header]
    once = all(len(set(texts)) == len(texts) > 0 for texts in columns)  # as names of images are, and classes are not
    if hints.columns or len(columns) < 2 or not once:
        return NO_ROWS
    return said_by_rows(table, FileLookup(_called_images(entries), root, follow=path.parent))


def rows_beside(path: Path, entries: Sequence[SourceFile], root: Path, hints: ReadOptions) -> Rowwise:
    """The patients by the rows of a table that lies beside one that a person named."""
    others = (other for other in _tables_in(path.absolute().parent) if other.name != path.name)
    each = (patients_by_rows(other, entries, root, hints) for other in others)
    return next((rows for rows in each if rows.patients), NO_ROWS)


def _tables_in(folder: Path) -> list[Path]:
    """The first small tables in a folder; none in one that cannot be read."""
    try:
        return sorted(Path(entry.path) for entry in os.scandir(folder) if _is_small_table(entry))[:_LOOKED_INTO]
    except OSError as error:
        raise_shortage(error, reading=folder)
        return []


def read_for(path: Path, entries: Sequence[SourceFile], hints: ReadOptions) -> tuple[SourceTable, dict[str, str]]:
    """The table, with a row for each picture where its rows are folders, and the columns that the person named."""
    known = {role: column for role, column in hints.columns.items() if role in ROLES}
    names, folders = {entry.name for entry in entries} | {entry.stem for entry in entries}, folders_of_pictures(entries)
    table = read_table(path, known=known, files=frozenset(names), folders=folders)
    return with_rows_of_pictures(table, entries, folders, known), known
