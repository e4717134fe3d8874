"""Which file a table means: paths, names, and names without ending, in the spelling of any system.

A path is looked up below the folder first; then the name alone decides, if one file has it. Where none has, upper and
lower case do not count, nor how accents are stored: the table may come from a system that does not tell them apart.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sfumato.data.manifest import folded
from sfumato.data.source.listing import Entry
from sfumato.data.source.table import bare
from sfumato.errors import DataError


class Files:
    """The files that a table may name, found by whatever it calls them."""

    def __init__(self, entries: Sequence[Entry], root: Path) -> None:
        self.root = root.absolute().as_posix().rstrip("/") + "/"
        self.by_path = {entry.where: entry.locator for entry in entries}
        self.by_name: dict[str, list[str]] = defaultdict(list)
        self.by_folded: dict[str, list[str]] = defaultdict(list)
        for entry in entries:
            for name in {entry.name, entry.stem}:
                self.by_name[name].append(entry.locator)
            for name in {folded(entry.where), folded(entry.name), folded(entry.stem)}:
                self.by_folded[name].append(entry.locator)

    def candidates(self, text: str) -> list[str]:
        """Locators of the files that a text may mean; one if all is well.

        Raises:
            DataError: the text leads out of the folder.
        """
        path = text.replace("\\", "/")
        path = path.removeprefix(self.root) if path.startswith("/") else path
        if path.startswith("/") or ".." in PurePosixPath(path).parts or re.match(r"[A-Za-z]:", path):
            raise DataError(
                f"'{text}' lies outside the folder of the images, {self.root}",
                expected="file names below that folder",
                remedy="write the names alone, or paths relative to the folder",
                code="DATA-017",
            )
        path = path.removeprefix("./")
        if path in self.by_path:
            return [self.by_path[path]]
        if not (named := self.by_name.get(bare(path), [])):
            return self.by_folded.get(folded(path)) or self.by_folded.get(folded(bare(path)), [])
        ending = [locator for locator in named if "/" in path and locator.endswith(f"/{path}")]
        return ending if len(ending) == 1 else named

    def has(self, text: str) -> bool:
        """Whether a text means a single file."""
        try:
            return len(self.candidates(text)) == 1
        except DataError:
            return False
