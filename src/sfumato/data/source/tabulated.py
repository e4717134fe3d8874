"""Images (or volumes) that a table describes: its rows become cases, its other columns go along.

The table names files in any way: paths below the folder, names, names without ending, a path of the machine on which
it was written - as long as one file alone fits. Rows without a file are an error; files without a row are noted. Rows
that name an image again may bring masks of further readers, but no other class. What folders say (split, patient,
masks beside the images) holds where the table says nothing.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.formats.joined import MaskPart, joined_name, mask_parts
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.manifest import COLUMNS, MEASURED_COLUMNS, Case, folded
from sfumato.data.source.byhand import fitting_images
from sfumato.data.source.classes import without_folders_of_one
from sfumato.data.source.columns import ColumnRoles, Places, counts
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.labels import ClassColumn, one_hot_columns, read_labels
from sfumato.data.source.layout import SPLIT_WORDS, Arranged, match_masks, sort_roles
from sfumato.data.source.leftover import Named, about_left
from sfumato.data.source.listing import ENDING, SourceFile
from sfumato.data.source.lookup import FileLookup
from sfumato.data.source.nearby import about_images_beside, folders_of, plan_nearby
from sfumato.data.source.overlap import mask_overlap
from sfumato.data.source.pairing import Owned
from sfumato.data.source.persons import NEARLY_ALL, spelling
from sfumato.data.source.pointed import as_large_as, volumes_at
from sfumato.data.source.table import UNKNOWN_WORDS, SourceTable, bare, columns_of
from sfumato.data.source.which_table import read_for
from sfumato.errors import DataError, UsageError, collected, listed, raise_together
from sfumato.wording import counted

RESERVED = re.compile(rf"id|(?:image|mask)(?:_\d+)?|{'|'.join((*COLUMNS, *MEASURED_COLUMNS))}")
"""Names that columns of a manifest have already."""

ABOUT_CLASSES = re.compile(
    r"(?:^|[\W_]|case)(?:label|class|classification|grade|diagnos\w*|finding|patholog\w*|type|subtype|severity|outcome|isup|bi-?rads|category"
    r"|dx|target|cspca|malignan\w*)s?(?:$|[\W_])",
    re.IGNORECASE,
)
"""Names of columns that may be the class."""

RUNS = re.compile(r"\d+ \d+(?: \d+ \d+)+")
"""Starts and lengths of runs of pixels, two of each at least."""

DROPPED = re.compile(r"(?:unnamed(?::? ?\d+)?|index|column 1)?", re.IGNORECASE)
"""Columns of this name that only number the rows say nothing."""


_TABLE = "\0"
"""What stands for the name of a table in a note: no name has it."""

NOTHING_JOINED: Mapping[Path, SourceTable] = MappingProxyType({})


class Tabulated(NamedTuple):
    """What a table says.

    Attributes:
        arranged: its cases.
        headers: of the DICOM volumes among its files, by locator.
        kind: what its images are: pictures, volumes or arrays.
        outside: where its paths lead, where that is not below its folder; for the person alone, never stored.
        patient_column: the column that says whose the images are; empty without one.
        unnamed: the images that it does not name, by locator.
        beside: masks that it does not name, while it names others, by locator.
        mask_columns: the columns of those that it names.
        unlabelled: images that were left out since their rows have no class (`ReadOptions.drop_unpaired`).
    """

    arranged: Arranged
    headers: Mapping[str, VolumeHeader]
    kind: str
    outside: tuple[str, ...]
    patient_column: str
    unnamed: Mapping[str, SourceFile]
    beside: Mapping[str, SourceFile]
    mask_columns: tuple[str, ...]
    unlabelled: tuple[str, ...] = ()


def join_table(
    path: Path,
    entries: Sequence[SourceFile],
    root: Path,
    *,
    masks: Sequence[SourceFile] | None,
    hints: ReadOptions,
    follow: bool,
    joined: Mapping[Path, SourceTable] = NOTHING_JOINED,
) -> Tabulated:
    """The cases of a table.

    Args:
        path: the table.
        entries: files that it may name.
        root: the folder that they lie in.
        masks: the masks, if they are in a folder of their own.
        hints: names of columns, and what to do with rows that lack a file or class.
        follow: whether its paths may lead out of `root`: a person named it.
        joined: tables with what others say of the same images, by their paths.

    Raises:
        DataError: columns are missing or unclear, rows have no file (all are listed), classes contradict each other.
    """
    table, known = read_for(path, entries, hints)
    table = joined.get(path, table)
    here = path.parent.absolute() if follow else None
    shown, marked = _by_role(entries) if masks is None else (list(entries), [])
    beside = fitting_images(entries, hints.images) or shown
    apart = [_seen_from(root, entry) for entry in masks or ()]
    plan, notes, files = plan_nearby(table, known, beside, [*entries, *apart], root, follow=here)
    if hints.masks is not None and "mask" not in known:  # the pattern goes before a column
        plan = plan._replace(masks=())
    notes += about_images_beside(table, table.column(plan.image), root)
    located, missing = _located(table, plan.image, files)
    if missing and not hints.drop_unpaired:
        raise _without_file(table, plan.image, missing)
    if missing:
        notes.append(f"rows of the table without a file, left out: {len(missing)}")
    kept = table._replace(rows=[row for row in table.rows if row.number in located])
    images = [located[row.number] for row in kept.rows]
    channels = _cells(kept, plan.channels, files.images, images)
    readers = _cells(kept, plan.masks, files.every, images)
    volumes = volumes_at([*images, *(cell for cells in (*channels, *readers) for cell in cells)], root)
    images = [volumes.of(locator) for locator in images]
    channels = [tuple(map(volumes.of, cells)) for cells in channels]
    readers = [tuple(map(volumes.of, cells)) for cells in readers]
    named = dict(zip(images, channels, strict=True))
    labels, splits = _labels(kept, plan, hints, known), _splits(kept, plan, known)
    said = any(labels.names)
    others = entries if masks is None and hints.masks is not None else masks or marked  # a pattern looks among all
    arranged = _arranged(volumes.entries(named, entries), others, plan, hints, apart=masks is not None, labelled=said)
    cases = {case.image: replace(case, channels=named[case.image]) for case in arranged.cases}
    described = _described(kept, plan, images, cases, labels.names, splits.names, readers)
    described, told = _as_said(described, plan, hints)
    notes += told
    if hints.images_only:
        described = [replace(case, masks=()) for case in described]
    if not said:
        described, told = without_folders_of_one(described)
        notes = [*notes, *told]
    unlabelled = tuple(case.image for case in described if labels.dropped and case.label is None)
    if unlabelled:
        described = [case for case in described if case.label is not None]
    notes = [*arranged.notes, *notes, *labels.notes, *splits.notes, *_about_columns(table, plan, described)]
    used = volumes.used(images, [*channels, *readers]) | _drawn(described)
    unnamed, left = ({one.locator: one for one in of if one.locator not in used} for of in (beside, marked))
    return Tabulated(
        arranged._replace(
            cases=described,
            notes=notes,
            unpaired=[*arranged.unpaired, *missing],
            bare_alone=arranged.bare_alone and not missing,
        ),
        volumes.headers,
        volumes.kind(images),
        files.outside(root),
        plan.patient,
        unnamed,
        left if plan.masks else {},
        plan.masks,
        unlabelled,
    )


def _by_role(entries: Sequence[SourceFile]) -> tuple[list[SourceFile], list[SourceFile]]:
    """The files that are images, and those that are masks, by their names."""
    images, masks, _ = sort_roles(entries)
    return [picture.entry for picture in images], [picture.entry for picture in masks]


def _drawn(cases: Sequence[Case]) -> set[str]:
    """The files of the masks of cases."""
    return {part.locator for case in cases for mask in case.masks for part in mask_parts(mask)}


def tabulate_splits(
    tables: Mapping[Path, str],
    entries: Sequence[SourceFile],
    root: Path,
    *,
    masks: Sequence[SourceFile] | None,
    hints: ReadOptions,
    follow: bool,
    joined: Mapping[Path, SourceTable] = NOTHING_JOINED,
) -> Tabulated:
    """The cases of a table, or of one for each split; see `join_table`.

    Args:
        tables: the tables, with the split that each says; empty for a single one.
        entries: files that they may name.
        root: the folder that these lie in.
        masks: the masks, if they are in a folder of their own.
        hints: as for `join_table`.
        follow: as for `join_table`.
        joined: as for `join_table`.
    """
    each = [join_table(path, entries, root, masks=masks, hints=hints, follow=follow, joined=joined) for path in tables]
    unnamed = _of_all([read.unnamed for read in each])
    notes = _told_once(
        [(path.name, note) for read, path in zip(each, tables, strict=True) for note in read.arranged.notes]
    )
    stems = {ENDING.sub("", bare(case.image)) for read in each for case in read.arranged.cases}
    named = Named(" and ".join(path.name for path in tables), stems, each[0].mask_columns)
    notes += about_left(unnamed, _of_all([read.beside for read in each]), named, look=not hints.images_only)
    arranged = each[0].arranged._replace(
        cases=_of_parts(each, tables, root),
        notes=notes,
        unpaired=[name for read in each for name in read.arranged.unpaired],
    )
    return each[0]._replace(
        arranged=arranged,
        headers={locator: header for read in each for locator, header in read.headers.items()},
        outside=tuple(dict.fromkeys(place for read in each for place in read.outside)),
        unlabelled=tuple(image for read in each for image in read.unlabelled),
    )


def _told_once(told: Sequence[tuple[str, str]]) -> list[str]:
    """Notes about tables, each with its table: those that say the same of several name all of these."""
    tables = defaultdict[str, list[str]](list)
    for table, note in told:
        tables[note.replace(table, _TABLE)].append(table)
    return [note.replace(_TABLE, ", ".join(dict.fromkeys(names))) for note, names in tables.items()]


def _of_all(left: Sequence[Mapping[str, SourceFile]]) -> list[SourceFile]:
    """The files that none of several tables names."""
    return [entry for locator, entry in left[0].items() if all(locator in others for others in left[1:])]


def _of_parts(each: Sequence[Tabulated], tables: Mapping[Path, str], root: Path) -> list[Case]:
    """The cases of tables, with their splits; an id says its part where that of another table is the same."""
    cases = [
        (path, replace(case, split=split or case.split))
        for read, (path, split) in zip(each, tables.items(), strict=True)
        for case in read.arranged.cases
    ]
    if len({folded(case.id) for _, case in cases}) == len(cases):
        return [case for _, case in cases]
    names = [(f"{case.split}_{case.id}", f"{_folder_of(path, root)}_{case.id}") for path, case in cases]
    by_split, by_folder = zip(*names, strict=True)
    chosen = by_split if len(set(map(folded, by_split))) == len(cases) else by_folder
    return [replace(case, id=name) for name, (_, case) in zip(chosen, cases, strict=True)]


def _folder_of(table: Path, root: Path) -> str:
    """The folders of the source above a table, as a name."""
    return "_".join(table.absolute().parent.relative_to(root.absolute()).parts)


def _seen_from(root: Path, entry: SourceFile) -> SourceFile:
    """A mask of a folder of its own, with its path below the folder of the images where it lies there."""
    home = f"{root.absolute()}{os.sep}"
    if not entry.locator.startswith(home):
        return entry
    below = entry.locator.removeprefix(home).split(os.sep)  # noqa: PTH206 - a Path for each of 100,000 is slow
    return entry._replace(parts=tuple(below))


def _arranged(
    named: Sequence[SourceFile],
    others: Sequence[SourceFile],
    plan: ColumnRoles,
    hints: ReadOptions,
    *,
    apart: bool,
    labelled: bool,
) -> Arranged:
    """What the folders of the files that a table names say of them; the masks beside them, where it names none.

    Args:
        named: the files.
        others: files that may be their masks.
        plan: the columns of the table.
        hints: as for `join_table`.
        apart: whether these lie in a folder of their own, which a person named.
        labelled: whether the table says the class of images.

    Raises:
        DataError: some of them have a mask and others have none.
    """
    taken = {entry.locator for entry in named}
    free = [] if plan.masks or hints.images_only else [entry for entry in others if entry.locator not in taken]
    lenient = replace(hints, drop_unpaired=True)
    try:
        arranged = match_masks(named, masks=free, hints=lenient, labelled=labelled)
    except DataError as error:
        if error.code != "DATA-010" or apart:
            raise
        alone = match_masks(named, masks=[], hints=lenient, labelled=labelled)
        unlike = f"{counted(len(free), 'file that looks like a mask has', 'files that look like masks have')}"
        note = f"{unlike} no name of an image in the table, not used: name masks in a column mask"
        return alone._replace(notes=[*alone.notes, note])
    bare = taken - {case.image for case in arranged.cases}
    if bare and not hints.drop_unpaired:
        raise DataError(
            f"{counted(len(bare), 'image that the table names has', 'images that the table names have')} no mask:\n"
            f"{listed(sorted(bare))}",
            expected="a mask for every image, or for none",
            remedy="name the masks in a column, or leave these images out with --drop-unpaired",
            code="DATA-010",
        )
    return arranged._replace(unpaired=sorted(bare))


def _located(table: SourceTable, column: str, files: Places) -> tuple[dict[int, str], list[str]]:
    """The image of each row by the row's number, and rows without one.

    Raises:
        DataError: rows name files out of the folder, fit several files, or name different files of which one is here
            (all are listed).
    """
    located, missing, problems = dict[int, str](), list[str](), list[DataError]()
    called: dict[str, str] = {}
    folders = folders_of(table, table.column(column), files.images)
    for row, text in zip(table.rows, table.column(column), strict=True):
        try:
            found = _meant(files, text) if text else []
        except DataError as error:
            problems.append(_in_row(table, row.number, error))
            continue
        if len(found) > 1:
            problems.append(_several_files(table, row.number, text, found, folders))
        elif not found:
            missing.append(f"row {row.number}: {text or '(empty)'}")
        elif _differ(called.setdefault(found[0], text), text):
            finding = f"{table.path}, row {row.number}: '{text}' and '{called[found[0]]}' are both {found[0]}"
            problems.append(DataError(finding, expected="a file for each of two paths", code="DATA-051"))
        else:
            located[row.number] = found[0]
    raise_together(problems)
    if not located:
        raise _without_file(table, column, missing)
    return located, missing


def _meant(files: Places, text: str) -> list[str]:
    """The files that the name of an image may mean: images, or others; the beginning of a mask's is none."""
    return files.images.candidates(text) or ([] if files.every.begins else files.every.candidates(text))


