"""Columns that name images of their own in every row, as the photograph and the dermoscopy of a lesion: which is meant?

    case_num, diagnosis, clinic, derm            1, nevus, NEL/Nel025.jpg, NEL/NEL026.jpg

Where no column is called after images, each of these may be the one: it is asked. Columns of masks are none.
"""

from collections.abc import Mapping, Sequence
from shlex import quote

from sfumato.data.source.listing import SourceFile
from sfumato.data.source.matching.witness import have_few_values
from sfumato.data.source.table import SourceTable, numbered_columns, roles
from sfumato.data.source.tables.columns import ColumnRoles
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.errors import DataError, listed
from sfumato.wording import counted

_NEARLY = 0.9
"""Share of the cells of such a column that name an image."""


def refuse_rivals(table: SourceTable, known: Mapping[str, str], plan: ColumnRoles, images: FileLookup) -> None:
    """Refuse a table several columns of which may name the images.

    Args:
        table: the table.
        known: the columns that a person named, by role.
        plan: the columns that would have a role.
        images: the files that it may mean.

    Raises:
        DataError: each of several columns names images that no other one names.
    """
    if "image" in known or not table.named or plan.image in roles(table, known)["image"]:
        return
    free = [name for name in table.header if name not in plan.used - {plan.image}]
    several = {*numbered_columns("image", free), *numbered_columns("mask", free)}
    named = {name: files for name in free if name not in several and (files := _files_of(table.column(name), images))}
    if plan.image not in named or len(named) < 2 or sum(map(len, named.values())) > len(set().union(*named.values())):
        return
    if any(have_few_values([SourceFile(file, (file,)) for file in files]) for files in named.values()):
        return
    told = [f"{name}: {counted(len(files), 'image')}, such as {table.column(name)[0]}" for name, files in named.items()]
    ways = " or ".join(f"--labels {quote(str(table.path))} --image-column {quote(name)}" for name in named)
    raise DataError(
        f"{table.path}: several columns name images, others in each:\n{listed(told)}",
        expected="one column that names the images",
        remedy=f"say which are meant: {ways}; for all of them without the table, move it away",
        code="DATA-050",
    )


def _files_of(texts: Sequence[str], images: FileLookup) -> set[str]:
    """The images that the cells of a column name, each once; none where not nearly all do."""
    found = [images.candidates(text)[0] for text in texts if text and images.has(text)]
    return set(found) if len(found) >= _NEARLY * len(texts) and len(set(found)) == len(found) else set()
