"""Tables that say different things of the same images, as one: the rows of an image side by side.

image,MEL,NV and image,age,lesion_id        image,MEL,NV,age,lesion_id
"""

from collections.abc import Sequence

from sfumato.data.source.table import SourceTable
from sfumato.data.source.tables.lookup import FileLookup


def side_by_side(tables: Sequence[tuple[SourceTable, str]], files: FileLookup) -> SourceTable | None:
    """The first table with the columns of the others, row by row of one image.

    Args:
        tables: each with the column that names its images.
        files: the images.

    Returns:
        None where they do not name the same images once each, or say different things in columns of one name.
    """
    (whole, image), *others = tables
    order = _images(whole, image, files)
    for table, column in others:
        places = {name: place for place, name in enumerate(_images(table, column, files))}
        if not whole.named or not table.named or set(order) != places.keys() or len(order) != len(table.rows):
            return None
        in_order = table._replace(rows=[table.rows[places[name]] for name in order])
        further = [name for name in table.header if name != column]
        twice = [name for name in further if name in whole.header]
        if any(_fields(in_order, name) != _fields(whole, name) for name in twice):
            return None
        whole = _with_columns(whole, in_order, [name for name in further if name not in twice])
    return whole


def _fields(table: SourceTable, column: str) -> list[str]:
    """The fields of a column as they are written."""
    place = table.header.index(column)
    return [row.fields[place] for row in table.rows]


def _with_columns(whole: SourceTable, table: SourceTable, columns: Sequence[str]) -> SourceTable:
    """A table with some columns of another, whose rows are of the same images in the same order."""
    places = [table.header.index(name) for name in columns]
    rows = []
    for row, other in zip(whole.rows, table.rows, strict=True):
        new = [other.fields[place] for place in places]
        rows.append(row._replace(fields=(*row.fields, *new)))
    return whole._replace(header=(*whole.header, *columns), rows=rows)


def _images(table: SourceTable, column: str, files: FileLookup) -> list[str]:
    """The image of each row; an empty text where none or several files fit."""
    return [files.candidates(text)[0] if files.has(text) else "" for text in table.column(column)]
