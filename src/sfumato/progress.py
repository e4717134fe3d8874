"""What long work says while it goes on, to whoever listens: the command line shows it, in Python nobody does.

    with listening(console):        # anything with the two methods of Listener
        train(...)

Work below the commands calls `say` for a line and `bar` for how far it is, and prints nothing itself.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Protocol


class Bar(Protocol):
    """How far something is."""

    def update(self, done: float, *, note: str = "") -> None:
        """Set how much is done, in the units of the total, with a short note behind."""
        ...


class Listener(Protocol):
    """Who is told."""

    def say(self, text: str) -> None:
        """One line; further lines are indented."""
        ...

    def bar(self, title: str, total: float) -> AbstractContextManager[Bar]:
        """Something begins that is done when it has got to the total; whole numbers are counted."""
        ...


class _Unseen:
    """A bar that nobody sees."""

    def update(self, done: float, *, note: str = "") -> None:
        pass


_listener: Listener | None = None

_HUSHED = ContextVar("hushed", default=False)
"""Whether nothing is said for a while."""


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """What is said within the block is told to a listener, from all threads."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def say(text: str) -> None:
    """One line for the person; further lines are indented."""
    if _listener is not None and not _HUSHED.get():
        _listener.say(text)


def bar(title: str, total: float) -> AbstractContextManager[Bar]:
    """How far something is, with count, time left and a note."""
    return nullcontext(_Unseen()) if _listener is None else _listener.bar(title, total)


@contextmanager
def hushed() -> Iterator[None]:
    """Nothing is said within the block, which is told in one line when it ends; progress bars are still drawn."""
    before = _HUSHED.set(True)
    try:
        yield
    finally:
        _HUSHED.reset(before)
