"""RUN/train.log: what a training was told, did and said, in lines for people, beside the numbers of log.jsonl.

    2026-07-30 14:05:11+02:00 INFO    resuming at step 400

The first process writes it. Lines are only added, also by a run that goes on: each start is told anew. The file may be
passed on with its run, so a path is told relative to the run, and by a hash where it leads elsewhere
(`sfumato.local`). A line that cannot be written is said once to be missing; no training ends for it.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BufferedWriter
from pathlib import Path
from typing import Literal

from sfumato.errors import DataError
from sfumato.escape import visible
from sfumato.files import append_to
from sfumato.local import Names
from sfumato.progress import say

JOURNAL_FILE = "train.log"

_Level = Literal["INFO", "WARNING", "ERROR"]

_PATH = re.compile(r"(?<![\w.:/\\-])(?:[A-Za-z]:[/\\]|~?/|\\\\)[^\s'\",;()]*")
"""An absolute path within a sentence; it ends at a space."""


class Journal:
    """The file of a run.

    Args:
        folder: the run folder; None in all processes but the first, which write nothing.
        private: paths that lines may have in them, also such with spaces.
    """

    def __init__(self, folder: Path | None, *, private: Sequence[str] = ()) -> None:
        self._folder, self._failed = folder, False
        self._private = sorted(private, key=len, reverse=True)

    def say(self, text: str, level: _Level = "INFO") -> None:
        """Tell the person, and write it down."""
        say(text)
        self.note(text, level)

    def warn(self, text: str) -> None:
        """Say a warning, and write it down."""
        say(f"warning: {text}")
        self.note(text, "WARNING")

    def note(self, text: str, level: _Level = "INFO") -> None:
        """Write lines down without saying them."""
        if self._folder is None:
            return
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        lines = [f"{now} {level:7} {visible(line)}\n" for line in self._without_places(text).splitlines()]
        try:
            with BufferedWriter(append_to(self._folder / JOURNAL_FILE)) as file:
                file.write("".join(lines).encode())
        except OSError as problem:
            if not self._failed:
                say(
                    f"warning: lines are missing in {self._folder / JOURNAL_FILE} ({problem.strerror}); "
                    "training goes on"
                )
            self._failed = True

    @contextmanager
    def optional(self, what: str) -> Iterator[None]:
        """While something is written that a training can do without: a refusal, or a damaged file, is a warning."""
        try:
            yield
        except (OSError, DataError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else problem.finding
            self.warn(f"{what} could not be written ({why}); training goes on")

    def _without_places(self, text: str) -> str:
        """Text with paths below the run relative to it, and with names that do not tell others."""
        assert self._folder is not None
        for home in (self._folder.resolve(), self._folder):
            if home.is_absolute() or len(home.parts) > 1:
                text = text.replace(f"{home}{os.sep}", "").replace(str(home), home.name)
        names = Names(self._folder)
        for place in self._private:
            text = text.replace(place, names(place))
        return _PATH.sub(lambda path: names(path[0]), text)
