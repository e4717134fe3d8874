"""An array that was not read yet: its file, its name in there, and its header."""

from pathlib import Path
from typing import NamedTuple

from sfumato.data.formats.archive import ArrayHeader, Locator


class StoredArray(NamedTuple):
    """An array that was not read yet."""

    path: Path
    key: str
    header: ArrayHeader

    @property
    def shape(self) -> tuple[int, ...]:
        """Its shape."""
        return self.header.shape

    def locator(self, member: str) -> str:
        """The locator of a part of it."""
        return str(Locator(self.path, f"{self.key}/{member}" if self.key else member))

    def __str__(self) -> str:
        return f"{self.path}: {self.key}" if self.key else str(self.path)
