"""Images (or volumes) that a table describes: its rows become cases, its other columns go along.

The table names files in any way: paths below the folder, names, names without ending, a path of the machine on which
it was written - as long as one file alone fits. Rows without a file are an error; files without a row are noted. Rows
that name an image again may bring masks of further readers, but no other class. What folders say (split, patient,
masks beside the images) holds where the table says nothing.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sfumato.data.manifest import COLUMNS, MEASURED, Case
from sfumato.data.source.found import Hints
from sfumato.data.source.labels import Labels, one_hot_columns, read_labels
from sfumato.data.source.layout import SPLITS, Arranged, arrange, sort_roles
from sfumato.data.source.listing import Entry
from sfumato.data.source.lookup import Files
from sfumato.data.source.table import ROLES, Table, read_table, roles
from sfumato.errors import DataError, listed, raise_together

RESERVED = re.compile(rf"id|(?:image|mask)(?:_\d+)?|{'|'.join((*COLUMNS, *MEASURED))}")
"""Names that columns of a manifest have already."""

MAX_BYTES_TO_LOOK = 2**26
"""Larger tables in a folder are not looked into unless a person names them."""

DROPPED = re.compile(r"(?:unnamed(?::? ?\d+)?|index|column 1)?", re.IGNORECASE)
"""Columns of this name that only number the rows say nothing."""


class Plan(NamedTuple):
    """Which column has which role; empty where none has."""

    image: str
    mask: str
    label: str
    patient: str
    split: str


def tabulate(
    path: Path, entries: Sequence[Entry], root: Path, *, masks: Sequence[Entry] | None, hints: Hints
) -> Arranged:
    """The cases of a table.

    Args:
        path: the table.
        entries: files that it may name.
        root: the folder that they lie in.
        masks: the masks, if they are in a folder of their own.
        hints: names of columns, and what to do with rows that lack a file or class.

    Raises:
        DataError: columns are missing or unclear, rows have no file (all are listed), classes contradict each other.
    """
    table, known = _read(path, entries, hints)
    images = [picture.entry for picture in sort_roles(entries)[0]] if masks is None else list(entries)
    files, every = Files(images, root), Files([*entries, *(masks or ())], root)
    plan, notes = _plan(table, known, files, every)
    arranged = arrange(images if plan.mask else entries, masks=None if plan.mask else masks, hints=hints)
    cases = {case.image: case for case in arranged.cases}
    located, missing = _located(table, plan.image, files, cases)
    if missing and not hints.drop_unpaired:
        raise _without_file(table, plan.image, missing)
    if missing:
        notes.append(f"rows of the table without a file, left out: {len(missing)}")
    if unnamed := [Path(image).name for image in cases if image not in set(located.values())]:
        shown = ", ".join(unnamed[:5]) + (" ..." if len(unnamed) > 5 else "")
        notes.append(f"images without a row in {path.name}, left out: {len(unnamed)} ({shown})")
    kept = table._replace(rows=[row for row in table.rows if row.number in located])
    labels = _labels(kept, plan, hints)
    splits = _splits(kept, plan, known)
    described = _described(kept, plan, located, cases, labels.names, splits.names, _masks(kept, plan, every))
    if hints.images_only:
        described = [replace(case, masks=()) for case in described]
    if labels.dropped:
        described = [case for case in described if case.label is not None]
    return Arranged(described, [*arranged.notes, *notes, *labels.notes, *splits.notes], [*arranged.unpaired, *missing])


def find_table(
    tables: Sequence[Entry], entries: Sequence[Entry], root: Path, hints: Hints
) -> tuple[Path | None, list[str]]:
    """The one table that names most of the images, or a note about several."""
    images = [picture.entry for picture in sort_roles(entries)[0]]
    files, hits = Files(images, root), list[Path]()
    for entry in tables[:20]:
        path = Path(entry.locator)
        if path.stat().st_size <= MAX_BYTES_TO_LOOK and 2 * _named_images(path, entries, files, hints) > len(images):
            hits.append(path)
    if len(hits) > 1:
        names = ", ".join(path.name for path in hits)
        return None, [f"several tables name the images ({names}): none was read, choose one with --labels"]
    return (hits[0], [f"the table {hits[0].name} was read"]) if hits else (None, [])


def _named_images(path: Path, entries: Sequence[Entry], files: Files, hints: Hints) -> int:
    """How many images a table names; 0 for what is no table."""
    try:
        table, known = _read(path, entries, hints)
        plan, _ = _plan(table, known, files, files)
        return len({files.candidates(text)[0] for text in table.column(plan.image) if files.has(text)})
    except DataError:
        return 0


def _read(path: Path, entries: Sequence[Entry], hints: Hints) -> tuple[Table, dict[str, str]]:
    """The table, and the columns that the person named."""
    known = {role: column for role, column in hints.columns.items() if role in ROLES}
    names = frozenset(name for entry in entries for name in (entry.name, entry.stem))
    return read_table(path, known=known, files=names), known


def _plan(table: Table, known: Mapping[str, str], files: Files, every: Files) -> tuple[Plan, list[str]]:
    """Which column is for what, and what had to be guessed.

    Raises:
        DataError: no column names the images.
    """
    possible = roles(table, known)
    if not table.named:
        possible = {**possible, "image": list(table.header), "mask": list(table.header)}
    image = _most(table, possible["image"], files) or (possible["image"][0] if "image" in known else "")
    if not image:
        raise DataError(
            f"{table.path}: no column names the images; the columns are: {', '.join(table.header)}",
            expected="a column image, file, id ... with names of files below its folder",
            remedy="name it with --image-column; file names may lack their ending",
            code="DATA-050",
        )
    mask = known.get("mask") or _most(table, [name for name in possible["mask"] if name != image], every)
    chosen = {"image": image, "mask": mask}
    for role in ("label", "patient", "split"):
        free = [name for name in possible[role] if name not in chosen.values()]
        chosen[role] = free[0] if free else ""
    if not table.named and not chosen["label"]:
        free = [name for name in table.header if name not in chosen.values() and not _counts(table.column(name))]
        chosen["label"] = free[0] if len(free) == 1 else ""
    notes = [] if table.named else [f"{table.path.name} has no header: {image} names the images"]
    if len(possible["label"]) > 1:
        others = ", ".join(name for name in possible["label"] if name != chosen["label"])
        notes.append(f"the class is taken from the column '{chosen['label']}' (others: {others})")
    return Plan(**chosen), notes


def _most(table: Table, columns: Sequence[str], files: Files) -> str:
    """The column that names most files; none if none does."""
    hits = {name: sum(map(files.has, table.column(name))) for name in columns}
    best = max(hits, key=lambda name: hits[name], default="")
    return best if best and hits[best] else ""


def _counts(values: Sequence[str]) -> bool:
    """Whether values number the rows."""
    return any(list(values) == [str(row + start) for row in range(len(values))] for start in (0, 1))


def _located(table: Table, column: str, files: Files, cases: Mapping[str, Case]) -> tuple[dict[int, str], list[str]]:
    """The image of each row by the row's number, and rows without one.

    Raises:
        DataError: rows name files out of the folder, or fit several files (all are listed).
    """
    located, missing, problems = dict[int, str](), list[str](), list[DataError]()
    for row, text in zip(table.rows, table.column(column), strict=True):
        try:
            found = files.candidates(text) if text else []
        except DataError as error:
            problems.append(_in_row(table, row.number, error))
            continue
        if len(found) > 1:
            finding = (
                f"{table.path}, row {row.number}: '{text}' may be {len(found)} files, such as {found[0]}, {found[1]}"
            )
            problems.append(DataError(finding, expected="a path that one file has", code="DATA-051"))
        elif found and found[0] in cases:
            located[row.number] = found[0]
        else:
            missing.append(f"row {row.number}: {text or '(empty)'}")
    raise_together(problems)
    if not located:
        raise _without_file(table, column, missing)
    return located, missing


def _in_row(table: Table, number: int, error: DataError) -> DataError:
    finding = f"{table.path}, row {number}: {error.finding}"
    return DataError(finding, expected=error.expected, remedy=error.remedy, code=error.code)


def _without_file(table: Table, column: str, missing: Sequence[str]) -> DataError:
    return DataError(
        f"{table.path}: {len(missing)} of {len(table.rows)} rows have no file (column '{column}'):\n{listed(missing)}",
        expected="names of files below the folder of the images, with or without ending",
        remedy="mend these rows, or leave them out with --drop-unpaired",
        code="DATA-051",
    )


def _labels(table: Table, plan: Plan, hints: Hints) -> Labels:
    """The class of each row, from the column for it or from one-hot columns."""
    if plan.label:
        numbers = [row.number for row in table.rows]
        return read_labels(table.path, plan.label, table.column(plan.label), numbers, drop_empty=hints.drop_unpaired)
    free = [name for name in table.header if name not in plan and not _counts(table.column(name))]
    return one_hot_columns({name: table.column(name) for name in free}) or Labels([None] * len(table.rows), [])


def _splits(table: Table, plan: Plan, known: Mapping[str, str]) -> Labels:
    """The split of each row; a column of other words is no split unless a person says so."""
    if not plan.split:
        return Labels([None] * len(table.rows), [])
    values = [value.lower() for value in table.column(plan.split)]
    if strange := sorted({value for value in values if value and value not in SPLITS}):
        if "split" in known:
            raise DataError(
                f"{table.path}: the column '{plan.split}' has values that are no splits:\n{listed(strange)}",
                expected="train, validation (val, valid) or test",
                code="DATA-016",
            )
        note = f"the column '{plan.split}' holds no splits ({', '.join(strange[:5])}): kept as it is"
        return Labels([None] * len(table.rows), [note])
    return Labels([SPLITS.get(value) for value in values], [])


def _masks(table: Table, plan: Plan, files: Files) -> list[str]:
    """The mask of each row; empty where there is none.

    Raises:
        DataError: a mask is not there, or out of the folder (all are listed).
    """
    found, problems = list[str](), list[DataError]()
    for row, text in zip(table.rows, table.column(plan.mask) if plan.mask else [""] * len(table.rows), strict=True):
        try:
            masks = files.candidates(text) if text else []
        except DataError as error:
            problems.append(_in_row(table, row.number, error))
            continue
        if text and len(masks) != 1:
            finding = f"{table.path}, row {row.number}: {len(masks) or 'no'} files are the mask '{text}'"
            problems.append(DataError(finding, expected="a path that one file has", code="DATA-051"))
        found.append(masks[0] if masks else "")
    raise_together(problems)
    return found


def _described(
    table: Table,
    plan: Plan,
    located: Mapping[int, str],
    cases: Mapping[str, Case],
    labels: Sequence[str | None],
    splits: Sequence[str | None],
    masks: Sequence[str],
) -> list[Case]:
    """The cases with what their rows say.

    Raises:
        DataError: rows of one image have different classes.
    """
    rows: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(table.rows):
        rows[located[row.number]].append(place)
    clashes = [
        f"{Path(image).name}: {', '.join(f'{labels[place]} (row {table.rows[place].number})' for place in places)}"
        for image, places in rows.items()
        if len({labels[place] for place in places}) > 1
    ]
    if clashes:
        raise DataError(
            f"{table.path}: {len(clashes)} images have rows with different classes:\n{listed(clashes)}",
            expected="one class per image",
            remedy="keep one row for each image",
            code="DATA-053",
        )
    patients = table.column(plan.patient) if plan.patient else [""] * len(table.rows)
    columns = _others(table, plan, keep_split=not any(splits))
    described = []
    for image, case in cases.items():
        if image not in rows:
            continue
        first, *_ = places = rows[image]
        described.append(
            replace(
                case,
                label=labels[first] if labels[first] is not None else case.label,
                split=splits[first] or case.split,
                patient=patients[first] or case.patient,
                masks=tuple(dict.fromkeys(masks[place] for place in places if masks[place])) or case.masks,
                more={name: table.rows[first].fields[place].strip() for name, place in columns.items()},
            )
        )
    return described


def _others(table: Table, plan: Plan, *, keep_split: bool) -> dict[str, int]:
    """Places of the columns that go along as they are, by a name that is free in a manifest.

    The column of the patient goes along too: a person may want to group by its name.
    """
    used = {plan.image, plan.mask, plan.label, "" if keep_split else plan.split, "patient"} - {""}
    others = {}
    for place, name in enumerate(table.header):
        if name in used:
            continue
        if DROPPED.fullmatch(name) and _counts(table.column(name)):
            continue
        named = name or "unnamed"
        others[f"source_{named}" if RESERVED.fullmatch(named) else named] = place
    return others
