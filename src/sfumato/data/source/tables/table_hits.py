"""Tables that may be about the images of a folder: what each names and says, before one or several are chosen."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from types import MappingProxyType
from typing import NamedTuple

from sfumato.data.source.listing import SourceFile
from sfumato.data.source.table import SourceTable
from sfumato.data.source.tables.columns import ColumnRoles, counts
from sfumato.data.source.tables.labels import one_hot_columns
from sfumato.data.source.tables.lookup import FileLookup
from sfumato.data.source.tables.rowwise import NONE as NO_ROWS
from sfumato.data.source.tables.rowwise import Rowwise
from sfumato.data.source.words import SPLIT_WORDS


class Tables(NamedTuple):
    """The tables that are read, with the split that each says (empty for none), and notes about those that are not.

    Attributes:
        chosen: the tables that describe the images.
        notes: what to know of the others.
        rows: the patients by a table that says nothing else.
        joined: chosen tables with what others say of the same images.
        beside: these others.
    """

    chosen: Mapping[Path, str]
    notes: list[str]
    rows: Rowwise = NO_ROWS
    joined: Mapping[Path, SourceTable] = MappingProxyType({})
    beside: frozenset[Path] = frozenset()


class TableHit(NamedTuple):
    """A table that may be about the images of a folder.

    Attributes:
        entry: its file.
        table: what stands in it.
        plan: the columns that have a role.
        files: the images that it may mean.
        named: those that it names, and their masks, as locators.
        divides: whether it says splits.
    """

    entry: SourceFile
    table: SourceTable
    plan: ColumnRoles
    files: FileLookup
    named: frozenset[str]
    divides: bool

    @property
    def path(self) -> Path:
        """Its file."""
        return Path(self.entry.locator)

    @property
    def flag(self) -> str:
        """What reads it alone."""
        return f"--labels {quote(str(self.path))}"

    @property
    def says(self) -> list[str]:
        """What it says of its images."""
        said = {"class": self.plan.label, "patient": self.plan.patient, "split": self.divides}
        return [what for what, column in said.items() if column]

    def with_one_hot(self) -> list[str]:
        """The same where columns of 0 and 1 are the class too."""
        if self.plan.label:
            return self.says
        columns = dict[str, list[str]]()
        used = self.plan.used
        for name in self.table.header:
            if name not in used and not counts(values := self.table.column(name)):
                columns[name] = values
        found = one_hot_columns(columns)
        return ["class", *self.says] if found is not None and any(found.names) else self.says

    @property
    def texts(self) -> list[str]:
        """What it calls its images."""
        return self.table.column(self.plan.image)

    def agrees(self) -> bool:
        """Whether rows of one image say the same of it."""
        roles_of_images = (self.plan.label, self.plan.patient, self.plan.split)
        columns = [self.table.column(name) for name in roles_of_images if name]
        return len(set(zip(self.texts, *columns, strict=True))) == len(set(self.texts))

    def lists_findings(self, *, alone: bool) -> bool:
        """Whether several rows of an image say nothing of it as a whole; of a table alone a class is refused later."""
        texts = self.texts
        if self.plan.masks or len(set(texts)) == len(texts):
            return False
        if not self.says:
            return True
        if alone or not self.plan.label:
            return False
        classes = defaultdict[str, set[str]](set)
        for text, name in zip(texts, self.table.column(self.plan.label), strict=True):
            classes[text].add(name)
        return any(len(names) > 1 for names in classes.values())


def files_named(table: SourceTable, plan: ColumnRoles, files: FileLookup) -> frozenset[str]:
    """The files that a table names, of images and masks."""
    cells = set[str]()
    for column in (plan.image, *plan.channels, *plan.masks):
        cells.update(table.column(column))
    return frozenset(files.candidates(text)[0] for text in cells if files.has(text))


def says_splits(table: SourceTable, plan: ColumnRoles) -> bool:
    """Whether a table says splits."""
    return bool(plan.split) and any(value.lower() in SPLIT_WORDS for value in table.column(plan.split))
