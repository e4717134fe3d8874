"""What a command says while it works: everything goes to stderr, so stdout is free for `--json`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

console = Console(stderr=True, highlight=False, soft_wrap=True, quiet=os.environ.get("RANK", "0") != "0")
"""Of several processes, the first one speaks."""


def say(text: str) -> None:
    """One line for the person."""
    console.print(text, markup=False)


class Bar:
    """A progress bar; nothing is drawn where stderr is not a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task

    def update(self, done: float, *, note: str = "") -> None:
        """Set how much is done, in the units of the total, with a short note behind."""
        self._progress.update(self._task, completed=done, note=note)


@contextmanager
def bar(title: str, total: float) -> Iterator[Bar]:
    """A progress bar with count, time left and a note."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn() if isinstance(total, int) else TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        yield Bar(progress, progress.add_task(title, total=total, note=""))
