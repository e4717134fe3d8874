"""Find the cases in whatever a person has: say what a source is, and ask the module that reads it.

    folders of pictures    layout.py      images and masks, class folders, patients, readers, train/val/test
    tables                 tabulated.py   CSV, TSV or text about images; also one table among the images
    volumes                volumes.py     NIfTI, NRRD, MHA, Analyze and DICOM, with label volumes
    arrays                 arrays.py      NPZ and NPY; idx.py for IDX pairs
    EDM-style bundles      bundle.py      ZIP, or a folder with dataset.json
    nnU-Net raw            nnunet.py      labels, regions, folds
    our own                manifest.py    a folder with manifest.csv: a prepared data set, toy data, samples
    Python                 given.py       an iterable of cases, or `module:factory`

Only listings and headers are read. Nothing is left out silently: what is not understood is either an error that lists
it, or a note.
"""

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from shlex import quote

from sfumato.data.formats.image import is_image_name
from sfumato.data.formats.joined import mask_parts, mask_words
from sfumato.data.formats.locator import Locator
from sfumato.data.formats.scan import is_volume
from sfumato.data.manifest import Case, read_manifest, refuse_hidden
from sfumato.data.source.arrays.arrays import expand, find_in_array_files, find_in_arrays
from sfumato.data.source.arrays.bundle import find_in_bundle, is_bundle
from sfumato.data.source.arrays.idx import find_idx, find_idx_file, is_idx
from sfumato.data.source.discovered import NOTHING_SAID, finalise_dataset
from sfumato.data.source.discovered import DiscoveredDataset as DiscoveredDataset
from sfumato.data.source.discovered import ReadOptions as ReadOptions
from sfumato.data.source.given import given_by_python, is_factory
from sfumato.data.source.listing import (
    ARRAYS,
    TABLES,
    Listing,
    SourceFile,
    divided,
    files_below,
    in_order,
    left_out,
)
from sfumato.data.source.main_kind import MainKind, is_of_a_kind, main_kind, refuse_table_alone
from sfumato.data.source.matching.byhand import is_called_a_mask
from sfumato.data.source.matching.layout import Arranged, match_masks
from sfumato.data.source.matching.twins import without_twins
from sfumato.data.source.people.classes import told_classes, told_splits
from sfumato.data.source.people.patients import with_patients
from sfumato.data.source.table import SourceTable, says_more
from sfumato.data.source.tables.lists import with_lists, with_named_splits
from sfumato.data.source.tables.one_table import Tabulated
from sfumato.data.source.tables.patient_rows import with_rows_of_patients
from sfumato.data.source.tables.rowwise import with_rows
from sfumato.data.source.tables.split_columns import tables_of_splits
from sfumato.data.source.tables.tabulated import NOTHING_JOINED, tabulate_splits
from sfumato.data.source.tables.which_table import (
    find_tables,
    names_all_files,
    patients_by_rows,
    patients_of_named,
    rows_beside,
    tables_above,
)
from sfumato.data.source.texts import about_texts
from sfumato.data.source.unread import refuse_lone_masks, refuse_unread, without_yolo
from sfumato.data.source.values.codes import codes_above, with_codes, without_codes
from sfumato.data.source.values.contours import with_outlines
from sfumato.data.source.values.outlined import about_outlines, with_filled
from sfumato.data.source.values.ranges import about_ranges
from sfumato.data.source.values.shares import with_shares
from sfumato.data.source.values.values import with_values
from sfumato.data.source.volumes.nnunet import NAME, find_in_nnunet, nnunet_root, with_label_words
from sfumato.data.source.volumes.pages import paged
from sfumato.data.source.volumes.pictured import refuse_pictured
from sfumato.data.source.volumes.volumes import cut_volumes, find_in_volumes
from sfumato.errors import DataError, UsageError
from sfumato.files import is_pattern, what_is
from sfumato.provenance import is_written_by_us
from sfumato.tables import read_columns

_SAID = ("images", "masks", "readers_by", "classes_by", "join_masks", "fill_outlines", "class_names", "pages")
"""What of the hints goes along with the data, so that they can be read so again; none of it is a path."""

