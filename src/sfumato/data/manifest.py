"""The one table of a data set: a case is an image with what is known about it, a manifest is a list of cases.

`manifest.csv` has one row per case: `id, image (and image_1, image_2 ... where channels are files of their own), mask
(or mask_0, mask_1, ... one per reader), label, patient, volume, split, origin, source`, and whatever columns the source
had or its writer adds. Files below the table's folder are written relative to it, so a
folder can be moved.

The split is decided here, once, and written down: the cases of one patient, and copies of one picture, stay together;
every class is divided in the same proportions; a split that the source brings along is kept.
"""

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from sfumato.data.archive import Locator
from sfumato.diffusion.process import derive_seed
from sfumato.errors import DataError, listed

MEASURED = ("height", "width")
"""Columns that `prepare` adds; they are no property of the source."""

SPLITS = ("train", "validation", "test")
COLUMNS = ("label", "patient", "volume", "split", "origin", "source")


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


def write_manifest(path: Path, cases: Sequence[Case], *, extra: Mapping[str, Sequence[object]] | None = None) -> None:
    """Write the table.

    Args:
        path: the file to write.
        cases: the rows.
        extra: further columns by name, one value per case.
    """
    columns: dict[str, Sequence[object]] = {
        name: [case.more.get(name, "") for case in cases] for case in cases for name in case.more
    }
    columns |= dict(extra or {})
    channels = max((len(case.channels) for case in cases), default=0)
    images = ["image", *(f"image_{channel}" for channel in range(1, channels + 1))]
    readers = max((len(case.masks) for case in cases), default=0)
    masks = ["mask"] if readers == 1 else [f"mask_{reader}" for reader in range(readers)]
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", *images, *masks, *COLUMNS, *columns])
        for row, case in enumerate(cases):
            pictures = [
                *_filled([case.image, *case.channels], len(images), path.parent),
                *_filled(case.masks, readers, path.parent),
            ]
            facts = [getattr(case, column) or "" for column in COLUMNS]
            table.writerow([case.id, *pictures, *facts, *(column[row] for column in columns.values())])


def _filled(locators: Sequence[str], count: int, folder: Path) -> list[str]:
    return [_written(locator, folder) for locator in locators] + [""] * (count - len(locators))


def read_manifest(path: Path) -> list[Case]:
    """Read the table; relative file names are resolved from its folder.

    Raises:
        DataError: a column is missing, an id occurs twice, a split is unknown, or a file name leads out of the folder.
    """
    return _cases(path, read_rows(path))


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file as dictionaries; a byte order mark is fine.

    Raises:
        DataError: the file is missing, is not UTF-8, or a row has another number of fields than the header.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}", expected="a CSV file in UTF-8", code="DATA-016") from error
    table = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header, *rows = list(table) or [[]]
    except csv.Error as error:
        raise DataError(f"{path}, line {table.line_num}: {error}", expected="a CSV file", code="DATA-016") from error
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            finding = f"{path}, row {number}: {len(row)} fields"
            raise DataError(finding, expected=f"{len(header)} fields: {', '.join(header)}", code="DATA-016")
    return [dict(zip(header, row, strict=True)) for row in rows]


def _cases(path: Path, rows: Sequence[dict[str, str]]) -> list[Case]:
    header = list(rows[0]) if rows else []
    if missing := [column for column in ("id", "image") if column not in header]:
        found = f"the columns are: {', '.join(header)}" if rows else "the table has no rows"
        raise DataError(
            f"{path}: no column {' or '.join(missing)}; {found}", expected="id, image, ...", code="DATA-016"
        )
    masks, channels = _numbered(header, "mask", alone=True), _numbered(header, "image", alone=False)
    cases = [_case(path, row, masks, channels) for row in rows]
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
    known = {"id", "image", *masks, *channels, *COLUMNS, *MEASURED}
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


def _written(text: str, folder: Path) -> str:
    """A locator as it stands in the table of `folder`: relative when the file lies below."""
    locator = Locator.parse(text)
    path, base = locator.path.absolute(), folder.absolute()
    return str(locator._replace(path=path.relative_to(base) if path.is_relative_to(base) else path))


