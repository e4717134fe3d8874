"""Tables that say different things of the same images, as one: the rows of an image side by side.

image,MEL,NV and image,age,lesion_id        image,MEL,NV,age,lesion_id
"""

from collections.abc import Sequence

from sfumato.data.source.lookup import FileLookup
from sfumato.data.source.table import SourceTable


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
        further = [name for name in table.header if name != column]
        rows = [table.rows[places[name]].fields for name in order]
        columns = {name: [row[table.header.index(name)] for row in rows] for name in further}
        twice = [name for name in further if name in whole.header]
        if any(columns[name] != [row.fields[whole.header.index(name)] for row in whole.rows] for name in twice):
            return None
        new = [name for name in further if name not in twice]
        whole = whole._replace(
            header=(*whole.header, *new),
            rows=[
                row._replace(fields=(*row.fields, *(columns[name][place] for name in new)))
                for place, row in enumerate(whole.rows)
            ],
        )
    return whole


def _images(table: SourceTable, column: str, files: FileLookup) -> list[str]:
    """The image of each row; an empty text where none or several files fit."""
    found = [files.candidates(text) if files.has(text) else [""] for text in table.column(column)]
    return [locators[0] for locators in found]