_WHOLE = ":"
"""What a locator says of an array that is one mask."""


def find_cases(
    source: Path | str | Iterable[Case], *, masks: Path | str | None = None, hints: ReadOptions = NOTHING_SAID
) -> DiscoveredDataset:
    """The cases in a file or folder, or of a Python program.

    Args:
        source: a file or folder; cases; or "module:factory", a function without arguments that gives cases.
        masks: folder of the masks, when they are not below `source`; or a pattern (`source.byhand`).
        hints: what the files leave open.

    Raises:
        DataError: nothing is there, names do not match (all are listed), or the form is not understood.
        UsageError: there is no such factory, it gives something else, or columns are named and no table was read.
    """
    if not isinstance(source, Path | str) or is_factory(source):
        return _as_said(given_by_python(source), None, hints)
    source = Path(source)
    if masks is not None and is_pattern(str(masks)):
        hints, masks = replace(hints, masks=str(masks)), None
    folder = None if masks is None else Path(masks)
    for path in (source, folder, hints.table):
        if path is not None:
            _refuse_nothing(path)
    apart = None if folder is None else _masks_in(folder)
    entries = None if apart is None else apart.entries
    found = _from_folder(source, entries, hints) if source.is_dir() else _from_file(source, entries, hints)
    _refuse_unused_columns(source, found, hints)
    if folder is not None and apart is not None:
        _refuse_unused_masks(folder, found)
        about_masks = [f"masks: {note}" for note in left_out(apart, [])]
        found = found._replace(notes=(*found.notes, *about_masks))
    return _as_said(found, source, hints)


def _as_said(found: DiscoveredDataset, source: Path | None, hints: ReadOptions) -> DiscoveredDataset:
    """The same with the patients and the names of classes that a person said, and with what was said."""
    is_ours = source is not None and source.is_dir() and is_written_by_us(source)
    if is_ours:
        found = with_values(found, hints, look=False)
    else:
        found = with_shares(with_values(with_label_words(found), hints, look=True), hints)
    if hints.fill_outlines and found.has_masks:
        found = with_filled(found)
    said = {name: getattr(hints, name) for name in _SAID if getattr(hints, name)}
    found = with_patients(found._replace(reading=said), source, hints)
    found = with_named_splits(found, keep_split=hints.keep_split)
    if is_ours:
        return found
    told = (*told_classes(found.cases), *told_splits(found.cases), *about_outlines(found), *about_ranges(found))
    return found._replace(notes=(*found.notes, *told))