def _differ(one: str, other: str) -> bool:
    """Whether two texts are paths of two files: neither ends as the other."""
    parts = [re.split(r"[/\\]+", folded(text)) for text in (one, other)]
    return min(map(len, parts)) > 1 and any(a != b for a, b in zip(*(reversed(p[:-1]) for p in parts), strict=False))


def _in_row(table: SourceTable, number: int, error: DataError) -> DataError:
    finding = f"{table.path}, row {number}: {error.finding}"
    return DataError(finding, expected=error.expected, remedy=error.remedy, code=error.code)


def _without_file(table: SourceTable, column: str, missing: Sequence[str]) -> DataError:
    return DataError(
        f"{table.path}: {len(missing)} of {len(table.rows)} rows have no file (column '{column}'):\n{listed(missing)}",
        expected="paths of images or volumes, or names of files below the folder, with or without ending",
        remedy="mend these rows"
        + (", or leave them out with --drop-unpaired" if len(missing) < len(table.rows) else ""),
        code="DATA-051",
    )


def _labels(table: SourceTable, plan: ColumnRoles, hints: ReadOptions, known: Mapping[str, str]) -> ClassColumn:
    """The class of each row, from the column for it or from one-hot columns."""
    if plan.label:
        numbers = [row.number for row in table.rows]
        return read_labels(table.path, plan.label, table.column(plan.label), numbers, drop_empty=hints.drop_unpaired)
    told = columns_of(known["label"], table.header) if "label" in known else []
    free = told or [name for name in table.header if name not in plan.used and not counts(table.column(name))]
    found = one_hot_columns({name: table.column(name) for name in free}, told=told)
    if told and (found is None or None in found.names):
        raise DataError(
            f"{table.path}: the columns {', '.join(told)} are no classes: not every row has a single 1 in them",
            expected="columns of 0 and 1, of which each row has a single 1",
            remedy="name one column of classes with --label-column",
            code="DATA-052",
        )
    return found or ClassColumn([None] * len(table.rows), [])


