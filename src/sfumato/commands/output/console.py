"""What a command says while it works: everything goes to stderr, so stdout is free for `--json`.

Names of files and classes are words of strangers. The console obeys no mark-up in them, and whatever it draws, a line,
a table or a progress bar, passes through one place where control characters are spelt (`sfumato.escape`).
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from sfumato.escape import for_terminal, visible

if TYPE_CHECKING:  # `--help` draws no bar
    from rich.progress import Progress, TaskID


class SafeConsole(Console):
    """A console on which words are only seen: what moves a cursor or colours comes from rich alone."""

    def render_str(self, text: str, **how: Any) -> Text:
        """Words before they are measured: a table is as wide as what is seen."""
        return super().render_str(visible(text, keep="\n"), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The pieces that are written."""
        for piece in super().render(renderable, options):
            yield piece if piece.control else piece._replace(text=visible(piece.text, keep="\n"))


console = SafeConsole(
    stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True, quiet=os.environ.get("RANK", "0") != "0"
)
"""Of several processes, the first one speaks."""


class Terminal:
    """A listener that writes lines and draws bars on the console (`sfumato.progress`)."""

    def say(self, text: str) -> None:
        """One line for the person; further lines are indented."""
        console.print(for_terminal(text))

    @contextmanager
    def bar(self, title: str, total: float) -> Iterator["DrawnBar"]:
        """A progress bar with count, time left and a note; nothing is drawn where stderr is not a terminal."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn() if isinstance(total, int) else TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
            yield DrawnBar(progress, progress.add_task(title, total=total, note=""))


class DrawnBar:
    """A progress bar."""

    def __init__(self, progress: "Progress", task: "TaskID") -> None:
        self._progress, self._task = progress, task

    def update(self, done: float, *, note: str = "") -> None:
        """Set how much is done, in the units of the total, with a short note behind."""
        self._progress.update(self._task, completed=done, note=visible(note))
