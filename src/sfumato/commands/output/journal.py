"""RUN/train.log: what a training was told, did and said, in lines for people, beside the numbers of log.jsonl.

    2026-07-30 14:05:11+02:00 INFO    resuming at step 400

The first process writes it. Lines are only added, also by a run that goes on: each start is told anew. The file may be
passed on with its run, so a path is told relative to the run, and by its last name where it leads elsewhere. A line
that cannot be written is said once to be missing; no training ends for it.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from sfumato.commands.output.console import say
from sfumato.escape import visible

NAME = "train.log"

Level = Literal["INFO", "WARNING", "ERROR"]

_ROOT = r"(?<![\w.:/\\-])(?:[A-Za-z]:[/\\]|~?/|\\\\)"
"""Where an absolute path begins."""

_PATH = re.compile(_ROOT + r"[^\s'\",;()]*")
_TO_THE_END = re.compile(_ROOT + r".*")
"""A path within a sentence, which ends at a space; and as one word of a command, which may have spaces."""


class Journal:
    """The file of a run.

    Args:
        folder: the run folder; None in all processes but the first, which write nothing.
        private: paths that lines may have in them whatever their spelling.
    """

    def __init__(self, folder: Path | None, *, private: Sequence[str] = ()) -> None:
        self._folder, self._private, self._failed = folder, private, False

    def say(self, text: str, level: Level = "INFO") -> None:
        """Tell the person, and write it down."""
        say(text)
        self.note(text, level)

    def warn(self, text: str) -> None:
        """Say a warning, and write it down."""
        say(f"warning: {text}")
        self.note(text, "WARNING")

    def note(self, text: str, level: Level = "INFO") -> None:
        """Write lines down without saying them."""
        if self._folder is None:
            return
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        lines = [f"{now} {level:7} {visible(line)}\n" for line in self._without_places(text).splitlines()]
        try:
            with (self._folder / NAME).open("a", encoding="utf-8") as file:
                file.writelines(lines)
        except OSError as problem:
            if not self._failed:
                say(f"warning: lines are missing in {self._folder / NAME} ({problem.strerror}); training goes on")
            self._failed = True

    @contextmanager
    def optional(self, what: str) -> Iterator[None]:
        """While something is written that a training can do without: a disk that refuses it is a warning."""
        try:
            yield
        except OSError as problem:
            self.warn(f"{what} could not be written ({problem.strerror}); training goes on")

    def _without_places(self, text: str) -> str:
        """Text with paths below the run relative to it, and with the last names of others."""
        assert self._folder is not None
        for home in (self._folder.resolve(), self._folder):
            if home.is_absolute() or len(home.parts) > 1:
                text = text.replace(f"{home}{os.sep}", "").replace(str(home), home.name)
        for place in self._private:
            text = text.replace(place, _last(place))
        return _PATH.sub(lambda path: _last(path[0]), text)


def public(arguments: Sequence[str]) -> str:
    """The words of a command, absolute paths among them by their last names."""
    return shlex.join(_TO_THE_END.sub(lambda path: _last(path[0]), word) for word in arguments)


def _last(path: str) -> str:
    """The last name of a path of any system."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