def _splits(table: SourceTable, plan: ColumnRoles, known: Mapping[str, str]) -> ClassColumn:
    """The split of each row; a column of other words is no split unless a person says so."""
    if not plan.split:
        return ClassColumn([None] * len(table.rows), [])
    values = [value.lower() for value in table.column(plan.split)]
    if strange := sorted({value for value in values if value and value not in SPLIT_WORDS}):
        if "split" in known:
            raise DataError(
                f"{table.path}: the column '{plan.split}' has values that are no splits:\n{listed(strange)}",
                expected="train, validation (val, valid) or test",
                code="DATA-016",
            )
        note = f"the column '{plan.split}' holds no splits ({', '.join(strange[:5])}): kept as it is"
        return ClassColumn([None] * len(table.rows), [note])
    return ClassColumn([SPLIT_WORDS.get(value) for value in values], [])


def _several_files(
    table: SourceTable, number: int, text: str, found: Sequence[str], folders: Sequence[str]
) -> DataError:
    """The error about a name that several files have; its folder, or that of all names in the table, tells it apart."""
    folder = folders[0] if folders else str(Path(found[0]).parent)
    whole = f"; or give that folder as the source: {quote(folder)} --labels {quote(str(table.path))}" if folders else ""
    return DataError(
        f"{table.path}, row {number}: '{text}' may be {len(found)} files, such as {found[0]}, {found[1]}",
        expected="a path that one file has",
        remedy=f"write the folder too, such as {Path(folder).name}/{text}{whole}",
        code="DATA-051",
    )


