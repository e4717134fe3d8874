"""Tables that say nothing but which images are of one patient: a row names all of his (`left.jpg;right.jpg`).

A picture and its mask may stand in a row too, so that pixels are looked at: no column may hold pictures of few values,
and in a table without a header, which calls none of them an image, those of all columns must have many.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.locator import Locator
from sfumato.data.manifest import Case
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.data.source.listing import ENDING, SourceFile
from sfumato.data.source.matching.witness import are_photographs, have_few_values
from sfumato.data.source.table import SourceTable, numbered_columns, roles
from sfumato.data.source.tables.lookup import FileLookup


class Rowwise(NamedTuple):
    """The patient of each image by its locator, and the table that says it, as a path and in words; empty without."""

    patients: Mapping[str, str]
    table: Path | None
    told: str


NONE = Rowwise({}, None, "")


def said_by_rows(table: SourceTable, files: FileLookup) -> Rowwise:
    """The patients by the rows of a table all of whose columns name images, each image once.

    A patient goes by the name of his first image. Columns that are numbered alike (`image_0`, `image_1`) are channels,
    and one that is called a mask is one.
    """
    if len(table.header) < 2 or _has_columns_of_images(table):
        return NONE
    rows = [_filled(row.fields) for row in table.rows]
    whole = sum(len(row) == len(table.header) for row in rows)
    if 2 * whole <= len(rows):
        return NONE
    named = list(chain.from_iterable(rows))
    if not all(map(files.has, named)) or any(_may_be_masks(table, column, files) for column in table.header):
        return NONE
    patients = dict[str, str]()
    for row in rows:
        patient = ENDING.sub("", Path(row[0]).name) if row else ""
        for text in row:
            patients[files.candidates(text)[0]] = patient
    if len(patients) < len(named) or len(set(patients.values())) < len(rows):
        return NONE
    columns = f" (columns {', '.join(table.header)})" if table.named else ""
    return Rowwise(patients, table.path, f"the rows of {table.path.name}{columns}")


def _has_columns_of_images(table: SourceTable) -> bool:
    """Whether columns are called those of masks, or of the channels of an image."""
    if roles(table, {})["mask"] or numbered_columns("mask", table.header):
        return True
    return len(numbered_columns("image", table.header)) > 1


def _filled(fields: Sequence[str]) -> list[str]:
    """What stands in the fields of a row that are not empty."""
    return [text for text in map(str.strip, fields) if text]


def _may_be_masks(table: SourceTable, column: str, files: FileLookup) -> bool:
    """Whether the files of a column have few values; without a header, whether they may have."""
    texts = filter(None, table.column(column))
    entries = [SourceFile(files.candidates(text)[0], (text,)) for text in texts]
    return have_few_values(entries) if table.named else not are_photographs(entries)


def with_rows(found: DiscoveredDataset, said: Rowwise) -> DiscoveredDataset:
    """Cases of nobody known with the patients that rows of a table say."""
    if not said.patients or found.patients_by:
        return found
    cases = list[Case]()
    for case in found.cases:
        file = str(Locator.parse(case.image).path)
        cases.append(replace(case, patient=case.patient or said.patients.get(file)))
    return found._replace(cases=tuple(cases), patients_by=said.told)
