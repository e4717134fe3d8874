"""Images (or volumes) that one table describes: its rows become cases, its other columns go along.

Which files the rows name is told in `sfumato.data.source.tables.row_files`, what they say of these in
`sfumato.data.source.tables.row_values`. Rows without a file are an error; files without a row are noted. What folders
say (split, patient, masks beside the images) holds where the table says nothing.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.formats.joined import MaskPart, joined_name, mask_parts
from sfumato.data.formats.volume import VolumeHeader
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import ReadOptions
from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.byhand import fitting_images
from sfumato.data.source.matching.layout import Arranged, match_masks
from sfumato.data.source.matching.overlap import mask_overlap
from sfumato.data.source.matching.pairing import Owned
from sfumato.data.source.matching.roles import sort_roles
from sfumato.data.source.matching.witness import without_drawn
from sfumato.data.source.people.classes import without_folders_of_one
from sfumato.data.source.table import SourceTable
from sfumato.data.source.tables.columns import ColumnRoles, Places
from sfumato.data.source.tables.folder_rows import about_rows_of_pictures
from sfumato.data.source.tables.left_columns import about_left_columns
from sfumato.data.source.tables.nearby import about_images_beside, plan_nearby
from sfumato.data.source.tables.pointed import Pointed, volumes_at
from sfumato.data.source.tables.rival_columns import refuse_rivals
from sfumato.data.source.tables.row_files import RowFiles, files_of_rows, locate_images
from sfumato.data.source.tables.row_values import RowValues, described_by_rows, read_row_values
from sfumato.data.source.tables.which_table import read_for
from sfumato.errors import DataError, UsageError, listed
from sfumato.wording import counted


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
        rows: the place of the row of each image, counted from 0; none where rows are folders.
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
    rows: Mapping[str, int] = MappingProxyType({})


def join_table(
    path: Path,
    entries: Sequence[SourceFile],
    root: Path,
    *,
    masks: Sequence[SourceFile] | None,
    hints: ReadOptions,
    follow: bool,
    joined: Mapping[Path, SourceTable],
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
    offered = _offered(entries, root, masks, hints)
    planned = _planned(joined.get(path, table), known, offered, root, hints, follow=follow)
    rows = _read_rows(planned, root, hints)
    named = rows.volumes.entries(rows.files.channels_of_images(), entries)
    arranged = _arranged(named, offered, planned.plan, hints, labelled=rows.values.says_classes)
    cases = described_by_rows(arranged.cases, rows.table, planned.plan, rows.files, rows.values)
    cases, told = _with_wishes(cases, planned.plan, rows.values, hints)
    cases, unlabelled = _without_unlabelled(cases, rows.values)
    left_columns = about_left_columns(planned.table, planned.plan, cases)
    used = _used(rows, cases)
    return Tabulated(
        arranged=arranged._replace(
            cases=cases,
            notes=[*arranged.notes, *planned.notes, *rows.notes, *told, *rows.values.notes, *left_columns],
            unpaired=[*arranged.unpaired, *rows.missing],
            bare_alone=arranged.bare_alone and not rows.missing,
        ),
        headers=rows.volumes.headers,
        kind=rows.volumes.kind(rows.files.images),
        outside=planned.places.outside(root),
        patient_column=planned.plan.patient,
        unnamed=_unused(offered.images, used),
        beside=_unused(offered.marked, used) if planned.plan.masks else {},
        mask_columns=planned.plan.masks,
        unlabelled=unlabelled,
        rows=_places_of_rows(planned.table, rows),
    )


def _places_of_rows(table: SourceTable, rows: "_Rows") -> Mapping[str, int]:
    """The place of the row of each image, counted from 0; none where rows are folders."""
    places = {row.number: place for place, row in enumerate(table.rows)}
    if len(places) < len(table.rows):
        return {}
    return {image: places[row.number] for image, row in zip(rows.files.images, rows.table.rows, strict=True)}


class _Planned(NamedTuple):
    """A table of whose columns is known what they are for.

    Attributes:
        table: the table.
        known: the columns that a person named, by role.
        plan: the columns that have a role.
        places: the files that it may mean.
        notes: what had to be guessed.
    """

    table: SourceTable
    known: Mapping[str, str]
    plan: ColumnRoles
    places: Places
    notes: list[str]


class _Rows(NamedTuple):
    """The rows of a table that have an image.

    Attributes:
        table: these rows alone.
        files: what each names.
        values: what each says.
        volumes: what the files and folders of DICOM are that they name.
        missing: the rows without an image, in words.
    """

    table: SourceTable
    files: RowFiles
    values: RowValues
    volumes: Pointed
    missing: list[str]

    @property
    def notes(self) -> list[str]:
        """What is told of the other rows."""
        return [f"rows of the table without a file, left out: {len(self.missing)}"] if self.missing else []


class _Offered(NamedTuple):
    """The files that a table may mean.

    Attributes:
        every: all of them.
        images: those that may be images.
        marked: those that are masks by their names, or by their pixels where they are called like images.
        masks: those among which masks are looked for that the table does not name.
        apart: whether these lie in a folder of their own, which a person named.
    """

    every: Sequence[SourceFile]
    images: Sequence[SourceFile]
    marked: Sequence[SourceFile]
    masks: Sequence[SourceFile]
    apart: bool


def _offered(
    entries: Sequence[SourceFile], root: Path, masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> _Offered:
    """The files that a table may mean; see `join_table`."""
    fitting = fitting_images(entries, hints.images)
    if masks is not None:
        every = [*entries, *(_seen_from(root, mask) for mask in masks)]
        return _Offered(every, fitting or entries, marked=[], masks=masks, apart=True)
    images, marked, _ = sort_roles(entries)
    images, drawn = without_drawn(images)
    called_masks = [picture.entry for picture in (*marked, *drawn)]
    return _Offered(
        every=entries,
        images=fitting or [picture.entry for picture in images],
        marked=called_masks,
        masks=called_masks if hints.masks is None else entries,  # a pattern looks among all
        apart=False,
    )


def _seen_from(root: Path, entry: SourceFile) -> SourceFile:
    """A mask of a folder of its own, with its path below the folder of the images where it lies there."""
    home = f"{root.absolute()}{os.sep}"
    if not entry.locator.startswith(home):
        return entry
    below = entry.locator.removeprefix(home).split(os.sep)  # noqa: PTH206 - a Path for each of 100,000 is slow
    return entry._replace(parts=tuple(below))


def _planned(
    table: SourceTable, known: Mapping[str, str], offered: _Offered, root: Path, hints: ReadOptions, *, follow: bool
) -> _Planned:
    """The table with what its columns are for; see `join_table`."""
    home = table.path.parent.absolute() if follow else None
    plan, notes, places = plan_nearby(table, known, offered.images, offered.every, root, follow=home)
    if hints.masks is not None and "mask" not in known:  # the pattern goes before a column
        plan = plan._replace(masks=())
    refuse_rivals(table, known, plan, places.images)
    notes += about_rows_of_pictures(table)
    beside = about_images_beside(table, table.column(plan.image), root)
    return _Planned(table, known, plan, places, [*notes, *beside])


def _read_rows(planned: _Planned, root: Path, hints: ReadOptions) -> _Rows:
    """What the rows name and say; see `join_table`."""
    table, known, plan, places, _ = planned
    located = locate_images(table, plan.image, places, drop_missing=hints.drop_unpaired)
    there = zip(table.rows, located.of_rows, strict=True)
    kept = table._replace(rows=[row for row, image in there if image is not None])
    files = files_of_rows(kept, plan, located, places)
    volumes = volumes_at(files.every(), root)
    values = read_row_values(kept, plan, known, drop_empty=hints.drop_unpaired)
    return _Rows(kept, files.at_volumes(volumes), values, volumes, located.missing)


def _arranged(
    named: Sequence[SourceFile], offered: _Offered, plan: ColumnRoles, hints: ReadOptions, *, labelled: bool
) -> Arranged:
    """What the folders of the files that a table names say of them; the masks beside them, where it names none.

    Args:
        named: the files.
        offered: those that the table may mean.
        plan: the columns of the table.
        hints: as for `join_table`.
        labelled: whether the table says the class of images.

    Raises:
        DataError: some of them have a mask and others have none.
    """
    images = {entry.locator for entry in named}
    free = list[SourceFile]()
    if not plan.masks and not hints.images_only:
        free = [entry for entry in offered.masks if entry.locator not in images]
    lenient = replace(hints, drop_unpaired=True)
    try:
        arranged = match_masks(named, masks=free, hints=lenient, labelled=labelled)
    except DataError as error:
        if error.code != "DATA-010" or offered.apart:
            raise
        alone = match_masks(named, masks=[], hints=lenient, labelled=labelled)
        return alone._replace(notes=[*alone.notes, _about_unlike_masks(len(free))])
    without_mask = sorted(images - {case.image for case in arranged.cases})
    if without_mask and not hints.drop_unpaired:
        raise _without_mask(without_mask)
    return arranged._replace(unpaired=without_mask)


def _about_unlike_masks(number: int) -> str:
    masks = counted(number, "file that looks like a mask has", "files that look like masks have")
    return f"{masks} no name of an image in the table, not used: name masks in a column mask"


def _without_mask(images: Sequence[str]) -> DataError:
    told = counted(len(images), "image that the table names has", "images that the table names have")
    return DataError(
        f"{told} no mask:\n{listed(images)}",
        expected="a mask for every image, or for none",
        remedy="name the masks in a column, or leave these images out with --drop-unpaired",
        code="DATA-010",
    )


def _with_wishes(
    cases: list[Case], plan: ColumnRoles, values: RowValues, hints: ReadOptions
) -> tuple[list[Case], list[str]]:
    """The cases with what a person said of masks, and without classes by folders that are none; and notes.

    Raises:
        UsageError: a person said that masks in a column are classes.
    """
    cases, notes = _with_joined_masks(cases, plan, hints)
    if hints.images_only:
        cases = [replace(case, masks=()) for case in cases]
    if values.says_classes:
        return cases, notes
    cases, told = without_folders_of_one(cases)
    return cases, [*notes, *told]


def _with_joined_masks(cases: list[Case], plan: ColumnRoles, hints: ReadOptions) -> tuple[list[Case], list[str]]:
    """The cases with the masks of all columns and rows of an image as parts of one, where a person said so.

    So are those of several rows that lie beside one another, a row for each lesion, which is told.

    Raises:
        UsageError: a person said that they are classes.
    """
    if not plan.masks:
        return cases, []
    if hints.classes_by is not None:
        raise UsageError(
            f"--classes-by {hints.classes_by}: the table names the masks, in the column {', '.join(plan.masks)}",
            expected="masks beside the images, told apart by their folders or names",
            remedy="leave --classes-by out; or give the folder with --images and --masks and no table",
        )
    several = [case for case in cases if len(case.masks) > 1]
    if len(plan.masks) == 1 and not hints.is_said_of_masks and several and _lie_beside(several):
        note = (
            "masks of several rows of an image are parts of one (they lie beside one another), joined in "
            f"{counted(len(several), 'image')}: --readers-by suffix if each row is of a reader"
        )
        return list(map(_with_one_mask, cases)), [note]
    if hints.join_masks:
        return list(map(_with_one_mask, cases)), []
    return cases, []


def _with_one_mask(case: Case) -> Case:
    """A case with all of its masks as parts of one."""
    if not case.masks:
        return case
    parts = [MaskPart("", mask) for mask in case.masks]
    return replace(case, masks=(joined_name(parts),))


def _lie_beside(cases: Sequence[Case]) -> bool:
    """Whether the masks of an image lie beside one another, on a sample of the set."""
    owned = {case.image: [_owned(mask) for mask in case.masks] for case in cases}
    measured = mask_overlap(owned)
    return measured is not None and measured.apart


def _owned(mask: str) -> Owned:
    name = Path(mask).name
    return Owned(SourceFile(mask, (name,)), "", name)


def _without_unlabelled(cases: list[Case], values: RowValues) -> tuple[list[Case], tuple[str, ...]]:
    """The cases without those whose rows have no class, where such rows were left out; and the images of these."""
    if not values.labels.dropped:
        return cases, ()
    unlabelled = tuple(case.image for case in cases if case.label is None)
    return [case for case in cases if case.label is not None], unlabelled


def _used(rows: _Rows, cases: Sequence[Case]) -> set[str]:
    """All files that rows name, or that are masks of cases."""
    used = rows.volumes.used(rows.files.images, [*rows.files.channels, *rows.files.masks])
    for case in cases:
        for mask in case.masks:
            used.update(part.locator for part in mask_parts(mask))
    return used


def _unused(entries: Sequence[SourceFile], used: Collection[str]) -> dict[str, SourceFile]:
    """The other files, by their locators."""
    return {entry.locator: entry for entry in entries if entry.locator not in used}