def _resolved(text: str, table: Path) -> str:
    """The absolute locator of a table's entry.

    Only a prepared data set, which says itself where it was made from, may point outside its folder: a table from
    elsewhere must not be able to name any file of this machine.
    """
    locator = Locator.parse(text)
    path = (table.parent / locator.path).resolve()
    if not path.is_relative_to(table.parent.resolve()) and not (table.parent / "dataset.json").is_file():
        raise DataError(
            f"{table}: '{text}' lies outside the folder of the table",
            expected="file names relative to the table, below its folder",
            code="DATA-017",
        )
    return str(locator._replace(path=path))


def split_cases(
    cases: Sequence[Case],
    *,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    groups: Sequence[str] | None = None,
) -> list[Case]:
    """Give every case a split.

    Cases that share a patient or a group form one block, and a block is never divided. Within each label the blocks
    are put in an order that depends on the seed and their ids, not on the order of the files, and each goes where
    most cases are still missing. What rounding leaves is carried to the next label, so the whole set keeps the
    fractions too.

    A split that the source brings along is kept. If it has no training part, everything is divided afresh; if it lacks
    only validation or test, that part is taken out of training, in the proportion asked for. `split_notes` says so.

    Args:
        cases: the cases, some or all with a split already.
        fractions: shares of train, validation and test.
        seed: another seed, another split.
        groups: a key for each case; cases with the same key stay together (the hash of the picture, say).

    Returns:
        The cases in the same order, each with a split.
    """
    present = {case.split for case in cases if case.split}
    if "train" not in present:
        cases, present = [replace(case, split=None) for case in cases], set()
    shares = {name: share for name, share in zip(SPLITS, fractions, strict=True) if name not in present}
    if present:  # what is missing comes out of the training part; cases without a split belong to that part
        shares = {"train": fractions[0], **shares}
    blocks = _blocks(cases, list(groups) if groups else [""] * len(cases))
    free = [block for block in blocks if all(cases[row].split in (None, "train") for row in block)]
    chosen = _divide(cases, free, shares, seed)
    for block in blocks:
        for row in block:
            chosen.setdefault(row, cases[row].split or "train")
    return [replace(case, split=chosen[row]) for row, case in enumerate(cases)]


def _blocks(cases: Sequence[Case], groups: Sequence[str]) -> list[list[int]]:
    """Rows that must stay together: connected through a patient or a group."""
    parent = list(range(len(cases)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first: dict[tuple[str, str], int] = {}
    for row, (case, group) in enumerate(zip(cases, groups, strict=True)):
        for kind, key in (("patient", case.patient), ("group", group)):
            if key:
                parent[root(row)] = root(first.setdefault((kind, key), row))
    blocks: dict[int, list[int]] = defaultdict(list)
    for row in range(len(cases)):
        blocks[root(row)].append(row)
    return list(blocks.values())


def _divide(
    cases: Sequence[Case], blocks: Sequence[list[int]], shares: Mapping[str, float], seed: int
) -> dict[int, str]:
    by_label: dict[str, list[list[int]]] = defaultdict(list)
    for block in blocks:
        by_label[min(cases[row].label or "" for row in block)].append(block)
    total, chosen = sum(shares.values()), dict[int, str]()
    missing = dict.fromkeys(shares, 0.0)
    for _, members in sorted(by_label.items()):
        count = sum(map(len, members))
        for name, share in shares.items():
            missing[name] += count * share / total
        keyed = [
            (-len(block), derive_seed(seed, "split", min(cases[row].id for row in block)), block) for block in members
        ]
        for _, _, block in sorted(keyed):
            name = max(missing, key=lambda split: missing[split])
            missing[name] -= len(block)
            chosen.update(dict.fromkeys(block, name))
    return chosen


class _Change(NamedTuple):
    before: str | None
    after: str | None


def split_notes(before: Sequence[Case], after: Sequence[Case]) -> tuple[str, ...]:
    """What `split_cases` did with the splits of the source, in sentences; empty when there were none."""
    present = {case.split for case in before if case.split}
    if not present:
        return ()
    if "train" not in present:
        return (f"the source has only {' and '.join(sorted(present))} cases: all cases were divided afresh",)
    changes = Counter(_Change(old.split, new.split) for old, new in zip(before, after, strict=True))
    notes = [f"the split of the source was kept ({', '.join(name for name in SPLITS if name in present)})"]
    for (old, new), count in sorted(changes.items(), key=str):
        if old != new:
            notes.append(f"cases moved from {old or 'no split'} to {new}: {count}")
    return tuple(notes)
