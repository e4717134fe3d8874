"""Which table is about the images of a folder, and whether one that a person named needs the folder at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from sfumato.data.source.columns import Places, plan_columns
from sfumato.data.source.found import Hints
from sfumato.data.source.layout import sort_roles
from sfumato.data.source.listing import Entry
from sfumato.data.source.lookup import Files
from sfumato.data.source.table import ROLES, Table, read_table, roles
from sfumato.errors import DataError
from sfumato.files import read_file

MAX_BYTES_TO_LOOK = 2**26
"""Larger tables in a folder are not looked into unless a person names them."""


def names_all_files(path: Path, hints: Hints) -> bool:
    """Whether a table leads to all of its images and masks by their paths, so that no folder need be looked into.

    Raises:
        DataError: the table cannot be read.
    """
    table, known = read_for(path, [], hints)
    files = Files([], path.parent, follow=path.parent)
    try:
        plan, _ = plan_columns(table, known, Places(files, files))
    except DataError:
        return False
    columns = (plan.image, *plan.channels, *plan.masks)
    named = all(files.has(text) for name in columns for text in table.column(name) if text)
    return named and (bool(plan.masks) or hints.images_only)


def find_table(
    tables: Sequence[Entry], entries: Sequence[Entry], root: Path, hints: Hints
) -> tuple[Path | None, list[str]]:
    """The one table that names most of the images, or notes about several, or about what is no table.

    Raises:
        DataError: a table that has the names of most images cannot be read.
    """
    if not tables:
        return None, []
    images = [picture.entry for picture in sort_roles(entries)[0]]
    files, hits, notes = Files(images, root), list[Path](), list[str]()
    for entry in tables[:20]:
        path = Path(entry.locator)
        if path.stat().st_size > MAX_BYTES_TO_LOOK:
            continue
        try:
            table, known = read_for(path, entries, hints)
        except DataError as error:
            if error.code == "DATA-016" and _speaks_of(path, images):
                error.remedy = (
                    error.remedy or "mend the table"
                ) + f"; if it is about something else, move {path.name} away"
                raise
            notes.append(
                f"{path.name} was not read as a table: {error.finding.splitlines()[0]}".replace(f"{path}", path.name)
            )
            continue
        try:
            if 2 * _named_files(table, known, files) > len(images):
                hits.append(path)
        except DataError as error:
            if roles(table, {})["image"] and any(roles(table, {})[role] for role in ("label", "patient", "split")):
                compared = "; ".join(line.strip() for line in error.finding.splitlines()[1:])
                notes.append(f"{path.name} names none of the images, not used ({compared})")
    if len(hits) > 1:
        names = ", ".join(path.name for path in hits)
        return None, [*notes, f"several tables name the images ({names}): none was read, choose one with --labels"]
    return (hits[0], [*notes, f"the table {hits[0].name} was read"]) if hits else (None, notes)


def _speaks_of(path: Path, images: Sequence[Entry]) -> bool:
    """Whether the names of most images stand in a file, in whatever encoding."""
    content = read_file(path).replace(b"\0", b"").lower()
    asked = images[:: max(1, len(images) // 50)]
    return 2 * sum(entry.stem.encode().lower() in content for entry in asked) > len(asked)


def _named_files(table: Table, known: Mapping[str, str], files: Files) -> int:
    """How many files a table names, of images and masks.

    Raises:
        DataError: no column names the images.
    """
    plan, _ = plan_columns(table, known, Places(files, files))
    cells = {text for column in (plan.image, *plan.channels, *plan.masks) for text in table.column(column)}
    return len({files.candidates(text)[0] for text in cells if files.has(text)})


def read_for(path: Path, entries: Sequence[Entry], hints: Hints) -> tuple[Table, dict[str, str]]:
    """The table, and the columns that the person named."""
    known = {role: column for role, column in hints.columns.items() if role in ROLES}
    names = frozenset(name for entry in entries for name in (entry.name, entry.stem))
    return read_table(path, known=known, files=names), known