def _refuse_nothing(path: Path) -> None:
    """Refuse what is not there, and what is neither folder nor file: a pipe would be waited for.

    Raises:
        DataError: it is not there, or of another kind.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist", expected="a file or folder of images", code="DATA-001")
    if not path.is_dir() and (found := what_is(path.stat().st_mode)):
        raise DataError(
            f"{path} is {found}",
            expected="a file or folder of images",
            remedy="write what it gives into a file first",
            code="DATA-001",
        )


def _refuse_unused_masks(masks: Path, found: DiscoveredDataset) -> None:
    """Masks that a person named, where a table names others, must not be passed over."""
    home, named = masks.resolve(), [mask for case in found.cases for mask in case.masks]
    files = {Locator.parse(part.locator).path for mask in named for part in mask_parts(mask)}
    if files and not any(Path(os.path.realpath(file)).is_relative_to(home) for file in files):
        raise UsageError(
            f"--masks {masks}: no image has its mask there: the {found.form} names others, "
            f"such as {mask_words(named[0])}",
            expected="the masks of these images",
            remedy="leave --masks out, or name the images alone as the source, without the table",
        )


def _refuse_unused_columns(source: Path, found: DiscoveredDataset, hints: ReadOptions) -> None:
    """Columns that a person named, where no table was read, must not be passed over."""
    if not hints.columns or found.form == "table" or found.patients_by:
        return
    named = ", ".join(f"'{column}' ({role})" for role, column in hints.columns.items())
    flags = " ".join(f"--{role}-column {quote(column)}" for role, column in hints.columns.items())
    finding = f"no table was read, so there is no column {named}: {source} was taken for {found.form}"
    tables = [f"  {note}" for note in found.notes if "--labels " in note]
    above = " as above" if tables else ""
    raise UsageError(
        "\n".join([finding, *tables]),
        expected="columns of a table about the images",
        remedy=f"name the table with --labels{above} {flags}, or leave the columns out",
    )


def _from_file(path: Path, masks: Sequence[SourceFile] | None, hints: ReadOptions) -> DiscoveredDataset:
    ending = path.suffix.lower()
    if hints.table is not None:
        raise DataError(
            f"{hints.table} cannot be about {path.name}, which is a file",
            expected="a table about the images of a folder",
            remedy="give the folder, or the table alone",
            code="DATA-050",
        )
    if ending in ARRAYS and masks is None:
        return find_in_arrays(path, hints)
    if ending == ".zip" and masks is None:
        return find_in_bundle(path, hints)
    if ending in TABLES:
        return _of_table(path, masks, hints)
    entry = SourceFile(str(path.absolute()), (path.name,))
    if is_idx(entry) and masks is None:
        return find_idx_file(path)
    if is_image_name(path.name):
        return _concluded(match_masks([entry], masks=masks, hints=hints), hints)
    if is_volume(path):
        return find_in_volumes([entry], masks, hints)
    raise DataError(
        f"{path} is not understood",
        expected="a folder, image, volume (NIfTI, NRRD, MHA, Analyze, DICOM), NPZ, NPY or IDX file, ZIP or table",
        code="DATA-002",
    )


def _from_folder(source: Path, masks: Sequence[SourceFile] | None, hints: ReadOptions) -> DiscoveredDataset:
    if masks is None and hints.table is None and (described := _as_described(source, hints)):
        return described
    listing = without_twins(files_below(source))
    root = nnunet_root(source)
    if root is not None:
        listing = _without(listing, root / NAME)
    entries, codes = without_codes(listing.entries)
    found = _of_listing(source, listing._replace(entries=entries), masks, hints)
    found = with_label_words(found, told=root is not None)
    if codes and not found.has_masks:  # they may be about the images
        return _of_listing(source, listing, masks, hints)
    return with_codes(found, codes or codes_above(masks), hints)


def _as_described(source: Path, hints: ReadOptions) -> DiscoveredDataset | None:
    """The cases of a folder that describes itself: our own, of nnU-Net, or a bundle; None for any other."""
    if _is_manifest(source / "manifest.csv"):
        cases = read_manifest(source / "manifest.csv")
        refuse_hidden(source, (case.image for case in cases))
        return finalise_dataset(cases, [], form="manifest")
    if hints.images is not None or hints.masks is not None:  # what a person says goes before what the source says
        return None
    if root := nnunet_root(source):
        return find_in_nnunet(root, hints)
    return find_in_bundle(source, hints) if is_bundle(source) else None


def _of_listing(
    source: Path, listing: Listing, masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> DiscoveredDataset:
    """What the files of a folder are, other than tables of codes."""
    if masks is None and hints.table is None and any(map(is_idx, listing.entries)):
        found = find_idx(listing.entries)
        return found._replace(notes=(*left_out(listing, []), *found.notes))
    if masks is not None:
        apart = set(map(_real, masks))
        listing = listing._replace(entries=[entry for entry in listing.entries if _real(entry) not in apart])
    if hints.table is not None:
        return _by_named_table(hints.table, source, listing, masks, hints)
    refuse_table_alone(source, listing, hints)
    main = main_kind(source, listing, hints)
    if masks is None and hints.images is None and not hints.images_only:
        refuse_pictured(listing.entries)
        refuse_lone_masks(main.files, main.others)
    if main.kind == "images" and masks is None:
        main = _with_arrays_as_masks(main)
    elif main.kind == "images" and masks is not None:
        masks = list(map(_whole, masks))
    return _of_main_kind(source, listing, main, masks, hints)


def _of_main_kind(
    source: Path, listing: Listing, main: MainKind, masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> DiscoveredDataset:
    """What the files of the main kind are: by the tables beside them that describe them, else by themselves."""
    perhaps = [entry for entry in main.others if entry.name.lower().endswith((".csv", ".tsv"))]
    perhaps = list(_other_than({Path(entry.locator) for entry in tables_of_splits(perhaps)}, perhaps))
    tables = find_tables(perhaps, main.files, source, hints)
    people = None if tables.of_patients is None else tables.of_patients.table.path
    used = {*tables.beside, tables.rows.table, people} - {None}
    if used:
        listing = listing._replace(entries=_other_than(used, listing.entries))
        main = main._replace(others=_other_than(used, main.others))
    others = main.others
    if tables.chosen:
        found = _by_tables(tables.chosen, source, listing, masks, hints, follow=False, joined=tables.joined)
    else:
        found, others = _without_table(source, listing, main, masks, hints)
    notes = (*tables.notes, *main.notes, *about_texts(others, main.files), *found.notes)
    return with_rows_of_patients(with_rows(found._replace(notes=notes), tables.rows), tables.of_patients)


def _other_than(used: Collection[Path | None], entries: Sequence[SourceFile]) -> list[SourceFile]:
    """The files other than the tables that are read."""
    return [entry for entry in entries if Path(entry.locator) not in used]


def _without_table(
    source: Path, listing: Listing, main: MainKind, masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> tuple[DiscoveredDataset, list[SourceFile]]:
    """What the files of a folder are by themselves, and the files that were not used."""
    found, others = _of_kind(main, masks, hints), main.others
    if not found.has_masks and not hints.images_only:
        found, others = _with_what_is_beside(found, main.files, others, source, hints)
    found, others = with_lists(found, others)
    above = [] if found.classes or hints.images_only else tables_above(main.files, source, hints)
    return found._replace(notes=(*left_out(listing, others, what=main.kind), *above, *found.notes)), others


def _with_what_is_beside(
    found: DiscoveredDataset,
    files: Sequence[SourceFile],
    others: Sequence[SourceFile],
    source: Path,
    hints: ReadOptions,
) -> tuple[DiscoveredDataset, list[SourceFile]]:
    """Images without masks with the outlines beside them, and the files that are none of these.

    Raises:
        DataError: masks are beside them that are not read.
    """
    found = with_outlines(found, files, others, source, hints)
    outlines = {str(Locator.parse(mask).path) for case in found.cases for mask in case.masks}
    others = [entry for entry in others if entry.locator not in outlines]
    if found.has_masks:
        return found, others
    others, said = without_yolo(files, others)
    refuse_unread(files, others, len(found.cases))
    return found._replace(notes=(*said, *found.notes)), others


def _masks_in(masks: Path) -> Listing:
    """The masks in a folder of their own, or a single one."""
    if masks.is_file():
        return Listing([SourceFile(str(masks.absolute()), (masks.name,))], 0)
    listing = files_below(masks)
    found = list(filter(is_of_a_kind, listing.entries))
    if not found:
        raise DataError(f"{masks} holds no masks", expected="images of masks", code="DATA-002")
    return listing._replace(entries=found)


def _real(entry: SourceFile) -> tuple[str, str]:
    """A file by the folder in which it lies in truth, whatever links lead there."""
    folder, _, name = entry.locator.rpartition(os.sep)
    return _real_folder(folder), name


def _is_manifest(table: Path) -> bool:
    """Whether a table is one of ours, all of whose columns are known: by whoever wrote it, or by their names."""
    return table.is_file() and (is_written_by_us(table.parent) or not says_more(read_columns(table)))


@lru_cache(maxsize=4096)
def _real_folder(folder: str) -> str:
    return os.path.realpath(folder)


def _with_arrays_as_masks(main: MainKind) -> MainKind:
    """The pictures of a folder with the NPY files that folders or names call masks, where no picture is called so."""
    drawn, rest = divided(main.others, lambda entry: entry.name.lower().endswith(".npy") and is_called_a_mask(entry))
    if not drawn or any(map(is_called_a_mask, main.files)):
        return main
    return main._replace(files=in_order([*main.files, *map(_whole, drawn)]), others=rest)


def _whole(mask: SourceFile) -> SourceFile:
    """A mask beside a picture; an NPY file is the whole of it."""
    if not mask.name.lower().endswith(".npy"):
        return mask
    return mask._replace(locator=str(Locator(Path(mask.locator), _WHOLE)))


def _of_kind(main: MainKind, masks: Sequence[SourceFile] | None, hints: ReadOptions) -> DiscoveredDataset:
    if main.kind == "volumes":
        return find_in_volumes(main.files, masks, hints)
    if main.kind == "arrays":
        return find_in_array_files(main.files, masks, hints)
    return _concluded(match_masks(main.files, masks=masks, hints=hints), hints)


def _concluded(arranged: Arranged, hints: ReadOptions, *, form: str = "folders") -> DiscoveredDataset:
    return paged(arranged, hints.pages).found(form)


def _by_tables(
    tables: Mapping[Path, str],
    root: Path,
    listing: Listing,
    masks: Sequence[SourceFile] | None,
    hints: ReadOptions,
    *,
    follow: bool,
    joined: Mapping[Path, SourceTable] = NOTHING_JOINED,
) -> DiscoveredDataset:
    """The images or volumes that tables describe; nothing else is looked into.

    Args:
        tables: the table, or those of splits, with the split that each says.
        root: the folder that its paths are told from.
        listing: the files there.
        masks: the masks, if they are in a folder of their own.
        hints: what the files leave open.
        follow: whether its paths may lead elsewhere: a person named it.
        joined: tables with what others say of the same images.

    Raises:
        DataError: most images have a file of their name that may be a mask and is not read.
    """
    images, others = divided(listing.entries, is_of_a_kind)
    read = tabulate_splits(tables, images, root, masks=masks, hints=hints, follow=follow, joined=joined)
    paths = {str(table.absolute()) for table in tables}
    found = _of_table_rows(read, hints)
    others = [entry for entry in others if entry.locator not in paths]
    if not found.has_masks and not hints.images_only:
        refuse_unread(images, others, len(found.cases))
    found, others = with_lists(found, others, rows=read.rows)
    return found._replace(
        notes=(*left_out(listing, others), *found.notes),
        outside=read.outside,
        patients_by=f"the column '{read.patient_column}'" if read.patient_column else "",
        unlabelled=read.unlabelled,
    )


def _of_table_rows(read: Tabulated, hints: ReadOptions) -> DiscoveredDataset:
    """The pictures, the planes of volumes or the images of arrays that the rows of tables name."""
    if read.kind == "volumes":
        return cut_volumes(read.arranged, hints, form="table", headers=read.headers)
    if read.kind == "arrays":
        return expand(read.arranged, hints)._replace(form="table")
    return _concluded(read.arranged, hints, form="table")


def _by_named_table(
    table: Path, source: Path, listing: Listing, masks: Sequence[SourceFile] | None, hints: ReadOptions
) -> DiscoveredDataset:
    """What a table says that a person named, with the patients by the rows of one beside it, or by its own alone."""
    own = patients_by_rows(table, listing.entries, source, hints)
    if own.patients:
        return with_rows(_of_listing(source, _without(listing, table), masks, replace(hints, table=None)), own)
    people = patients_of_named(table, list(filter(is_of_a_kind, listing.entries)), source, hints)
    if people is not None:
        others = _of_listing(source, _without(listing, table), masks, replace(hints, table=None, columns={}))
        return with_rows_of_patients(others, people)
    rows = rows_beside(table, listing.entries, source, hints)
    rest = _without(listing, rows.table) if rows.table else listing
    return with_rows(_by_tables({table: ""}, source, rest, masks, hints, follow=True), rows)


def _without(listing: Listing, table: Path) -> Listing:
    """The other files."""
    used = str(table.absolute())
    return listing._replace(entries=[entry for entry in listing.entries if entry.locator != used])


def _of_table(table: Path, masks: Sequence[SourceFile] | None, hints: ReadOptions) -> DiscoveredDataset:
    """A table that a person named, with the files beside it - or without them, where all its paths lead to files."""
    alone = Listing([], 0)
    if masks is not None or names_all_files(table, hints):
        return _by_named_table(table, table.parent, alone, masks, hints)
    return _by_named_table(table, table.parent, files_below(table.parent), masks, hints)
