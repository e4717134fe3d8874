"""Tables with a column for each split, whose cells are names of images or patients.

train_split,test_split
DUKE_001,NACT_01
DUKE_002,
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from sfumato.data.source.listing import SourceFile
from sfumato.data.source.table import read_table
from sfumato.data.source.words import FILLERS, SPLIT_WORDS, tokens
from sfumato.errors import DataError
from sfumato.tables import read_columns

_BESIDE = FILLERS | {"split", "splits", "ids", "id", "names", "name", "cases", "patients"}
"""What may stand beside the word for a split in the name of a column."""


def tables_of_splits(entries: Iterable[SourceFile]) -> list[SourceFile]:
    """The tables all of whose columns, of two at least, are called after different splits."""
    tables = [entry for entry in entries if entry.name.lower().endswith((".csv", ".tsv"))]
    return [entry for entry in tables if _are_splits(entry)]


def names_of_splits(entry: SourceFile) -> Mapping[str, tuple[str, ...]]:
    """What the cells of each column of such a table hold, by the split that it is called after."""
    try:
        table = read_table(Path(entry.locator), known={}, files=frozenset())
    except DataError:
        return {}
    return {_split_of(name): tuple(filter(None, table.column(name))) for name in table.header}


def _are_splits(entry: SourceFile) -> bool:
    if not Path(entry.locator).is_file():
        return False
    try:
        splits = [_split_of(name) for name in read_columns(Path(entry.locator))]
    except DataError:  # told where tables are chosen
        return False
    return len(splits) > 1 and "" not in splits and len(set(splits)) == len(splits)


def _split_of(column: str) -> str:
    """The split that a column is called after; empty for any other."""
    words = [token.text for token in tokens(column)]
    said = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
    others = set(words) - SPLIT_WORDS.keys() - _BESIDE
    return said.pop() if len(said) == 1 and not others else ""
