"""The one table of a data set: a case is an image with what is known about it, a manifest is a list of cases.

`manifest.csv` has one row per case: `id, image (and image_1, image_2 ... where channels are files of their own), mask
(or mask_0, mask_1, ... one per reader), label, patient, volume, split, origin, source`, and whatever columns the source
had or its writer adds. Files below the table's folder are written relative to it, so a
folder can be moved.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sfumato.data.formats.joined import MaskPart, each_part, is_joined, joined_name, mask_parts
from sfumato.data.formats.locator import BETWEEN, Locator
from sfumato.errors import DataError, listed
from sfumato.local import LOCAL_FILE as LOCAL
from sfumato.local import MARK, Names, found, plain_path, token
from sfumato.tables import read_rows, write_table

MEASURED_COLUMNS = ("height", "width", "row_mm", "column_mm", "plane_mm")
"""Columns that `prepare` adds; they are no property of the source."""

SPLITS = ("train", "validation", "test")
COLUMNS = ("label", "patient", "volume", "split", "origin", "source")

MAX_NAME = 200
"""Bytes of a part of an id: 255 are allowed for names of files, and endings follow."""

UNSAFE = re.compile(r"[^\w .+-]")
"""Characters that file names are better without."""

DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\xb9\xb2\xb3])(?: *\..*)?", re.IGNORECASE)
"""What Windows takes for a device, whatever ending follows."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One image and what is known about it.

    Attributes:
        id: unique in its manifest; safe as a file name.
        image: locator of the image: a file, a member of an archive such as `archive.npz::images/17`, or a plane of a
            volume such as `scan.nii.gz::axial/17`.
        channels: locators of further channels of the image, where each is a file of its own (nnU-Net's `_0001`).
        masks: locators of its masks, one per reader; empty when there are none.
        label: name of its class.
        patient: who (or which lesion) it shows; cases of one patient never meet in two splits.
        volume: id of the volume that the image is a slice of.
        split: "train", "validation" or "test".
        origin: "real" or "synthetic".
        source: where it came from, in the words of its writer.
        more: what else the source says about it, by column.
    """

    id: str
    image: str
    channels: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    label: str | None = None
    patient: str | None = None
    volume: str | None = None
    split: str | None = None
    origin: str = "real"
    source: str = ""
    more: Mapping[str, str] = field(default_factory=dict)


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a prepared data set, and not of another kind that has a `dataset.json` too."""
    return all((folder / name).is_file() for name in ("dataset.json", "manifest.csv", "images.npy"))


def refuse_unsafe_ids(where: str, ids: Mapping[str, str]) -> None:
    """Refuse ids under which no file can be written below a folder; `benign/000017` is fine.

    Args:
        where: what they are ids in, for the error.
        ids: each id, with the place that it is from.

    Raises:
        DataError: with all of them.
    """
    if unsafe := [f"{place}: {name[:80]!r}" for name, place in ids.items() if not is_safe_id(name)]:
        raise DataError(
            f"{where}: {len(unsafe)} ids cannot be names of files:\n{listed(unsafe)}",
            expected=f"names without '..' and control characters, of at most {MAX_NAME} bytes",
            remedy="rename them: results are written under these names",
            code="DATA-016",
        )


def is_safe_id(name: str) -> bool:
    """Whether files can be written under a name, below a folder."""
    parts = re.split(r"[/\\]", name)
    try:
        fits = all(len(part.encode()) <= MAX_NAME for part in parts)
    except UnicodeEncodeError:  # a name of the file system that is not UTF-8
        return False
    return fits and name.isprintable() and not {"", ".", ".."} & set(parts)


def file_names(ids: Sequence[str], *, taken: Sequence[str] = ()) -> list[str]:
    """A file name, without ending, for each id: safe and unique on every system, and nearly always the id itself.

    Args:
        ids: each once.
        taken: names that are given away already.
    """
    plain = [_safe(name) for name in ids]
    often = Counter(map(folded, [*plain, *taken]))
    used = {name for name, count in often.items() if count == 1} | set(map(folded, taken))
    names = []
    for row, name in enumerate(plain):
        if often[folded(name)] > 1:
            name = _numbered_name(name, row, used)
        names.append(name)
    return names


def _numbered_name(name: str, row: int, used: set[str]) -> str:
    """A name with a number that nobody has; it is added to those that are used."""
    name = f"{name}_{row}"
    while folded(name) in used:
        name = f"{name}_{row}"
    used.add(folded(name))
    return name


def folded(name: str) -> str:
    """What is left of a name on a system that ignores case and how accents are stored."""
    return unicodedata.normalize("NFC", name).casefold()


def _safe(name: str) -> str:
    """A name that every system takes as it is; Windows drops dots and spaces at the end."""
    plain = UNSAFE.sub("_", name).lstrip(".").strip()
    plain = plain.encode()[: MAX_NAME - 10].decode(errors="ignore").rstrip(" .") or "_"  # a number may follow
    return f"_{plain}" if DEVICE.fullmatch(plain) else plain


def write_manifest(
    path: Path,
    cases: Sequence[Case],
    *,
    extra: Mapping[str, Sequence[object]] | None = None,
    places: Collection[str] = (),
) -> None:
    """Write the table; where files lie that are not below its folder is told in `local.json` beside it alone.

    Args:
        path: the file to write.
        cases: the rows.
        extra: further columns by name, one value per case.
        places: those of the further columns that hold locators.
    """
    names = Names(path.parent)
    columns: dict[str, Sequence[object]] = {
        name: [case.more.get(name, "") for case in cases] for case in cases for name in case.more
    }
    columns |= dict(extra or {})
    channels = max((len(case.channels) for case in cases), default=0)
    images = ["image", *(f"image_{channel}" for channel in range(1, channels + 1))]
    readers = max((len(case.masks) for case in cases), default=0)
    masks = ["mask"] if readers == 1 else [f"mask_{reader}" for reader in range(readers)]

    def cells(row: int, case: Case) -> list[object]:
        pictures = _filled([case.image, *case.channels], len(images), names)
        outlines = _filled(case.masks, readers, names)
        facts = [getattr(case, column) for column in COLUMNS]
        further = [
            written(str(column[row]), names) if name in places else column[row] for name, column in columns.items()
        ]
        return [case.id, *pictures, *outlines, *facts, *further]

    header = ["id", *images, *masks, *COLUMNS, *columns]
    write_table(path, header, (cells(row, case) for row, case in enumerate(cases)))
    names.keep()


def _filled(locators: Sequence[str], count: int, names: Names) -> list[str]:
    return [written(locator, names) for locator in locators] + [""] * (count - len(locators))


def read_manifest(path: Path) -> list[Case]:
    """Read the table; relative file names are resolved from its folder.

    Raises:
        DataError: a column is missing, an id occurs twice, a split is unknown, or a file name leads out of the folder.
    """
    return _cases(path, read_rows(path))


def _cases(path: Path, rows: Sequence[dict[str, str]]) -> list[Case]:
    header = list(rows[0]) if rows else []
    if missing := [column for column in ("id", "image") if column not in header]:
        found = f"the columns are: {', '.join(header)}" if rows else "the table has no rows"
        raise DataError(
            f"{path}: no column {' or '.join(missing)}; {found}", expected="id, image, ...", code="DATA-016"
        )
    masks, channels = _numbered(header, "mask", alone=True), _numbered(header, "image", alone=False)
    refuse_unsafe_ids(str(path), {row["id"]: f"row {number}" for number, row in enumerate(rows, start=2)})
    cases = [_case(path, row, masks, channels) for row in rows]
    refuse_unsafe_ids(str(path), {case.volume: "volume" for case in cases if case.volume})
    if twice := [name for name, count in Counter(case.id for case in cases).items() if count > 1]:
        raise DataError(f"{path}: these ids occur more than once:\n{listed(twice)}", code="DATA-016")
    return cases


def _numbered(header: Sequence[str], word: str, *, alone: bool) -> list[str]:
    """The columns `word_0`, `word_1` ... in the order of their numbers; with `alone`, `word` too."""
    names = [name for name in header if re.fullmatch(rf"{word}_\d+", name) or (alone and name == word)]
    return sorted(names, key=lambda name: (len(name), name))


def _case(path: Path, row: dict[str, str], masks: Sequence[str], channels: Sequence[str]) -> Case:
    split = row.get("split") or None
    if split not in (None, *SPLITS):
        finding = f"{path}: case {row['id']} has the split '{split}'"
        raise DataError(finding, expected=" or ".join(SPLITS) + ", or empty", code="DATA-016")
    known = {"id", "image", *masks, *channels, *COLUMNS, *MEASURED_COLUMNS}
    return Case(
        id=row["id"],
        image=_resolved(row["image"], path),
        channels=tuple(_resolved(row[column], path) for column in channels if row[column]),
        masks=tuple(_resolved(row[column], path) for column in masks if row[column]),
        label=row.get("label") or None,
        patient=row.get("patient") or None,
        volume=row.get("volume") or None,
        split=split,
        origin=row.get("origin") or "real",
        source=row.get("source", ""),
        more={name: text for name, text in row.items() if name not in known},
    )


def written(text: str, names: Names) -> str:
    """A locator as it stands in the tables of a folder: relative when the file lies below, else hidden."""
    if not text or text.startswith(MARK):
        return text
    if is_joined(text):
        return each_part(text, lambda part: written(part, names))
    locator = Locator.parse(text)
    return str(locator._replace(path=Path(names(locator.path))))


def _resolved(text: str, table: Path) -> str:
    """The absolute locator of a table's entry; its token where nobody knows here where it lies.

    Only a prepared data set, which says itself where it was made from, may name files outside its folder, and they are
    found where this machine knows them: a table from elsewhere must not be able to name any file of this machine.
    """
    if is_joined(text):
        return each_part(text, lambda part: _resolved(part, table))
    if "\0" in text:
        raise DataError(f"{table}: {text[:80]!r} is no path", expected="names of files", code="DATA-017")
    there = _meant(text, table.parent)
    is_below = there is not None and _is_below(there.path, table.parent)
    if not is_below and not is_prepared(table.parent):
        raise DataError(
            f"{table}: '{text}' lies outside the folder of the table",
            expected="file names relative to the table, below its folder",
            code="DATA-017",
        )
    if there is not None:
        return str(there._replace(path=there.path.resolve()))
    return text if text.startswith(MARK) else identity(str(_taken_literally(text, table.parent)))


def located(text: str, folder: Path) -> str | None:
    """What a locator in the tables of a folder means here; None where nobody knows."""
    if is_joined(text):
        parts = [(part.role, located(part.locator, folder)) for part in mask_parts(text)]
        known = [MaskPart(role, part) for role, part in parts if part is not None]
        return joined_name(known) if len(known) == len(parts) else None
    there = _meant(text, folder)
    return None if there is None else str(there)


def _meant(text: str, folder: Path) -> Locator | None:
    """The file of a table's entry: below the folder, or where `Names.may_follow` lets a name lead out of it."""
    if text.startswith(MARK):
        name, _, member = text.partition(BETWEEN)
    else:
        locator = _taken_literally(text, folder)
        member = locator.member
        name = text.removesuffix(f"{BETWEEN}{member}") if member else text
        if ".." not in Path(name).parts and _is_below(locator.path, folder):
            return locator
        if not Names(folder).may_follow(name):
            return None
    there = found(name, folder)
    return None if there is None else Locator(there, member)


def _taken_literally(text: str, folder: Path) -> Locator:
    return Locator.parse(os.path.join(folder, text))  # noqa: PTH118 - a Path would change names within archives


def _is_below(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def identity(locator: str) -> str:
    """What tells whether two locators are of one file, also where it is hidden from one of two data sets."""
    if is_joined(locator):
        return each_part(locator, identity)
    if locator.startswith(MARK):
        return locator
    file = Locator.parse(locator)
    return str(file._replace(path=Path(token(plain_path(file.path)))))


def refuse_hidden(folder: Path, locators: Iterable[str]) -> None:
    """Refuse to read the original files of a data set where nobody knows where they lie.

    Raises:
        DataError: with how many.
    """
    hidden = sum(any(part.locator.startswith(MARK) for part in mask_parts(locator)) for locator in locators)
    if hidden:
        raise DataError(
            f"{folder}: where {hidden} of the original files lie is not known here (there is no {LOCAL} beside its "
            "table, which is not passed on)",
            expected="the machine that the data set was prepared on, or its source",
            remedy="give the source itself, or prepare it here",
            code="DATA-028",
        )
