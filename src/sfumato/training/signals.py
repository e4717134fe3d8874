"""Signals after which work is saved or cleared up, and ends."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from sfumato.errors import Stopped

STOPPING = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP", "SIGBREAK")
"""A scheduler's, the keyboard's, the one that SLURM sends before the time is up where it is asked to, that of a closed
terminal, and Windows' own; as far as a system has them."""


class Terminated(BaseException):
    """A signal to end has come: whoever has something open clears it up on the way out.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        """As shells tell it."""
        return 128 + self.number


def stopping_signals() -> list[signal.Signals]:
    """Those that are not ignored: under `nohup` a closed terminal is no reason to stop."""
    known = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    return [number for number in known if signal.getsignal(number) != signal.SIG_IGN]


@contextmanager
def signals_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether a signal to stop has come; the handler does nothing else. A second one of its kind acts as usual."""
    seen: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        seen.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, handler) for number in stopping_signals()}
    try:
        yield lambda: bool(seen)
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """A signal to end raises `Terminated`, once; a second one of its kind ends the process. Ctrl-C is Python's own.

    Only in the main thread, which alone gets signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handler(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        for each in before:
            signal.signal(each, signal.SIG_DFL if each == number else signal.SIG_IGN)
        raise Terminated(number)

    wanted = [number for number in stopping_signals() if number != signal.SIGINT]
    before = {number: signal.signal(number, handler) for number in wanted}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


@contextmanager
def going_on_later(told: Callable[[], str]) -> Iterator[None]:
    """Around work that is kept as far as it is done: a signal to end loses nothing, and schedulers may start it again.

    Args:
        told: how far it is, in words.

    Raises:
        Stopped: a signal came.
    """
    try:
        yield
    except Terminated as end:
        raise Stopped(f"stopped: {told()}; the same command goes on") from end
