"""Tables that say nothing but which images are of one patient: a row names all of his (`left.jpg;right.jpg`).

A picture and its mask may stand in a row too, so that pixels are looked at: no column may hold pictures of few values,
and in a table without a header, which calls none of them an image, those of all columns must have many.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.locator import Locator
from sfumato.data.source.discovered import DiscoveredDataset
from sfumato.data.source.listing import ENDING, SourceFile
from sfumato.data.source.lookup import FileLookup
from sfumato.data.source.table import SourceTable, numbered_columns, roles
from sfumato.data.source.witness import are_photographs, have_few_values


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
    width = len(table.header)
    filled = [[text.strip() for text in row.fields if text.strip()] for row in table.rows]
    named = [text for row in filled for text in row]
    whole = sum(len(row) == width for row in filled)
    otherwise = (
        roles(table, {})["mask"]
        or len(numbered_columns("image", table.header)) > 1
        or numbered_columns("mask", table.header)
    )
    if width < 2 or otherwise or 2 * whole <= len(filled) or not all(map(files.has, named)):
        return NONE
    if any(_may_be_masks(table, column, files) for column in table.header):
        return NONE
    patients = {files.candidates(text)[0]: ENDING.sub("", Path(row[0]).name) for row in filled for text in row}
    one_each = len(patients) == len(named) and len(set(patients.values())) == len(filled)
    told = f"the rows of {table.path.name}" + (f" (columns {', '.join(table.header)})" if table.named else "")
    return Rowwise(patients, table.path, told) if one_each else NONE


def _may_be_masks(table: SourceTable, column: str, files: FileLookup) -> bool:
    """Whether the files of a column have few values; without a header, whether they may have."""
    texts = filter(None, table.column(column))
    entries = [SourceFile(files.candidates(text)[0], (text,)) for text in texts]
    return have_few_values(entries) if table.named else not are_photographs(entries)


def with_rows(found: DiscoveredDataset, said: Rowwise) -> DiscoveredDataset:
    """Cases of nobody known with the patients that rows of a table say."""
    if not said.patients or found.patients_by:
        return found
    cases = tuple(
        replace(case, patient=case.patient or said.patients.get(str(Locator.parse(case.image).path)))
        for case in found.cases
    )
    return found._replace(cases=cases, patients_by=said.told)
