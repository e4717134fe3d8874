"""Which table is about the images of a folder, and whether one that a person named needs the folder at all.

Tables that are called after splits (`train.csv`, `test.csv`; `mass_train.csv`, `calc_train.csv` and their `_test.csv`),
or lie in the folders of the parts of a set, are one, where they have the same columns, or say the same in columns of
one name, and no image in common. Of tables that say the same of all images one is read. Tables of which one says the
class and another the patient of the same images are read side by side. What lists findings or boxes, in several rows
for an image, describes no image. What a table that is not read would say, and how it is read, is told.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, permutations
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.source.byhand import fitting_images
from sfumato.data.source.columns import ColumnRoles, Places, counts, plan_columns
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.dividing import split_in
from sfumato.data.source.labels import one_hot_columns
from sfumato.data.source.layout import sort_roles
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.lists import split_of
from sfumato.data.source.lookup import FileLookup
from sfumato.data.source.nearby import folders_of, plan_nearby
from sfumato.data.source.patient_rows import PatientRows, rows_of_patients
from sfumato.data.source.rowwise import NONE as NO_ROWS
from sfumato.data.source.rowwise import Rowwise, said_by_rows
from sfumato.data.source.side_by_side import side_by_side
from sfumato.data.source.table import ROLES, SourceTable, columns_of, read_table, roles
from sfumato.data.source.words import SPLIT_WORDS, tokens
from sfumato.errors import DataError
from sfumato.files import read_file
from sfumato.shortage import raise_shortage
from sfumato.wording import counted

MAX_BYTES_TO_LOOK = 2**26
"""Larger tables in a folder are not looked into unless a person names them."""

MAX_BYTES_ABOVE = 2**23
"""The same of tables in the folder above."""

_LOOKED_INTO = 20
"""Tables of a folder that are looked into."""

LABELS = frozenset({"labels", "label", "classes", "annotations", "metadata", "meta", "df"})
"""What may stand beside the word for a split in the name of a table."""

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


class Tables(NamedTuple):
    """The tables that are read, with the split that each says (empty for none), and notes about those that are not.

    Attributes:
        chosen: the tables that describe the images.
        notes: what to know of the others.
        rows: the patients by a table that says nothing else.
        joined: chosen tables with what others say of the same images.
        beside: these others.
        of_patients: the table whose rows are patients, where one says more of these.
    """

    chosen: Mapping[Path, str]
    notes: list[str]
    rows: Rowwise = NO_ROWS
    joined: Mapping[Path, SourceTable] = MappingProxyType({})
    beside: frozenset[Path] = frozenset()
    of_patients: PatientRows | None = None


class _Hit(NamedTuple):
    """A table, the columns for its images, those that it may mean, that it names, and whether it divides them."""

    entry: SourceFile
    table: SourceTable
    plan: ColumnRoles
    files: FileLookup
    named: frozenset[str]
    divides: bool

    @property
    def path(self) -> Path:
        return Path(self.entry.locator)

    @property
    def says(self) -> list[str]:
        """What it says of its images."""
        said = {"class": self.plan.label, "patient": self.plan.patient, "split": self.divides}
        return [what for what, column in said.items() if column]

    def with_one_hot(self) -> list[str]:
        """The same where columns of 0 and 1 are the class too."""
        if self.plan.label:
            return self.says
        columns = dict[str, list[str]]()
        used = self.plan.used
        for name in self.table.header:
            if name not in used and not counts(values := self.table.column(name)):
                columns[name] = values
        found = one_hot_columns(columns)
        return ["class", *self.says] if found is not None and any(found.names) else self.says

    @property
    def texts(self) -> list[str]:
        """What it calls its images."""
        return self.table.column(self.plan.image)

    @property
    def has_a_row_each(self) -> bool:
        """Whether it has one row for each image."""
        return len(set(self.texts)) == len(self.texts)

    def agrees(self) -> bool:
        """Whether rows of one image say the same of it."""
        roles_of_images = (self.plan.label, self.plan.patient, self.plan.split)
        columns = [self.table.column(name) for name in roles_of_images if name]
        return len(set(zip(self.texts, *columns, strict=True))) == len(set(self.texts))

    def lists_findings(self, *, alone: bool) -> bool:
        """Whether several rows of an image say nothing of it as a whole; of a table alone a class is refused later."""
        texts = self.texts
        if self.plan.masks or len(set(texts)) == len(texts):
            return False
        if not self.says:
            return True
        if alone or not self.plan.label:
            return False
        classes = defaultdict[str, set[str]](set)
        for text, name in zip(texts, self.table.column(self.plan.label), strict=True):
            classes[text].add(name)
        return any(len(names) > 1 for names in classes.values())


def find_tables(tables: Sequence[SourceFile], entries: Sequence[SourceFile], root: Path, hints: ReadOptions) -> Tables:
    """The one table that names most of the images, or those of splits, or none; and what to know of the others.

    Raises:
        DataError: a table that has the names of most images cannot be read.
    """
    if not tables:
        return Tables({}, [])
    images = fitting_images(entries, hints.images) or _called_images(entries)
    files = FileLookup(images, root)
    hits, notes, rows, of_patients = list[_Hit](), list[str](), NO_ROWS, list[PatientRows]()
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
            notes += [] if people else _about_nameless(table, images, error)
            continue
        if not _names_images(table, plan, places) and (people := _saying_more(table, known, images)):
            of_patients += people
            continue
        named = _named_files(table, plan, places.images)
        hit = _Hit(entry, table, plan, places.images, named, _divides(table, plan))
        hits.append(hit)
        if not named:
            notes += _about_doubles(hit)
    if not hints.columns:
        hits, told = _without_findings(hits)
        notes += told
    notes += [_about_further(people, of_patients[0]) for people in of_patients[1:]]
    return _chosen(hits, files, notes)._replace(rows=rows, of_patients=next(iter(of_patients), None))


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
    """The files that are images by their names."""
    images, _, _ = sort_roles(entries)
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


def _without_findings(hits: Sequence[_Hit]) -> tuple[list[_Hit], list[str]]:
    """The tables without those of findings in images, and a note about these."""
    findings = [hit for hit in hits if hit.named and hit.lists_findings(alone=len(hits) == 1)]
    if not findings:
        return list(hits), []
    names = ", ".join(hit.path.name for hit in findings)
    note = f"tables with several rows for an image, as those of findings or boxes in it, not used: {names}"
    return [hit for hit in hits if hit not in findings], [note]


def _chosen(hits: Sequence[_Hit], files: FileLookup, notes: list[str]) -> Tables:
    """The table or tables that name most of the images."""
    images = len(files)
    naming = [hit for hit in hits if hit.named]
    most = [hit for hit in naming if 2 * len(hit.named) > images]
    for group in _alike(naming):
        parts = _of_parts(group, images)
        if parts is not None:
            return parts._replace(notes=[*notes, *_about_others(naming, parts), *parts.notes])
    if len(most) > 1:
        several = _of_several(most, files)
        several = several._replace(notes=[*notes, *several.notes])
        if not several.chosen:
            return several
        return several._replace(notes=[*several.notes, *_about_others(naming, several)])
    if most:
        alone = Tables({most[0].path: ""}, [f"the table {most[0].path.name} was read"])
        return alone._replace(notes=[*notes, *_about_others(naming, alone), *alone.notes])
    told_of = [hit for hit in naming if len(hit.named) > 1]
    return Tables({}, [*notes, *chain.from_iterable(_about_some(hit, images) for hit in told_of)])


def _alike(hits: Sequence[_Hit]) -> Iterator[Sequence[_Hit]]:
    """All tables, then those of the same columns that say the class, beside others."""
    yield hits
    groups = defaultdict[frozenset[str], list[_Hit]](list)
    for hit in hits:
        groups[frozenset(hit.table.header)].append(hit)
    if len(groups) > 1:
        yield from (group for group in groups.values() if all("class" in hit.with_one_hot() for hit in group))


def _of_parts(hits: Sequence[_Hit], images: int) -> Tables | None:
    """Tables of which each is about a part of the set: a split, or the images beside it; None where they are not."""
    if not _are_of_parts(hits, images):
        return None
    splits = _splits_of(hits)
    if _are_of_splits(hits, splits):
        named = ", ".join(f"{path.name} ({split})" for path, split in splits.items())
        return Tables(splits, [f"the tables {named} were read, and the split is theirs"])
    if _lie_apart(hits):
        named = ", ".join(hit.entry.where for hit in hits)
        return Tables({hit.path: "" for hit in hits}, [f"the tables {named} were read, each for the images beside it"])
    return None


def _about_others(naming: Sequence[_Hit], read: Tables) -> Iterator[str]:
    """Notes about tables that name images and are not read beside those that are, where no other note names them."""
    first, told = next(iter(read.chosen)).name, " ".join(read.notes)
    for hit in naming:
        if hit.path in read.chosen or hit.path in read.beside or hit.path.name in told:
            continue
        names = f"{hit.path.name} names {counted(len(hit.named), 'image')} too, not used"
        nothing = "" if hit.with_one_hot() else "; it says neither class nor patient nor split"
        yield f"{names}: it has not the columns of {first}, or images of it{nothing}"


def _about_some(hit: _Hit, images: int) -> list[str]:
    """A note about a table that names some of the images, with the words by which it is read, where it can be."""
    if doubles := _about_doubles(hit):
        return doubles
    note = f"{hit.path.name} names {len(hit.named)} of {images} images (column '{hit.plan.image}'), not used"
    if not hit.agrees():
        return [f"{note}: rows of one image differ in what they say of it"]
    drop = "" if all(map(hit.files.has, hit.texts)) else " --drop-unpaired"
    return [f"{note}: --labels {quote(str(hit.path))}{drop} takes these alone"]


def _splits_of(hits: Sequence[_Hit]) -> dict[Path, str]:
    """The split that the name of each table says: beside it known words stand, or the same in all."""
    often = Counter(map(_beside_split, hits))
    splits = dict[Path, str]()
    for hit in hits:
        alike = often[_beside_split(hit)] > 1
        splits[hit.path] = split_of(hit.entry, LABELS) or (alike and split_in(hit.entry.stem)) or ""
    return splits


def _beside_split(hit: _Hit) -> tuple[str, ...]:
    """What the name of a table says beside a split and that it is a table."""
    words = (token.text for token in tokens(hit.entry.stem))
    return tuple(word for word in words if word not in SPLIT_WORDS and word not in LABELS)


def _of_several(most: Sequence[_Hit], files: FileLookup) -> Tables:
    """The one table of several about the same images that says all that others say, and more; else none.

    Where each says what others do not, they are read side by side.
    """
    names = ", ".join(hit.path.name for hit in most)
    said = {hit.path: hit.with_one_hot() for hit in most}
    if fullest := next((hit for hit in most if _says_more(hit, most, said)), None):
        other = next(hit for hit in most if hit is not fullest)
        note = (
            f"of several tables that name the images ({names}), {fullest.path.name} was read, which says most (the "
            f"{' and the '.join(said[fullest.path])}): {_flag(other)} reads another"
        )
        return Tables({fullest.path: ""}, [note])
    if joined := _joined(most, said, files):
        return joined
    telling = [hit for hit in most if hit.says]
    if len(telling) > 1 and _agree(telling, files):
        widest = max(telling, key=lambda hit: (hit.has_a_row_each, len(hit.table.header)))
        others = ", ".join(hit.path.name for hit in telling if hit is not widest)
        said_by_all = " and ".join(widest.says)
        note = f"the table {widest.path.name} was read; {others} say the same {said_by_all} of all images"
        return Tables({widest.path: ""}, [note])
    once = [hit for hit in telling if hit.has_a_row_each]
    if len(once) == 1:
        other = next(hit for hit in most if hit is not once[0])
        note = (
            f"of several tables that name the images ({names}), {once[0].path.name} was read: of those that say class, "
            f"patient or split it alone has one row for each image; {_flag(other)} reads another"
        )
        return Tables({once[0].path: ""}, [note])
    ways = " or ".join(map(_flag, most))
    return Tables({}, [f"several tables name the images ({names}): none was read, choose one with {ways}"])


def _flag(hit: _Hit) -> str:
    """What reads a table."""
    return f"--labels {quote(str(hit.path))}"


def _says_more(hit: _Hit, most: Sequence[_Hit], said: Mapping[Path, Sequence[str]]) -> bool:
    """Whether a table says all that each of the others says, and more."""
    others = [other for other in most if other is not hit]
    return all(set(said[hit.path]) > set(said[other.path]) for other in others)


def _joined(most: Sequence[_Hit], said: Mapping[Path, Sequence[str]], files: FileLookup) -> Tables | None:
    """Tables side by side, no two of which say the same of their images; None where they do, or contradict."""
    telling = [hit for hit in most if said[hit.path]]
    every = list(chain.from_iterable(said.values()))
    if len(telling) < 2 or len(set(every)) < len(every):
        return None
    whole = side_by_side([(hit.table, hit.plan.image) for hit in telling], files)
    if whole is None:
        return None
    first, *others = telling
    names = " and ".join(f"{hit.path.name} (the {' and the '.join(said[hit.path])})" for hit in telling)
    note = f"tables that name the same images were read side by side: {names}; {_flag(first)} reads one alone"
    beside = frozenset(hit.path for hit in others)
    return Tables({whole.path: ""}, [note], joined={whole.path: whole}, beside=beside)


def _agree(hits: Sequence[_Hit], files: FileLookup) -> bool:
    """Whether tables say the same of the same images, in the columns that would be read."""
    first, *others = [_said_of_files(hit, files) for hit in hits]
    return all(other == first for other in others)


def _said_of_files(hit: _Hit, files: FileLookup) -> set[tuple[str, ...]]:
    """Each file that a table names, with its class, patient and split."""
    columns = list[list[str]]()
    for name in (hit.plan.label, hit.plan.patient, hit.plan.split):
        columns.append(hit.table.column(name) if name else [""] * len(hit.texts))
    said = set[tuple[str, ...]]()
    for text, *values in zip(hit.texts, *columns, strict=True):
        if files.has(text):
            said.add((*files.candidates(text), *values))
    return said


def _divides(table: SourceTable, plan: ColumnRoles) -> bool:
    """Whether a table says splits."""
    return bool(plan.split) and any(value.lower() in SPLIT_WORDS for value in table.column(plan.split))


def _are_of_parts(hits: Sequence[_Hit], images: int) -> bool:
    """Whether tables say the same of parts of one set."""
    names = list(chain.from_iterable(hit.named for hit in hits))
    if len(hits) < 2 or len(set(names)) < len(names) or 2 * len(names) <= images:
        return False
    if len({frozenset(hit.table.header) for hit in hits}) == 1:
        return True
    return bool(hits[0].plan.label) and len({hit.plan for hit in hits}) == 1


def _are_of_splits(hits: Sequence[_Hit], splits: Mapping[Path, str]) -> bool:
    """Whether tables of parts are those of splits by their names."""
    if "" in splits.values() or len(set(splits.values())) < 2 or any(hit.plan.split for hit in hits):
        return False
    return len({(_beside_split(hit), splits[hit.path]) for hit in hits}) == len(hits)


def _lie_apart(hits: Sequence[_Hit]) -> bool:
    """Whether each table lies in a folder of its own, above all of its images."""
    folders = [hit.path.absolute().parent for hit in hits]
    for hit, folder in zip(hits, folders, strict=True):
        if not all(Path(name).is_relative_to(folder) for name in hit.named):
            return False
    return not any(one.is_relative_to(other) for one, other in permutations(folders, 2))


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


def _about_doubles(hit: _Hit) -> list[str]:
    """A note about a table whose names several files have, with the folders that have one for each."""
    text = next(filter(hit.files.has_several, hit.texts), None)
    if text is None:
        return []
    way = "write their folders too"
    folders = folders_of(hit.table, hit.texts, hit.files)
    if folders and hit.agrees():
        sources = " or ".join(f"{quote(folder)} {_flag(hit)}" for folder in folders)
        way = f"give the folder that it is about as the source: {sources}"
    return [f"{hit.path.name} names files of which there are several, such as {text}, not used: {way}"]


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
        if says and 2 * len(_named_files(table, plan, files)) > len(images):
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


def _named_files(table: SourceTable, plan: ColumnRoles, files: FileLookup) -> frozenset[str]:
    """The files that a table names, of images and masks."""
    cells = set[str]()
    for column in (plan.image, *plan.channels, *plan.masks):
        cells.update(table.column(column))
    return frozenset(files.candidates(text)[0] for text in cells if files.has(text))


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
    """The table, and the columns that the person named."""
    known = {role: column for role, column in hints.columns.items() if role in ROLES}
    names = {entry.name for entry in entries} | {entry.stem for entry in entries}
    return read_table(path, known=known, files=frozenset(names)), known