def _cells(
    table: SourceTable, columns: Sequence[str], files: FileLookup, images: Sequence[str]
) -> list[tuple[str, ...]]:
    """The files that some columns of each row name, whose image is known; empty cells name none.

    Raises:
        DataError: a file is not there, or out of the folder (all are listed).
    """
    cells: list[list[str]] = [[] for _ in table.rows]
    problems = list[DataError]()
    for column in columns:
        for row, text, found, image in zip(table.rows, table.column(column), cells, images, strict=True):
            with collected(problems):
                found += _cell(table, row.number, column, text, files, image)
    raise_together(problems)
    return list(map(tuple, cells))


def _cell(table: SourceTable, number: int, column: str, text: str, files: FileLookup, image: str) -> list[str]:
    if not text:
        return []
    try:
        found = files.candidates(text)
    except DataError as error:
        raise _in_row(table, number, error) from error
    found = (as_large_as(image, found) or found) if len(found) > 1 else found
    if len(found) != 1:
        finding = f"{table.path}, row {number}: {len(found) or 'no'} files are the {column} '{text}'"
        raise DataError(finding, expected="a path that one file has", code="DATA-051")
    return found


def _described(
    table: SourceTable,
    plan: ColumnRoles,
    images: Sequence[str],
    cases: Mapping[str, Case],
    labels: Sequence[str | None],
    splits: Sequence[str | None],
    masks: Sequence[Sequence[str]],
) -> list[Case]:
    """The cases with what their rows say.

    Raises:
        DataError: rows of one image have different classes, patients or splits.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for place, image in enumerate(images):
        rows[image].append(place)
    patients = _patients(table, plan)
    for what, values in (
        ("class", labels),
        ("patient", [spelling(name) or None for name in patients]),
        ("split", splits),
    ):
        _refuse_clashes(table, rows, what, values)
    columns = _others(table, plan, keep_split=not any(splits))
    described = []
    for image, case in cases.items():
        if image not in rows:
            continue
        first, *_ = places = rows[image]
        described.append(
            replace(
                case,
                label=labels[first] if any(labels) else case.label,
                split=splits[first] or case.split,
                patient=patients[first] or case.patient,
                masks=tuple(dict.fromkeys(mask for place in places for mask in masks[place])) or case.masks,
                more={name: table.rows[first].fields[place].strip() for name, place in columns.items()},
            )
        )
    return described


def _as_said(cases: Sequence[Case], plan: ColumnRoles, hints: ReadOptions) -> tuple[list[Case], list[str]]:
    """The cases with the masks of all columns and rows of an image as parts of one, where a person said so.

    So are those of several rows that lie beside one another, a row for each lesion, which is told.

    Raises:
        UsageError: a person said that they are classes.
    """
    if hints.classes_by is not None and plan.masks:
        raise UsageError(
            f"--classes-by {hints.classes_by}: the table names the masks, in the column {', '.join(plan.masks)}",
            expected="masks beside the images, told apart by their folders or names",
            remedy="leave --classes-by out; or give the folder with --images and --masks and no table",
        )
    several = [case for case in cases if len(case.masks) > 1]
    beside = len(plan.masks) == 1 and not hints.is_said_of_masks and several and _lie_beside(several)
    if not plan.masks or not (hints.join_masks or beside):
        return list(cases), []
    parts = [
        replace(case, masks=(joined_name([MaskPart("", mask) for mask in case.masks]),) if case.masks else ())
        for case in cases
    ]
    note = (
        f"masks of several rows of an image are parts of one (they lie beside one another), joined in "
        f"{counted(len(several), 'image')}: --readers-by suffix if each row is of a reader"
    )
    return parts, [note] if beside else []


def _lie_beside(cases: Sequence[Case]) -> bool:
    """Whether the masks of an image lie beside one another, on a sample of the set."""
    owned = {
        case.image: [Owned(SourceFile(mask, (Path(mask).name,)), "", Path(mask).name) for mask in case.masks]
        for case in cases
    }
    measured = mask_overlap(owned)
    return measured is not None and measured.apart


def _refuse_clashes(
    table: SourceTable, rows: Mapping[str, Sequence[int]], what: str, values: Sequence[str | None]
) -> None:
    """Refuse rows of one image that say different things of it.

    Args:
        table: the table.
        rows: the places of the rows of each image.
        what: what is said.
        values: by each row.
    """
    clashes = [
        f"{Path(image).name}: {', '.join(f'{values[place]} (row {table.rows[place].number})' for place in places)}"
        for image, places in rows.items()
        if len({values[place] for place in places}) > 1
    ]
    if clashes:
        raise DataError(
            f"{table.path}: {len(clashes)} images have rows with different values of the {what}:\n{listed(clashes)}",
            expected=f"one {what} per image",
            remedy="keep one row for each image",
            code="DATA-053",
        )


def _patients(table: SourceTable, plan: ColumnRoles) -> list[str]:
    """Whose each row is; empty where it says that nobody knows."""
    given = table.column(plan.patient) if plan.patient else [""] * len(table.rows)
    return ["" if text.casefold() in UNKNOWN_WORDS else text for text in given]


def _about_columns(table: SourceTable, plan: ColumnRoles, cases: Sequence[Case]) -> Iterator[str]:
    """Which columns say nothing to sfumato."""
    labels = {case.label for case in cases}
    hot = labels & set(table.header) if not plan.label else set()
    unused = [
        name
        for name in table.header
        if name not in plan.used and name not in hot and not (DROPPED.fullmatch(name) and counts(table.column(name)))
    ]
    if not plan.label and not hot:
        yield from _about_classes(table, unused)
    if unused:
        yield f"columns of {table.path.name} that are kept and not used: {', '.join(unused)}"
    if runs := [name for name in unused if any(RUNS.fullmatch(value.strip()) for value in table.column(name))]:
        yield f"masks as run lengths are not read (the column {', '.join(runs)}): write them as a PNG for each image"


def _about_classes(table: SourceTable, unused: Sequence[str]) -> Iterator[str]:
    """Which columns may be the class where none was taken for it, or why such a one is not."""
    numbers, offers = [row.number for row in table.rows], list[str]()
    for name in unused:
        if not ABOUT_CLASSES.search(name):
            continue
        try:
            found = read_labels(table.path, name, table.column(name), numbers, drop_empty=True)
        except DataError as error:
            why = error.finding.splitlines()[0].removeprefix(f"{table.path}: ").rstrip(":")
            yield f"no class was taken from {table.path.name}: {why}"
            continue
        count = len(set(found.names) - {None})
        if 1 < count < NEARLY_ALL * len(numbers):
            offers.append(f"--label-column '{name}' ({count} classes)")
    if offers:
        yield f"no column of {table.path.name} was taken for the class: {', or '.join(offers)}"


def _others(table: SourceTable, plan: ColumnRoles, *, keep_split: bool) -> dict[str, int]:
    """Places of the columns that go along as they are, by a name that is free in a manifest.

    The column of the patient goes along too: a person may want to group by its name.
    """
    used = plan._replace(patient="", split="" if keep_split else plan.split).used | {"patient"}
    others = {}
    for place, name in enumerate(table.header):
        if name in used:
            continue
        if DROPPED.fullmatch(name) and counts(table.column(name)):
            continue
        named = name or "unnamed"
        others[f"source_{named}" if RESERVED.fullmatch(named) else named] = place
    return others
